/**
 * The one writer of a cell's tables: takes frames in order and commits each in a transaction, together with
 * its sequence number. A frame that was applied before is skipped, so that who does not know whether a commit
 * came through sends it again.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { ByteReader } from "../frame/ByteReader.ts"
import { readTopic } from "../frame/content.ts"
import { FrameReader, type SessionKey } from "../frame/FrameReader.ts"
import { MalformedFrame } from "../frame/MalformedFrame.ts"
import { Batch, type Identifiers } from "./Batch.ts"
import { writeBatch } from "./commit.ts"
import { type Database, numberAt, type Value } from "./Database.ts"
import { RowStatement, rowsOf } from "./rows.ts"
import { type SessionRow, sessionColumns, sessionOf } from "./SessionRow.ts"

/** Sessions whose rows are kept at hand. */
const cachedMax = 100_000

const selectSessions = new RowStatement(
  2,
  `SELECT ${sessionColumns} FROM session AS s LEFT JOIN progress AS p ON p.session = s.id` +
    " WHERE (s.tenant, s.client_id) IN (VALUES",
  ")"
)

/** A queue whose head went from one position to another. */
export interface PassedQueue {
  readonly session: number
  readonly from: number
  readonly to: number
}

/** What a frame left behind in the tables that is done with. */
export interface Passed {
  readonly advanced: ReadonlyArray<PassedQueue>
  /** Sessions. */
  readonly ended: ReadonlyArray<number>
}

interface Written {
  readonly batch: Batch
  /** The ones that are free after it. */
  readonly identifiers: Identifiers
}

const nothingPassed: Passed = { advanced: [], ended: [] }

export class Writer {
  /** Sequence number of the last frame that was committed. */
  applied = -1
  private identifiers: Identifiers = { nextSession: 1, nextMessage: 1 }
  /** The rows of sessions by their key: those of late, and those before them that will be forgotten. */
  private recent = new Map<string, SessionRow>()
  private older = new Map<string, SessionRow>()

  constructor(private readonly database: Database) {}

  /** Reads where the last frame left off. */
  readonly resume: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.map(this.database.rows("SELECT applied, next_session, next_message FROM meta"), ([row]) => {
      if (row === undefined || numberAt(row, 0) === this.applied) return
      this.forget()
      this.applied = numberAt(row, 0)
      this.identifiers = { nextSession: numberAt(row, 1), nextMessage: numberAt(row, 2) }
    })
  )

  /** Applies a frame. `isSynced`: it must survive a power cut. */
  apply(bytes: Uint8Array, isSynced: boolean): Effect.Effect<Passed, SqlError | MalformedFrame> {
    return Effect.gen(this, function* () {
      const frame = yield* readFrame(bytes)
      yield* this.database.setSynced(isSynced)
      const written = yield* this.database.transaction(this.write(frame))
      if (written === undefined) return nothingPassed
      this.applied = frame.sequence
      this.identifiers = written.identifiers
      return this.settle(written.batch)
    }).pipe(Effect.tapErrorCause(() => Effect.sync(() => this.forget())))
  }

  /** Undefined when it was applied before. */
  private write(frame: FrameReader): Effect.Effect<Written | undefined, SqlError | MalformedFrame> {
    return Effect.gen(this, function* () {
      // A thread that is being ended may have committed something since this one read it.
      yield* this.resume
      if (frame.sequence <= this.applied) return undefined
      const identifiers = { ...this.identifiers }
      const stored = yield* this.load(frame.keys)
      const batch = new Batch(frame, stored, identifiers, (message) => {
        const { from, to } = frame.messages[message]!
        return readTopic(new ByteReader(frame.bytes.bytes.subarray(from, to)))
      })
      yield* Effect.try({ try: () => batch.apply(), catch: asMalformed })
      yield* writeBatch(this.database, batch, frame, identifiers)
      return { batch, identifiers }
    })
  }

  /** The rows of sessions, undefined for those that are not there. */
  private load(
    keys: ReadonlyArray<SessionKey>
  ): Effect.Effect<ReadonlyArray<SessionRow | undefined>, SqlError> {
    return Effect.gen(this, function* () {
      const names = keys.map(nameOf)
      const missing: Array<Value> = []
      names.forEach((name, index) => {
        const key = keys[index]!
        if (this.cached(name) === undefined) missing.push(key.tenant, key.clientId)
      })
      for (const row of yield* rowsOf(this.database, selectSessions, missing)) {
        const session = sessionOf(row)
        this.recent.set(nameOf(session), session)
      }
      return names.map((name) => this.recent.get(name))
    })
  }

  private cached(name: string): SessionRow | undefined {
    const recent = this.recent.get(name)
    if (recent !== undefined) return recent
    const older = this.older.get(name)
    if (older !== undefined) this.recent.set(name, older)
    return older
  }

  /** The batch is committed. */
  private settle({ ended, sessions }: Batch): Passed {
    const advanced: Array<PassedQueue> = []
    this.forgetSessions(ended)
    for (const session of sessions) {
      if (session === undefined) continue
      const from = session.changes?.headBefore ?? session.head
      if (from < session.head) advanced.push({ session: session.id, from, to: session.head })
      if (!session.isStored) this.recent.set(nameOf(session), session)
      session.changes = undefined
      session.isStored = true
    }
    if (this.recent.size > cachedMax / 2) {
      this.older = this.recent
      this.recent = new Map()
    }
    return { advanced, ended: ended.map(({ id }) => id) }
  }

  /** These sessions are gone from the tables. */
  forgetSessions(keys: ReadonlyArray<SessionKey>): void {
    for (const key of keys) {
      const name = nameOf(key)
      this.recent.delete(name)
      this.older.delete(name)
    }
  }

  /** What is at hand may not be what is in the tables: they were changed, or could not be. */
  forget(): void {
    this.recent = new Map()
    this.older = new Map()
  }
}

const nameOf = ({ clientId, tenant }: SessionKey): string => `${tenant.length}:${tenant}${clientId}`

const readFrame = (bytes: Uint8Array): Effect.Effect<FrameReader, MalformedFrame> =>
  Effect.try({ try: () => new FrameReader(bytes), catch: asMalformed })

const asMalformed = (thrown: unknown): MalformedFrame => {
  if (thrown instanceof MalformedFrame) return thrown
  throw thrown
}
