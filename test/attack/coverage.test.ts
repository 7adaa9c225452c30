/**
 * The attack table: every class of attack that was seen at other brokers has a test that names it.
 *
 * A test names a class in its title, or in that of the group that it is in: `[attack 14]`, `attack 14: ...`.
 */

import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const classes: ReadonlyArray<readonly [row: number, attack: string]> = [
  [1, "a first packet that is no CONNECT"],
  [2, "Remaining Length that is too long, or does not fit its fields"],
  [3, "handshakes that are never over"],
  [4, "floods of connections"],
  [5, "packets that are cut off, empty filter lists"],
  [6, "packet identifier 0, reserved flags, inconsistent wills and passwords"],
  [7, "properties twice or out of place, identifiers and aliases out of range"],
  [8, "thousands of user properties"],
  [9, "text that is not UTF-8, or holds U+0000"],
  [10, "topics that are empty, huge or deep"],
  [11, "wildcards in topics of PUBLISH, will and response"],
  [12, "names that JavaScript objects have"],
  [13, "wildcards and placeholders in names that rules are made with"],
  [14, "filters broader than what is granted"],
  [15, "a filter mixed up with the shared one of its name"],
  [16, "permissions that were withdrawn"],
  [17, "retained messages whose publisher may not publish any more"],
  [18, "wills to forbidden places"],
  [19, "policies that move messages into forbidden places"],
  [20, "the client identifier of somebody else"],
  [21, "failed authentication that touches a session"],
  [22, "storms of takeovers"],
  [23, "QoS 2 identifiers repeated, kept, unknown"],
  [24, "identifiers and expiry of what a client is owed"],
  [25, "maxima overrun, by the client and by the server"],
  [26, "clients that do not read"],
  [27, "sessions, queues, retained messages and subscriptions without end"],
  [28, "packets that only a server sends, AUTH that nobody asked for"],
  [29, "WebSocket handshakes and frames"],
  [30, "forged PROXY headers, forwarded addresses, certificate names"],
  [31, "injection into what services are asked; addresses that only the server reaches"],
  [32, "services that are down, answer nonsense or throw"],
  [33, "rule and password files that are empty, unreadable or half written"],
  [34, "topics of the server"],
  [35, "one tenant seen by another, or after its deletion"],
  [36, "secrets in logs, traces and events"],
  [37, "trace headers"],
  [38, "limits of 0 and NaN"],
  [39, "guessing, and what times and answers give away"],
  [40, "crashes and power cuts"]
]

const root = join(import.meta.dir, "..")

const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith("coverage.test.ts"))
  .map((name) => readFileSync(join(root, name), "utf8"))

/** The classes that titles name; where a title is made of a table's first column, the rows of the table. */
const namedIn = (source: string): ReadonlyArray<number> => {
  const titles = source
    .split("\n")
    .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line))
    .flatMap((line) => [...line.matchAll(/["'`](?:.*\[attack (\d+)\]|attack (\d+)\b)/g)])
    .map(([, bracketed, plain]) => Number(bracketed ?? plain))
  const rows = source.includes('"attack %d') ? [...source.matchAll(/^ {2}\[(\d+), \w+\],?$/gm)] : []
  return [...titles, ...rows.map(([, row]) => Number(row))]
}

const named = new Set(sources.flatMap(namedIn))

test.each([...classes])("class %d has a test: %s", (row) => {
  expect(named.has(row)).toBe(true)
})

test("no test names a class that is not in the table", () => {
  const known = new Set(classes.map(([row]) => row))
  expect([...named].filter((row) => !known.has(row))).toEqual([])
})
