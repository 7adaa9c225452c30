/**
 * Which statements the tests of the repository name.
 *
 * A test's name holds the clauses that it proves, in brackets: `[MQTT-3.1.2-24] ...`, or `[v3
 * MQTT-3.1.2-22] ...` for 3.1.1. Read are the names alone, which are string literals: the first argument of
 * `test`, `effect` and `live`, a `name:` field of a table, and any other literal that begins with such a
 * clause (a table whose rows are tuples). A clause that a comment or an assertion mentions counts for
 * nothing.
 */

import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dir, "..", "..")

/** Tests this scan with names of its own making. */
const ownTests = "conformance/coverage.test.ts"

/** Clause, with its `v3 ` in front where it has one, to file to number of names. */
export type Naming = ReadonlyMap<string, ReadonlyMap<string, number>>

const literal = /"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g
const namesATest = /(?:(?<![\w.])(?:test|effect|live)\(|\bname:)\s*$/
const clause = /\[((?:v3 )?MQTT-\d+\.\d+\.\d+-\d+)\]/g
const beginsWithClause = /^\[(?:v3 )?MQTT-/

/** The clauses in the names of tests of one file's text, with repetitions. */
export const clausesOf = (text: string): ReadonlyArray<string> => {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, "")
  return [...code.matchAll(literal)].flatMap((match) => {
    const content = match[1] ?? match[2] ?? ""
    const before = code.slice(Math.max(0, match.index - 40), match.index)
    if (!beginsWithClause.test(content) && !namesATest.test(before)) return []
    return [...content.matchAll(clause)].map((found) => found[1] ?? "")
  })
}

/** Test files and the tables that they import. */
export const scanTests = (): Naming => {
  const naming = new Map<string, Map<string, number>>()
  const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".ts") && file !== ownTests)
    .sort()
  for (const file of files) {
    for (const key of clausesOf(readFileSync(join(root, "test", file), "utf8"))) {
      const counts = naming.get(key) ?? new Map<string, number>()
      naming.set(key, counts.set(`test/${file}`, (counts.get(`test/${file}`) ?? 0) + 1))
    }
  }
  return naming
}
