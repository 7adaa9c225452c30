/**
 * Removes what a tenant holds, a bounded step at a time, each in a transaction of its own: sessions with all
 * that is theirs, one after another; then retained messages, users, bans and, if asked, the ledger. A step
 * that is never followed by another leaves tables that are sound.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type ContentCounts, noContents } from "../TenantContents.ts"
import { dropReferences } from "./commit.ts"
import { type Database, numberAt, type Row, textAt } from "./Database.ts"

/** Rows that a step removes at most, about. */
const stepRows = 500
const sessionsPerStep = 100

type Removed = { -readonly [Count in keyof ContentCounts]: number }

export class Purge {
  readonly removed: Removed = { ...noContents }
  /** The client identifiers of the sessions that are gone. */
  readonly ended: Array<string> = []
  private left = stepRows
  private readonly messages: Array<Row> = []

  constructor(
    private readonly database: Database,
    private readonly tenant: string,
    private readonly withUsage: boolean
  ) {}

  /** Takes the step; nothing was left to remove if it removed nothing. To be run in a transaction. */
  readonly step: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.gen(this, function* () {
      const sessions = yield* this.database.rows(
        "SELECT s.id, s.client_id, s.will IS NOT NULL, coalesce(p.head, 0) FROM session AS s" +
          " LEFT JOIN progress AS p ON p.session = s.id WHERE s.tenant = ? LIMIT ?",
        [this.tenant, sessionsPerStep]
      )
      for (const session of sessions) {
        yield* this.endSession(session)
        if (this.left <= 0) break
      }
      yield* dropReferences(this.database, this.messages)
      if (sessions.length === 0) yield* this.removeRest
    })
  )

  get hasRemoved(): boolean {
    return this.left < stepRows
  }

  private endSession(session: Row): Effect.Effect<void, SqlError> {
    return Effect.gen(this, function* () {
      const id = numberAt(session, 0)
      const head = numberAt(session, 3)
      const deliveries = yield* this.deleteOf(id, "delivery", "position", "message, position")
      this.messages.push(...deliveries)
      this.removed.queuedMessages += deliveries.filter((row) => numberAt(row, 1) >= head).length
      this.removed.subscriptions += (yield* this.deleteOf(id, "subscription", "topic_filter")).length
      this.removed.inbound += (yield* this.deleteOf(id, "inbound", "packet_id")).length
      if (this.left <= 0) return
      yield* this.database.run("DELETE FROM progress WHERE session = ?", [id])
      yield* this.database.run("DELETE FROM session WHERE id = ?", [id])
      this.left--
      this.removed.sessions++
      this.removed.wills += numberAt(session, 2)
      this.ended.push(textAt(session, 1))
    })
  }

  private deleteOf(
    session: number,
    table: string,
    key: string,
    returned = "1"
  ): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    if (this.left <= 0) return Effect.succeed([])
    return Effect.map(
      this.database.rows(
        `DELETE FROM ${table} WHERE session = ?1 AND ${key} IN` +
          ` (SELECT ${key} FROM ${table} WHERE session = ?1 ORDER BY ${key} LIMIT ?2) RETURNING ${returned}`,
        [session, this.left]
      ),
      (rows) => {
        this.left -= rows.length
        return rows
      }
    )
  }

  private readonly removeRest: Effect.Effect<void, SqlError> = Effect.suspend(() =>
    Effect.gen(this, function* () {
      this.removed.retainedMessages += yield* this.deleteRows("retained", "id")
      this.removed.users += yield* this.deleteRows("user", "name")
      yield* this.deleteRows("ban", "subject")
      if (this.withUsage) this.removed.usageRows += yield* this.deleteRows("usage", "hour, writer")
    })
  )

  private deleteRows(table: string, key: string): Effect.Effect<number, SqlError> {
    if (this.left <= 0) return Effect.succeed(0)
    return Effect.map(
      this.database.rows(
        `DELETE FROM ${table} WHERE tenant = ?1 AND (${key}) IN` +
          ` (SELECT ${key} FROM ${table} WHERE tenant = ?1 LIMIT ?2) RETURNING 1`,
        [this.tenant, this.left]
      ),
      (rows) => {
        this.left -= rows.length
        return rows.length
      }
    )
  }
}
