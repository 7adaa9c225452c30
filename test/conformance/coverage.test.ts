/**
 * Every statement that binds a server has a test that names it, or a waiver that says why it cannot have
 * one.
 */

import { describe, expect, test } from "bun:test"
import { clausesOf, scanTests } from "./scan.ts"
import { bindsServer, statements } from "./statements.ts"
import { waivers } from "./waived.ts"

const naming = scanTests()
const known = new Set(statements.map(({ key }) => key))
const waived = new Set(waivers.map(({ key }) => key))

describe("coverage", () => {
  for (const version of ["5.0", "3.1.1"] as const) {
    test(`every statement of ${version} that binds a server has a test or a waiver`, () => {
      const missing = statements
        .filter((statement) => statement.version === version && bindsServer(statement))
        .filter(({ key }) => !naming.has(key) && !waived.has(key))
      expect(missing.map(({ key }) => key)).toEqual([])
    })
  }

  test("every waiver is for a statement that exists and has no test", () => {
    expect(waivers.map(({ key }) => key).filter((key) => !known.has(key) || naming.has(key))).toEqual([])
    expect(waived.size).toBe(waivers.length)
  })

  test("every statement that binds a client alone says so in a waiver", () => {
    const silent = statements.filter((each) => !bindsServer(each) && !waived.has(each.key))
    expect(silent.map(({ key }) => key).filter((key) => !naming.has(key))).toEqual([])
  })

  test("every clause in the name of a test exists", () => {
    const unknown = [...naming].filter(([key]) => !known.has(key))
    expect(unknown.map(([key, files]) => `${key} in ${[...files.keys()].join(", ")}`)).toEqual([])
  })

  test("every identifier stands once in the table", () => {
    expect(known.size).toBe(statements.length)
    expect(statements.filter(({ version }) => version === "5.0")).toHaveLength(251)
    expect(statements.filter(({ version }) => version === "3.1.1")).toHaveLength(141)
  })
})

describe("the scan", () => {
  const cases: ReadonlyArray<readonly [name: string, text: string, clauses: ReadonlyArray<string>]> = [
    [
      "a name on the next line",
      'test(\n  "[MQTT-1.1.1-1] [v3 MQTT-2.2.2-2] a", () => 1)',
      ["MQTT-1.1.1-1", "v3 MQTT-2.2.2-2"]
    ],
    ["a template", `test(\`[MQTT-1.1.1-1] \${what}\`, body)`, ["MQTT-1.1.1-1"]],
    ["a name in the middle", 'effect("does [MQTT-1.1.1-1]", body)', ["MQTT-1.1.1-1"]],
    ["a field of a table", '{ name: "is [MQTT-1.1.1-1]", hex: "00" }', ["MQTT-1.1.1-1"]],
    ["a tuple of a table", '["[MQTT-1.1.1-1] is", "00"]', ["MQTT-1.1.1-1"]],
    ["a comment", '// test("[MQTT-1.1.1-1] a", body)\n * [MQTT-1.1.1-1]\nbody() // [MQTT-1.1.1-1]', []],
    ["an assertion", 'expect(reason).toBe("too large [MQTT-1.1.1-1]")', []]
  ]
  for (const [name, text, clauses] of cases) {
    test(name, () => expect(clausesOf(text)).toEqual([...clauses]))
  }
})
