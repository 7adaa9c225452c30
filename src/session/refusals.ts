/**
 * What a tenant takes no messages to and no subscriptions on, whoever asks: its limits, and the topics that
 * are the server's.
 */

import type { Cause } from "../events/Cause.ts"
import type { SubscriptionRequest } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { type PlainFilter, parseTopicFilter, type SharedFilter } from "../topic/TopicFilter.ts"
import { isSystemTopic, type TopicLimits, validateTopicName } from "../topic/TopicName.ts"
import type { SessionState } from "./SessionState.ts"

export interface PublishRefusal {
  readonly reasonCode: ReasonCode
  readonly reason: string
  /** Where the Reason Code does not say it. */
  readonly cause?: Cause
}

export const notAuthorized: PublishRefusal = {
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the client may not publish to this topic"
}

const serverTopic: PublishRefusal = {
  reasonCode: ReasonCode.NotAuthorized,
  reason: "topics that begin with $SYS or $share are the server's"
}

/** Why a tenant does not take messages to a topic. */
export const refusalOfTopic = (name: string, settings: TenantSettings): PublishRefusal | undefined => {
  if (isSystemTopic(name) && isReserved(name)) return serverTopic
  const invalid = validateTopicName(name, topicLimits(settings))
  return invalid === undefined
    ? undefined
    : { reasonCode: ReasonCode.TopicNameInvalid, reason: `the topic ${invalid.reason} [${invalid.clause}]` }
}

/** What a tenant's topic names and filters may be. */
const topicLimits = (settings: TenantSettings): TopicLimits => ({
  bytesMax: settings.topicBytesMax,
  levelsMax: settings.topicLevelsMax,
  levelBytesMax: settings.topicLevelBytesMax
})

const isReserved = (name: string): boolean =>
  name === "$SYS" || name.startsWith("$SYS/") || name.startsWith("$share/") || name.startsWith("$oshare/")

export type FilterRefusal = PublishRefusal & { readonly _tag: "Refused" }

/** The filter of a request, or why a tenant takes no subscriptions on it. */
export const filterOf = (
  state: SessionState,
  { topicFilter }: Pick<SubscriptionRequest, "topicFilter">
): PlainFilter | SharedFilter | FilterRefusal => {
  const { settings, terms } = state
  const filter = parseTopicFilter(topicFilter, topicLimits(settings))
  if (filter._tag === "Invalid") {
    return refused(ReasonCode.TopicFilterInvalid, `the filter ${filter.reason} [${filter.clause}]`)
  }
  if (filter._tag === "Shared" && !terms.sharedSubscriptionAvailable) {
    return refused(ReasonCode.SharedSubscriptionsNotSupported, "shared subscriptions are not supported")
  }
  if (!terms.wildcardSubscriptionAvailable && hasWildcard(filter.filter)) {
    // [v3 MQTT-3.8.3-2]
    return refused(ReasonCode.WildcardSubscriptionsNotSupported, "wildcard subscriptions are not supported")
  }
  return filter
}

const refused = (reasonCode: ReasonCode, reason: string): FilterRefusal => ({
  _tag: "Refused",
  reasonCode,
  reason
})

const hasWildcard = (topicFilter: string): boolean => topicFilter.includes("+") || topicFilter.includes("#")

/**
 * What CONNACK said is not available: a Protocol Error of a client that was told. (5.0, 3.2.2.3.11 and
 * 3.2.2.3.13)
 */
export const isUnsupported = (judged: FilterRefusal | { readonly _tag: string }): judged is FilterRefusal =>
  "reasonCode" in judged && judged.cause === undefined && unsupportedCodes.has(judged.reasonCode)

const unsupportedCodes: ReadonlySet<number> = new Set([
  ReasonCode.WildcardSubscriptionsNotSupported,
  ReasonCode.SharedSubscriptionsNotSupported
])
