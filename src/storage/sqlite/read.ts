/**
 * Reading the tables, a page at a time. A page of sessions is bounded by their number; what each of them
 * holds is read in steps, so that no more than a few thousand rows are in memory at once.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { ByteWriter } from "../frame/ByteWriter.ts"
import type { QueueRequest } from "../SessionStore.ts"
import { bytesAt, type Database, numberAt, type Row, textAt } from "./Database.ts"
import { writeDelivery, writeSession } from "./pages.ts"
import { type SessionRow, sessionColumns, sessionOf } from "./SessionRow.ts"

export interface Page {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Where the next page begins; undefined after the last. */
  readonly next: number | undefined
}

const stepRows = 10_000

/** Sessions whose identifier is above `after`. */
export const readSessions = (
  database: Database,
  after: number,
  sessionsMax: number
): Effect.Effect<Page, SqlError> =>
  Effect.gen(function* () {
    const rows = yield* database.rows(
      `SELECT ${sessionColumns} FROM session AS s LEFT JOIN progress AS p ON p.session = s.id` +
        " WHERE s.id > ? ORDER BY s.id LIMIT ?",
      [after, sessionsMax]
    )
    const sessions = rows.map(sessionOf)
    const writer = new ByteWriter()
    const last = sessions.at(-1)?.id
    if (last === undefined) return { bytes: writer.copy(), next: undefined }
    const subscriptions = new Grouped<readonly [string, number, number]>(database, last, subscriptionRows)
    const inbound = new Grouped<number>(database, last, inboundRows)
    const queue = new Grouped<number>(database, last, queueRows)
    for (const session of sessions) {
      const parts = {
        subscriptions: yield* subscriptions.of(session),
        inbound: yield* inbound.of(session),
        queue: yield* queue.of(session)
      }
      writeSession(writer, session, parts)
    }
    return { bytes: writer.copy(), next: sessions.length < sessionsMax ? undefined : last }
  })

/** How the rows of a table that belong to sessions are read: from a key on, in its order. */
interface Grouping<A> {
  readonly text: string
  /** The key from which on the rows of a session stand. */
  readonly start: (session: SessionRow) => number | string
  /** Appends what a row holds. */
  readonly take: (row: Row, parts: Array<A>) => void
}

const subscriptionRows: Grouping<readonly [string, number, number]> = {
  text:
    "SELECT session, topic_filter, options, identifier FROM subscription" +
    " WHERE (session, topic_filter) > (?, ?) AND session <= ? ORDER BY session, topic_filter LIMIT ?",
  start: () => "",
  take: (row, parts) => parts.push([textAt(row, 1), numberAt(row, 2), numberAt(row, 3)])
}

const inboundRows: Grouping<number> = {
  text:
    "SELECT session, packet_id FROM inbound" +
    " WHERE (session, packet_id) > (?, ?) AND session <= ? ORDER BY session, packet_id LIMIT ?",
  start: () => -1,
  take: (row, parts) => parts.push(numberAt(row, 1))
}

const queueRows: Grouping<number> = {
  text:
    "SELECT session, position, bytes FROM delivery" +
    " WHERE (session, position) > (?, ?) AND session <= ? ORDER BY session, position LIMIT ?",
  start: (session) => session.head - 1,
  take: (row, parts) => parts.push(numberAt(row, 1), numberAt(row, 2))
}

/**
 * The rows of a table by session, for sessions that are asked for in the order of their identifiers. Rows of
 * sessions that are not asked for are passed over.
 */
class Grouped<A> {
  private rows: ReadonlyArray<Row> = []
  private at = 0
  private isExhausted = false

  constructor(
    private readonly database: Database,
    private readonly last: number,
    private readonly grouping: Grouping<A>
  ) {}

  of(session: SessionRow): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return Effect.gen(this, function* () {
      const parts: Array<A> = []
      const start = this.grouping.start(session)
      for (;;) {
        while (this.at < this.rows.length) {
          const row = this.rows[this.at]!
          const id = numberAt(row, 0)
          if (id > session.id) return parts
          if (id === session.id && isAfter(row, start)) this.grouping.take(row, parts)
          this.at++
        }
        if (this.isExhausted) return parts
        yield* this.more(session.id, start)
      }
    })
  }

  /** The next rows, from those of a session on. */
  private more(id: number, start: number | string): Effect.Effect<void, SqlError> {
    const last = this.rows.at(-1)
    const isWithin = last !== undefined && numberAt(last, 0) === id && isAfter(last, start)
    const from = isWithin ? last[1]! : start
    return Effect.map(this.database.rows(this.grouping.text, [id, from, this.last, stepRows]), (rows) => {
      this.rows = rows
      this.at = 0
      this.isExhausted = rows.length < stepRows
    })
  }
}

const isAfter = (row: Row, start: number | string): boolean =>
  typeof start === "string" || numberAt(row, 1) > start

/** Part of a queue, as `SessionStore.queue` describes it. */
export const readQueue = (
  database: Database,
  { bytesMax, clientId, from, messagesMax, tenant }: QueueRequest
): Effect.Effect<Uint8Array<ArrayBuffer>, SqlError> =>
  Effect.gen(function* () {
    const writer = new ByteWriter()
    const [session] = yield* database.rows(
      "SELECT s.id, p.head FROM session AS s LEFT JOIN progress AS p ON p.session = s.id" +
        " WHERE s.tenant = ? AND s.client_id = ?",
      [tenant, clientId]
    )
    if (session === undefined) return writer.copy()
    const id = numberAt(session, 0)
    const first = Math.max(from, numberAt(session, 1))
    const index = yield* database.rows(
      "SELECT position, bytes FROM delivery WHERE session = ? AND position >= ? ORDER BY position LIMIT ?",
      [id, first, messagesMax]
    )
    const last = lastWithin(index, bytesMax)
    if (last === undefined) return writer.copy()
    const rows = yield* database.rows(
      "SELECT d.position, d.flags, m.body, d.extra FROM delivery AS d JOIN message AS m ON m.id = d.message" +
        " WHERE d.session = ? AND d.position BETWEEN ? AND ? ORDER BY d.position",
      [id, first, last]
    )
    for (const row of rows) {
      const body = bytesAt(row, 2)
      if (body === undefined) continue
      writeDelivery(writer, {
        position: numberAt(row, 0),
        flags: numberAt(row, 1),
        body,
        extra: bytesAt(row, 3)
      })
    }
    return writer.copy()
  })

/** The position of the last message that the limit has room for, and of the first at least. */
const lastWithin = (index: ReadonlyArray<Row>, bytesMax: number): number | undefined => {
  let last: number | undefined
  let bytes = 0
  for (const row of index) {
    bytes += numberAt(row, 1)
    if (last !== undefined && bytes > bytesMax) return last
    last = numberAt(row, 0)
  }
  return last
}

/** Bytes of retained messages after which a page ends, and how many are read at a time. */
const retainedBytes = 1024 * 1024
const retainedRows = 64

/** Retained messages whose identifier is above `after`. */
export const readRetainedPage = (
  database: Database,
  after: number,
  messagesMax: number
): Effect.Effect<Page, SqlError> =>
  Effect.gen(function* () {
    const writer = new ByteWriter()
    let last = after
    for (let count = 0; ; ) {
      const rows = yield* database.rows(
        "SELECT id, tenant, body FROM retained WHERE id > ? ORDER BY id LIMIT ?",
        [last, Math.min(messagesMax, retainedRows)]
      )
      for (const row of rows) {
        writer.text(textAt(row, 1))
        writer.append(bytesAt(row, 2) ?? new Uint8Array(0))
        last = numberAt(row, 0)
      }
      count += rows.length
      if (rows.length === 0) return { bytes: writer.copy(), next: undefined }
      if (writer.length >= retainedBytes || count >= messagesMax) return { bytes: writer.copy(), next: last }
    }
  })
