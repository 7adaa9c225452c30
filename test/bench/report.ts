/** The table: a line a scenario and broker, then ours in terms of each peer's, then the goals. */

import type { CapacityRow } from "./capacity/list.ts"
import { type FigureName, goalText, verdictText } from "./goals.ts"
import type { BenchResult, CapacityResult, Disk, Outcome, Row } from "./results.ts"
import { median, pairedRatios, spread } from "./statistics.ts"

const columns = [
  "scenario",
  "broker",
  "per s",
  "µs CPU",
  "±",
  "p50 ms",
  "p99 ms",
  "busy",
  "waited",
  "gen",
  "MB"
]
const widths = [18, 16, 12, 9, 5, 8, 8, 6, 7, 6, 7]

const line = (cells: ReadonlyArray<string>): string =>
  cells
    .map((cell, index) => (index < 2 ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!)))
    .join("")

const indented = (text: string): string => `${"".padEnd(widths[0]!)}${text}`

export const headerLines = (brokers: ReadonlyArray<string>): ReadonlyArray<string> => [
  line(columns),
  ...(brokers.length === 1 ? ["(no other broker is measured beside it)"] : [])
]

const percent = (share: number): string => `${Math.round(share * 100)}%`
const milliseconds = (us: number): string => (us === 0 ? "-" : (us / 1000).toFixed(us < 10_000 ? 2 : 1))
const times = (ratio: number): string => `${ratio < 100 ? ratio.toPrecision(2) : ratio.toFixed(0)}x`
/** Half of the distance between the extremes, on either side. */
const plusMinus = (values: ReadonlyArray<number>): string =>
  values.length > 1 ? ` ±${percent(spread(values) / 2)}` : ""

/** Faster than any disk that means it. */
const unbelievableUs = 20

export const diskLine = ({ filesystem, fsyncP50Us, fsyncP99Us }: Disk): string => {
  const where = filesystem === "" ? "" : ` on ${filesystem}`
  const doubt = fsyncP50Us < unbelievableUs ? "; that is no disk: name one with --data" : ""
  return `fsync${where}: p50 ${milliseconds(fsyncP50Us)} ms, p99 ${milliseconds(fsyncP99Us)} ms${doubt}`
}

export const rowLines = (row: Row): ReadonlyArray<string> => {
  const [ours, ...peers] = row.outcomes
  const compared = peers.flatMap((peer) => (ours === undefined ? [] : ratioLines(row, ours, peer)))
  const judged = row.verdicts.map((verdict) =>
    indented(`goal: ${goalText(verdict.goal)}: ${verdictText(verdict)}`)
  )
  return [...row.outcomes.flatMap((outcome) => outcomeLines(row, outcome)), ...compared, ...judged]
}

const outcomeLines = (row: Row, { broker, failure, figures }: Outcome): ReadonlyArray<string> => {
  const failed = failure === null ? [] : [indented(`${broker} failed: ${failure}`)]
  if (figures.perSecond.length === 0) return [line([row.name, broker, "failed"]), ...failed]
  const of = (name: FigureName): number => median(figures[name])
  const cells = [
    row.name,
    broker,
    Math.round(of("perSecond")).toLocaleString("en"),
    of("cpuUs").toFixed(of("cpuUs") < 10 ? 2 : 1),
    figures.cpuUs.length > 1 ? percent(spread(figures.cpuUs)) : "",
    milliseconds(of("p50Us")),
    milliseconds(of("p99Us")),
    percent(of("utilization")),
    percent(of("waited")),
    percent(of("generator")),
    (of("residentBytes") / 2 ** 20).toFixed(0)
  ]
  return [`${line(cells)}${extra(row, of)}`, ...storageLines(row, of), ...failed]
}

/** What storing took, and what waiting for it: nothing for rows that store nothing. */
const storageLines = (row: Row, of: (name: FigureName) => number): ReadonlyArray<string> => {
  if (row.group !== "storage") return []
  const [p50, p99] = [milliseconds(of("ackP50Us")), milliseconds(of("ackP99Us"))]
  const acknowledged = `acknowledged p50 ${p50} ms, p99 ${p99} ms`
  if (of("commitsPerSecond") === 0) return [indented(acknowledged)]
  const [commits, fsyncs] = [Math.round(of("commitsPerSecond")), Math.round(of("fsyncsPerSecond"))]
  const elided = `${percent(of("elided"))} not written`
  return [indented(`${acknowledged}; ${commits} commits/s, ${fsyncs} fsyncs/s, ${elided}`)]
}

/** Below this share of what an open loop offers, a broker does not keep up. */
const reachedShare = 0.95

const extra = (row: Row, of: (name: FigureName) => number): string => {
  if (row.kind === "idle") return `  ${(of("bytesPerConnection") / 1024).toFixed(1)} KB each`
  const share = row.offeredPerSecond === 0 ? 1 : of("perSecond") / row.offeredPerSecond
  if (share < reachedShare) return `  delivers only ${percent(share)} of the rate offered`
  return row.payloadBytes >= 4096 ? `  ${((of("perSecond") * row.payloadBytes) / 1e6).toFixed(0)} MB/s` : ""
}

const ratioLines = (row: Row, ours: Outcome, theirs: Outcome): ReadonlyArray<string> => {
  const ratios = (name: FigureName) => pairedRatios(ours.figures[name], theirs.figures[name])
  const ratio = (name: FigureName): string => times(median(ratios(name)))
  if (ratios("cpuUs").length === 0) return []
  const rate = `${ratio("perSecond")} the rate${plusMinus(ratios("perSecond"))}`
  const cpu = `${ratio("cpuUs")} the CPU for each${plusMinus(ratios("cpuUs"))}`
  const isTimed = row.offeredPerSecond > 0
  const latency =
    isTimed && ratios("p50Us").length > 0 ? `, ${ratio("p50Us")} p50, ${ratio("p99Us")} p99` : ""
  const memory = row.kind === "idle" ? `, ${ratio("bytesPerConnection")} the memory` : ""
  const compared = indented(`${ours.broker} in ${theirs.broker}'s: ${rate}, ${cpu}${latency}${memory}`)
  return isTimed && row.group === "storage" ? [compared, addedLine(ours, theirs)] : [compared]
}

/** What one makes clients wait longer than the other: the median of the differences of runs made together. */
const addedLine = (ours: Outcome, theirs: Outcome): string => {
  const added = (name: FigureName): string => {
    const differences = ours.figures[name].flatMap((us, run) => {
      const other = theirs.figures[name][run]
      return other === undefined ? [] : [us - other]
    })
    return `${(median(differences) / 1000).toFixed(2)} ms`
  }
  const delivery =
    median(ours.figures.p50Us) === 0 ? "" : `; to delivery: p50 ${added("p50Us")}, p99 ${added("p99Us")}`
  return indented(`adds to acknowledgement: p50 ${added("ackP50Us")}, p99 ${added("ackP99Us")}${delivery}`)
}

export const capacityLines = ({ failure, goal, name, rows }: CapacityResult): ReadonlyArray<string> => [
  `${name}: ${goal}`,
  ...rows.map((row) => `  ${row.label.padEnd(60)} ${capacityCell(row)}`),
  ...(failure === null ? [] : [`  failed: ${failure}`])
]

const capacityCell = ({ goal, met, unit, value }: CapacityRow): string => {
  const digits = value >= 100 ? 0 : 3
  const number = digits === 0 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)))
  const judged = met === undefined ? "" : met ? ": met" : ": NOT met"
  return `${number.padStart(12)} ${unit.padEnd(8)} ${goal === undefined ? "" : `goal ${goal}${judged}`}`
}

/** How many goals there were, and those that were not met. */
export const summaryLines = ({ capacity, rows }: BenchResult): ReadonlyArray<string> => {
  const goals = [
    ...rows.flatMap(({ name, verdicts }) =>
      verdicts.map((verdict) => ({
        met: verdict.met,
        text: `${name}: ${goalText(verdict.goal)}: ${verdictText(verdict)}`
      }))
    ),
    ...capacity.flatMap(({ name, rows }) =>
      rows.flatMap(({ goal, label, met, unit, value }) =>
        goal === undefined
          ? []
          : [{ met: met ?? null, text: `${name}, ${label}: ${value} ${unit} (${goal})` }]
      )
    )
  ]
  const judged = goals.filter(({ met }) => met !== null)
  if (judged.length === 0) return []
  const missed = judged.filter(({ met }) => met === false)
  return [
    `${judged.length - missed.length} of ${judged.length} goals met${missed.length === 0 ? "" : "; not met:"}`,
    ...missed.map(({ text }) => `  ${text}`)
  ]
}
