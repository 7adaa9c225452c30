/** Traces and metrics as a configuration describes them. */

import { hostname } from "node:os"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import manifest from "../../package.json" with { type: "json" }
import { Broker } from "../Broker.ts"
import type { Config } from "../config/Config.ts"
import { type Health, type MetricsServer, serveMetrics } from "../telemetry/MetricsServer.ts"
import type { Collector } from "../telemetry/metrics/Metric.ts"
import { otlpMetrics } from "../telemetry/metrics/otlp.ts"
import { processMetrics } from "../telemetry/metrics/process.ts"
import type { OtlpEndpoint } from "../telemetry/otlp/OtlpEndpoint.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"

/** What the broker traces with; nothing without a collector. */
export const telemetryLayer = ({ tracing }: Config): Layer.Layer<never> =>
  tracing.endpoint === ""
    ? Layer.empty
    : Telemetry.layerOtlp({
        url: tracing.endpoint,
        encoding: tracing.encoding,
        headers: Redacted.value(tracing.authorization) === "" ? {} : { authorization: tracing.authorization },
        timeoutMs: Duration.toMillis(tracing.timeout),
        resource: {
          "service.name": tracing.serviceName,
          "service.version": manifest.version,
          // Without it the numbers of two brokers would be one series.
          "service.instance.id": crypto.randomUUID(),
          "host.name": hostname()
        },
        ratio: tracing.ratio,
        honoursParent: tracing.honourPublishers,
        rules: [],
        tracesPerSecondMax: tracing.perSecondMax,
        spansMax: tracing.spansMax,
        intervalMs: Duration.toMillis(tracing.interval)
      })

/** Another ratio, or another mind about publishers, from now on. */
export const retrace = ({ tracing: { honourPublishers, ratio } }: Config): Effect.Effect<void> =>
  Effect.map(Telemetry, ({ tracing }) =>
    tracing?.sampler.configure({ ratio, honoursParent: honourPublishers })
  )

/** What operators are told of a broker, from before it is there until it is gone. */
export interface Lookout {
  /** Undefined when nothing is served. */
  readonly server: MetricsServer | undefined
  /** The broker is there, as long as the scope is open. Sends its metrics to the collector as well. */
  readonly watch: Effect.Effect<void, never, Broker | Scope.Scope>
}

/**
 * Serves metrics and health as long as the scope is open. A broker that takes up a large database takes its
 * time: who asks meanwhile hears that it is alive and not ready.
 */
export const lookOut = ({ metrics }: Config, startedMs: number): Effect.Effect<Lookout, never, Scope.Scope> =>
  Effect.gen(function* () {
    let watched: Broker["Type"] | "starting" | "stopping" = "starting"
    const ofProcess = processMetrics(startedMs)
    const collect: Collector = () => [
      ...(typeof watched === "string" ? [] : watched.measure(metrics.tenantsMax)),
      ...ofProcess()
    ]
    const watch = Effect.gen(function* () {
      const broker = yield* Broker
      const { endpoint } = yield* Telemetry
      if (endpoint !== undefined) {
        yield* exportMetrics(collect, endpoint, { startedMs, every: metrics.exportInterval })
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          watched = broker
        }),
        () =>
          Effect.sync(() => {
            watched = "stopping"
          })
      )
    })
    if (!metrics.enabled) return { server: undefined, watch }
    const server = yield* serveMetrics({
      hostname: metrics.host === "*" ? "::" : metrics.host,
      port: metrics.port,
      collect,
      live: () => livenessOf(watched),
      ready: () => readinessOf(watched)
    }).pipe(
      // Clients can be served all the same: another broker on this machine may have the port.
      Effect.catchTag("MetricsUnavailable", ({ message }) => Effect.as(Effect.logWarning(message), undefined))
    )
    return { server, watch }
  })

type WatchedBroker = Pick<Broker["Type"], "liveness" | "readiness"> | "starting" | "stopping"

/** One that starts or stops does what it should, however long that takes. */
const livenessOf = (watched: WatchedBroker): Health => {
  if (typeof watched === "string") return { isWell: true, reasons: [] }
  const { isAlive, reasons } = watched.liveness()
  return { isWell: isAlive, reasons }
}

const readinessOf = (watched: WatchedBroker): Health => {
  if (watched === "starting") return { isWell: false, reasons: ["it starts: what is stored is taken up"] }
  if (watched === "stopping") return { isWell: false, reasons: ["it stops: clients are sent away"] }
  const { isReady, reasons } = watched.readiness()
  return { isWell: isReady, reasons }
}

const exportMetrics = (
  collect: Collector,
  endpoint: OtlpEndpoint,
  { every, startedMs }: { readonly every: Duration.Duration; readonly startedMs: number }
): Effect.Effect<void, never, Scope.Scope> => {
  const startNs = BigInt(startedMs) * 1_000_000n
  const send = Effect.clockWith((clock) =>
    Effect.suspend(() =>
      endpoint.metrics(otlpMetrics(collect(), { startNs, nowNs: clock.unsafeCurrentTimeNanos() }))
    )
  )
  // What the collector does not take is counted, and the next sums hold it as well.
  const persistently = Effect.catchTag(send, "ExportFailed", ({ reason, url }) =>
    Effect.logWarning(`metrics not exported: ${url}: ${reason}`)
  )
  return Effect.asVoid(Effect.forkScoped(Effect.repeat(persistently, Schedule.spaced(every))))
}
