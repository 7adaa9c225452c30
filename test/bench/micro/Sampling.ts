/** How a micro-benchmark takes its time: many rounds, their median, and how far apart they are. */

import { seeded } from "../../support/raw.ts"

export interface Sample {
  /** Nanoseconds a unit: the median of the rounds. */
  readonly value: number
  /** The distance between the quartiles as a share of the median: what other programs did to the figure. */
  readonly spread: number
}

const roundsMin = 5
const roundsMax = 10_000

export const sampleOf = (values: ReadonlyArray<number>): Sample => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN
  return { value: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5) }
}

export const nanosecondsOf = (work: () => void): number => {
  const startNs = Bun.nanoseconds()
  work()
  return Bun.nanoseconds() - startNs
}

/**
 * Runs `work`, which does `units` things, for about `timeNs`; a fifth of that first, so that it is compiled.
 */
export const sampled = (units: number, timeNs: number, work: () => void): Sample => {
  const start = Bun.nanoseconds()
  for (let rounds = 0; rounds < roundsMin || Bun.nanoseconds() - start < timeNs / 5; rounds++) work()
  const values: Array<number> = []
  const from = Bun.nanoseconds()
  while (values.length < roundsMin || (values.length < roundsMax && Bun.nanoseconds() - from < timeNs)) {
    values.push(nanosecondsOf(work) / units)
  }
  return sampleOf(values)
}

/** The seed of every order in which something is looked up. */
export const seed = 42

export const shuffled = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => {
  const below = seeded(seed)
  const result = [...values]
  for (let index = result.length - 1; index > 0; index--) {
    const other = below(index + 1)
    ;[result[index], result[other]] = [result[other]!, result[index]!]
  }
  return result
}
