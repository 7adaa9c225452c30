/** Storage that fails: no room, a thread that dies, and how it comes back. */

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type DurableRecord, type EnqueueRecord, Recorded } from "../../src/storage/DurableRecord.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"
import type { CommitOutcome } from "../../src/storage/Journal.ts"
import { SqliteThread } from "../../src/storage/sqlite/SqliteThread.ts"
import { databaseName, makeSqlite, type Sqlite, type SqliteOptions } from "../../src/storage/sqlite.ts"
import { append, connect, enqueue, message, readQueue } from "./contract.ts"
import { dumpOf, dumpOfStores } from "./dump.ts"
import { durableRecords } from "./records.ts"

// Each life of the storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-failure-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newPath = (): string => join(directory, String(made++))

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.provide(Effect.scoped(effect), Logger.remove(Logger.defaultLogger)))

const withStorage = <A, E>(
  options: Partial<SqliteOptions>,
  use: (storage: Sqlite, path: string) => Effect.Effect<A, E, Scope.Scope>
): Promise<A> => {
  const path = options.path ?? newPath()
  return run(Effect.flatMap(makeSqlite({ retryMs: 10, ...options, path }), (storage) => use(storage, path)))
}

const limit = ({ thread }: Sqlite, bytesMax: number): Effect.Effect<void> =>
  Effect.async((resume) => thread.request({ _tag: "Limit", bytesMax }, () => resume(Effect.void)))

const megabyte = 1024 * 1024

/** A message that is too large for what room there is. */
const tooLarge = (position: number): EnqueueRecord =>
  enqueue(position, message("large", new Uint8Array(megabyte)))

/** Until the journal says so. */
const until = (storage: Sqlite, status: string): Effect.Effect<void> =>
  Effect.repeat(Effect.yieldNow({ priority: 1 }).pipe(Effect.zipRight(nextTurn)), {
    until: () => storage.journal.status() === status
  })

const nextTurn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const positionsOf = (storage: Sqlite) =>
  Effect.map(readQueue(storage.sessionStore), (queue) => queue.map(({ position }) => position))

describe("a database without room", () => {
  test("refuses what can be refused, keeps the rest, and recovers by itself when there is room", () =>
    withStorage({}, (storage) =>
      Effect.gen(function* () {
        const { counters, journal } = storage
        expect(yield* append(journal, [connect()])).toBe(undefined)
        yield* limit(storage, 256 * 1024)
        const outcomes: Array<string> = []
        const keep = (name: string, records: ReadonlyArray<DurableRecord>, isRefusable: boolean): void =>
          journal.append({
            records,
            level: "disk",
            mayWait: false,
            isRefusable,
            committed: (outcome) => outcomes.push(`${name} ${outcome === undefined ? "stored" : "refused"}`)
          })
        keep("small", [enqueue(0)], false)
        keep("large", [tooLarge(1)], false)
        keep("refusable", [tooLarge(2)], true)
        yield* until(storage, "failing")
        expect(outcomes).toEqual(["refusable refused"])
        const refused = yield* append(journal, [enqueue(3)], { isRefusable: true })
        expect(refused).toMatchObject({ _tag: "StorageError", isFull: true })
        expect(refused?.message).toMatch(/cannot write: .*full.*free some on the disk/)
        // What is kept would be missing from it.
        expect(yield* Effect.flip(readQueue(storage.sessionStore))).toMatchObject({ _tag: "StorageError" })
        expect(yield* readQueue(storage.sessionStore, { clientId: "other" })).toEqual([])
        keep("last", [enqueue(4)], false)
        yield* limit(storage, 100 * megabyte)
        yield* until(storage, "ready")
        expect(outcomes).toEqual(["refusable refused", "small stored", "large stored", "last stored"])
        expect(yield* positionsOf(storage)).toEqual([0, 1, 4])
        expect(yield* append(journal, [enqueue(5)], { isRefusable: true })).toBe(undefined)
        expect(counters.failures).toBeGreaterThanOrEqual(1)
        expect(counters.unitsRefused).toBe(2)
      })
    ))

  test("stores what is left of a batch when that fits without what is refused", () =>
    withStorage({}, (storage) =>
      Effect.gen(function* () {
        const { journal } = storage
        yield* append(journal, [connect()])
        yield* limit(storage, megabyte)
        const [small, large] = yield* Effect.all(
          [append(journal, [enqueue(0)]), append(journal, [tooLarge(1)], { isRefusable: true })],
          { concurrency: "unbounded" }
        )
        expect(small).toBe(undefined)
        expect(large).toMatchObject({ isFull: true })
        yield* until(storage, "ready")
        expect(yield* positionsOf(storage)).toEqual([0])
      })
    ))

  test("frees room by acknowledgements, and so recovers", () =>
    withStorage({}, (storage) =>
      Effect.gen(function* () {
        const { journal } = storage
        yield* append(journal, [connect()])
        yield* limit(storage, 2 * megabyte)
        let position = 0
        const filler = message("filler", new Uint8Array(64 * 1024))
        const fill = Effect.suspend(() =>
          append(journal, [enqueue(position++, { ...filler })], { isRefusable: true })
        )
        yield* Effect.repeat(fill, { until: (outcome: CommitOutcome) => outcome !== undefined })
        yield* until(storage, "failing")
        yield* append(journal, [{ _tag: "Advance", tenant: "t", clientId: "c", epoch: 1, before: position }])
        yield* until(storage, "ready")
        expect(yield* fill).toBe(undefined)
        expect(yield* positionsOf(storage)).toEqual([position - 1])
      })
    ))

  test("for too long gives up the oldest of what it keeps, and counts it", () =>
    withStorage({ waitingRecordsMax: 10 }, (storage) =>
      Effect.gen(function* () {
        const { counters, journal } = storage
        yield* append(journal, [connect()])
        yield* limit(storage, 256 * 1024)
        for (let position = 0; position < 30; position++) {
          journal.append({
            records: [tooLarge(position)],
            level: "os",
            mayWait: false,
            isRefusable: false,
            committed: () => undefined
          })
        }
        yield* Effect.repeat(nextTurn, { until: () => counters.recordsGivenUp > 0 })
        yield* limit(storage, 100 * megabyte)
        yield* until(storage, "ready")
        expect(counters.recordsGivenUp).toBe(10)
        expect(yield* positionsOf(storage)).toEqual(Array.from({ length: 20 }, (_, index) => index + 10))
      })
    ))
})

describe("what waits to be written", () => {
  test("congests the journal above its limit, until half of it is written", () =>
    withStorage({ waitingRecordsMax: 100, batchRecordsMax: 10 }, ({ journal, counters }) =>
      Effect.gen(function* () {
        const records: ReadonlyArray<DurableRecord> = [
          connect(),
          ...Array.from({ length: 150 }, (_, at) => enqueue(at))
        ]
        let relieved = 0
        for (const record of records) {
          const unit = { records: [record], level: "os", mayWait: false, isRefusable: true } as const
          journal.append({ ...unit, committed: () => undefined })
        }
        expect(journal.status()).toBe("congested")
        yield* Effect.async<void>((resume) =>
          journal.whenRelieved(() => {
            relieved++
            resume(Effect.void)
          }, "t")
        )
        expect(journal.status()).toBe("ready")
        expect(counters.waitingRecords).toBeLessThanOrEqual(50)
        expect(counters.waitingRecords).toBeGreaterThan(30)
        expect(yield* append(journal, [])).toBe(undefined)
        expect(relieved).toBe(1)
        expect(counters.batchRecordsMax).toBe(10)
      })
    ))

  test("is not written when it was acknowledged while it waited", () =>
    withStorage({}, (storage) =>
      Effect.gen(function* () {
        const { counters, journal } = storage
        yield* append(journal, [connect()])
        const commits = counters.commits
        const record = enqueue(0)
        const stored = append(journal, [record], { mayWait: true, level: "disk" })
        yield* Effect.all([stored, Effect.sync(() => (record.recorded = Recorded.Elided))], {
          concurrency: "unbounded"
        })
        expect(counters.commits).toBe(commits)
        expect(counters.recordsElided).toBe(1)
        const late = enqueue(1)
        expect(yield* append(journal, [late], { mayWait: true })).toBe(undefined)
        expect(late.recorded).toBe(Recorded.Written)
        expect(yield* positionsOf(storage)).toEqual([1])
      })
    ))

  test("shares a commit, and an fsync only where the level asks for it", () =>
    withStorage({}, ({ counters, journal }) =>
      Effect.gen(function* () {
        yield* append(journal, [connect()])
        const { commits, syncedCommits } = counters
        expect(syncedCommits).toBe(0)
        const all = Array.from({ length: 200 }, (_, position) =>
          append(journal, [enqueue(position)], { level: position === 199 ? "disk" : "os" })
        )
        yield* Effect.all(all, { concurrency: "unbounded" })
        expect(counters.commits).toBe(commits + 1)
        expect(counters.syncedCommits).toBe(1)
      })
    ))

  test("is written when the storage closes", async () => {
    const path = newPath()
    const outcomes: Array<CommitOutcome> = []
    await withStorage({ path, holdMs: 100_000 }, ({ journal }) =>
      Effect.sync(() => {
        for (const record of [connect(), enqueue(0), enqueue(1)]) {
          const mayWait = record._tag === "Enqueue"
          const committed = (outcome: CommitOutcome) => outcomes.push(outcome)
          journal.append({ records: [record], level: "disk", mayWait, isRefusable: true, committed })
        }
      })
    )
    expect(outcomes).toEqual([undefined, undefined, undefined])
    await withStorage({ path }, (storage) =>
      Effect.map(positionsOf(storage), (positions) => expect(positions).toEqual([0, 1]))
    )
  })
})

describe("a thread that dies", () => {
  test("is started again, and everything is stored once and in order", () =>
    withStorage({ batchRecordsMax: 7 }, (storage) =>
      Effect.gen(function* () {
        const { counters, journal, thread } = storage
        yield* append(journal, [connect()])
        const count = 300
        const order: Array<number> = []
        yield* Effect.forEach(
          Array.from({ length: count }, (_, position) => position),
          (position) =>
            Effect.map(append(journal, [enqueue(position)]), (outcome) => {
              expect(outcome).toBe(undefined)
              order.push(position)
              if (position === 50 || position === 150) thread.kill()
            }),
          { concurrency: "unbounded", discard: true }
        )
        expect(order).toEqual(Array.from({ length: count }, (_, position) => position))
        expect(yield* positionsOf(storage)).toEqual(order)
        expect(counters.restarts).toBe(2)
      })
    ))

  test("leaves exactly the frames that it had committed", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(durableRecords(20), { minLength: 3, maxLength: 12 }),
        FastCheck.nat(11),
        async (batches, killAfter) => {
          const path = newPath()
          const applied = await appliedUntilKilled(path, batches, killAfter)
          expect(applied).toBeGreaterThanOrEqual(Math.min(killAfter, batches.length))
          const state = new DurableState()
          for (const record of batches.slice(0, applied).flat()) state.apply(record)
          await withStorage({ path }, (storage) =>
            Effect.gen(function* () {
              const { retainedStore, sessionStore } = storage
              const sessions = [...(yield* Stream.runCollect(sessionStore.sessions))]
              const retained = [...(yield* Stream.runCollect(retainedStore.messages))]
              expect(yield* dumpOfStores(sessions, retained, sessionStore)).toEqual(dumpOf(state))
            })
          )
        }
      ),
      { numRuns: 3, seed: 4 }
    )
  }, 60_000)
})

/** Sends all frames at once and kills the thread when some are committed; answers how many are in the end. */
const appliedUntilKilled = async (
  path: string,
  batches: ReadonlyArray<ReadonlyArray<DurableRecord>>,
  killAfter: number
): Promise<number> => {
  await withStorage({ path }, () => Effect.void)
  const thread = new SqliteThread({ file: join(path, databaseName), bytesMax: Number.POSITIVE_INFINITY })
  const opened = () =>
    new Promise<number>((resolve) => thread.open((reply) => resolve("applied" in reply ? reply.applied : -1)))
  await opened()
  await new Promise<void>((resolve) => {
    const kill = () => {
      thread.kill()
      resolve()
    }
    batches.forEach((records, index) => {
      const frame = encodeFrame(index + 1, records)
      thread.request({ _tag: "Apply", frame, isSynced: index % 2 === 0 }, (reply) => {
        if (reply._tag === "Done" && reply.applied === killAfter) kill()
      })
    })
    if (killAfter === 0) kill()
    else if (killAfter > batches.length) {
      thread.request({ _tag: "Probe" }, kill)
    }
  })
  const applied = await opened()
  thread.kill()
  return applied
}
