/**
 * What happens at each limit of a tenant or of one of its connections: one outcome a limit, as the manual
 * shows it and as the tests prove it, for version 5 and for those before it.
 *
 * First comes back-pressure, then refusal, and disconnection only where an earlier version has no other word.
 * No QoS 1 or 2 message that was acknowledged is lost over any of them.
 */

import { ReasonCode } from "../../protocol/ReasonCode.ts"
import type { Counters } from "../../telemetry/Counters.ts"
import type { QuotaOutcome, QuotaResource } from "./QuotaResource.ts"

export interface LimitOutcome {
  /** What brings a client to the limit. */
  readonly at: "CONNECT" | "PUBLISH" | "SUBSCRIBE" | "UNSUBSCRIBE" | "delivery" | "retained replay"
  /** What the event `QuotaReached` says of it; for version 3 where that differs. */
  readonly outcome: QuotaOutcome
  readonly outcomeV3?: QuotaOutcome
  /** Reason Code and return code; undefined where nothing is said. */
  readonly codeV5: ReasonCode | undefined
  readonly codeV3: number | undefined
  readonly meaning: string
  /** Counts every time, also those that no event tells of. */
  readonly counter: keyof Counters
}

const connectRefused: LimitOutcome = {
  at: "CONNECT",
  outcome: "refused",
  codeV5: ReasonCode.QuotaExceeded,
  codeV3: 3,
  meaning: "refused, before any session is touched",
  counter: "connectsRefusedQuota"
}

const publishDelayed: LimitOutcome = {
  at: "PUBLISH",
  outcome: "delayed",
  codeV5: undefined,
  codeV3: undefined,
  meaning: "taken when the rate allows it; until then the client is not read",
  counter: "throttledPublishes"
}

const publishersDelayed: LimitOutcome = {
  ...publishDelayed,
  meaning: "the tenant's next messages are taken when the rate allows it; nothing is dropped"
}

const deliveryDelayed: LimitOutcome = {
  at: "delivery",
  outcome: "delayed",
  codeV5: undefined,
  codeV3: undefined,
  meaning: "QoS 1 and 2 wait in the queue; QoS 0 waits up to `outboundBytesMax`, then it is dropped",
  counter: "throttledDeliveries"
}

const filtersDelayed = (at: "SUBSCRIBE" | "UNSUBSCRIBE"): LimitOutcome => ({
  at,
  outcome: "delayed",
  codeV5: undefined,
  codeV3: undefined,
  meaning: "taken when the rate allows it; until then the client is not read",
  counter: "throttledSubscribes"
})

const replayDelayed: LimitOutcome = {
  at: "retained replay",
  outcome: "delayed",
  codeV5: undefined,
  codeV3: undefined,
  meaning: "the next retained messages come when the rate allows it",
  counter: "throttledReplays"
}

const filterRefused: LimitOutcome = {
  at: "SUBSCRIBE",
  outcome: "refused",
  codeV5: ReasonCode.QuotaExceeded,
  codeV3: 0x80,
  meaning: "that filter is refused in SUBACK; one that the session holds may be renewed",
  counter: "subscribesRefusedQuota"
}

const notRetained: LimitOutcome = {
  at: "PUBLISH",
  outcome: "not-retained",
  codeV5: ReasonCode.QuotaExceeded,
  codeV3: undefined,
  meaning: "given to subscribers and not retained, which the acknowledgement says in version 5",
  counter: "droppedRetainedQuota"
}

const windowClosed: LimitOutcome = {
  at: "PUBLISH",
  outcome: "refused",
  outcomeV3: "disconnected",
  codeV5: ReasonCode.QuotaExceeded,
  codeV3: undefined,
  meaning: "QoS 0 is dropped; QoS 1 and 2 are refused in version 5, and close the connection before it",
  counter: "droppedQuota"
}

export const limitOutcomes: Readonly<Record<QuotaResource, LimitOutcome>> = {
  connectionsMax: connectRefused,
  connectRate: { ...connectRefused, codeV5: ReasonCode.ConnectionRateExceeded },
  sessionsMax: connectRefused,
  sessionMemoryBytesMax: connectRefused,
  persistentSessionsMax: connectRefused,
  persistentSessionBytesMax: connectRefused,
  publishRate: publishDelayed,
  inboundBytesRate: publishDelayed,
  tenantPublishRate: publishDelayed,
  tenantInboundBytesRate: publishDelayed,
  retainRate: publishDelayed,
  retainBytesRate: publishDelayed,
  transientFanoutBytesRate: publishersDelayed,
  persistentFanoutBytesRate: publishersDelayed,
  outboundBytesRate: deliveryDelayed,
  tenantOutboundBytesRate: deliveryDelayed,
  transientSubscribeRate: filtersDelayed("SUBSCRIBE"),
  persistentSubscribeRate: filtersDelayed("SUBSCRIBE"),
  transientUnsubscribeRate: filtersDelayed("UNSUBSCRIBE"),
  persistentUnsubscribeRate: filtersDelayed("UNSUBSCRIBE"),
  retainedMatchRate: replayDelayed,
  retainedMatchBytesRate: replayDelayed,
  transientSubscriptionsMax: filterRefused,
  persistentSubscriptionsMax: filterRefused,
  sharedSubscriptionsMax: filterRefused,
  retainedMessagesMax: notRetained,
  retainedBytesMax: notRetained,
  messagesPerDay: windowClosed,
  messagesPerMonth: windowClosed,
  bytesPerDay: windowClosed,
  bytesPerMonth: windowClosed,
  deliveriesPerDay: windowClosed,
  deliveriesPerMonth: windowClosed,
  deliveryBytesPerDay: windowClosed,
  deliveryBytesPerMonth: windowClosed
}

/** The answer at a limit in a few words. */
export const answersOf = ({
  at,
  codeV3,
  codeV5,
  outcome,
  outcomeV3
}: LimitOutcome): { readonly v3: string; readonly v5: string } => {
  const packet = at === "CONNECT" ? "CONNACK" : at === "SUBSCRIBE" ? "SUBACK" : "PUBACK / PUBREC"
  return {
    v3: codeV3 === undefined ? wordOf(outcomeV3 ?? outcome) : `${packet} ${hex(codeV3)}`,
    v5: codeV5 === undefined ? wordOf(outcome) : `${packet} ${hex(codeV5)}`
  }
}

const hex = (code: number): string => (code < 0x80 ? `${code}` : `0x${code.toString(16).toUpperCase()}`)

const wordOf = (outcome: QuotaOutcome): string => {
  switch (outcome) {
    case "delayed":
      return "waits"
    case "disconnected":
      return "closed"
    case "not-retained":
      return "PUBACK / PUBREC, not retained"
    default:
      return outcome
  }
}
