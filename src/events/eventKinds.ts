/** What each event is: how loud the log tells of it, whom it concerns, whether it is remembered. */

import type { Event } from "./Event.ts"

export interface EventKind {
  /** Undefined is not logged: what happens to single messages never is. */
  readonly level: "debug" | "info" | "warning" | "error" | undefined
  /** A tenant's own, or only for those who run the broker. */
  readonly audience: "tenant" | "operator"
  /** Of a single message or packet; see `DebugEvent`. */
  readonly isDebug: boolean
  /** A refusal, a loss or an end: what somebody asks for who wants to know what went wrong. */
  readonly isTrouble: boolean
}

const kind = (level: EventKind["level"], ...marks: ReadonlyArray<"operator" | "trouble">): EventKind => ({
  level,
  audience: marks.includes("operator") ? "operator" : "tenant",
  isDebug: false,
  isTrouble: marks.includes("trouble")
})

const debug: EventKind = { level: undefined, audience: "tenant", isDebug: true, isTrouble: false }

export const eventKinds: Readonly<Record<Event["_tag"], EventKind>> = {
  ClientConnected: kind("debug"),
  ClientDisconnected: kind("debug", "trouble"),
  SessionTakenOver: kind("debug", "trouble"),
  SessionStarted: kind("debug"),
  SessionEnded: kind("debug", "trouble"),
  Subscribed: kind("debug"),
  Unsubscribed: kind("debug"),
  WillPublished: kind("debug"),
  ClientStalled: kind("info", "trouble"),
  ConnectRefused: kind("info", "trouble"),
  SubscribeRefused: kind("info", "trouble"),
  PublishRefused: kind("info", "trouble"),
  MessageDropped: kind(undefined, "trouble"),
  QuotaReached: kind("info", "trouble"),
  QuotaWarning: kind("info"),
  SubscriptionRevoked: kind("info", "trouble"),
  PolicyFailed: kind("warning", "trouble"),
  TenantChanged: kind("info"),
  ActorDefect: kind("error", "operator"),
  EventsLost: kind("warning", "operator"),
  MessageRouted: debug,
  MessageAcknowledged: debug,
  MessageSent: debug,
  DeliveryConfirmed: debug,
  RetainedChanged: debug,
  RetainedMatched: debug,
  PingReceived: debug
}

export const isEventTag = (word: string): word is Event["_tag"] => Object.hasOwn(eventKinds, word)
