/** What is measured of the broker itself: how late its loop is, what it holds, what telemetry loses. */

import type { TelemetryCounters } from "../TelemetryCounters.ts"
import type { Histogram } from "./Histogram.ts"
import type { Labels, Metric, MetricFamily } from "./Metric.ts"

/** Read when somebody asks. */
export interface BrokerFacts {
  readonly version: string
  readonly isReady: boolean
  readonly tenants: number
  readonly deadlines: number
  /** Output that sockets have not taken. */
  readonly bufferBytes: number
  /** Rounds of the dispatcher. */
  readonly ticks: number
  /** How much later than it should the loop came to what was due. */
  readonly loopLag: Histogram
  readonly eventsLost: number
  readonly telemetry: TelemetryCounters
}

const family = (
  kind: "counter" | "gauge",
  [name, unit, help]: readonly [name: string, unit: string, help: string],
  value: number,
  labels: Labels = {}
): MetricFamily => ({
  metric: { name: `heddle.${name}`, kind, unit, help },
  samples: [{ labels, value }]
})

const lag = {
  name: "heddle.event_loop.lag",
  kind: "histogram",
  unit: "s",
  help: "How much later than it should the event loop came to what was due"
} satisfies Metric

export const brokerMetrics = (facts: BrokerFacts): ReadonlyArray<MetricFamily> => {
  const { telemetry } = facts
  const gauge = (name: string, unit: string, help: string, value: number) =>
    family("gauge", [name, unit, help], value)
  const counter = (name: string, unit: string, help: string, value: number) =>
    family("counter", [name, unit, help], value)
  return [
    family("gauge", ["build.info", "", "Always 1; the version is in the label"], 1, {
      version: facts.version
    }),
    gauge("ready", "", "1 when it can do all that it is for, else 0", facts.isReady ? 1 : 0),
    gauge("tenants", "{tenant}", "Tenants that have, or had, clients since the start", facts.tenants),
    gauge("deadlines", "{deadline}", "Instants that something waits for", facts.deadlines),
    gauge("output.buffered", "By", "Output that sockets have not taken", facts.bufferBytes),
    counter("dispatcher.ticks", "{tick}", "Rounds of the dispatcher", facts.ticks),
    { metric: lag, samples: [{ labels: {}, histogram: facts.loopLag }] },
    counter("events.lost", "{event}", "Events that a sink could not take", facts.eventsLost),
    counter("traces.begun", "{trace}", "Messages and connections that were traced", telemetry.tracesBegun),
    counter("traces.limited", "{trace}", "Those left out, for there were too many", telemetry.tracesLimited),
    counter(
      "spans.limited",
      "{span}",
      "Deliveries of traced messages without one, for there were too many",
      telemetry.spansLimited
    ),
    counter("spans.exported", "{span}", "Spans that the collector has taken", telemetry.spansExported),
    counter(
      "spans.lost",
      "{span}",
      "Spans that it has not taken, or for which there was no room",
      telemetry.spansLost
    ),
    counter(
      "exports.failed",
      "{request}",
      "Requests that the collector did not accept",
      telemetry.exportFailures
    ),
    counter("exports.given_up", "{request}", "Those that were not tried again", telemetry.exportsGivenUp)
  ]
}
