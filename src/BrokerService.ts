/** What a broker that runs offers to those who hold it, over the parts that it is made of. */

import type * as Effect from "effect/Effect"
import manifest from "../package.json" with { type: "json" }
import type { Dispatcher } from "./actor/Dispatcher.ts"
import type { Timekeeper } from "./actor/Timekeeper.ts"
import type { Watchdog } from "./actor/Watchdog.ts"
import type { Broker, BrokerOptions, Census, Connections, Readiness } from "./Broker.ts"
import type { Events } from "./events/Events.ts"
import { ReasonCode } from "./protocol/ReasonCode.ts"
import type { Journal, JournalStatus } from "./storage/Journal.ts"
import type { Followers } from "./telemetry/follow/Followers.ts"
import { brokerMetrics } from "./telemetry/metrics/broker.ts"
import type { Histogram } from "./telemetry/metrics/Histogram.ts"
import type { MetricFamily } from "./telemetry/metrics/Metric.ts"
import { storageMetrics } from "./telemetry/metrics/storage.ts"
import { TenantMetrics } from "./telemetry/metrics/TenantMetrics.ts"
import type { Telemetry } from "./telemetry/Telemetry.ts"
import { administrationOf } from "./tenant/administration.ts"
import type { Tenants } from "./tenant/Tenants.ts"
import type { Listening } from "./transport/Transport.ts"

export interface BrokerParts {
  /** Each is read where it is used: `limit` changes it. */
  readonly options: BrokerOptions
  readonly listening: ReadonlyArray<Listening>
  readonly connections: Connections
  readonly tenants: Tenants
  readonly journal: Journal["Type"]
  readonly events: Events
  readonly dispatcher: Dispatcher
  readonly timekeeper: Timekeeper
  readonly loopLag: Histogram
  readonly watchdog: Watchdog
  readonly telemetry: Telemetry["Type"]
  readonly followers: Followers
  readonly reauthorize: (tenant?: string) => void
  /** Writes what tenants have used since the last time. */
  readonly flushUsage: Effect.Effect<void>
}

export const serviceOf = (parts: BrokerParts): Broker["Type"] => {
  const { connections, events, followers, journal, listening, options, reauthorize, tenants } = parts
  const tenantMetrics = new TenantMetrics()
  return {
    listening,
    listen: (listener) => listener.listen(connections.acceptor),
    limit: (next) => {
      Object.assign(options, next)
    },
    administration: administrationOf(tenants, followers, parts.flushUsage),
    events,
    census: () => takeCensus(parts),
    readiness: () => readinessOf(journal.status()),
    liveness: () => parts.watchdog.livenessAt(parts.timekeeper.nowMs),
    measure: (tenantsMax) => measureAll(parts, tenantMetrics, tenantsMax),
    storage: () => journal.counters,
    counters: (id) => tenants.find(id)?.counters,
    setDurability: (id, level) => {
      const tenant = tenants.find(id)
      tenant?.applySettings({ ...tenant.settings, durability: level })
      return tenant !== undefined
    },
    reauthorize,
    disconnect: (id, clientId, reason = "disconnected by the operator") => {
      const tenant = tenants.find(id)
      const ending = { reasonCode: ReasonCode.AdministrativeAction, reason }
      tenant?.signal({ _tag: "Close", clientId, covers: () => true, ending })
      return tenant !== undefined
    },
    purge: (id, clientId, { will } = { will: "publish" }) => {
      const tenant = tenants.find(id)
      tenant?.purge(clientId, will === "publish")
      return tenant !== undefined
    }
  }
}

const readinessOf = (status: JournalStatus): Readiness =>
  status === "failing"
    ? { isReady: false, reasons: ["nothing can be stored: QoS 1 and 2 messages that have to be are refused"] }
    : { isReady: true, reasons: [] }

const takeCensus = ({ connections, tenants, timekeeper }: BrokerParts): Census => {
  const sum = { sessions: 0, subscriptions: 0, trieNodes: 0, groups: 0, retainedMessages: 0 }
  for (const tenant of tenants.all()) {
    const { census } = tenant
    sum.sessions += census.sessions
    sum.subscriptions += census.subscriptions
    sum.trieNodes += census.trieNodes
    sum.groups += census.groups
    sum.retainedMessages += tenant.counters.retainedMessages
  }
  return {
    connections: connections.size(),
    bufferBytes: connections.bufferBytes(),
    deadlines: timekeeper.size,
    ...sum
  }
}

const measureAll = (
  parts: BrokerParts,
  tenantMetrics: TenantMetrics,
  tenantsMax: number
): ReadonlyArray<MetricFamily> => {
  const { dispatcher, events, journal, loopLag, telemetry, tenants } = parts
  const { sinks, topicLosses } = events.counts()
  const { bufferBytes, deadlines } = takeCensus(parts)
  const all = [...tenants.all()]
  return [
    ...brokerMetrics({
      version: manifest.version,
      isReady: readinessOf(journal.status()).isReady,
      tenants: all.length,
      deadlines,
      bufferBytes,
      ticks: dispatcher.ticks,
      loopLag,
      eventsLost: sinks.reduce((sum, { lost }) => sum + lost, topicLosses),
      telemetry: telemetry.counters
    }),
    ...tenantMetrics.read(
      all.map(({ counters, id }) => ({ tenant: id, counters })),
      tenantsMax
    ),
    ...(journal.counters === undefined ? [] : storageMetrics(journal.counters))
  ]
}
