/**
 * Metrics in OpenTelemetry's protocol: the body of an ExportMetricsServiceRequest. Sums are cumulative, from
 * the broker's start.
 */

import type { Labels, MetricFamily } from "./Metric.ts"

/** When the sums began, and when they were read: nanoseconds since the epoch. */
export interface Interval {
  readonly startNs: bigint
  readonly nowNs: bigint
}

const CUMULATIVE = 2

const attributes = (labels: Labels) =>
  Object.entries(labels).map(([key, stringValue]) => ({ key, value: { stringValue } }))

/** The metrics of one scope, as both of OTLP's encodings take them: integers of 64 bits are texts in JSON. */
export const otlpMetrics = (families: ReadonlyArray<MetricFamily>, { nowNs, startNs }: Interval) =>
  families.map(({ metric, samples }) => {
    const { help: description, kind, name, unit } = metric
    const dataPoints = samples.map((sample) => {
      const point = {
        attributes: attributes(sample.labels),
        startTimeUnixNano: String(startNs),
        timeUnixNano: String(nowNs)
      }
      if (!("histogram" in sample)) return { ...point, asDouble: sample.value }
      const { bounds, count, counts, sum } = sample.histogram
      const bucketCounts = Array.from(counts, String)
      return { ...point, count: String(count), sum, bucketCounts, explicitBounds: bounds }
    })
    const described = { name, description, unit }
    if (kind === "gauge") return { ...described, gauge: { dataPoints } }
    const cumulative = { dataPoints, aggregationTemporality: CUMULATIVE }
    return kind === "histogram"
      ? { ...described, histogram: cumulative }
      : { ...described, sum: { ...cumulative, isMonotonic: true } }
  })
