/**
 * What has to survive: every change of the durable state of sessions and retained messages as a record.
 *
 * Actors produce records, a `Journal` makes them durable, and `apply` in `DurableState.ts` says what state
 * they make: whoever applies the same records in the same order has the same state. Sessions that end with
 * their connection leave no records, unless they have a will, which must outlive a crash.
 */

import type { Qos, SubscriptionRequest, Topic, Will } from "../protocol/Packet.ts"

/** An application message as it is kept. The router's publications are such messages. */
export interface StoredMessage {
  readonly topic: Topic
  readonly payload: Uint8Array
  readonly forwardedProperties: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  /** Milliseconds since the epoch; 0 never. */
  readonly expiresAtMs: number
  /** Who published it; "" for the broker itself. */
  readonly publisherId: string
  /** Of a retained message: who that was, so that it can be asked again whether it may publish it. */
  readonly publisherPrincipal?: string | undefined
  /** The trace that it belongs to, as its tracer writes it; undefined when it is not traced. */
  readonly traceContext: string | undefined
}

interface OfSession {
  readonly tenant: string
  readonly clientId: string
  /**
   * Which of the client's connections it belongs to, counted by the session. What is older than the session's
   * last clean start is stale and changes nothing.
   */
  readonly epoch: number
}

/**
 * A client has connected. What an earlier session of that identifier held stays unless the start is clean.
 */
export interface ConnectRecord extends OfSession {
  readonly _tag: "Connect"
  readonly principal: string
  readonly isCleanStart: boolean
  /** Seconds; 4294967295 never. */
  readonly expiryInterval: number
  readonly will: Will | undefined
}

/** The connection is gone. The instants are milliseconds since the epoch; 0 means never. */
export interface DetachRecord extends OfSession {
  readonly _tag: "Detach"
  readonly expiryInterval: number
  readonly endsAtMs: number
  /** Discarded by a normal DISCONNECT. A will that is published stays until its `WillDone`. */
  readonly hasWill: boolean
  /** When the will is due; 0 when there is none. */
  readonly willDueMs: number
  /** Positions below this were sent to the client at least once: sending one again carries DUP. */
  readonly sentBefore: number
}

/** The will has been published or discarded. */
export interface WillDoneRecord extends OfSession {
  readonly _tag: "WillDone"
}

/** The session and all that it held is gone. */
export interface EndRecord extends OfSession {
  readonly _tag: "End"
}

export interface SubscribeRecord extends OfSession {
  readonly _tag: "Subscribe"
  readonly request: SubscriptionRequest
  /** 0 when absent. */
  readonly subscriptionIdentifier: number
}

export interface UnsubscribeRecord extends OfSession {
  readonly _tag: "Unsubscribe"
  readonly topicFilter: string
}

/** How far an `EnqueueRecord` has come. */
export const Recorded = {
  Pending: 0,
  /** The journal has taken it: what becomes of the message now needs a record of its own. */
  Written: 1,
  /** The message was acknowledged or dropped first: the journal leaves the record out. */
  Elided: 2
} as const
export type Recorded = (typeof Recorded)[keyof typeof Recorded]

/**
 * A message waits for the client, at a position that is also its Packet Identifier.
 *
 * Until the journal takes it the session may still change it: a message that is acknowledged before it was
 * written need not be written at all.
 */
export interface EnqueueRecord extends OfSession {
  readonly _tag: "Enqueue"
  readonly position: number
  readonly message: StoredMessage
  readonly qos: 1 | 2
  /** RETAIN of the PUBLISH to the client. */
  readonly retain: boolean
  readonly subscriptionIdentifiers: ReadonlyArray<number>
  /** Key of the shared subscription that it came through; another member may be given it. */
  readonly group: string | undefined
  /** PUBREC has come: only PUBREL is owed. */
  isReleased: boolean
  recorded: Recorded
}

/** Everything below a position was acknowledged, dropped or handed to another member of its group. */
export interface AdvanceRecord extends OfSession {
  readonly _tag: "Advance"
  readonly before: number
}

/** The message at one position was, while older ones are not. */
export interface DequeueRecord extends OfSession {
  readonly _tag: "Dequeue"
  readonly position: number
}

/** PUBREC came for the message at a position: from now on only PUBREL is owed for it. */
export interface ReleaseRecord extends OfSession {
  readonly _tag: "Release"
  readonly position: number
}

/** A QoS 2 message was received from the client, or its PUBREL has come and the identifier is free. */
export interface InboundRecord extends OfSession {
  readonly _tag: "Inbound"
  readonly packetId: number
  readonly isReleased: boolean
}

/** A topic's retained message is replaced, or removed by an empty payload. */
export interface RetainRecord {
  readonly _tag: "Retain"
  readonly tenant: string
  readonly message: StoredMessage
}

export type SessionRecord =
  | ConnectRecord
  | DetachRecord
  | WillDoneRecord
  | EndRecord
  | SubscribeRecord
  | UnsubscribeRecord
  | EnqueueRecord
  | AdvanceRecord
  | DequeueRecord
  | ReleaseRecord
  | InboundRecord

export type DurableRecord = SessionRecord | RetainRecord
