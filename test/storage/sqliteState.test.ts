/**
 * The tables hold what `DurableState.apply` says, whatever the records are, however they are cut into frames,
 * wherever the database is closed and opened again, and whenever room is given back.
 */

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type * as Scope from "effect/Scope"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"
import { type Database, openDatabase } from "../../src/storage/sqlite/Database.ts"
import { readAll, readDelivery, readRetained, readSession } from "../../src/storage/sqlite/pages.ts"
import { Reclaimer } from "../../src/storage/sqlite/Reclaimer.ts"
import { readQueue, readRetainedPage, readSessions } from "../../src/storage/sqlite/read.ts"
import { Writer } from "../../src/storage/sqlite/Writer.ts"
import { type Dump, dump, dumpOf } from "./dump.ts"
import { durableRecords } from "./records.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-state-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newFile = (): string => join(directory, `${made++}.db`)

/** What the tables hold, read in pages of `pageSize`. */
const dumpTables = (database: Database, pageSize: number) =>
  Effect.gen(function* () {
    const sessions = yield* allPages((after) => readSessions(database, after, pageSize), readSession)
    const retained = yield* allPages((after) => readRetainedPage(database, after, pageSize), readRetained)
    const queues = yield* Effect.forEach(sessions, ({ clientId, tenant }) => {
      const request = { tenant, clientId, from: 0, messagesMax: 1_000_000, bytesMax: 1e12 }
      return Effect.map(readQueue(database, request), (part) => readAll(part, readDelivery))
    })
    return dump(
      sessions.map((session, index) => [session, queues[index] ?? []] as const),
      retained
    )
  })

const allPages = <A>(
  page: (after: number) => ReturnType<typeof readSessions>,
  read: Parameters<typeof readAll<A>>[1]
) =>
  Effect.gen(function* () {
    const all: Array<A> = []
    for (let after: number | undefined = 0; after !== undefined; ) {
      const { bytes, next }: { bytes: Uint8Array; next: number | undefined } = yield* page(after)
      all.push(...readAll(bytes, read))
      after = next
    }
    return all
  })

/** Rows that nothing refers to any more, or that refer to nothing. */
const loose = (database: Database) =>
  database.rows(`
    SELECT 'message', id FROM message AS m
      WHERE refs <> (SELECT count(*) FROM delivery WHERE message = m.id) OR refs = 0
    UNION ALL SELECT 'delivery', session FROM delivery AS d WHERE NOT EXISTS (
      SELECT 1 FROM session AS s JOIN progress AS p ON p.session = s.id
        WHERE s.id = d.session AND d.position >= p.head AND d.position < p.next_position)
      OR NOT EXISTS (SELECT 1 FROM message WHERE id = d.message)
    UNION ALL SELECT 'subscription', session FROM subscription WHERE session NOT IN (SELECT id FROM session)
    UNION ALL SELECT 'inbound', session FROM inbound WHERE session NOT IN (SELECT id FROM session)
    UNION ALL SELECT 'progress', session FROM progress WHERE session NOT IN (SELECT id FROM session)
    UNION ALL SELECT 'garbage', session FROM garbage`)

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

/** One life of the database: applies frames and looks at what they made. */
const life = (file: string, work: (database: Database, writer: Writer) => Effect.Effect<Dump, unknown>) =>
  run(
    Effect.gen(function* () {
      const database = yield* openDatabase(file)
      const writer = new Writer(database)
      yield* writer.resume
      return yield* work(database, writer)
    })
  )

interface Step {
  readonly records: ReadonlyArray<DurableRecord>
  readonly and: "go on" | "reopen" | "reclaim" | "look"
}

const steps: FastCheck.Arbitrary<ReadonlyArray<Step>> = FastCheck.array(
  FastCheck.record({
    records: durableRecords(30),
    and: FastCheck.constantFrom("go on", "reopen", "reclaim", "look")
  }),
  { minLength: 1, maxLength: 6 }
)

const reclaimAll = (reclaimer: Reclaimer) =>
  Effect.gen(function* () {
    while (!reclaimer.isIdle) yield* reclaimer.step
  })

describe("the tables", () => {
  test("hold what the records say, through frames, restarts and reclamation", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(steps, FastCheck.constantFrom(1, 2, 1000), async (story, pageSize) => {
        const file = newFile()
        const state = new DurableState()
        let sequence = 0
        const pending = [...story]
        while (pending.length > 0) {
          const found = await life(file, (database, writer) =>
            Effect.gen(function* () {
              const reclaimer = new Reclaimer(database)
              expect(writer.applied).toBe(sequence)
              for (let step = pending.shift(); step !== undefined; step = pending.shift()) {
                for (const record of step.records) state.apply(record)
                reclaimer.note(yield* writer.apply(encodeFrame(++sequence, step.records), false))
                if (step.and === "reclaim") yield* reclaimAll(reclaimer)
                if (step.and === "look") expect(yield* dumpTables(database, pageSize)).toEqual(dumpOf(state))
                if (step.and === "reopen") break
              }
              if (pending.length === 0) {
                yield* reclaimAll(reclaimer)
                expect(yield* loose(database)).toEqual([])
              }
              return yield* dumpTables(database, pageSize)
            })
          )
          expect(found).toEqual(dumpOf(state))
        }
        rmSync(file)
      }),
      { numRuns: Number(process.env.RUNS ?? 40), seed: Number(process.env.SEED ?? 3) }
    )
  }, 60_000)
})
