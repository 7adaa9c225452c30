import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import type { Identity } from "../../../src/auth/Authenticator.ts"
import { parseAcl } from "../../../src/auth/acl/AclText.ts"
import { tenantsThatDiffer } from "../../../src/auth/acl/difference.ts"
import { RuleBook } from "../../../src/auth/acl/RuleBook.ts"
import { seeded, topicFilter } from "../../topic/reference.ts"

const sectionsOf = (...lines: ReadonlyArray<string>) =>
  Either.getOrThrow(parseAcl("rules.acl", lines.map((line) => `${line}\n`).join("")))

const book = (...lines: ReadonlyArray<string>) => new RuleBook(sectionsOf(...lines))

const peer: Identity["peer"] = {
  transport: "memory",
  listener: "memory",
  address: "",
  port: 0,
  isLoopback: true,
  serverName: undefined,
  certificate: undefined
}

const identity = (over: Partial<Identity> & { readonly cn?: string } = {}): Identity => {
  const { cn, ...rest } = over
  const certificate =
    cn === undefined ? undefined : { commonName: cn, subject: "", subjectAltNames: [], fingerprint256: "" }
  return {
    tenant: "acme",
    principal: "ada",
    clientId: "c1",
    username: "ada",
    peer: { ...peer, certificate },
    ...rest
  }
}

describe("whom rules are for", () => {
  const heads: ReadonlyArray<readonly [head: string, over: Parameters<typeof identity>[0], isFor: boolean]> =
    [
      ["[*]", {}, true],
      ["[]", {}, true],
      ["[tenant=acme]", {}, true],
      ["[tenant=other]", {}, false],
      ["[tenant=other,acme]", {}, true],
      ["[user=ada]", {}, true],
      ["[user=ada]", { principal: "eve" }, false],
      ["[user=ada]", { principal: "eve", username: "ada" }, false],
      ["[username=ada]", { principal: "eve", username: "ada" }, true],
      ["[username=ada]", { username: undefined }, false],
      ["[client=c1 tenant=acme]", {}, true],
      ["[client=c1 tenant=other]", {}, false],
      ["[client=c2 tenant=acme]", {}, false],
      ["[cert.cn=device]", { cn: "device" }, true],
      ["[cert.cn=device]", { cn: "other" }, false],
      ["[cert.cn=device]", {}, false],
      ["[user=__proto__]", { principal: "__proto__" }, true],
      ["[user=constructor]", {}, false]
    ]

  test.each(heads)("%s, for %j: %j", (head, over, isFor) => {
    expect(book(head, "allow all a").permissionsOf(identity(over)).publish("a")).toBe(isFor)
  })

  test("the order of the file is the order of the rules, whomever they are for", () => {
    const rules = book("[user=ada]", "deny all a/x", "[*]", "allow all a/#", "[client=c1]", "deny all a/y")
    const acl = rules.permissionsOf(identity())
    expect(["a/x", "a/y", "a/z"].map((topic) => acl.publish(topic))).toEqual([false, true, true])
  })

  test("clients whose rules do not name them share one list", () => {
    const rules = book("[tenant=acme]", "allow all a", "[user=eve]", `allow all \${clientId}`)
    const shared = rules.permissionsOf(identity())
    expect(rules.permissionsOf(identity({ clientId: "c2" }))).toBe(shared)
    expect(rules.permissionsOf(identity({ principal: "eve" }))).not.toBe(shared)
    expect(rules.permissionsOf(identity({ principal: "eve" })).publish("c1")).toBe(true)
  })

  test("one of many is found", () => {
    const rules = book(
      ...Array.from({ length: 1000 }, (_, at) => [`[user=u${at}]`, `allow all t${at}`]).flat()
    )
    const acl = rules.permissionsOf(identity({ principal: "u777" }))
    expect(["t777", "t776"].map((topic) => acl.publish(topic))).toEqual([true, false])
  })
})

describe("of an absent client", () => {
  const absent = (over: Partial<Identity> = {}) => identity({ username: undefined, isAbsent: true, ...over })

  test("what would be refused whatever is not known is refused, and nothing else", () => {
    const rules = book(
      "[username=eve]",
      "deny subscribe a/#",
      "allow subscribe e/#",
      "[*]",
      `deny subscribe d/\${clientId}`,
      `deny subscribe d/x/\${cert.cn}`,
      `allow subscribe s/\${username}/+`,
      "allow subscribe a/#",
      "allow subscribe d/#"
    )
    const acl = rules.permissionsOf(absent())
    expect(acl.isForAbsent).toBe(true)
    const answers = ["a/x", "e/x", "s/ada/x", "s/ada", "d/c1", "d/x/y", "z"].map((filter) =>
      acl.subscribe(filter)
    )
    expect(answers).toEqual([true, true, true, false, false, true, false])
  })

  test("whoever may do something keeps it when it is gone", () => {
    const head = fc.constantFrom("[*]", "[username=ada]", "[username=eve]", "[cert.cn=x]", "[user=ada]")
    const level = fc.constantFrom("a", "b", "+", `\${username}`, `\${cert.cn}`, `\${clientId}`)
    const filter = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join("/"))
    const line = fc
      .tuple(fc.constantFrom("allow all", "deny all"), filter, fc.boolean())
      .map(([verb, text, isOpen]) => `${verb} ${text}${isOpen ? "/#" : ""}`)
    const asked = fc
      .array(fc.constantFrom("a", "b", "ada", "x", "c1", "+"), { minLength: 1, maxLength: 3 })
      .map((levels) => levels.join("/"))
    let kept = 0
    fc.assert(
      fc.property(
        fc.array(fc.oneof(head, line, line, line), { minLength: 1, maxLength: 8 }),
        asked,
        fc.constantFrom("x", "y", undefined),
        (lines, topicFilter, cn) => {
          const rules = book(...lines)
          const present = identity({ username: "ada", ...(cn !== undefined && { cn }) })
          if (!rules.permissionsOf(present).subscribe(topicFilter)) return
          kept++
          expect(rules.permissionsOf(absent()).subscribe(topicFilter)).toBe(true)
        }
      ),
      seeded(5000)
    )
    expect(kept).toBeGreaterThan(200)
  })
})

describe("what has changed", () => {
  const rows: ReadonlyArray<
    readonly [name: string, before: ReadonlyArray<string>, now: ReadonlyArray<string>, changed: unknown]
  > = [
    ["nothing", ["[user=a]", "allow all a"], ["# comment", "[user=a]", "allow all a"], []],
    ["rules for all", ["allow all a"], ["allow all b"], [{}]],
    [
      "the rules of one tenant",
      ["[tenant=t,u]", "allow all a"],
      ["[tenant=t]", "allow all a"],
      [{ tenant: "u" }]
    ],
    [
      "their place among those for all",
      ["[tenant=t]", "deny all a", "[*]", "allow all a"],
      ["[*]", "allow all a", "[tenant=t]", "deny all a"],
      [{ tenant: "t" }]
    ],
    [
      "not the tenants beside them",
      ["[tenant=t]", "allow all a"],
      ["[tenant=u]", "allow all a", "[tenant=t]", "allow all a"],
      [{ tenant: "u" }]
    ]
  ]
  test.each(rows)("%s", (_name, before, now, changed) => {
    expect(tenantsThatDiffer(sectionsOf(...before), sectionsOf(...now)) as unknown).toEqual(changed)
  })
})

test("a decision names the rule, its file and its line", () => {
  const acl = book("[user=ada]", `deny publish  a/\${clientId} qos=1`, "allow all a/#").permissionsOf(
    identity()
  )
  expect(acl.explain({ _tag: "Publish", topic: "a/c1", qos: 1, retain: false })).toEqual({
    allowed: false,
    why: "a rule denies it",
    rule: { text: `deny publish  a/\${clientId} qos=1`, file: "rules.acl", line: 2 }
  })
  expect(acl.explain({ _tag: "Publish", topic: "a/c1", qos: 0, retain: false }).rule?.line).toBe(3)
  expect(acl.explain({ _tag: "Subscribe", topicFilter: "#", qos: 0, group: undefined })).toEqual({
    allowed: false,
    why: "no rule allows it"
  })
})

test("explanations and decisions agree", () => {
  const condition = fc.constantFrom("", " qos=0", " qos=1,2", " shared=yes", " shared=no", " shared=g")
  const line = fc
    .tuple(
      fc.constantFrom("allow", "deny"),
      topicFilter.filter((filter) => !/\s/.test(filter)),
      condition
    )
    .map(([verb, filter, more]) => `${verb} subscribe ${filter}${more}`)
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 6 }),
      topicFilter,
      fc.constantFrom(0 as const, 1 as const, 2 as const),
      fc.constantFrom(undefined, "g", "h"),
      (lines, filter, qos, group) => {
        const acl = book(...lines).permissionsOf(identity())
        const { allowed } = acl.explain({ _tag: "Subscribe", topicFilter: filter, qos, group })
        expect(acl.subscribe(filter, qos, group)).toBe(allowed === true)
      }
    ),
    seeded(1000)
  )
})
