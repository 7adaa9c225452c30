/** `heddle usage`: the ledger in a database, summed for people and for billing programs. */

import { afterAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import { makeCli } from "../../src/cli/Cli.ts"
import { instantOf } from "../../src/cli/usage.ts"
import { makeSqlite } from "../../src/storage/sqlite.ts"
import { type UsageRow, UsageStore } from "../../src/storage/UsageStore.ts"

// The storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-usage-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const hour = (day: number, hours: number): number => Date.UTC(2026, 10, day, hours)

const rowOf = (row: Partial<UsageRow>): UsageRow => ({
  tenant: "acme",
  hourMs: hour(1, 0),
  writer: "node/1",
  messagesIn: 10,
  bytesIn: 100,
  messagesOut: 20,
  bytesOut: 200,
  connects: 1,
  connectionMs: 3_600_000,
  connectionsPeak: 1,
  sessionsPeak: 2,
  storedBytesPeak: 3,
  retainedMessagesPeak: 4,
  ...row
})

const rows = [
  rowOf({}),
  rowOf({ writer: "node/2", messagesIn: 5, connectionsPeak: 7 }),
  rowOf({ hourMs: hour(1, 5) }),
  rowOf({ hourMs: hour(2, 0) }),
  rowOf({ tenant: '=1+1,"x"', hourMs: hour(2, 0) }),
  rowOf({ hourMs: Date.UTC(2026, 9, 31, 23) })
]

const path = join(directory, "data")
const filled = Effect.runPromise(
  Effect.flatMap(makeSqlite({ path }), ({ administration }) =>
    Effect.provide(
      Effect.flatMap(UsageStore, (store) => store.write(rows)),
      administration
    )
  ).pipe(Effect.scoped)
)

/** What the command prints. */
const printed = async (...args: ReadonlyArray<string>): Promise<string> => {
  await filled
  const lines: Array<string> = []
  const log = spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(line)
  })
  try {
    const cli = makeCli(() => Effect.void, { HEDDLE_STORAGE_PATH: path })
    await Effect.runPromise(cli(["bun", "main.ts", "usage", ...args]).pipe(Effect.provide(BunContext.layer)))
  } finally {
    log.mockRestore()
  }
  return lines.join("\n")
}

const asJson = async (...args: ReadonlyArray<string>): Promise<ReadonlyArray<Record<string, unknown>>> =>
  JSON.parse(await printed("--json", ...args))

const november = ["--since", "2026-11-01", "--until", "2026-12-01"]

describe("heddle usage", () => {
  test("sums the writers of an hour, and takes the largest of their peaks", async () => {
    const [first] = await asJson(...november, "--tenant", "acme", "--by", "hour")
    expect(first).toEqual({
      tenant: "acme",
      period: "2026-11-01T00",
      messagesIn: 15,
      bytesIn: 200,
      messagesOut: 40,
      bytesOut: 400,
      connects: 2,
      connectionMinutes: 120,
      connectionsPeak: 7,
      sessionsPeak: 2,
      storedBytesPeak: 3,
      retainedMessagesPeak: 4
    })
  })

  const periods: ReadonlyArray<readonly [by: string, periods: ReadonlyArray<string>]> = [
    ["hour", ["2026-10-31T23", "2026-11-01T00", "2026-11-01T05", "2026-11-02T00"]],
    ["day", ["2026-10-31", "2026-11-01", "2026-11-02"]],
    ["month", ["2026-10", "2026-11"]],
    ["total", [""]]
  ]
  for (const [by, expected] of periods) {
    test(`by ${by}`, async () => {
      const sums = await asJson("--since", "2026-10-01", "--tenant", "acme", "--by", by)
      expect(sums.map(({ period }) => period)).toEqual([...expected])
      expect(sums.reduce((sum, { messagesIn }) => sum + Number(messagesIn), 0)).toBe(45)
    })
  }

  test("CSV, in which no name is a formula", async () => {
    const lines = (await printed("--csv", ...november)).split("\n")
    expect(lines[0]).toStartWith("tenant,period,messagesIn,bytesIn,")
    expect(lines.slice(1).map((line) => line.split(",,")[0])).toEqual([`"'=1+1,""x"""`, "acme"])
  })

  test("a table for people, without a column that says nothing", async () => {
    const [head = "", ...lines] = (await printed(...november, "--tenant", "acme")).split("\n")
    expect(head.trim().split(/\s{2,}/)).toEqual(
      ["TENANT", "IN", "BYTES IN", "OUT", "BYTES OUT", "CONNECTS", "MINUTES", "CONNECTIONS"].concat([
        "SESSIONS",
        "STORED",
        "RETAINED"
      ])
    )
    expect(lines).toHaveLength(1)
    expect(await printed("--since", "2027-01-01")).toBe("no usage is on record for that time")
  })

  const now = hour(22, 12)
  const instants: ReadonlyArray<readonly [text: string, atMs: number | undefined]> = [
    ["2026-11", hour(1, 0)],
    ["2026-11-05", hour(5, 0)],
    ["2026-11-05T06:00Z", hour(5, 6)],
    ["7d", hour(15, 12)],
    ["2026-13-01", undefined],
    ["2026-11-05T06:00", undefined],
    ["yesterday", undefined]
  ]
  for (const [text, atMs] of instants) {
    test(`${text} is ${atMs === undefined ? "no instant" : new Date(atMs).toISOString()}`, () => {
      const found = Effect.runSync(Effect.either(instantOf(text, now)))
      expect(found).toMatchObject(atMs === undefined ? { _tag: "Left" } : { _tag: "Right", right: atMs })
    })
  }
})
