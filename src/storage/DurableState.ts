/**
 * The durable state as a deterministic machine: `apply` steps it by one record, and nothing else changes it.
 *
 * Pure: no clock, no randomness, no order but that of the records. A record for a session that is not there
 * is ignored, because its session has ended since it was produced.
 */

import type { SubscriptionRequest, Will } from "../protocol/Packet.ts"
import type { DurableRecord, EnqueueRecord, SessionRecord, StoredMessage } from "./DurableRecord.ts"
import type { StoredRetained } from "./RetainedStore.ts"

export interface StoredSubscription {
  readonly request: SubscriptionRequest
  readonly subscriptionIdentifier: number
}

/** A message in a stored queue. */
export type StoredDelivery = Omit<EnqueueRecord, "_tag" | "tenant" | "clientId" | "epoch" | "recorded">

/** What waits in a stored queue, oldest first, without the messages: two lists of the same length. */
export interface QueueIndex {
  readonly positions: ReadonlyArray<number>
  /** Of payload, properties and topic. */
  readonly bytes: ReadonlyArray<number>
}

/** A session as it is kept: the Session State of MQTT and what the broker needs beside it. */
export interface StoredSession {
  readonly tenant: string
  readonly clientId: string
  /** Of the last connection. */
  readonly epoch: number
  readonly principal: string
  readonly expiryInterval: number
  readonly will: Will | undefined
  readonly isConnected: boolean
  /** Milliseconds since the epoch; 0 never. */
  readonly endsAtMs: number
  readonly willDueMs: number
  /** Positions below this may have been sent to the client. While it is connected, any may have been. */
  readonly sentBefore: number
  readonly subscriptions: ReadonlyMap<string, StoredSubscription>
  readonly queue: QueueIndex
  /** The position of the next message: identifiers go on where they stopped. */
  readonly nextPosition: number
  readonly inbound: ReadonlySet<number>
}

interface MutableSession {
  tenant: string
  clientId: string
  epoch: number
  /** The connection that began the session. */
  since: number
  principal: string
  expiryInterval: number
  will: Will | undefined
  isConnected: boolean
  endsAtMs: number
  willDueMs: number
  sentBefore: number
  subscriptions: Map<string, StoredSubscription>
  /** By position. In the order of the records, which is nearly that of the positions. */
  deliveries: Map<number, StoredDelivery>
  /** Deliveries below this are done with; they leave the map when they have come to its front. */
  head: number
  nextPosition: number
  inbound: Set<number>
}

/** Everything that a journal has made durable. */
export class DurableState {
  private readonly sessionsByTenant = new Map<string, Map<string, MutableSession>>()
  private readonly retainedByTenant = new Map<string, Map<string, StoredMessage>>()

  session(tenant: string, clientId: string): StoredSession | undefined {
    const session = this.find(tenant, clientId)
    return session === undefined ? undefined : storedOf(session)
  }

  *sessions(): Iterable<StoredSession> {
    for (const sessions of this.sessionsByTenant.values()) {
      for (const session of sessions.values()) yield storedOf(session)
    }
  }

  /** The messages that wait for a session from a position on, oldest first. */
  queue(tenant: string, clientId: string, from = 0): ReadonlyArray<StoredDelivery> {
    const session = this.find(tenant, clientId)
    return session === undefined ? [] : waiting(session, from)
  }

  *retained(): Iterable<StoredRetained> {
    for (const [tenant, messages] of this.retainedByTenant) {
      for (const message of messages.values()) yield { tenant, message }
    }
  }

  apply(record: DurableRecord): void {
    switch (record._tag) {
      case "Connect":
        return this.connect(record)
      case "Retain": {
        const messages = entry(this.retainedByTenant, record.tenant)
        const topic = record.message.topic.name
        if (record.message.payload.length === 0) messages.delete(topic)
        else messages.set(topic, record.message)
        return
      }
      default: {
        const session = this.find(record.tenant, record.clientId)
        if (session === undefined || record.epoch < session.since) return
        if (record._tag === "End") this.end(record)
        else change(session, record)
      }
    }
  }

  private find(tenant: string, clientId: string): MutableSession | undefined {
    return this.sessionsByTenant.get(tenant)?.get(clientId)
  }

  private connect(record: Extract<DurableRecord, { _tag: "Connect" }>): void {
    const { clientId, epoch, expiryInterval, isCleanStart, principal, tenant, will } = record
    const previous = isCleanStart ? undefined : this.find(tenant, clientId)
    entry(this.sessionsByTenant, tenant).set(clientId, {
      since: epoch,
      subscriptions: new Map(),
      deliveries: new Map(),
      head: 0,
      nextPosition: 0,
      inbound: new Set(),
      ...previous,
      tenant,
      clientId,
      epoch,
      principal,
      expiryInterval,
      will,
      isConnected: true,
      endsAtMs: 0,
      willDueMs: 0,
      sentBefore: Number.POSITIVE_INFINITY
    })
  }

  private end(record: Extract<DurableRecord, { _tag: "End" }>): void {
    const sessions = this.sessionsByTenant.get(record.tenant)
    sessions?.delete(record.clientId)
    if (sessions?.size === 0) this.sessionsByTenant.delete(record.tenant)
  }
}

const change = (
  session: MutableSession,
  record: Exclude<SessionRecord, { _tag: "Connect" | "End" }>
): void => {
  switch (record._tag) {
    case "Detach":
      session.isConnected = false
      session.expiryInterval = record.expiryInterval
      session.endsAtMs = record.endsAtMs
      session.willDueMs = record.willDueMs
      session.sentBefore = record.sentBefore
      if (!record.hasWill) session.will = undefined
      return
    case "WillDone":
      // The connection has another one already.
      if (record.epoch !== session.epoch) return
      session.will = undefined
      session.willDueMs = 0
      return
    case "Subscribe": {
      const { request, subscriptionIdentifier } = record
      session.subscriptions.set(request.topicFilter, { request, subscriptionIdentifier })
      return
    }
    case "Unsubscribe":
      session.subscriptions.delete(record.topicFilter)
      return
    case "Enqueue":
      return enqueue(session, record)
    case "Advance":
      return advance(session, record.before)
    case "Dequeue":
      session.deliveries.delete(record.position)
      return
    case "Release": {
      const delivery = session.deliveries.get(record.position)
      if (delivery !== undefined) session.deliveries.set(record.position, { ...delivery, isReleased: true })
      return
    }
    case "Inbound":
      if (record.isReleased) session.inbound.delete(record.packetId)
      else session.inbound.add(record.packetId)
      return
  }
}

const enqueue = (session: MutableSession, record: EnqueueRecord): void => {
  const { group, isReleased, message, position, qos, retain, subscriptionIdentifiers } = record
  session.nextPosition = Math.max(session.nextPosition, position + 1)
  if (position < session.head) return
  session.deliveries.set(position, {
    position,
    message,
    qos,
    retain,
    subscriptionIdentifiers,
    group,
    isReleased
  })
}

const advance = (session: MutableSession, before: number): void => {
  session.head = Math.max(session.head, before)
  // Messages that were acknowledged before they were written had positions, too.
  session.nextPosition = Math.max(session.nextPosition, before)
  for (const position of session.deliveries.keys()) {
    if (position >= session.head) return
    session.deliveries.delete(position)
  }
}

const waiting = (session: MutableSession, from: number): ReadonlyArray<StoredDelivery> => {
  const first = Math.max(from, session.head)
  return [...session.deliveries.values()]
    .filter(({ position }) => position >= first)
    .sort((a, b) => a.position - b.position)
}

const storedOf = (session: MutableSession): StoredSession => {
  const deliveries = waiting(session, 0)
  const queue = {
    positions: deliveries.map(({ position }) => position),
    bytes: deliveries.map(({ message }) => bytesOf(message))
  }
  const { deliveries: _messages, head: _head, since: _since, ...stored } = session
  return { ...stored, queue }
}

/** What a message weighs against limits of bytes: payload, properties and topic. */
export const bytesOf = ({ forwardedProperties, payload, topic }: StoredMessage): number =>
  payload.length + forwardedProperties.length + topic.bytes.length

const entry = <V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> => {
  let value = map.get(key)
  if (value === undefined) {
    value = new Map()
    map.set(key, value)
  }
  return value
}
