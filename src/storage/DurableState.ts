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

export interface StoredDelivery extends Omit<EnqueueRecord, "_tag" | "tenant" | "clientId"> {
  /** PUBREC has come; only PUBREL is owed. */
  readonly isReleased: boolean
}

/** A session as it is kept: the Session State of MQTT and what the broker needs beside it. */
export interface StoredSession {
  readonly tenant: string
  readonly clientId: string
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
  /** By position, oldest first. */
  readonly queue: ReadonlyMap<number, StoredDelivery>
  /** The position of the next message: identifiers go on where they stopped. */
  readonly nextPosition: number
  readonly inbound: ReadonlySet<number>
}

interface MutableSession {
  tenant: string
  clientId: string
  principal: string
  expiryInterval: number
  will: Will | undefined
  isConnected: boolean
  endsAtMs: number
  willDueMs: number
  sentBefore: number
  subscriptions: Map<string, StoredSubscription>
  queue: Map<number, StoredDelivery>
  nextPosition: number
  inbound: Set<number>
}

/** Everything that a journal has made durable. */
export class DurableState {
  private readonly sessionsByTenant = new Map<string, Map<string, MutableSession>>()
  private readonly retainedByTenant = new Map<string, Map<string, StoredMessage>>()

  session(tenant: string, clientId: string): StoredSession | undefined {
    return this.find(tenant, clientId)
  }

  *sessions(): Iterable<StoredSession> {
    for (const sessions of this.sessionsByTenant.values()) yield* sessions.values()
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
      case "End":
        return this.end(record)
      case "Retain": {
        const messages = entry(this.retainedByTenant, record.tenant)
        const topic = record.message.topic.name
        if (record.message.payload.length === 0) messages.delete(topic)
        else messages.set(topic, record.message)
        return
      }
      default: {
        const session = this.find(record.tenant, record.clientId)
        if (session !== undefined) change(session, record)
      }
    }
  }

  private find(tenant: string, clientId: string): MutableSession | undefined {
    return this.sessionsByTenant.get(tenant)?.get(clientId)
  }

  private connect(record: Extract<DurableRecord, { _tag: "Connect" }>): void {
    const { clientId, expiryInterval, isCleanStart, principal, tenant, will } = record
    const previous = isCleanStart ? undefined : this.find(tenant, clientId)
    entry(this.sessionsByTenant, tenant).set(clientId, {
      subscriptions: new Map(),
      queue: new Map(),
      nextPosition: 0,
      inbound: new Set(),
      ...previous,
      tenant,
      clientId,
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
      if (record.willDueMs === 0) session.will = undefined
      return
    case "WillDone":
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
    case "Enqueue": {
      const { message, position, qos, retain, subscriptionIdentifiers } = record
      session.queue.set(position, {
        message,
        position,
        qos,
        retain,
        subscriptionIdentifiers,
        isReleased: false
      })
      session.nextPosition = position + 1
      return
    }
    case "Dequeue":
      session.queue.delete(record.position)
      return
    case "Release": {
      const delivery = session.queue.get(record.position)
      if (delivery !== undefined) session.queue.set(record.position, { ...delivery, isReleased: true })
      return
    }
    case "Inbound":
      if (record.isReleased) session.inbound.delete(record.packetId)
      else session.inbound.add(record.packetId)
      return
  }
}

const entry = <V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> => {
  let value = map.get(key)
  if (value === undefined) {
    value = new Map()
    map.set(key, value)
  }
  return value
}
