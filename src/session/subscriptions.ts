/**
 * SUBSCRIBE and UNSUBSCRIBE: each filter judged alone, one answer for all of them, in their order.
 *
 * SUBACK leaves when the router has the subscriptions, so what is published after it matches; retained
 * messages follow it.
 */

import type { Decision } from "../auth/Authorizer.ts"
import {
  noProperties,
  type Qos,
  type Subscribe,
  type SubscriptionRequest,
  type Unsubscribe
} from "../protocol/Packet.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { groupKey } from "../router/SharedGroup.ts"
import type { DeliveryOptions, Subscription } from "../router/Subscriber.ts"
import { type PlainFilter, parseTopicFilter, type SharedFilter } from "../topic/TopicFilter.ts"
import { recordSubscribe, recordUnsubscribe } from "./durability.ts"
import { dropSubscription, grantedOf, heldFilter, holdSubscription } from "./held.ts"
import { refusalOfCount } from "./quota.ts"
import { type FilterRefusal, filterOf, isUnsupported } from "./refusals.ts"
import { startReplay, stopReplay } from "./replay.ts"
import type {
  HeldSubscription,
  PendingSuback,
  PendingUnsuback,
  Replay,
  SessionOutputs,
  SessionState,
  SubscribeAnswer
} from "./SessionState.ts"
import {
  type ScreenedRequest,
  type ScreenedSubscribe,
  type ScreenedUnsubscribe,
  screenSubscribe,
  screenUnsubscribe
} from "./screenedFilters.ts"
import { tracedSuback, traceSubscribe, traceUnanswered } from "./tracing.ts"

type Judged =
  | FilterRefusal
  | { readonly _tag: "Asked"; readonly filter: PlainFilter | SharedFilter; readonly decision: Decision }

export const onSubscribe = (state: SessionState, packet: Subscribe, out: SessionOutputs): void => {
  if (packet.subscriptionIdentifier !== 0 && !state.terms.subscriptionIdentifiersAvailable) {
    return out.close({
      reasonCode: ReasonCode.SubscriptionIdentifiersNotSupported,
      reason: "subscription identifiers are not supported [3.2.2.3.12]"
    })
  }
  if (packet.subscriptions.length > state.settings.topicFiltersPerPacketMax) {
    return refuseTooMany(state, packet, out)
  }
  const screened = screenSubscribe(state, packet, out)
  if (screened !== undefined) onSubscribeScreened(state, screened, out)
}

/** The policy has answered, if there is one. */
export const onSubscribeScreened = (
  state: SessionState,
  packet: ScreenedSubscribe,
  out: SessionOutputs
): void => {
  const judged = packet.subscriptions.map((request) => judge(state, request))
  const unsupported = state.terms.isVersion5 ? judged.find(isUnsupported) : undefined
  if (unsupported !== undefined) return out.close(unsupported)
  const decisions = judged.map((each) => (each._tag === "Refused" ? false : each.decision))
  if (decisions.every((decision) => typeof decision === "boolean")) {
    return grant(state, packet, judged, decisions, out)
  }
  state.parked = { _tag: "Subscribe", packet }
  out.decide(decisions)
}

/** None of them is looked at; one event says so for all. */
const refuseTooMany = (
  state: SessionState,
  { packetId, subscriptions: requests }: Subscribe,
  out: SessionOutputs
): void => {
  const reasonCode = ReasonCode.QuotaExceeded
  const { topicFiltersPerPacketMax: max } = state.settings
  const reason = `a SUBSCRIBE may have ${max} filters, this one has ${requests.length}`
  const topic = requests[0]?.topicFilter ?? ""
  out.refused({ _tag: "SubscribeRefused", topic, reasonCode, reason })
  const reasonCodes = requests.map(() => reasonCode)
  out.subscribe([], { link: state.link, packetId, requests, reasonCodes, replays: [] })
}

/** An authorizer that had to ask has answered for the parked SUBSCRIBE. */
export const onSubscribeDecided = (
  state: SessionState,
  packet: Subscribe,
  allowed: ReadonlyArray<boolean>,
  out: SessionOutputs
): void => {
  const judged = packet.subscriptions.map((request) => judge(state, request))
  grant(state, packet, judged, allowed, out)
}

const judge = (state: SessionState, request: ScreenedRequest): Judged => {
  if (request.refusal !== undefined) return { _tag: "Refused", ...request.refusal }
  const filter = filterOf(state, request)
  if (filter._tag === "Refused") return filter
  const group = filter._tag === "Shared" ? filter.group : undefined
  return { _tag: "Asked", filter, decision: state.permissions.subscribe(filter.filter, request.qos, group) }
}

const grant = (
  state: SessionState,
  packet: Subscribe,
  judged: ReadonlyArray<Judged>,
  allowed: ReadonlyArray<boolean>,
  out: SessionOutputs
): void => {
  const reasonCodes: Array<number> = []
  const accepted: Array<HeldSubscription> = []
  const replays: Array<Replay> = []
  for (const [index, request] of packet.subscriptions.entries()) {
    const each = judged[index]
    if (each === undefined) continue
    const refusal = refusalOf(state, request, { judged: each, allowed: allowed[index] === true }, out)
    if (refusal !== undefined) {
      out.refused({ _tag: "SubscribeRefused", topic: request.topicFilter, ...refusal })
      reasonCodes.push(refusal.reasonCode)
      continue
    }
    if (each._tag === "Refused") continue
    const subscription = grantedOf(state, request, packet.subscriptionIdentifier, out)
    const existed = holdSubscription(state, request.topicFilter, subscription)
    recordSubscribe(state, request, packet.subscriptionIdentifier, out)
    accepted.push({ filter: each.filter, subscription })
    reasonCodes.push(request.qos)
    if (replayWanted(each.filter, request, existed)) {
      replays.push({
        topicFilter: each.filter.filter,
        options: replayOptions(subscription),
        noLocal: subscription.noLocal,
        from: undefined,
        given: 0
      })
    }
  }
  // The router hears of them before it hears of anything that the client sends next.
  const { packetId, subscriptions: requests } = packet
  const traced = out.tracing && traceSubscribe(state, requests, out.tracing)
  out.subscribe(accepted, { link: state.link, packetId, reasonCodes, replays, requests, traced })
}

const refusalOf = (
  state: SessionState,
  request: SubscriptionRequest,
  { allowed, judged }: { readonly judged: Judged; readonly allowed: boolean },
  out: SessionOutputs
): { readonly reasonCode: ReasonCode; readonly reason: string } | undefined => {
  if (judged._tag === "Refused") {
    const { _tag, ...refusal } = judged
    return refusal
  }
  if (state.keepsState && out.isStorageFailing) {
    return { reasonCode: ReasonCode.UnspecifiedError, reason: "the subscription cannot be stored now" }
  }
  if (!allowed) {
    return { reasonCode: ReasonCode.NotAuthorized, reason: "the client may not subscribe to this filter" }
  }
  const held = state.subscriptions
  if (held !== undefined && held.size >= state.settings.subscriptionsMax && !held.has(request.topicFilter)) {
    return {
      reasonCode: ReasonCode.QuotaExceeded,
      reason: `a session may hold ${state.settings.subscriptionsMax} subscriptions`
    }
  }
  return refusalOfCount(state, request.topicFilter, judged.filter._tag === "Shared")
}

/** [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]; never on shared subscriptions. (5.0, section 4.8.2) */
const replayWanted = (
  filter: PlainFilter | SharedFilter,
  request: SubscriptionRequest,
  existed: boolean
): boolean =>
  filter._tag === "Plain" && (request.retainHandling === 0 || (request.retainHandling === 1 && !existed))

const replayOptions = (subscription: Subscription): DeliveryOptions => ({
  qos: subscription.qos as Qos,
  retainAsPublished: true,
  subscriptionIdentifiers:
    subscription.subscriptionIdentifier === 0 ? [] : [subscription.subscriptionIdentifier],
  group: undefined,
  isRetained: true
})

/** The router has the subscriptions. [MQTT-3.8.4-1] [MQTT-3.8.4-5] */
export const onSubscribed = (
  state: SessionState,
  pending: PendingSuback,
  { hasRetained, refused }: SubscribeAnswer,
  out: SessionOutputs
): void => {
  if (pending.link === undefined) {
    state.ghosts = Math.max(0, state.ghosts - 1)
    return
  }
  if (pending.link !== state.link) return traceUnanswered(pending)
  const reasonCodes = refused.length === 0 ? pending.reasonCodes : withRefused(pending, refused)
  if (pending.traced !== undefined) tracedSuback(pending.traced, reasonCodes)
  out.send({ _tag: "Suback", packetId: pending.packetId, reasonCodes, properties: noProperties })
  const topicFilters = pending.requests.map(({ topicFilter }) => topicFilter)
  out.tell({ _tag: "Subscribed", topicFilters, reasonCodes })
  if (!hasRetained) return
  for (const replay of pending.replays) {
    // An UNSUBSCRIBE may have come while the router was at it.
    if (state.subscriptions?.has(replay.topicFilter) === true) startReplay(state, replay, out)
  }
}

/** Shared subscriptions that the router has refused, because they are full: they are not held. */
export const takeBack = (
  state: SessionState,
  refused: ReadonlyArray<SharedFilter>,
  out: SessionOutputs
): void => {
  const reasonCode = ReasonCode.QuotaExceeded
  const reason = `a shared subscription may have ${state.settings.sharedGroupMembersMax} members`
  for (const filter of refused) {
    const topicFilter = textOf(filter)
    if (state.subscriptions?.delete(topicFilter) === true) recordUnsubscribe(state, topicFilter, out)
    out.refused({ _tag: "SubscribeRefused", topic: topicFilter, reasonCode, reason })
  }
}

const withRefused = (
  { reasonCodes, requests }: PendingSuback,
  refused: ReadonlyArray<SharedFilter>
): ReadonlyArray<number> => {
  const texts = new Set(refused.map(textOf))
  return reasonCodes.map((code, index) =>
    texts.has(requests[index]?.topicFilter ?? "") && !isFailure(code) ? ReasonCode.QuotaExceeded : code
  )
}

export const isAbout = ({ requests }: PendingSuback, topicFilter: string): boolean =>
  requests.some((request) => request.topicFilter === topicFilter)

/** A filter as it stands in SUBSCRIBE. */
export const textOf = ({ filter, group, ordered }: SharedFilter): string => groupKey(group, filter, ordered)

/** [MQTT-3.10.4-1] [MQTT-3.10.4-5] [MQTT-3.11.3-1] */
export const onUnsubscribe = (state: SessionState, packet: Unsubscribe, out: SessionOutputs): void => {
  const screened = screenUnsubscribe(state, packet, out)
  if (screened !== undefined) onUnsubscribeScreened(state, screened, out)
}

/** The policy has answered, if there is one. */
export const onUnsubscribeScreened = (
  state: SessionState,
  packet: ScreenedUnsubscribe,
  out: SessionOutputs
): void => {
  const removed: Array<PlainFilter | SharedFilter> = []
  const { topicFilters } = packet
  const reasonCodes = topicFilters.map((topicFilter, index) => {
    const refusal = packet.refusals?.[index]
    if (refusal !== undefined) return refusal
    const filter = state.subscriptions?.has(topicFilter) === true ? heldFilter(topicFilter) : undefined
    if (filter === undefined) {
      const parsed = parseTopicFilter(topicFilter)
      return parsed._tag === "Invalid" ? ReasonCode.TopicFilterInvalid : ReasonCode.NoSubscriptionExisted
    }
    dropSubscription(state, topicFilter)
    recordUnsubscribe(state, topicFilter, out)
    removed.push(filter)
    if (filter._tag === "Plain") stopReplay(state, topicFilter, out)
    return ReasonCode.Success
  })
  // Behind those that an earlier one took out, if it repeats that one.
  out.unsubscribe(removed, { link: state.link, packetId: packet.packetId, topicFilters, reasonCodes })
}

/** The router has taken them out: nothing is added to what the client gets for them. [MQTT-3.10.4-2] */
export const onUnsubscribed = (pending: PendingUnsuback, out: SessionOutputs): void => {
  const { link, packetId, reasonCodes, topicFilters } = pending
  link?.send({ _tag: "Unsuback", packetId, reasonCodes, properties: noProperties })
  out.tell({ _tag: "Unsubscribed", topicFilters, reasonCodes })
}
