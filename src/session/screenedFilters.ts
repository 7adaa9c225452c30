/**
 * What its tenant's policy makes of the filters of a SUBSCRIBE or UNSUBSCRIBE.
 *
 * From here on the session knows a subscription by the filter that the policy has made of it: that is what is
 * judged, routed, put on record, and given up.
 */

import type { Subscribe, SubscriptionRequest, Unsubscribe } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import {
  type Answer,
  type FilterChange,
  isAnswered,
  refuse,
  type SubscribeVerdict,
  type UnsubscribeVerdict
} from "../tenant/policy/Verdict.ts"
import { type PlainFilter, parseTopicFilter, type SharedFilter } from "../topic/TopicFilter.ts"
import { filterOf, isUnsupported, type PublishRefusal } from "./refusals.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** A request as the policy left it. */
export interface ScreenedRequest extends SubscriptionRequest {
  readonly refusal?: PublishRefusal
}

export interface ScreenedSubscribe extends Subscribe {
  readonly subscriptions: ReadonlyArray<ScreenedRequest>
}

export interface ScreenedUnsubscribe extends Unsubscribe {
  /** By the filter's place; undefined where the policy lets the client go. */
  readonly refusals?: ReadonlyArray<ReasonCode | undefined>
}

/** The packet as it goes on; undefined when the connection was closed over it, or waits for the policy. */
export const screenSubscribe = (
  state: SessionState,
  packet: Subscribe,
  out: SessionOutputs
): ScreenedSubscribe | undefined => {
  const { identity, policy, terms } = state
  const hook = policy?.subscribe
  if (hook === undefined) return packet
  const filters = packet.subscriptions.map((request) => filterOf(state, request))
  const unsupported = terms.isVersion5 ? filters.find(isUnsupported) : undefined
  if (unsupported !== undefined) {
    out.close(unsupported)
    return undefined
  }
  const { userProperties } = packet
  const answers = packet.subscriptions.map((request, index): Answer<SubscribeVerdict> => {
    const filter = filters[index]
    if (filter === undefined || filter._tag === "Refused") return refuse(filter?.reasonCode ?? failed, "")
    return hook({ ...request, ...nameOf(filter), userProperties }, identity)
  })
  if (answers.every(isAnswered)) return screenedSubscribe(state, packet, answers)
  state.parked = { _tag: "SubscribePolicy", packet }
  out.askPolicy(answers)
  return undefined
}

/** The packet with what the policy has made of its requests. */
export const screenedSubscribe = (
  state: SessionState,
  packet: Subscribe,
  verdicts: ReadonlyArray<SubscribeVerdict>
): ScreenedSubscribe => ({
  ...packet,
  subscriptions: packet.subscriptions.map((request, index): ScreenedRequest => {
    const filter = filterOf(state, request)
    const verdict = verdicts[index]
    // What was refused before the policy could say anything is refused again for its own reason.
    if (filter._tag === "Refused" || verdict === undefined || verdict._tag === "Allow") return request
    if (verdict._tag === "Refuse") {
      const { reason, reasonCode } = verdict
      return { ...request, refusal: { reasonCode, reason, cause: "refused-by-policy" } }
    }
    const { qos = request.qos } = verdict.change
    const changed = {
      ...request,
      topicFilter: renamed(request.topicFilter, filter, verdict.change),
      qos: qos < request.qos ? qos : request.qos
    }
    const effective = filterOf(state, changed)
    if (effective._tag === filter._tag) return changed
    const reason = effective._tag === "Refused" ? effective.reason : "it is another kind of subscription"
    return { ...request, refusal: { reasonCode: failed, reason: `the policy's filter: ${reason}` } }
  })
})

/** The packet as it goes on; undefined when it waits for the policy. */
export const screenUnsubscribe = (
  state: SessionState,
  packet: Unsubscribe,
  out: SessionOutputs
): ScreenedUnsubscribe | undefined => {
  const { identity, policy } = state
  const hook = policy?.unsubscribe
  if (hook === undefined) return packet
  const { userProperties } = packet
  const answers = packet.topicFilters.map((topicFilter): Answer<UnsubscribeVerdict> => {
    const filter = parseTopicFilter(topicFilter)
    if (filter._tag === "Invalid") return refuse(ReasonCode.TopicFilterInvalid, filter.reason)
    return hook({ ...nameOf(filter), userProperties }, identity)
  })
  if (answers.every(isAnswered)) return screenedUnsubscribe(packet, answers)
  state.parked = { _tag: "UnsubscribePolicy", packet }
  out.askPolicy(answers)
  return undefined
}

/** The packet with what the policy has made of its filters. */
export const screenedUnsubscribe = (
  packet: Unsubscribe,
  verdicts: ReadonlyArray<UnsubscribeVerdict>
): ScreenedUnsubscribe => ({
  ...packet,
  topicFilters: packet.topicFilters.map((topicFilter, index) => {
    const verdict = verdicts[index]
    const filter = parseTopicFilter(topicFilter)
    if (verdict?._tag !== "Transform" || filter._tag === "Invalid") return topicFilter
    return renamed(topicFilter, filter, verdict.change)
  }),
  refusals: verdicts.map((verdict) => (verdict._tag === "Refuse" ? verdict.reasonCode : undefined))
})

const failed = ReasonCode.ImplementationSpecificError

const nameOf = (filter: PlainFilter | SharedFilter) => ({
  topicFilter: filter.filter,
  group: filter._tag === "Shared" ? filter.group : undefined
})

/** With another filter behind the share name, if there is one. */
const renamed = (
  text: string,
  { filter }: PlainFilter | SharedFilter,
  { topicFilter = filter }: FilterChange
): string => text.slice(0, text.length - filter.length) + topicFilter
