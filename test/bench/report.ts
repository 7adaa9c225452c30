/** The table: a line a scenario and broker, and what mosquitto's line is in terms of ours. */

import type { LoadResult } from "./load.ts"
import type { Outcome } from "./run.ts"
import type { Scenario } from "./scenarios.ts"

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
const widths = [16, 10, 12, 9, 5, 8, 8, 6, 7, 6, 7]

const line = (cells: ReadonlyArray<string>): string =>
  cells
    .map((cell, index) => (index < 2 ? cell.padEnd(widths[index]!) : cell.padStart(widths[index]!)))
    .join("")

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The distance between the extremes as a share of the median. */
const spread = (values: ReadonlyArray<number>): number =>
  values.length < 2 ? 0 : (Math.max(...values) - Math.min(...values)) / median(values)

const mediansOf = (results: ReadonlyArray<LoadResult>): ((key: keyof LoadResult) => number) => {
  return (key) => median(results.map((result) => result[key]))
}

const percent = (share: number): string => `${Math.round(share * 100)}%`
const milliseconds = (us: number): string => (us === 0 ? "-" : (us / 1000).toFixed(us < 10_000 ? 2 : 1))

export const printHeader = (brokers: ReadonlyArray<string>): void => {
  console.log(line(columns))
  if (brokers.length === 1) console.log("(mosquitto is not measured beside it)")
}

export const printRow = (scenario: Scenario, outcomes: ReadonlyArray<Outcome>): void => {
  for (const { broker, failure, results } of outcomes) {
    if (results.length === 0) {
      console.log(line([scenario.name, broker, "failed"]), failure ?? "")
      continue
    }
    const of = mediansOf(results)
    const cpuUs = results.map((result) => result.cpuUs)
    const cells = [
      scenario.name,
      broker,
      Math.round(of("perSecond")).toLocaleString("en"),
      of("cpuUs").toFixed(of("cpuUs") < 10 ? 2 : 1),
      results.length > 1 ? percent(spread(cpuUs)) : "",
      milliseconds(of("p50Us")),
      milliseconds(of("p99Us")),
      percent(of("utilization")),
      percent(of("waited")),
      percent(of("generator")),
      (of("residentBytes") / 2 ** 20).toFixed(0)
    ]
    const idle = scenario.kind === "idle" ? `  ${(of("bytesPerConnection") / 1024).toFixed(1)} KB each` : ""
    console.log(`${line(cells)}${idle}`)
  }
  printRatio(scenario, outcomes)
}

const printRatio = (scenario: Scenario, outcomes: ReadonlyArray<Outcome>): void => {
  const [ours, theirs] = outcomes.map(({ results }) => (results.length > 0 ? mediansOf(results) : undefined))
  if (ours === undefined || theirs === undefined) return
  const times = (ratio: number): string => `${ratio.toFixed(ratio < 10 ? 2 : 1)}x`
  const rate = times(ours("perSecond") / theirs("perSecond"))
  const cpu = times(ours("cpuUs") / theirs("cpuUs"))
  const memory =
    scenario.kind === "idle"
      ? `, ${times(ours("bytesPerConnection") / theirs("bytesPerConnection"))} the memory`
      : ""
  console.log(`${"".padEnd(widths[0]!)}heddle: ${rate} the rate, ${cpu} the CPU for each${memory}`)
}
