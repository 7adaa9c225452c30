/** What the chart leaves out, as a table in Markdown: rates, latencies, connections. A pure function. */

import { type Figures, isHeddle } from "./goals.ts"
import type { BenchResult, Outcome, Row } from "./results.ts"
import { median } from "./statistics.ts"

interface Line {
  readonly title: string
  readonly row: string
  /** Of Heddle's column, where it is not the one that stores nothing. */
  readonly ours?: string
  readonly cell: (figures: Figures, row: Row) => string
}

/** Three digits: more is noise. */
const digits = (value: number): string => Number(value.toPrecision(3)).toLocaleString("en")

const rate = (figures: Figures): string => digits(median(figures.perSecond))
const bytes = (figures: Figures, { payloadBytes }: Row): string =>
  `${digits((median(figures.perSecond) * payloadBytes) / 1e6)} MB/s`
const latency = (figures: Figures): string =>
  `${digits(median(figures.p50Us) / 1000)} / ${digits(median(figures.p99Us) / 1000)} ms`
const cpu = (figures: Figures): string => `${digits(median(figures.cpuUs))} µs`
const memory = (figures: Figures): string => `${digits(median(figures.bytesPerConnection) / 1024)} KB`

const lines: ReadonlyArray<Line> = [
  { title: "Messages a second, 50 to 50, QoS 0", row: "p2p-q0", cell: rate },
  { title: "the same, QoS 1", row: "p2p-q1", cell: rate },
  { title: "the same, QoS 2", row: "p2p-q2", cell: rate },
  { title: "Messages a second, 1 to 100, QoS 0", row: "fan-out-q0", cell: rate },
  { title: "Payload, 1 to 100, messages of 4 KB", row: "fan-out-4k", cell: bytes },
  { title: "the same, of 64 KB", row: "fan-out-64k", cell: bytes },
  { title: "Latency p50 / p99 at half of mosquitto's rate, QoS 0", row: "half-q0@mosquitto", cell: latency },
  { title: "the same, QoS 1", row: "half-q1@mosquitto", cell: latency },
  { title: "Latency p50 / p99 at 10,000 messages a second, QoS 0", row: "open-q0", cell: latency },
  { title: "Processor time for each of 10,000 messages a second, QoS 0", row: "open-q0", cell: cpu },
  { title: "the same, QoS 1", row: "open-q1", cell: cpu },
  { title: "Messages a second on disk, 50 to 50, QoS 1", row: "stored-q1", ours: "heddle/disk", cell: rate },
  { title: "the same, QoS 2", row: "stored-q2", ours: "heddle/disk", cell: rate },
  { title: "the same, QoS 1, to clients that are absent", row: "absent-q1", ours: "heddle/disk", cell: rate },
  { title: "Clients accepted a second", row: "idle", cell: rate },
  { title: "Processor time to accept one", row: "idle", cell: cpu },
  { title: "Memory of an idle client", row: "idle", cell: memory },
  { title: "the same, over TLS", row: "idle-tls", cell: memory }
]

const cellOf = ({ cell }: Line, row: Row, outcome: Outcome | undefined): string => {
  if (outcome === undefined) return ""
  return outcome.failure === null && outcome.figures.perSecond.length > 0
    ? cell(outcome.figures, row)
    : "failed"
}

export const markdownTable = (result: BenchResult): string => {
  const measured = new Set(result.rows.flatMap(({ outcomes }) => outcomes.map(({ broker }) => broker)))
  const brokers = result.versions.filter(({ name }) => measured.has(name))
  const body = lines.flatMap((line) => {
    const row = result.rows.find(({ name }) => name === line.row)
    if (row === undefined) return []
    const cells = brokers.map(({ name }) => {
      const measured = isHeddle(name) ? (line.ours ?? name) : name
      const outcome = row.outcomes.find(({ broker }) => broker === measured)
      return cellOf(line, row, outcome)
    })
    return [[line.title, ...cells]]
  })
  const head = ["", ...brokers.map(({ name, version }) => `${name} ${version}`)]
  return [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |\n`).join("")
}
