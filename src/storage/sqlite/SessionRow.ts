/**
 * What the writer knows of a stored session: its rows in `session` and `progress`, and what a batch under way
 * does to the rest of it.
 */

import type { Will } from "../../protocol/Packet.ts"
import { ByteReader } from "../frame/ByteReader.ts"
import { ByteWriter } from "../frame/ByteWriter.ts"
import { readWill, writeWill, written } from "../frame/content.ts"
import { bytesAt, numberAt, type Row, textAt } from "./Database.ts"

/** A message that a batch adds to a queue. */
export interface PendingDelivery {
  /** As in the frame: which message, and what the delivery has beside it. */
  readonly message: number
  readonly extra: Uint8Array | null
  flags: number
}

export interface PendingSubscription {
  readonly options: number
  readonly identifier: number
}

/** What a batch does to a session beyond its own row. */
export class SessionChanges {
  /** The row in `session`, and the one in `progress`, are to be written. */
  terms = false
  progress = false
  readonly deliveries = new Map<number, PendingDelivery>()
  /** Positions of stored deliveries. */
  readonly dequeued: Array<number> = []
  readonly released: Array<number> = []
  /** Undefined for those that are removed. */
  readonly subscriptions = new Map<string, PendingSubscription | undefined>()
  /** Whether it is held. */
  readonly inbound = new Map<number, boolean>()

  constructor(
    /** Rows of `delivery` that were there before the batch are below this position. */
    readonly storedBefore: number,
    readonly headBefore: number
  ) {}
}

export class SessionRow {
  epoch = 0
  since = 0
  principal = ""
  expiryInterval = 0
  will: Uint8Array | null = null
  isConnected = false
  endsAtMs = 0
  willDueMs = 0
  /** Null when any position may have been sent. */
  sentBefore: number | null = null
  head = 0
  nextPosition = 0
  changes: SessionChanges | undefined = undefined
  /** It has rows in the database. */
  isStored = false

  constructor(
    readonly id: number,
    readonly tenant: string,
    readonly clientId: string
  ) {}

  change(): SessionChanges {
    this.changes ??= new SessionChanges(this.isStored ? this.nextPosition : 0, this.head)
    return this.changes
  }
}

/** The columns that `sessionOf` reads, of `session AS s` and `progress AS p`. */
export const sessionColumns =
  "s.id, s.tenant, s.client_id, s.epoch, s.since, s.principal, s.expiry_interval, s.will, s.is_connected, " +
  "s.ends_at, s.will_due, s.sent_before, p.head, p.next_position"

export const sessionOf = (row: Row): SessionRow => {
  const session = new SessionRow(numberAt(row, 0), textAt(row, 1), textAt(row, 2))
  session.epoch = numberAt(row, 3)
  session.since = numberAt(row, 4)
  session.principal = textAt(row, 5)
  session.expiryInterval = numberAt(row, 6)
  session.will = bytesAt(row, 7) ?? null
  session.isConnected = numberAt(row, 8) === 1
  session.endsAtMs = numberAt(row, 9)
  session.willDueMs = numberAt(row, 10)
  session.sentBefore = row[11] === null ? null : numberAt(row, 11)
  session.head = numberAt(row, 12)
  session.nextPosition = numberAt(row, 13)
  session.isStored = true
  return session
}

export const willBytes = (will: Will | undefined): Uint8Array | null => {
  if (will === undefined) return null
  const writer = new ByteWriter()
  writeWill(writer, will)
  return written(writer, 0)
}

export const willOf = (bytes: Uint8Array | null): Will | undefined =>
  bytes === null ? undefined : readWill(new ByteReader(bytes))
