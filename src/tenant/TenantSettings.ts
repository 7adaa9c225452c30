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
  mqtt5: true
}
