/**
 * Gives back the room of what is done with, in steps of a few hundred rows, each a transaction of its own:
 * deliveries that their queue has passed, what sessions held that have ended, messages that expired while
 * their client is away. Then the pages that became free leave the file.
 *
 * What is left to do is known without looking: ended sessions stand in `garbage`, and queues that advanced
 * are remembered. After a start all queues are looked at once, because what was remembered is gone.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { EnqueueBit } from "../frame/FrameWriter.ts"
import { dropReferences } from "./commit.ts"
import { type Database, numberAt, type Row } from "./Database.ts"
import { RowStatement, rowsOf } from "./rows.ts"
import type { Passed } from "./Writer.ts"

const stepRows = 500
const stepPages = 128
/** Free pages that stay for what comes next. */
const freePagesKept = 1024
/** Queues that are remembered; when there are more, all are looked at. */
const rememberedMax = 100_000
/** How many queues a look at all of them takes at a time. */
const surveyed = 1000
/** Rows done with that may wait until nobody wants anything. */
const pressingRows = 100_000
/** How long a message stays after it has expired: its client may be on its way. */
const expiryGraceMs = 60_000

/** How far the look at expired deliveries has come: their expiry, session and position. */
interface Expiry {
  readonly beforeMs: number
  readonly after: readonly [number, number, number]
}

const deleteUnsent = new RowStatement(
  2,
  "DELETE FROM delivery WHERE (session, position) IN (VALUES",
  `) AND flags & ${EnqueueBit.Released} = 0 AND EXISTS (SELECT 1 FROM session AS s` +
    " WHERE s.id = delivery.session AND s.is_connected = 0 AND delivery.position >= s.sent_before)" +
    " RETURNING message"
)

export class Reclaimer {
  /** The heads of queues with rows below, by session. */
  private readonly advanced = new Map<number, number>()
  /** About how many rows those are. */
  private advancedRows = 0
  private hasEnded = true
  /** Where the look at all queues goes on; undefined when none is under way. */
  private survey: number | undefined = 0
  private expiry: Expiry | undefined = undefined
  /** Something could not be written for want of room. */
  private isShort = false
  /** Whether pages may have become free since the file was cut. */
  private mayShrink = true

  constructor(private readonly database: Database) {}

  /** A frame has been committed that left this behind. */
  note({ advanced, ended }: Passed): void {
    for (const { from, session, to } of advanced) {
      if (this.advanced.size < rememberedMax) this.advanced.set(session, to)
      else this.survey ??= 0
      this.advancedRows += to - from
    }
    for (const session of ended) this.advanced.delete(session)
    if (ended.length > 0) this.hasEnded = true
  }

  /** What expired some time before this instant may go. */
  expire(nowMs: number): void {
    this.expiry ??= { beforeMs: nowMs - expiryGraceMs, after: [0, 0, 0] }
  }

  /** Nothing is left to do. */
  get isIdle(): boolean {
    return (
      this.advanced.size === 0 &&
      !this.hasEnded &&
      this.survey === undefined &&
      this.expiry === undefined &&
      !this.mayShrink
    )
  }

  /** Something was written, or could not be for want of room. */
  noteRoom(isShort: boolean): void {
    this.isShort = isShort
  }

  /** It cannot wait until nobody wants anything. */
  get isPressing(): boolean {
    return this.isShort || this.advancedRows > pressingRows
  }

  /** Does one step. It need not survive a power cut: what is lost is found again. */
  readonly step: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.zipRight(this.database.setSynced(false), this.next())
  )

  /** Whether something that sessions held which have ended is still there. */
  get hasEndedSessions(): boolean {
    return this.hasEnded
  }

  /** Removes some of what sessions held that have ended, and looks for pages to cut when it has time. */
  readonly stepEnded: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    this.mayShrink = true
    return this.database.transaction(this.sweepEnded)
  })

  private next(): Effect.Effect<void, SqlError> {
    if (this.advanced.size > 0) return this.sweepAdvanced
    this.advancedRows = 0
    if (this.hasEnded) return this.database.transaction(this.sweepEnded)
    if (this.survey !== undefined) return this.surveyFrom(this.survey)
    if (this.expiry !== undefined) return this.database.transaction(this.sweepExpired(this.expiry))
    return this.mayShrink ? this.shrink : Effect.void
  }

  private readonly sweepAdvanced: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    const done: Array<readonly [session: number, head: number]> = []
    return this.database
      .transaction(
        Effect.gen(this, function* () {
          const gone: Array<Row> = []
          for (const [session, head] of this.advanced) {
            const rows = yield* this.deleteDeliveries(session, head, stepRows - gone.length)
            gone.push(...rows)
            if (gone.length >= stepRows) break
            done.push([session, head])
            if (done.length >= stepRows) break
          }
          yield* dropReferences(this.database, gone)
          this.advancedRows = Math.max(0, this.advancedRows - gone.length)
          if (gone.length > 0) this.mayShrink = true
        })
      )
      .pipe(
        Effect.zipRight(
          Effect.sync(() => {
            for (const [session] of done) this.advanced.delete(session)
          })
        )
      )
  })

  /** Deletes up to `rowsMax` deliveries of a session below a position; answers their messages. */
  private deleteDeliveries(
    session: number,
    before: number,
    rowsMax: number
  ): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return this.database.rows(
      "DELETE FROM delivery WHERE session = ?1 AND position IN (SELECT position FROM delivery" +
        " WHERE session = ?1 AND position < ?2 ORDER BY position LIMIT ?3) RETURNING message",
      [session, before, rowsMax]
    )
  }

  private readonly sweepEnded: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.gen(this, function* () {
      const { database } = this
      const [row] = yield* database.rows("SELECT session FROM garbage LIMIT 1")
      if (row === undefined) {
        this.hasEnded = false
        return
      }
      const session = numberAt(row, 0)
      const deliveries = yield* this.deleteDeliveries(session, Number.MAX_SAFE_INTEGER, stepRows)
      yield* dropReferences(database, deliveries)
      if (deliveries.length > 0) this.mayShrink = true
      if (deliveries.length === stepRows) return
      for (const [table, key] of [
        ["subscription", "topic_filter"],
        ["inbound", "packet_id"]
      ]) {
        const gone = yield* database.rows(
          `DELETE FROM ${table} WHERE session = ?1 AND ${key} IN` +
            ` (SELECT ${key} FROM ${table} WHERE session = ?1 LIMIT ?2) RETURNING 1`,
          [session, stepRows]
        )
        if (gone.length === stepRows) return
      }
      yield* database.run("DELETE FROM garbage WHERE session = ?", [session])
    })
  )

  /** Remembers which of the next queues have passed messages. */
  private surveyFrom(after: number): Effect.Effect<void, SqlError> {
    return Effect.map(
      this.database.rows(
        "SELECT p.session, p.head, EXISTS (SELECT 1 FROM delivery AS d" +
          " WHERE d.session = p.session AND d.position < p.head) FROM progress AS p" +
          " WHERE p.session > ? ORDER BY p.session LIMIT ?",
        [after, surveyed]
      ),
      (rows) => {
        for (const row of rows) {
          if (numberAt(row, 2) === 1) this.advanced.set(numberAt(row, 0), numberAt(row, 1))
        }
        const last = rows.at(-1)
        this.survey = rows.length < surveyed || last === undefined ? undefined : numberAt(last, 0)
      }
    )
  }

  /**
   * Of the next deliveries that have expired, deletes those whose client is away and that never were sent to
   * it: one that was may not be given up any more. [MQTT-4.3.3-7]
   */
  private sweepExpired({ after, beforeMs }: Expiry): Effect.Effect<void, SqlError> {
    const { database } = this
    return Effect.gen(this, function* () {
      const expired = yield* database.rows(
        "SELECT expires_at, session, position FROM delivery WHERE expires_at > 0 AND expires_at < ?" +
          " AND (expires_at, session, position) > (?, ?, ?) ORDER BY expires_at, session, position LIMIT ?",
        [beforeMs, ...after, stepRows]
      )
      const gone = yield* rowsOf(
        database,
        deleteUnsent,
        expired.flatMap((row) => [numberAt(row, 1), numberAt(row, 2)])
      )
      yield* dropReferences(database, gone)
      if (gone.length > 0) this.mayShrink = true
      const last = expired.at(-1)
      this.expiry =
        last === undefined || expired.length < stepRows
          ? undefined
          : { beforeMs, after: [numberAt(last, 0), numberAt(last, 1), numberAt(last, 2)] }
    })
  }

  /** Cuts free pages off the file, but for some. */
  private readonly shrink: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.gen(this, function* () {
      const free = yield* this.database.number("PRAGMA freelist_count")
      const pages = Math.min(stepPages, free - freePagesKept)
      if (pages > 0) yield* this.database.run(`PRAGMA incremental_vacuum(${pages})`)
      if (pages < stepPages) this.mayShrink = false
    })
  )
}
