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
import { type MetricsServer, serveMetrics } from "../telemetry/MetricsServer.ts"
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

/** Serves metrics and health as long as the scope is open, and sends metrics to the collector. */
export const measure = (
  { metrics }: Config,
  startedMs: number
): Effect.Effect<MetricsServer | undefined, never, Broker | Scope.Scope> =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const ofProcess = processMetrics(startedMs)
    const collect: Collector = () => [...broker.measure(metrics.tenantsMax), ...ofProcess()]
    const { endpoint } = yield* Telemetry
    if (endpoint !== undefined) {
      yield* exportMetrics(collect, endpoint, { startedMs, every: metrics.exportInterval })
    }
    if (!metrics.enabled) return undefined
    const ready = () => {
      const { isReady, reasons } = broker.readiness()
      return { isWell: isReady, reasons }
    }
    return yield* serveMetrics({
      hostname: metrics.host === "*" ? "::" : metrics.host,
      port: metrics.port,
      collect,
      live: () => ({ isWell: true, reasons: [] }),
      ready
    }).pipe(
      // Clients can be served all the same: another broker on this machine may have the port.
      Effect.catchTag("MetricsUnavailable", ({ message }) => Effect.as(Effect.logWarning(message), undefined))
    )
  })

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
