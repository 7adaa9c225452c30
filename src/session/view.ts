/**
 * How a session is at a moment, for a person who wants to know: what an inspection answers. Made by the actor
 * in its own turn, so that all of it is true at the same time.
 */

import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { Qos } from "../protocol/Packet.ts"
import { matchesFilter } from "../topic/TopicFilter.ts"
import { heldSubscriptions } from "./held.ts"
import { filterOf, refusalOfTopic } from "./refusals.ts"
import type { Parked, SessionState } from "./SessionState.ts"
import { throttledUntilMs } from "./throttle.ts"

/** What somebody wants to know of a session. */
export interface Inquiry {
  readonly action: "connect" | "publish" | "subscribe" | "receive"
  /** The topic, or for a subscription its filter; "" for neither. */
  readonly topic: string
}

export interface SubscriptionView {
  /** As the client wrote it. */
  readonly topicFilter: string
  readonly qos: Qos
  readonly noLocal: boolean
}

export interface SessionView {
  readonly identity: Identity
  readonly permissions: Permissions
  readonly isConnected: boolean
  readonly isVersion5: boolean
  /** Seconds; 4294967295 never. */
  readonly expiryInterval: number
  /** When it ends unless its client comes, and when the client's credentials expire; 0 never. */
  readonly endsAtMs: number
  readonly validUntilMs: number
  readonly willTopic: string | undefined
  /** When the will of a lost connection is due; 0 when none is. */
  readonly willDueMs: number
  /** Why its client is not read; undefined when it is. */
  readonly parked: Parked["_tag"] | undefined
  /** When it looks again, for one that is held back for coming too fast; 0 otherwise, or when it is told. */
  readonly throttledUntilMs: number
  /** The router and the tenant have told it things that it has not read yet. */
  readonly mailLength: number
  /** QoS 1 and 2: all that wait for the client or its acknowledgement, and those that were sent. */
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly unacknowledged: number
  readonly sendQuota: number
  /** QoS 2 messages that the client has sent and not released. */
  readonly received: number
  /** Bytes that the client's socket has not taken. */
  readonly backlogBytes: number
  readonly subscriptions: number
  /** Those that the topic of the inquiry matches. */
  readonly matching: ReadonlyArray<SubscriptionView>
  /** Why its tenant takes no such message or subscription, whoever asks; undefined when it does. */
  readonly refusal: string | undefined
}

export const viewOf = (state: SessionState, inquiry: Inquiry, mailLength: number): SessionView => {
  const { backlog, link, queue, terms } = state
  return {
    identity: state.identity,
    permissions: state.permissions,
    isConnected: link !== undefined,
    isVersion5: terms.isVersion5,
    expiryInterval: state.expiryInterval,
    endsAtMs: state.endsAtMs,
    validUntilMs: state.validUntilMs,
    willTopic: state.will?.topic,
    willDueMs: state.willDueMs,
    parked: state.parked?._tag,
    throttledUntilMs: throttledUntilMs(state),
    mailLength,
    queuedMessages: (queue?.size ?? 0) + (backlog?.size ?? 0),
    queuedBytes: (queue?.bytes ?? 0) + (backlog?.bytes ?? 0),
    unacknowledged: state.unacknowledged,
    sendQuota: terms.sendQuota,
    received: state.received?.size ?? 0,
    backlogBytes: link?.backlogBytes ?? 0,
    subscriptions: state.subscriptions?.size ?? 0,
    matching: inquiry.action === "receive" ? matching(state, inquiry.topic) : [],
    refusal: refusalOf(state, inquiry)
  }
}

const refusalOf = (state: SessionState, { action, topic }: Inquiry): string | undefined => {
  if (action === "publish") return refusalOfTopic(topic, state.settings)?.reason
  if (action !== "subscribe") return undefined
  const filter = filterOf(state, { topicFilter: topic })
  return filter._tag === "Refused" ? filter.reason : undefined
}

const matching = (state: SessionState, topic: string): ReadonlyArray<SubscriptionView> => {
  const found: Array<SubscriptionView> = []
  for (const { filter, subscription } of heldSubscriptions(state)) {
    if (!matchesFilter(filter.filter, topic)) continue
    const { noLocal, qos } = subscription
    const shared = filter._tag === "Plain" ? "" : `${filter.ordered ? "$oshare" : "$share"}/${filter.group}/`
    found.push({ topicFilter: `${shared}${filter.filter}`, qos, noLocal })
  }
  return found
}
