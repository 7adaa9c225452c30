/** Writing a batch: the statements of a transaction, in an order that leaves the tables as the batch says. */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { FrameReader } from "../frame/FrameReader.ts"
import { EnqueueBit } from "../frame/FrameWriter.ts"
import { slotOf } from "../slot.ts"
import type { Batch, Identifiers } from "./Batch.ts"
import type { Database, Row, Value } from "./Database.ts"
import { numberAt } from "./Database.ts"
import { RowStatement, rowsOf, runRows } from "./rows.ts"
import type { SessionRow } from "./SessionRow.ts"

const statements = {
  endSession: new RowStatement(1, "DELETE FROM session WHERE id IN (VALUES", ")"),
  endProgress: new RowStatement(1, "DELETE FROM progress WHERE session IN (VALUES", ")"),
  garbage: new RowStatement(1, "INSERT OR IGNORE INTO garbage VALUES"),
  session: new RowStatement(
    13,
    "INSERT INTO session VALUES",
    " ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, principal = excluded.principal," +
      " expiry_interval = excluded.expiry_interval, will = excluded.will," +
      " is_connected = excluded.is_connected, ends_at = excluded.ends_at, will_due = excluded.will_due," +
      " sent_before = excluded.sent_before"
  ),
  progress: new RowStatement(3, "INSERT OR REPLACE INTO progress VALUES"),
  subscribe: new RowStatement(4, "INSERT OR REPLACE INTO subscription VALUES"),
  unsubscribe: new RowStatement(2, "DELETE FROM subscription WHERE (session, topic_filter) IN (VALUES", ")"),
  holdInbound: new RowStatement(2, "INSERT OR IGNORE INTO inbound VALUES"),
  freeInbound: new RowStatement(2, "DELETE FROM inbound WHERE (session, packet_id) IN (VALUES", ")"),
  release: new RowStatement(
    2,
    `UPDATE delivery SET flags = flags | ${EnqueueBit.Released} WHERE (session, position) IN (VALUES`,
    ")"
  ),
  dequeue: new RowStatement(
    2,
    "DELETE FROM delivery WHERE (session, position) IN (VALUES",
    ") RETURNING message"
  ),
  message: new RowStatement(3, "INSERT INTO message VALUES"),
  delivery: new RowStatement(7, "INSERT INTO delivery VALUES"),
  retain: new RowStatement(
    5,
    "INSERT INTO retained (tenant, topic, slot, expires_at, body) VALUES",
    " ON CONFLICT (tenant, topic) DO UPDATE SET expires_at = excluded.expires_at, body = excluded.body"
  ),
  unretain: new RowStatement(2, "DELETE FROM retained WHERE (tenant, topic) IN (VALUES", ")")
}

/** Parameters of the statements, collected from the sessions of a batch. */
class Parameters {
  readonly session: Array<Value> = []
  readonly progress: Array<Value> = []
  readonly subscribe: Array<Value> = []
  readonly unsubscribe: Array<Value> = []
  readonly holdInbound: Array<Value> = []
  readonly freeInbound: Array<Value> = []
  readonly release: Array<Value> = []
  readonly dequeue: Array<Value> = []
  readonly message: Array<Value> = []
  readonly delivery: Array<Value> = []
  private readonly refs: Array<number> = []
  private readonly messageIds: Array<number> = []

  constructor(
    private readonly frame: FrameReader,
    private readonly identifiers: Identifiers
  ) {}

  add(session: SessionRow): void {
    const { changes, id } = session
    if (changes === undefined) return
    if (changes.terms) this.addTerms(session)
    if (changes.progress) this.progress.push(id, session.head, session.nextPosition)
    for (const [topicFilter, subscription] of changes.subscriptions) {
      if (subscription === undefined) this.unsubscribe.push(id, topicFilter)
      else this.subscribe.push(id, topicFilter, subscription.options, subscription.identifier)
    }
    for (const [packetId, isHeld] of changes.inbound) {
      if (isHeld) this.holdInbound.push(id, packetId)
      else this.freeInbound.push(id, packetId)
    }
    for (const position of changes.released) this.release.push(id, position)
    for (const position of changes.dequeued) this.dequeue.push(id, position)
    for (const [position, { extra, flags, message }] of changes.deliveries) {
      if (position < session.head) continue
      const { bytes, expiresAtMs } = this.frame.messages[message]!
      this.delivery.push(id, position, flags, bytes, expiresAtMs, this.refer(message), extra)
    }
  }

  private addTerms(session: SessionRow): void {
    const { clientId, id, tenant } = session
    this.session.push(
      ...[id, tenant, clientId, slotOf(tenant, clientId), session.epoch, session.since, session.principal],
      ...[session.expiryInterval, session.will, session.isConnected ? 1 : 0, session.endsAtMs],
      ...[session.willDueMs, session.sentBefore]
    )
  }

  /** One more row has the message: its identifier. */
  private refer(message: number): number {
    const refs = this.refs[message] ?? 0
    this.refs[message] = refs + 1
    if (refs === 0) this.messageIds[message] = this.identifiers.nextMessage++
    return this.messageIds[message]!
  }

  /** After all sessions: the messages that some row has. */
  finish(): void {
    this.refs.forEach((refs, message) => {
      this.message.push(this.messageIds[message]!, refs, bodyOf(this.frame, message))
    })
  }
}

const bodyOf = (frame: FrameReader, message: number): Uint8Array => {
  const { from, to } = frame.messages[message]!
  return frame.bytes.bytes.subarray(from, to)
}

/** Writes what a batch does. To be run in a transaction. */
export const writeBatch = (
  database: Database,
  batch: Batch,
  frame: FrameReader,
  identifiers: Identifiers
): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const ended = batch.ended.map(({ id }) => id)
    yield* runRows(database, statements.endSession, ended)
    yield* runRows(database, statements.endProgress, ended)
    yield* runRows(database, statements.garbage, ended)
    const parameters = new Parameters(frame, identifiers)
    const sessions = batch.sessions.filter((session) => session !== undefined)
    // Neighbours in the tables are written together.
    for (const session of sessions.sort((a, b) => a.id - b.id)) parameters.add(session)
    parameters.finish()
    yield* runRows(database, statements.session, parameters.session)
    yield* runRows(database, statements.progress, parameters.progress)
    yield* runRows(database, statements.unsubscribe, parameters.unsubscribe)
    yield* runRows(database, statements.subscribe, parameters.subscribe)
    yield* runRows(database, statements.freeInbound, parameters.freeInbound)
    yield* runRows(database, statements.holdInbound, parameters.holdInbound)
    yield* runRows(database, statements.release, parameters.release)
    const dequeued = yield* rowsOf(database, statements.dequeue, parameters.dequeue)
    yield* dropReferences(database, dequeued)
    yield* runRows(database, statements.message, parameters.message)
    yield* runRows(database, statements.delivery, parameters.delivery)
    yield* writeRetained(database, batch, frame)
    yield* database.run("UPDATE meta SET applied = ?, next_session = ?, next_message = ?", [
      ...[frame.sequence, identifiers.nextSession, identifiers.nextMessage]
    ])
  })

const writeRetained = (
  database: Database,
  batch: Batch,
  frame: FrameReader
): Effect.Effect<void, SqlError> => {
  const retain: Array<Value> = []
  const unretain: Array<Value> = []
  for (const { message, tenant, topic } of batch.retained.values()) {
    if (message === undefined) unretain.push(tenant, topic)
    else {
      const { expiresAtMs } = frame.messages[message]!
      retain.push(tenant, topic, slotOf(tenant, topic), expiresAtMs, bodyOf(frame, message))
    }
  }
  return Effect.zipRight(
    runRows(database, statements.retain, retain),
    runRows(database, statements.unretain, unretain)
  )
}

const referenceStatements = {
  /** The frequent case: the only row that had the message is gone. */
  single: new RowStatement(1, "DELETE FROM message WHERE refs = 1 AND id IN (VALUES", ")"),
  countDown: new RowStatement(
    2,
    "WITH gone (message, count) AS (VALUES",
    ") UPDATE message SET refs = refs - gone.count FROM gone WHERE message.id = gone.message"
  ),
  remove: new RowStatement(1, "DELETE FROM message WHERE refs <= 0 AND id IN (VALUES", ")")
}

/** Rows of `delivery` are gone, which had the messages that the rows name: what nobody has any more goes. */
export const dropReferences = (database: Database, gone: ReadonlyArray<Row>): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    if (gone.length === 0) return
    const counts = new Map<number, number>()
    for (const row of gone) {
      const id = numberAt(row, 0)
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    const once = [...counts].flatMap(([id, count]) => (count === 1 ? [id] : []))
    yield* runRows(database, referenceStatements.single, once)
    yield* runRows(database, referenceStatements.countDown, [...counts].flat())
    yield* runRows(database, referenceStatements.remove, [...counts.keys()])
  })
