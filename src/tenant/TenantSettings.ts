/**
 * What a tenant's clients may do and how much of it: the settings that sessions and the router obey.
 *
 * A flat record of numbers, booleans and words. The configuration's `session` section has exactly these keys;
 * a `TenantDirectory` may answer with others for each tenant. Limits are announced to MQTT 5 clients where
 * CONNACK has a property for them, and enforced for all.
 */

import type { DurabilityLevel } from "../storage/Journal.ts"

export type QueuePolicy = "drop-oldest" | "drop-newest" | "disconnect"

export type SharedSubscriptionStrategy =
  | "round-robin"
  | "random"
  | "sticky"
  | "least-inflight"
  | "hash-topic"
  | "hash-client"

/** Session Expiry Interval of a session that never expires. (5.0, section 3.1.2.11.2) */
export const NEVER_EXPIRES = 0xffff_ffff

export interface TenantSettings {
  /** Longest Session Expiry Interval granted, in seconds; 4294967295 grants sessions that never expire. */
  readonly sessionExpiryIntervalMax: number
  /**
   * Seconds. A client that asks for less, or for none while `keepAliveMax` is below 65535, is told another by
   * Server Keep Alive.
   */
  readonly keepAliveMin: number
  readonly keepAliveMax: number
  /** QoS 1 and 2 messages that a client may have unacknowledged towards us. */
  readonly receiveMaximum: number
  /** QoS 1 and 2 messages that we have unacknowledged towards a client, however much it offers to receive. */
  readonly inflightMax: number
  /** Topic aliases that a client may set, and those that we set towards a client. */
  readonly topicAliasMaximum: number
  readonly topicAliasMaximumOutbound: number
  /** Messages and payload bytes that wait for a client, and what happens to one more. */
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  readonly queuePolicy: QueuePolicy
  /** Payload bytes that wait for all of the tenant's clients together; one message more is dropped. */
  readonly tenantQueueBytesMax: number
  /**
   * What an acknowledged message survives: nothing, a killed process, a power cut. Each is as durable as the
   * storage that the broker has.
   */
  readonly durability: DurabilityLevel
  /** Whether QoS 0 messages wait for an absent client as well. */
  readonly queueQos0: boolean
  /** Bytes that wait for a slow client's socket before QoS 0 messages to it are dropped. */
  readonly outboundBytesMax: number
  readonly maximumQos: 0 | 1 | 2
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
  readonly sharedSubscriptionStrategy: SharedSubscriptionStrategy
  /** Subscriptions of one session. */
  readonly subscriptionsMax: number
  readonly topicLevelsMax: number
  /** UTF-8 bytes of a topic name or filter. */
  readonly topicBytesMax: number
  readonly retainedMessagesMax: number
  readonly retainedBytesMax: number
  readonly sessionsMax: number
  /** The tenant's share of the processor when several are at work, relative to that of others. */
  readonly weight: number
  /** Seconds. */
  readonly willDelayIntervalMax: number
  readonly mqtt31: boolean
  readonly mqtt311: boolean
  readonly mqtt5: boolean
  /** Shortest Session Expiry Interval granted to a client that asks for one above 0, in seconds. */
  readonly sessionExpiryIntervalMin: number
  /** Every session ends with its connection. */
  readonly forceTransient: boolean
  /** Largest packet of a client of this tenant, where that is less than the broker's own limit. */
  readonly packetBytesMax: number
  /** Payload bytes of a will. */
  readonly willBytesMax: number
  /** What becomes of the wills of clients that a shutdown disconnects. */
  readonly willsAtShutdown: "publish" | "suppress"
  /** UTF-8 bytes of one level of a topic name or filter. */
  readonly topicLevelBytesMax: number
  /** Filters of one SUBSCRIBE. */
  readonly topicFiltersPerPacketMax: number
  /** Members of one shared subscription, and shared subscriptions that one message is given to. */
  readonly sharedGroupMembersMax: number
  readonly sharedGroupFanoutMax: number
  /** Sessions that keep one message, and the bytes that they keep of it together; 0 does not limit. */
  readonly persistentFanoutMax: number
  readonly persistentFanoutBytesMax: number
  /** Retained messages that one filter brings; 0 does not limit. */
  readonly retainedMatchMax: number
  /** Whether the oldest QoS 0 message that waits for an absent client gives way, rather than the newest. */
  readonly qos0DropOldest: boolean
  /** Whether a retained message is withheld once its publisher may not publish to its topic any more. */
  readonly retainedPublisherCheck: boolean
  /** Seconds that a client may leave what it was sent unacknowledged before it is reported; 0 never. */
  readonly stalledAfter: number
  /** Whether events of every message are reported, too. */
  readonly debugEvents: boolean
  /** Whether the tenant's events are published below its own `$SYS/events/`. */
  readonly eventTopics: boolean

  /** Rates of one connection, per second; 0 does not limit. */
  readonly publishRate: number
  readonly inboundBytesRate: number
  readonly outboundBytesRate: number
  /** How many seconds' worth of any rate may come at once. */
  readonly burstSeconds: number

  /** Of the whole tenant: what it may hold; 0 does not limit. */
  readonly connectionsMax: number
  readonly sessionMemoryBytesMax: number
  readonly persistentSessionsMax: number
  readonly persistentSessionBytesMax: number
  readonly transientSubscriptionsMax: number
  readonly persistentSubscriptionsMax: number
  readonly sharedSubscriptionsMax: number
  /** Of the whole tenant: rates, per second; 0 does not limit. */
  readonly connectRate: number
  readonly tenantPublishRate: number
  readonly tenantInboundBytesRate: number
  readonly tenantOutboundBytesRate: number
  readonly transientSubscribeRate: number
  readonly persistentSubscribeRate: number
  readonly transientUnsubscribeRate: number
  readonly persistentUnsubscribeRate: number
  readonly retainRate: number
  readonly retainBytesRate: number
  readonly retainedMatchRate: number
  readonly retainedMatchBytesRate: number
  readonly transientFanoutBytesRate: number
  readonly persistentFanoutBytesRate: number
  /** Of the whole tenant: messages and payload bytes in windows of UTC days and months; 0 does not limit. */
  readonly messagesPerDay: number
  readonly messagesPerMonth: number
  readonly bytesPerDay: number
  readonly bytesPerMonth: number
  readonly deliveriesPerDay: number
  readonly deliveriesPerMonth: number
  readonly deliveryBytesPerDay: number
  readonly deliveryBytesPerMonth: number
}

export const defaultTenantSettings: TenantSettings = {
  sessionExpiryIntervalMax: NEVER_EXPIRES,
  keepAliveMin: 0,
  keepAliveMax: 65_535,
  receiveMaximum: 1000,
  inflightMax: 1000,
  topicAliasMaximum: 16,
  topicAliasMaximumOutbound: 16,
  queueMessagesMax: 10_000,
  queueBytesMax: 16 * 1024 * 1024,
  queuePolicy: "drop-oldest",
  tenantQueueBytesMax: 16 * 1024 * 1024 * 1024,
  durability: "disk",
  queueQos0: false,
  outboundBytesMax: 1024 * 1024,
  maximumQos: 2,
  retainAvailable: true,
  wildcardSubscriptionAvailable: true,
  subscriptionIdentifiersAvailable: true,
  sharedSubscriptionAvailable: true,
  sharedSubscriptionStrategy: "round-robin",
  subscriptionsMax: 10_000,
  topicLevelsMax: 128,
  topicBytesMax: 65_535,
  retainedMessagesMax: 1_000_000,
  retainedBytesMax: 1024 * 1024 * 1024,
  sessionsMax: 1_000_000,
  weight: 1,
  willDelayIntervalMax: NEVER_EXPIRES,
  mqtt31: true,
  mqtt311: true,
  mqtt5: true,
  sessionExpiryIntervalMin: 0,
  forceTransient: false,
  packetBytesMax: 268_435_455,
  willBytesMax: 65_535,
  willsAtShutdown: "publish",
  topicLevelBytesMax: 65_535,
  topicFiltersPerPacketMax: 10_000,
  sharedGroupMembersMax: 10_000,
  sharedGroupFanoutMax: 10_000,
  persistentFanoutMax: 0,
  persistentFanoutBytesMax: 0,
  retainedMatchMax: 0,
  qos0DropOldest: false,
  retainedPublisherCheck: true,
  stalledAfter: 30,
  debugEvents: false,
  eventTopics: false,
  publishRate: 0,
  inboundBytesRate: 0,
  outboundBytesRate: 0,
  burstSeconds: 2,
  connectionsMax: 0,
  sessionMemoryBytesMax: 0,
  persistentSessionsMax: 0,
  persistentSessionBytesMax: 0,
  transientSubscriptionsMax: 0,
  persistentSubscriptionsMax: 0,
  sharedSubscriptionsMax: 0,
  connectRate: 0,
  tenantPublishRate: 0,
  tenantInboundBytesRate: 0,
  tenantOutboundBytesRate: 0,
  transientSubscribeRate: 0,
  persistentSubscribeRate: 0,
  transientUnsubscribeRate: 0,
  persistentUnsubscribeRate: 0,
  retainRate: 0,
  retainBytesRate: 0,
  retainedMatchRate: 0,
  retainedMatchBytesRate: 0,
  transientFanoutBytesRate: 0,
  persistentFanoutBytesRate: 0,
  messagesPerDay: 0,
  messagesPerMonth: 0,
  bytesPerDay: 0,
  bytesPerMonth: 0,
  deliveriesPerDay: 0,
  deliveriesPerMonth: 0,
  deliveryBytesPerDay: 0,
  deliveryBytesPerMonth: 0
}
