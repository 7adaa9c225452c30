/**
 * What a tenant has a limit of, named by the setting that is the limit. Events and counters name resources
 * so.
 */

import type { TenantSettings } from "../TenantSettings.ts"

export type ConnectionRate = "publishRate" | "inboundBytesRate" | "outboundBytesRate"

export type TenantRate =
  | "connectRate"
  | "tenantPublishRate"
  | "tenantInboundBytesRate"
  | "tenantOutboundBytesRate"
  | "transientSubscribeRate"
  | "persistentSubscribeRate"
  | "transientUnsubscribeRate"
  | "persistentUnsubscribeRate"
  | "retainRate"
  | "retainBytesRate"
  | "retainedMatchRate"
  | "retainedMatchBytesRate"
  | "transientFanoutBytesRate"
  | "persistentFanoutBytesRate"

export type TenantCount =
  | "sessionsMax"
  | "connectionsMax"
  | "sessionMemoryBytesMax"
  | "persistentSessionsMax"
  | "persistentSessionBytesMax"
  | "transientSubscriptionsMax"
  | "persistentSubscriptionsMax"
  | "sharedSubscriptionsMax"
  | "retainedMessagesMax"
  | "retainedBytesMax"

export type TenantWindow =
  | "messagesPerDay"
  | "messagesPerMonth"
  | "bytesPerDay"
  | "bytesPerMonth"
  | "deliveriesPerDay"
  | "deliveriesPerMonth"
  | "deliveryBytesPerDay"
  | "deliveryBytesPerMonth"

export type QuotaResource = Extract<
  keyof TenantSettings,
  ConnectionRate | TenantRate | TenantCount | TenantWindow
>

/** What is done with who comes to a limit. */
export type QuotaOutcome = "delayed" | "refused" | "dropped" | "disconnected" | "not-retained"
