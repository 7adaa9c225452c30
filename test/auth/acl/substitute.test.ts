import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import {
  hasPlaceholder,
  substitute,
  type Template,
  templateOf,
  unknown,
  type Values
} from "../../../src/auth/acl/substitute.ts"
import { filterContains } from "../../../src/topic/TopicFilter.ts"
import { referenceMatch, seeded, topicName } from "../../topic/reference.ts"

const values: Values = {
  clientId: "c1",
  username: "ada",
  principal: "ada",
  tenant: "acme",
  "cert.cn": undefined
}

/** `<name>` stands for `${name}`, which a linter takes for a mistake. */
const spelled = (text: string): string => text.replace(/<([^>]*)>/g, "$${$1}")

const template = (filter: string): Template => {
  const parsed = templateOf(spelled(filter))
  if ("unknownName" in parsed) throw new Error(`no placeholder ${parsed.unknownName}`)
  return parsed
}

const made = (filter: string, permission: "allow" | "deny", over: Partial<Values> = {}) =>
  substitute(template(filter), { ...values, ...over }, permission)

describe("a filter with placeholders", () => {
  test("takes the client's names", () => {
    expect(made("<tenant>/x-<clientId>-<username>/#", "allow")).toEqual({
      topicFilter: "acme/x-c1-ada/#",
      coversAll: false
    })
  })

  test("is told from one without", () => {
    expect(hasPlaceholder(template("a/$b/{c}"))).toBe(false)
    expect(hasPlaceholder(template("a/<tenant>"))).toBe(true)
    expect(templateOf(spelled("a/<Tenant>"))).toEqual({ unknownName: "Tenant" })
  })

  test("attack 13: does not look at a value for placeholders again", () => {
    expect(made("a/<username>", "allow", { username: spelled("<tenant>") })?.topicFilter).toBe(
      spelled("a/<tenant>")
    )
    expect(made("a/<username>", "allow", { username: "%c$&$1" })?.topicFilter).toBe("a/%c$&$1")
  })

  const unfit = ["", "a/b", "/", "+", "#", "a+", "#a", "a\u0000b", undefined]

  test.each(unfit)("attack 13: allows nothing, and denies all it could mean, for %j", (username) => {
    expect(made("a/<username>/b", "allow", { username })).toBeUndefined()
    expect(made("a/x/y<username>/b", "deny", { username })).toEqual({
      topicFilter: "a/x/#",
      coversAll: false
    })
    expect(made("y<username>/b", "deny", { username })).toEqual({ topicFilter: "#", coversAll: true })
  })

  test("attack 13: a value that begins with $ does not open the topics that wildcards leave out", () => {
    expect(made("<username>/#", "allow", { username: "$SYS" })).toBeUndefined()
    expect(made("<username>/#", "deny", { username: "$SYS" })?.coversAll).toBe(true)
    expect(made("a/<username>", "allow", { username: "$SYS" })?.topicFilter).toBe("a/$SYS")
  })

  test("of an absent client: what is not known allows any, and denies nothing", () => {
    expect(made("a/x<cert.cn>/#", "allow", { "cert.cn": unknown })?.topicFilter).toBe("a/+/#")
    expect(made("a/x<cert.cn>/#", "deny", { "cert.cn": unknown })).toBeUndefined()
    expect(made("<clientId>/<cert.cn>", "allow", { "cert.cn": unknown, clientId: "a/b" })).toBeUndefined()
  })

  const nasty = fc.constantFrom(
    "+",
    "#",
    "/",
    "a/b",
    "a",
    "$SYS",
    "",
    "\u0000",
    spelled("<tenant>"),
    "a+b",
    "é"
  )
  const part = fc.constantFrom("<username>", "a", "b<username>", "+", "<username><username>")
  const written = fc.array(part, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"))

  test("attack 13: substitution never widens what is allowed", () => {
    let substituted = 0
    fc.assert(
      fc.property(written, nasty, (filter, username) => {
        const allowed = made(filter, "allow", { username })
        if (allowed === undefined) return
        substituted++
        const widest = filter.replace(/[^/]*<username>[^/]*/g, "+")
        expect(allowed.topicFilter.split("/").length).toBe(filter.split("/").length)
        expect(filterContains(widest, allowed.topicFilter)).toBe(true)
      }),
      seeded(2000)
    )
    expect(substituted).toBeGreaterThan(200)
  })

  test("attack 13: substitution never narrows what is denied", () => {
    fc.assert(
      fc.property(written, nasty, topicName, (filter, username, topic) => {
        const denied = made(filter, "deny", { username })
        // As if the value had been pasted into the text.
        const pasted = filter.replaceAll("<username>", () => username)
        if (pasted === "" || !referenceMatch(pasted, topic)) return
        expect(denied?.coversAll === true || referenceMatch(denied?.topicFilter ?? "", topic)).toBe(true)
      }),
      seeded(5000)
    )
  })
})
