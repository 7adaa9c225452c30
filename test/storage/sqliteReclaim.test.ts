/** The room of what is done with comes back, in steps that are small, and nothing else goes. */

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"
import { type Database, openDatabase } from "../../src/storage/sqlite/Database.ts"
import { Reclaimer } from "../../src/storage/sqlite/Reclaimer.ts"
import { Writer } from "../../src/storage/sqlite/Writer.ts"
import { connect, enqueue, message } from "./contract.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-reclaim-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newFile = (): string => join(directory, `${made++}.db`)

interface Open {
  readonly database: Database
  readonly reclaimer: Reclaimer
  readonly apply: (...records: ReadonlyArray<DurableRecord>) => Effect.Effect<void, unknown>
}

const open = <A, E>(file: string, use: (open: Open) => Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const database = yield* openDatabase(file)
        const writer = new Writer(database)
        yield* writer.resume
        const reclaimer = new Reclaimer(database)
        const apply = (...records: ReadonlyArray<DurableRecord>) =>
          Effect.map(writer.apply(encodeFrame(writer.applied + 1, records), false), (passed) =>
            reclaimer.note(passed)
          )
        return yield* use({ database, reclaimer, apply })
      })
    )
  )

const count = (database: Database, table: string) => database.number(`SELECT count(*) FROM ${table}`)

/** Steps until nothing is left to do; answers the most deliveries that went in one step. */
const reclaim = ({ database, reclaimer }: Open) =>
  Effect.gen(function* () {
    let most = 0
    let before = yield* count(database, "delivery")
    while (!reclaimer.isIdle) {
      yield* reclaimer.step
      const after = yield* count(database, "delivery")
      most = Math.max(most, before - after)
      before = after
    }
    return most
  })

const key = { tenant: "t", clientId: "c", epoch: 1 }
const queue = (length: number, from = 0): ReadonlyArray<DurableRecord> =>
  Array.from({ length }, (_, index) => enqueue(from + index))

describe("room", () => {
  test("of a session that has ended comes back in small steps, and its file becomes smaller", () =>
    open(newFile(), (opened) =>
      Effect.gen(function* () {
        const { apply, database } = opened
        const large = Array.from({ length: 1500 }, (_, position) =>
          enqueue(position, message("a", new Uint8Array(16_384)))
        )
        yield* apply(connect(), ...large, { _tag: "Inbound", ...key, packetId: 1, isReleased: false })
        yield* apply({
          _tag: "Subscribe",
          ...key,
          request: { topicFilter: "f", qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
          subscriptionIdentifier: 0
        })
        const pages = yield* database.number("PRAGMA page_count")
        yield* apply({ _tag: "End", ...key })
        expect(yield* count(database, "delivery")).toBe(1500)
        expect(yield* reclaim(opened)).toBeLessThanOrEqual(500)
        for (const table of [
          "session",
          "progress",
          "delivery",
          "message",
          "subscription",
          "inbound",
          "garbage"
        ]) {
          expect([table, yield* count(database, table)]).toEqual([table, 0])
        }
        const left = yield* database.number("PRAGMA page_count")
        expect(left).toBeLessThan(pages - 1000)
        expect(yield* database.number("PRAGMA freelist_count")).toBeLessThanOrEqual(1024)
      })
    ))

  test("of messages that a queue has passed comes back, also after a restart", async () => {
    const file = newFile()
    await open(file, ({ apply, database }) =>
      Effect.gen(function* () {
        yield* apply(connect(), connect(false, { ...key, clientId: "d" }), ...queue(1200))
        yield* apply({ _tag: "Advance", ...key, before: 1100 })
        expect(yield* count(database, "delivery")).toBe(1200)
      })
    )
    await open(file, (opened) =>
      Effect.gen(function* () {
        expect(yield* reclaim(opened)).toBeLessThanOrEqual(500)
        expect(yield* count(opened.database, "delivery")).toBe(100)
        expect(yield* count(opened.database, "message")).toBe(100)
      })
    )
  })

  test("of a message that several queues have comes back with the last of them", () =>
    open(newFile(), (opened) =>
      Effect.gen(function* () {
        const { apply, database } = opened
        const other = { ...key, clientId: "d" }
        const shared = message("a")
        yield* apply(connect(), connect(false, other), enqueue(0, shared), enqueue(0, shared, other))
        expect(yield* database.rows("SELECT refs FROM message")).toEqual([[2]])
        yield* apply({ _tag: "Advance", ...key, before: 1 })
        yield* reclaim(opened)
        expect(yield* database.rows("SELECT refs FROM message")).toEqual([[1]])
        yield* apply({ _tag: "Dequeue", ...other, position: 0 })
        expect(yield* count(database, "message")).toBe(0)
      })
    ))

  test("presses when much has been passed, and does not when it has been reclaimed", () =>
    open(newFile(), (opened) =>
      Effect.gen(function* () {
        const { apply, reclaimer } = opened
        yield* apply(connect(), enqueue(0), enqueue(200_000))
        expect(reclaimer.isPressing).toBe(false)
        yield* apply({ _tag: "Advance", ...key, before: 200_000 })
        expect(reclaimer.isPressing).toBe(true)
        yield* reclaim(opened)
        expect(reclaimer.isPressing).toBe(false)
      })
    ))
})

describe("a message that has expired", () => {
  const nowMs = 1_700_000_000_000
  const expired = { ...message("a"), expiresAtMs: nowMs - 61_000 }
  const detach: DurableRecord = {
    _tag: "Detach",
    ...key,
    expiryInterval: 60,
    endsAtMs: 0,
    hasWill: false,
    willDueMs: 0,
    sentBefore: 2
  }
  const left = (opened: Open) =>
    Effect.gen(function* () {
      opened.reclaimer.expire(nowMs)
      yield* reclaim(opened)
      const rows = yield* opened.database.rows("SELECT position FROM delivery ORDER BY position")
      return rows.map(([position]) => position)
    })

  test("goes while its client is away", () =>
    open(newFile(), (opened) =>
      Effect.gen(function* () {
        const stays = { ...message("b"), expiresAtMs: nowMs - 59_000 }
        const many = Array.from({ length: 1200 }, (_, index) => enqueue(10 + index, { ...expired }))
        yield* opened.apply(connect(), enqueue(5, stays), enqueue(6), ...many, detach)
        expect(yield* left(opened)).toEqual([5, 6])
        expect(yield* count(opened.database, "message")).toBe(2)
      })
    ))

  test("[MQTT-4.3.3-7] stays when it may have been sent, or is released", () =>
    open(newFile(), (opened) =>
      Effect.gen(function* () {
        const { apply } = opened
        yield* apply(connect(), ...[0, 1, 2, 3].map((position) => enqueue(position, expired)))
        yield* apply({ _tag: "Release", ...key, position: 3 })
        expect(yield* left(opened)).toEqual([0, 1, 2, 3])
        yield* apply(detach)
        expect(yield* left(opened)).toEqual([0, 1, 3])
      })
    ))
})
