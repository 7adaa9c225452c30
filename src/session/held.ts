/**
 * The subscriptions that a session holds: from the text of a filter to what was granted on it.
 *
 * Subscriptions of a session that were granted alike share one object, and a filter is parsed again when it
 * is given up: of a subscription there remain its text and its entry in the map. Beside a node of the trie
 * that was three objects of 128 bytes for each of a million (Bun 1.4.5, 2026-11).
 */

import type { SubscriptionRequest } from "../protocol/Packet.ts"
import type { Subscription } from "../router/Subscriber.ts"
import { type PlainFilter, parseTopicFilter, type SharedFilter } from "../topic/TopicFilter.ts"
import type { HeldSubscription, SessionOutputs, SessionState } from "./SessionState.ts"

/** What is granted to a request, the object of the subscription before it if that was granted the same. */
export const grantedOf = (
  state: SessionState,
  request: SubscriptionRequest,
  subscriptionIdentifier: number,
  out: SessionOutputs
): Subscription => {
  const { noLocal, qos, retainAsPublished } = request
  const last = state.lastGranted
  if (
    last !== undefined &&
    last.qos === qos &&
    last.noLocal === noLocal &&
    last.retainAsPublished === retainAsPublished &&
    last.subscriptionIdentifier === subscriptionIdentifier
  ) {
    return last
  }
  const granted = { subscriber: out, qos, noLocal, retainAsPublished, subscriptionIdentifier }
  state.lastGranted = granted
  return granted
}

/** Takes up a subscription, or replaces that of its filter. True when there was one. */
export const holdSubscription = (
  state: SessionState,
  topicFilter: string,
  subscription: Subscription
): boolean => {
  const held = (state.subscriptions ??= new Map())
  const existed = held.has(topicFilter)
  held.set(topicFilter, subscription)
  state.counters.subscribed++
  if (!existed && isShared(topicFilter)) state.sharedHeld++
  return existed
}

/** Gives a subscription up. False when there was none. */
export const dropSubscription = (state: SessionState, topicFilter: string): boolean => {
  if (state.subscriptions?.delete(topicFilter) !== true) return false
  state.counters.unsubscribed++
  if (isShared(topicFilter)) state.sharedHeld--
  return true
}

/** Gives all of them up. */
export const dropSubscriptions = (state: SessionState): void => {
  state.subscriptions = undefined
  state.sharedHeld = 0
}

/** Of a filter that was accepted. */
const isShared = (topicFilter: string): boolean =>
  topicFilter.startsWith("$share/") || topicFilter.startsWith("$oshare/")

export const heldSubscriptions = (state: SessionState): ReadonlyArray<HeldSubscription> => {
  const held: Array<HeldSubscription> = []
  for (const [topicFilter, subscription] of state.subscriptions ?? []) {
    const filter = heldFilter(topicFilter)
    if (filter !== undefined) held.push({ filter, subscription })
  }
  return held
}

/** A filter that was accepted before. */
export const heldFilter = (topicFilter: string): PlainFilter | SharedFilter | undefined => {
  const filter = parseTopicFilter(topicFilter)
  return filter._tag === "Invalid" ? undefined : filter
}
