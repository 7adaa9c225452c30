/**
 * What a tenant's clients may do in a time, and what a tenant may hold: rates, counts and windows.
 *
 * 0 does not limit, and that is every default: a first benchmark and a busy home are not throttled. What
 * bounds memory and disk without being asked stands with queues, topics and sessions.
 */

import { boolean, integer, oneOf, size } from "../../values/Key.ts"
import { countMax, setting, sizeMax } from "./Setting.ts"

const count = integer(0, countMax)
const bytes = size(0, sizeMax)

/** Rates of one connection. */
export const connectionRates = {
  publishRate: setting(count, {
    default: 0,
    meaning: "Messages that a client publishes a second; 0 does not limit",
    unit: "messages/s",
    applies: "live",
    bifromq: ["MsgPubPerSec"]
  }),
  inboundBytesRate: setting(bytes, {
    default: 0,
    meaning: "Bytes of them",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["InBoundBandWidth"]
  }),
  outboundBytesRate: setting(bytes, {
    default: 0,
    meaning: "Bytes that a client is sent a second",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["OutBoundBandWidth"]
  }),
  burstSeconds: setting(integer(1, 3600), {
    default: 2,
    meaning: "How many seconds' worth of any rate may come at once",
    unit: "seconds",
    applies: "live"
  })
} as const

/** What a tenant may hold. */
export const tenantCounts = {
  sessionsMax: setting(integer(1, countMax), {
    default: 1_000_000,
    meaning: "Sessions of a tenant, connected or kept",
    unit: "sessions",
    applies: "live"
  }),
  connectionsMax: setting(count, {
    default: 0,
    meaning: "Connections of a tenant; 0 does not limit",
    unit: "connections",
    applies: "live",
    bifromq: ["TotalConnections"]
  }),
  sessionMemoryBytesMax: setting(bytes, {
    default: 0,
    meaning: "Memory that its sessions take, by estimate",
    unit: "bytes",
    applies: "live",
    bifromq: ["TotalSessionMemoryBytes"]
  }),
  persistentSessionsMax: setting(count, {
    default: 0,
    meaning: "Sessions that outlive their connections",
    unit: "sessions",
    applies: "live",
    bifromq: ["TotalPersistentSessions"]
  }),
  persistentSessionBytesMax: setting(bytes, {
    default: 0,
    meaning: "Payload that is kept for them",
    unit: "bytes",
    applies: "live",
    bifromq: ["TotalPersistentSessionSpaceBytes"]
  }),
  transientSubscriptionsMax: setting(count, {
    default: 0,
    meaning: "Subscriptions of sessions that end with their connections",
    unit: "subscriptions",
    applies: "live",
    bifromq: ["TotalTransientSubscriptions"]
  }),
  persistentSubscriptionsMax: setting(count, {
    default: 0,
    meaning: "Subscriptions of the others",
    unit: "subscriptions",
    applies: "live",
    bifromq: ["TotalPersistentSubscriptions"]
  }),
  sharedSubscriptionsMax: setting(count, {
    default: 0,
    meaning: "Shared subscriptions of all sessions",
    unit: "subscriptions",
    applies: "live",
    bifromq: ["TotalSharedSubscriptions"]
  })
} as const

/** Rates of a whole tenant. */
export const tenantRates = {
  connectRate: setting(count, {
    default: 0,
    meaning: "Connects of a tenant a second; 0 does not limit",
    unit: "connects/s",
    applies: "live",
    bifromq: ["TotalConnectPerSecond"]
  }),
  tenantPublishRate: setting(count, {
    default: 0,
    meaning: "Messages that its clients publish a second",
    unit: "messages/s",
    applies: "live"
  }),
  tenantInboundBytesRate: setting(bytes, {
    default: 0,
    meaning: "Bytes of them",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["TotalInboundBytesPerSecond"]
  }),
  tenantOutboundBytesRate: setting(bytes, {
    default: 0,
    meaning: "Bytes that its clients are sent a second",
    unit: "bytes/s",
    applies: "live"
  }),
  transientSubscribeRate: setting(count, {
    default: 0,
    meaning: "Filters subscribed to a second by sessions that end with their connections",
    unit: "filters/s",
    applies: "live",
    bifromq: ["TotalTransientSubscribePerSecond"]
  }),
  persistentSubscribeRate: setting(count, {
    default: 0,
    meaning: "Filters subscribed to a second by the others",
    unit: "filters/s",
    applies: "live",
    bifromq: ["TotalPersistentSubscribePerSecond"]
  }),
  transientUnsubscribeRate: setting(count, {
    default: 0,
    meaning: "Filters unsubscribed from a second by sessions that end with their connections",
    unit: "filters/s",
    applies: "live",
    bifromq: ["TotalTransientUnsubscribePerSecond"]
  }),
  persistentUnsubscribeRate: setting(count, {
    default: 0,
    meaning: "Filters unsubscribed from a second by the others",
    unit: "filters/s",
    applies: "live",
    bifromq: ["TotalPersistentUnsubscribePerSecond"]
  }),
  retainRate: setting(count, {
    default: 0,
    meaning: "Retained messages published a second",
    unit: "messages/s",
    applies: "live",
    bifromq: ["TotalRetainedMessagesPerSeconds"]
  }),
  retainBytesRate: setting(bytes, {
    default: 0,
    meaning: "Payload of them",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["TotalRetainedBytesPerSecond"]
  }),
  retainedMatchRate: setting(count, {
    default: 0,
    meaning: "Retained messages that subscriptions bring a second",
    unit: "messages/s",
    applies: "live",
    bifromq: ["TotalRetainMatchPerSeconds"]
  }),
  retainedMatchBytesRate: setting(bytes, {
    default: 0,
    meaning: "Payload of them",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["TotalRetainMatchBytesPerSecond"]
  }),
  transientFanoutBytesRate: setting(bytes, {
    default: 0,
    meaning: "Payload times receivers a second, of sessions that end with their connections",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["TotalTransientFanOutBytesPerSeconds"]
  }),
  persistentFanoutBytesRate: setting(bytes, {
    default: 0,
    meaning: "The same of the others",
    unit: "bytes/s",
    applies: "live",
    bifromq: ["TotalPersistentFanOutBytesPerSeconds"]
  })
} as const

/** What a tenant may use up in UTC days and months. */
export const tenantWindows = {
  messagesPerDay: setting(count, {
    default: 0,
    meaning: "Messages that its clients publish in a day of UTC; 0 does not limit",
    unit: "messages",
    applies: "live"
  }),
  messagesPerMonth: setting(count, {
    default: 0,
    meaning: "The same in a month",
    unit: "messages",
    applies: "live"
  }),
  bytesPerDay: setting(bytes, {
    default: 0,
    meaning: "Payload of them in a day",
    unit: "bytes",
    applies: "live"
  }),
  bytesPerMonth: setting(bytes, {
    default: 0,
    meaning: "The same in a month",
    unit: "bytes",
    applies: "live"
  }),
  deliveriesPerDay: setting(count, {
    default: 0,
    meaning: "Messages that its clients are sent in a day",
    unit: "messages",
    applies: "live"
  }),
  deliveriesPerMonth: setting(count, {
    default: 0,
    meaning: "The same in a month",
    unit: "messages",
    applies: "live"
  }),
  deliveryBytesPerDay: setting(bytes, {
    default: 0,
    meaning: "Payload of them in a day",
    unit: "bytes",
    applies: "live"
  }),
  deliveryBytesPerMonth: setting(bytes, {
    default: 0,
    meaning: "The same in a month",
    unit: "bytes",
    applies: "live"
  })
} as const

/** Its share of the machine, and what it is told. */
export const tenantShare = {
  weight: setting(integer(1, 1000), {
    default: 1,
    meaning:
      "A tenant's share of processor, disk and network when several are at work, relative to that of others",
    applies: "live"
  }),
  debugEvents: setting(boolean, {
    default: false,
    meaning: "Report events of every message, too",
    applies: "live",
    bifromq: ["DebugModeEnabled"]
  }),
  eventTopics: setting(boolean, {
    default: false,
    meaning: "Publish the tenant's events below its own `$SYS/events/`",
    applies: "live"
  }),
  systemTopics: setting(oneOf("none", "own", "all"), {
    default: "own",
    meaning: "Whose numbers are below `$SYS/broker/`, every ten seconds: the tenant's, or the whole broker's",
    applies: "live"
  }),
  tracePropagation: setting(oneOf("inject", "forward", "strip"), {
    default: "inject",
    meaning:
      "Whose place in a trace subscribers are told: the broker's (`inject`), the publisher's, nobody's",
    applies: "live"
  })
} as const
