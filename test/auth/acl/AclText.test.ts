import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import { type AclRule, textOfRule } from "../../../src/auth/Acl.ts"
import { parseAcl, type Section } from "../../../src/auth/acl/AclText.ts"
import { seeded, topicFilter } from "../../topic/reference.ts"

const sectionsOf = (text: string): ReadonlyArray<Section> => Either.getOrThrow(parseAcl("rules.acl", text))

const problemsOf = (text: string): ReadonlyArray<string> => {
  const read = parseAcl("rules.acl", text)
  return Either.isRight(read) ? [] : read.left.map(({ line, problem }) => `${line}: ${problem}`)
}

/** What a text says, without where it says it. */
const told = (text: string) =>
  sectionsOf(text).map(({ rules, who }) => ({
    who: Object.fromEntries([...who].map(([key, values]) => [key, [...values]])),
    rules: rules.map(({ source: _, template: __, ...rule }) => rule)
  }))

describe("a file of rules", () => {
  test("says who may do what, in its order", () => {
    const text = `# comment
allow all public/#

[tenant=acme user=ada,bob client="a b"]
  allow publish   sensors/\${clientId}/# qos=0,1 retain=no
\tdeny  subscribe secrets/#\r
allow subscribe jobs/# shared=workers
allow subscribe "with space/#" shared=no
deny subscribe quoted shared="yes"
[*]
[]
deny publish # retain=yes qos=2
`
    expect(told(text)).toEqual([
      { who: {}, rules: [{ permission: "allow", action: "all", topicFilter: "public/#" }] },
      {
        who: { tenant: ["acme"], user: ["ada", "bob"], client: ["a b"] },
        rules: [
          {
            permission: "allow",
            action: "publish",
            topicFilter: `sensors/\${clientId}/#`,
            qos: [0, 1],
            retain: false
          },
          { permission: "deny", action: "subscribe", topicFilter: "secrets/#" },
          { permission: "allow", action: "subscribe", topicFilter: "jobs/#", shared: "workers" },
          { permission: "allow", action: "subscribe", topicFilter: "with space/#", shared: false },
          { permission: "deny", action: "subscribe", topicFilter: "quoted", shared: "yes" }
        ]
      },
      { who: {}, rules: [] },
      {
        who: {},
        rules: [{ permission: "deny", action: "publish", topicFilter: "#", retain: true, qos: [2] }]
      }
    ])
  })

  test("knows the line of each rule", () => {
    const [section] = sectionsOf("\n# one\n allow all a\n\nallow all b\n")
    expect(section?.rules.map(({ source }) => source)).toEqual([
      { file: "rules.acl", line: 3, text: "allow all a" },
      { file: "rules.acl", line: 5, text: "allow all b" }
    ])
  })

  test("may be empty, and then has no rules", () => {
    for (const text of ["", "\n", "# nothing\n", "\ufeff"]) expect(sectionsOf(text)).toEqual([])
  })

  const mistakes: ReadonlyArray<readonly [line: string, problem: string]> = [
    ["permit all a", "begins with neither allow, deny nor ["],
    ["allow read a", "says publish, subscribe or all after allow"],
    ["allow publish", "names no topic filter"],
    ["allow publish a#", "the filter # is not a whole level or not the last one [MQTT-4.7.1-1]"],
    ["allow publish a/#/b", "the filter # is not a whole level or not the last one [MQTT-4.7.1-1]"],
    [`allow publish \${clientId}+`, "the filter + is not a whole level [MQTT-4.7.1-2]"],
    [
      `allow publish \${clientid}`,
      `\${clientid} is none of \${clientId}, \${username}, \${principal}, \${tenant}, \${cert.cn}`
    ],
    [
      "allow subscribe $share/g/a",
      "a rule is for what stands behind $share/group/: name the group by shared="
    ],
    ["allow publish a qos=3", "qos= is a list of 0, 1, 2"],
    [
      "allow publish a qos=",
      "has more behind the filter than qos=, retain= and shared= (a comment has a line of its own)"
    ],
    ["allow publish a qos=0 qos=1", "says qos= twice"],
    ["allow publish a retain=maybe", "retain= is yes or no"],
    ["allow all a retain=no", "retain= is for rules of publish"],
    ["allow publish a shared=yes", "shared= is for rules of subscribe"],
    ["allow subscribe a shared=g/x", "shared= names no group that there can be"],
    [
      "allow subscribe a # why",
      "has more behind the filter than qos=, retain= and shared= (a comment has a line of its own)"
    ],
    ['allow subscribe "a', 'cannot be read from "\\"a" on'],
    ['allow subscribe "\\q"', '"\\q" is no text in quotes'],
    ["[user=ada", "has no ] at its end"],
    ["[group=a]", "says whom it is for by tenant=, user=, client=, username=, cert.cn=, or *"],
    ["[* user=a]", "says whom it is for by tenant=, user=, client=, username=, cert.cn=, or *"],
    ["[user=a user=b]", "says user= twice"],
    ["allow all \ufffd", "is not UTF-8"]
  ]

  test.each(mistakes)("says what is wrong with %j", (line, problem) => {
    expect(problemsOf(`allow all a\n${line}\n`)).toEqual([`2: ${problem}`])
  })

  test("says everything that is wrong", () => {
    expect(problemsOf("allow\nallow all a\ndeny\n").length).toBe(2)
  })

  test("attack 33: that ends within a line is taken for half written", () => {
    const whole = "deny all a/b\nallow all a/bc qos=0\n"
    for (let end = 1; end < whole.length; end++) {
      const isAtLineEnd = whole[end - 1] === "\n"
      expect(problemsOf(whole.slice(0, end)).length > 0).toBe(!isAtLineEnd)
    }
  })

  test("a rule's text reads back as the rule", () => {
    const rule = fc.record<AclRule>({
      permission: fc.constantFrom("allow", "deny"),
      action: fc.constant("subscribe"),
      topicFilter: topicFilter.filter((filter) => !filter.startsWith("#")),
      qos: fc.constantFrom(undefined, [0], [1, 2]),
      shared: fc.constantFrom(undefined, true, false, "yes", "g h", 'a"b')
    })
    fc.assert(
      fc.property(rule, (each) => {
        const [section] = told(`${textOfRule(each)}\n`)
        const { qos, shared, ...rest } = each
        expect(section?.rules).toEqual([
          { ...rest, ...(qos && { qos }), ...(shared !== undefined && { shared }) }
        ])
      }),
      seeded(1000)
    )
  })
})
