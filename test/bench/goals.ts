/**
 * What Heddle wants to reach, as data, and whether it did.
 *
 * A goal is either absolute or a fraction of mosquitto's figure in the same run. It is judged by the median
 * of the runs; the spread stands beside it, so that a reader sees how much a narrow verdict is worth. A goal
 * is for people to look at: nothing fails because one is not met.
 */

import { median, pairedRatios, spread } from "./statistics.ts"

export const figureNames = [
  "perSecond",
  "cpuUs",
  "utilization",
  "waited",
  "generator",
  "p50Us",
  "p99Us",
  "lost",
  "duplicated",
  "reordered",
  "stalls",
  "ackP50Us",
  "ackP99Us",
  "commitsPerSecond",
  "fsyncsPerSecond",
  "elided",
  "residentBytes",
  "bytesPerConnection"
] as const

export type FigureName = (typeof figureNames)[number]

/** The value of each figure in each run of one scenario on one broker. */
export type Figures = Readonly<Record<FigureName, ReadonlyArray<number>>>

/** The broker that relative goals are fractions of, unless they name another. */
export const yardstick = "mosquitto"

/** Heddle, whatever it stores: `heddle`, `heddle/disk`. */
export const isHeddle = (broker: string): boolean => /^heddle(\/|$)/.test(broker)

export interface Goal {
  readonly figure: FigureName
  readonly relative: boolean
  /** Whose figure, where it is not the yardstick's. */
  readonly peer?: string
  readonly bound: "at most" | "at least"
  readonly value: number
}

/** At most this fraction of the yardstick's. */
export const within = (figure: FigureName, value: number): Goal => ({
  figure,
  relative: true,
  bound: "at most",
  value
})

/** At least this many times the yardstick's, or another broker's. */
export const times = (figure: FigureName, value: number, peer?: string): Goal => ({
  figure,
  relative: true,
  bound: "at least",
  value,
  ...(peer === undefined ? {} : { peer })
})

export const atMost = (figure: FigureName, value: number): Goal => ({
  figure,
  relative: false,
  bound: "at most",
  value
})

export const atLeast = (figure: FigureName, value: number): Goal => ({
  figure,
  relative: false,
  bound: "at least",
  value
})

export interface Verdict {
  readonly goal: Goal
  /** Median over the runs, or of the quotients of paired runs; null when there is nothing to compare with. */
  readonly value: number | null
  readonly spread: number
  readonly met: boolean | null
}

/** `theirs` are the runs of who the goal is relative to; undefined when it was not measured. */
export const judge = (goal: Goal, ours: Figures, theirs: Figures | undefined): Verdict => {
  const values = goal.relative
    ? pairedRatios(ours[goal.figure], theirs?.[goal.figure] ?? [])
    : ours[goal.figure]
  if (values.length === 0) return { goal, value: null, spread: 0, met: null }
  const value = median(values)
  const met = goal.bound === "at most" ? value <= goal.value : value >= goal.value
  return { goal, value, spread: spread(values), met }
}

const words: Readonly<Record<FigureName, string>> = {
  perSecond: "rate",
  cpuUs: "CPU",
  utilization: "busy",
  waited: "waited",
  generator: "generator",
  p50Us: "p50",
  p99Us: "p99",
  lost: "lost",
  duplicated: "duplicated",
  reordered: "reordered",
  stalls: "stalls",
  ackP50Us: "p50 of acknowledgements",
  ackP99Us: "p99 of acknowledgements",
  commitsPerSecond: "commits",
  fsyncsPerSecond: "fsyncs",
  elided: "elided",
  residentBytes: "memory",
  bytesPerConnection: "memory each"
}

const withUnit = (figure: FigureName, value: number): string => {
  switch (figure) {
    case "perSecond":
    case "commitsPerSecond":
    case "fsyncsPerSecond":
      return `${Math.round(value).toLocaleString("en")}/s`
    case "cpuUs":
    case "p50Us":
    case "p99Us":
    case "ackP50Us":
    case "ackP99Us":
      return `${value.toPrecision(3)} µs`
    case "residentBytes":
    case "bytesPerConnection":
      return `${(value / 1024).toFixed(1)} KB`
    default:
      return String(value)
  }
}

/** `1/6` for a sixth, also one that was rounded to a few digits; `0.4` for what is no simple fraction. */
export const fraction = (value: number): string => {
  const part = 1 / value
  return value < 1 && Math.abs(part - Math.round(part)) < 1e-3 ? `1/${Math.round(part)}` : String(value)
}

/** `CPU <= 1/6 of mosquitto's`. */
export const goalText = ({ bound, figure, peer = yardstick, relative, value }: Goal): string => {
  const sign = bound === "at most" ? "<=" : ">="
  if (!relative) return `${words[figure]} ${sign} ${withUnit(figure, value)}`
  const share = bound === "at most" ? `${fraction(value)} of` : `${value} times`
  return `${words[figure]} ${sign} ${share} ${peer}'s`
}

/** `0.071 ±4%: met`. */
export const verdictText = (verdict: Verdict): string => {
  if (verdict.value === null) return "not judged"
  const { figure, relative } = verdict.goal
  const value = relative ? verdict.value.toPrecision(2) : withUnit(figure, verdict.value)
  const noise = verdict.spread > 0 ? ` ±${Math.round(verdict.spread * 50)}%` : ""
  return `${value}${noise}: ${verdict.met === true ? "met" : "NOT met"}`
}
