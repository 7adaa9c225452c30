/**
 * What is read from the database, in the form in which it goes from the thread that reads to the one that
 * asked: pages of sessions, of retained messages, and parts of queues.
 */

import type { StoredDelivery, StoredSession, StoredSubscription } from "../DurableState.ts"
import { ByteReader } from "../frame/ByteReader.ts"
import type { ByteWriter } from "../frame/ByteWriter.ts"
import { noExtra, readExtra, readMessage, readWill, requestOf } from "../frame/content.ts"
import { EnqueueBit, finiteOr0, positionOf } from "../frame/FrameWriter.ts"
import type { StoredRetained } from "../RetainedStore.ts"
import type { SessionRow } from "./SessionRow.ts"

/** The rows that belong to a session, each list in the order of its table's key. */
export interface SessionParts {
  readonly subscriptions: ReadonlyArray<readonly [topicFilter: string, options: number, identifier: number]>
  readonly inbound: ReadonlyArray<number>
  /** Position and bytes of what waits, alternating. */
  readonly queue: ReadonlyArray<number>
}

export const writeSession = (writer: ByteWriter, session: SessionRow, parts: SessionParts): void => {
  writer.text(session.tenant)
  writer.text(session.clientId)
  writer.number(session.epoch)
  writer.text(session.principal)
  writer.number(session.expiryInterval)
  writer.byte(session.isConnected ? 1 : 0)
  writer.number(session.endsAtMs)
  writer.number(session.willDueMs)
  writer.number(finiteOr0(session.sentBefore ?? Number.POSITIVE_INFINITY))
  writer.number(session.nextPosition)
  writer.binary(session.will ?? noBytes)
  writer.number(parts.subscriptions.length)
  for (const [topicFilter, options, identifier] of parts.subscriptions) {
    writer.text(topicFilter)
    writer.byte(options)
    writer.number(identifier)
  }
  writer.number(parts.inbound.length)
  for (const packetId of parts.inbound) writer.number(packetId)
  writer.number(parts.queue.length / 2)
  let previous = 0
  for (let at = 0; at < parts.queue.length; at += 2) {
    const position = parts.queue[at]!
    writer.number(position - previous)
    writer.number(parts.queue[at + 1]!)
    previous = position
  }
}

const noBytes = new Uint8Array(0)

export const readSession = (reader: ByteReader): StoredSession => {
  const session = {
    tenant: reader.text(),
    clientId: reader.text(),
    epoch: reader.number(),
    principal: reader.text(),
    expiryInterval: reader.number(),
    isConnected: reader.byte() === 1,
    endsAtMs: reader.number(),
    willDueMs: reader.number(),
    sentBefore: positionOf(reader.number()),
    nextPosition: reader.number()
  }
  const will = reader.binary()
  return {
    ...session,
    will: will.length === 0 ? undefined : readWill(new ByteReader(will)),
    subscriptions: readSubscriptions(reader),
    inbound: readInbound(reader),
    queue: readQueue(reader)
  }
}

const readSubscriptions = (reader: ByteReader): ReadonlyMap<string, StoredSubscription> => {
  const subscriptions = new Map<string, StoredSubscription>()
  for (let count = reader.number(); count > 0; count--) {
    const topicFilter = reader.text()
    const request = requestOf(topicFilter, reader.byte()) ?? reader.fail("a subscription has unknown options")
    subscriptions.set(topicFilter, { request, subscriptionIdentifier: reader.number() })
  }
  return subscriptions
}

const readInbound = (reader: ByteReader): ReadonlySet<number> => {
  const inbound = new Set<number>()
  for (let count = reader.number(); count > 0; count--) inbound.add(reader.number())
  return inbound
}

const readQueue = (reader: ByteReader): StoredSession["queue"] => {
  const positions: Array<number> = []
  const bytes: Array<number> = []
  let position = 0
  for (let count = reader.number(); count > 0; count--) {
    position += reader.number()
    positions.push(position)
    bytes.push(reader.number())
  }
  return { positions, bytes }
}

/** A row of a queue: its numbers, and its message and what it has beside it in their binary form. */
export interface DeliveryParts {
  readonly position: number
  readonly flags: number
  readonly body: Uint8Array
  readonly extra: Uint8Array | undefined
}

export const writeDelivery = (writer: ByteWriter, { body, extra, flags, position }: DeliveryParts): void => {
  writer.number(position)
  writer.byte(extra === undefined ? flags & ~EnqueueBit.Extra : flags | EnqueueBit.Extra)
  writer.append(body)
  if (extra !== undefined) writer.append(extra)
}

export const readDelivery = (reader: ByteReader): StoredDelivery => {
  const position = reader.number()
  const flags = reader.byte()
  return {
    position,
    message: readMessage(reader),
    qos: (flags & EnqueueBit.Qos2) === 0 ? 1 : 2,
    retain: (flags & EnqueueBit.Retain) !== 0,
    isReleased: (flags & EnqueueBit.Released) !== 0,
    ...((flags & EnqueueBit.Extra) === 0 ? noExtra : readExtra(reader))
  }
}

export const readRetained = (reader: ByteReader): StoredRetained => ({
  tenant: reader.text(),
  message: readMessage(reader)
})

/** Everything in a page, whatever it is of. */
export const readAll = <A>(page: Uint8Array, read: (reader: ByteReader) => A): ReadonlyArray<A> => {
  const reader = new ByteReader(page)
  const all: Array<A> = []
  while (!reader.isAtEnd) all.push(read(reader))
  return all
}
