/**
 * What a tenant's limits say to a client that connects, before its session is touched.
 *
 * A client that takes over its own session's connection is not one more, and one that goes on with its own
 * session brings nothing that is not there: it is refused only for coming too often.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Attach } from "../session/SessionMessage.ts"
import { expiryOf } from "../session/terms.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { QuotaResource, TenantCount } from "./quota/QuotaResource.ts"
import type { TenantQuota } from "./quota/TenantQuota.ts"
import type { AttachRefused } from "./TenantMessage.ts"
import type { TenantSettings } from "./TenantSettings.ts"

/**
 * Bytes of memory, by estimate: what a session and a connection weigh together while they are idle, half of
 * which is the connection's (7.1 KB), and what a subscription adds (270-350 of a million, Bun 1.4.5,
 * 2026-11).
 */
const SESSION_BYTES = 3500
const CONNECTION_BYTES = 3600
const SUBSCRIPTION_BYTES = 300

/** What the tenant's sessions take in memory, by estimate. */
export const sessionMemoryBytes = (counters: Readonly<Counters>): number =>
  counters.sessions * SESSION_BYTES +
  counters.connections * CONNECTION_BYTES +
  (counters.transientSubscriptions + counters.persistentSubscriptions) * SUBSCRIPTION_BYTES +
  counters.queuedMemoryBytes

export interface Arrival {
  readonly attach: Pick<Attach, "connect" | "identity">
  /** The session that it will go on with, as it is now; undefined when there is none. */
  readonly session: { readonly isPresent: boolean; readonly isPersistent: boolean } | undefined
}

/** Whether the session that a CONNECT leads to outlives the connection. */
export const wantsPersistence = ({ connect }: Arrival["attach"], settings: TenantSettings): boolean =>
  expiryOf(connect, settings) > 0

interface Limited {
  readonly quota: TenantQuota
  readonly settings: TenantSettings
  readonly counters: Counters
}

/** Why the client is not let in; undefined when it is. A connect that is let in is paid for. */
export const refusalOfConnect = (
  arrival: Arrival,
  { counters, quota, settings }: Limited,
  nowMs: number
): AttachRefused | undefined => {
  const full = fullCount(arrival, { counters, quota, settings })
  const resource: QuotaResource | undefined = full ?? (quota.takeConnect(nowMs) ? undefined : "connectRate")
  if (resource === undefined) return undefined
  counters.connectsRefusedQuota++
  quota.reached(resource, arrival.attach.identity.clientId, "refused", nowMs)
  return resource === "connectRate"
    ? { reasonCode: ReasonCode.ConnectionRateExceeded, reason: "the tenant's clients connect too often" }
    : { reasonCode: ReasonCode.QuotaExceeded, reason: reasonOf(resource, settings) }
}

/** What there would be too much of with the client. */
const fullCount = (
  { attach, session }: Arrival,
  { counters, quota, settings }: Limited
): TenantCount | undefined => {
  if (session?.isPresent !== true && quota.isFull("connectionsMax", counters.connections)) {
    return "connectionsMax"
  }
  if (session === undefined) {
    if (quota.isFull("sessionsMax", counters.sessions)) return "sessionsMax"
    const memory = settings.sessionMemoryBytesMax === 0 ? 0 : sessionMemoryBytes(counters)
    if (quota.isFull("sessionMemoryBytesMax", memory, SESSION_BYTES + CONNECTION_BYTES))
      return "sessionMemoryBytesMax"
  }
  if (session?.isPersistent === true || !wantsPersistence(attach, settings)) return undefined
  if (quota.isFull("persistentSessionsMax", counters.persistentSessions)) return "persistentSessionsMax"
  return quota.isFull("persistentSessionBytesMax", counters.persistentBytes)
    ? "persistentSessionBytesMax"
    : undefined
}

const reasonOf = (resource: QuotaResource, settings: TenantSettings): string => {
  switch (resource) {
    case "connectionsMax":
      return `the tenant may have ${settings.connectionsMax} connections`
    case "sessionsMax":
      return `the tenant may have ${settings.sessionsMax} sessions`
    case "sessionMemoryBytesMax":
      return `the tenant's sessions may take ${settings.sessionMemoryBytesMax} bytes of memory`
    case "persistentSessionsMax":
      return `the tenant may have ${settings.persistentSessionsMax} sessions that outlive their connections`
    default:
      return `the tenant's sessions may keep ${settings.persistentSessionBytesMax} bytes of messages`
  }
}
