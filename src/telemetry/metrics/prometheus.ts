/** The text that Prometheus reads: exposition format 0.0.4. */

import { type HistogramSample, type Labels, type MetricFamily, prometheusName } from "./Metric.ts"

export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

export const prometheusText = (families: ReadonlyArray<MetricFamily>): string => {
  const lines: Array<string> = []
  for (const family of families) {
    const { metric } = family
    const name = prometheusName(metric)
    lines.push(`# HELP ${name} ${escapeHelp(metric.help)}`, `# TYPE ${name} ${metric.kind}`)
    if (isHistogram(family)) {
      for (const sample of family.samples) lines.push(...histogramLines(name, sample))
    } else {
      for (const { labels, value } of family.samples) {
        lines.push(`${name}${labelText(labels)} ${numberText(value)}`)
      }
    }
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`
}

type HistogramFamily = Extract<MetricFamily, { readonly metric: { readonly kind: "histogram" } }>

const isHistogram = (family: MetricFamily): family is HistogramFamily => family.metric.kind === "histogram"

const histogramLines = (name: string, { histogram, labels }: HistogramSample): ReadonlyArray<string> => {
  const { bounds, count, sum } = histogram
  // One that has counted nothing is not made to remember that.
  const counts = count === 0 ? [] : histogram.counts
  const inner = pairs(labels)
  const bucket = `${name}_bucket{${inner}${inner === "" ? "" : ","}le="`
  const own = labelText(labels)
  let below = 0
  const buckets = bounds.map((bound, index) => {
    below += counts[index] ?? 0
    return `${bucket}${numberText(bound)}"} ${below}`
  })
  return [
    ...buckets,
    `${bucket}+Inf"} ${count}`,
    `${name}_sum${own} ${numberText(sum)}`,
    `${name}_count${own} ${count}`
  ]
}

const labelText = (labels: Labels): string => {
  const text = pairs(labels)
  return text === "" ? "" : `{${text}}`
}

const pairs = (labels: Labels): string => {
  let text = ""
  for (const name in labels) {
    text += `${text === "" ? "" : ","}${name}="${escapeValue(labels[name] ?? "")}"`
  }
  return text
}

/** A tenant's name is the user's: it must not end the line, or the label, that it stands in. */
const escapeValue = (value: string): string =>
  /[\\"\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value

const escapeHelp = (help: string): string => help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const numberText = (value: number): string => {
  if (Number.isNaN(value)) return "NaN"
  if (Number.isFinite(value)) return String(value)
  return value > 0 ? "+Inf" : "-Inf"
}
