/**
 * What can be measured: a name, a unit and a kind, and the samples that were read of it at a moment.
 *
 * Names are OpenTelemetry's (`heddle.messages.received`, unit `{message}`); Prometheus has its own form of
 * them, made by `prometheusName`. A family is read as a whole, when somebody asks; nothing is kept for it.
 */

import type { Histogram } from "./Histogram.ts"

export interface Metric {
  /** Words of lower-case letters and underscores, with dots between them. */
  readonly name: string
  readonly kind: "counter" | "gauge" | "histogram"
  /** In UCUM's spelling: `s`, `By`, `{message}`, `1` for a ratio. */
  readonly unit: string
  readonly help: string
}

/** Names of labels to their values. */
export type Labels = Readonly<Record<string, string>>

export interface NumberSample {
  readonly labels: Labels
  readonly value: number
}

export interface HistogramSample {
  readonly labels: Labels
  readonly histogram: Histogram
}

export type MetricFamily =
  | {
      readonly metric: Metric & { readonly kind: "counter" | "gauge" }
      readonly samples: ReadonlyArray<NumberSample>
    }
  | {
      readonly metric: Metric & { readonly kind: "histogram" }
      readonly samples: ReadonlyArray<HistogramSample>
    }

/** Reads what there is to measure, now. */
export type Collector = () => ReadonlyArray<MetricFamily>

const unitWords: Readonly<Record<string, string>> = { s: "seconds", By: "bytes", "1": "ratio" }

/**
 * The name in Prometheus: underscores, the unit at the end, `_total` behind a counter.
 * (OpenTelemetry, "Prometheus and OpenMetrics Compatibility")
 */
export const prometheusName = ({ kind, name, unit }: Metric): string => {
  const words = name.replaceAll(".", "_")
  // What stands in braces is a remark, not a unit.
  const unitWord = unit.startsWith("{") ? "" : (unitWords[unit] ?? unit)
  const withUnit = unitWord === "" || words.endsWith(`_${unitWord}`) ? words : `${words}_${unitWord}`
  return kind === "counter" ? `${withUnit}_total` : withUnit
}
