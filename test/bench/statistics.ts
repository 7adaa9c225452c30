/** The statistics of repeated runs: pure functions of plain numbers. */

/** The middle value, or the mean of the two in the middle; NaN when there is none. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** The distance between the extremes as a share of the median; 0 for fewer than two values. */
export const spread = (values: ReadonlyArray<number>): number =>
  values.length < 2 ? 0 : (Math.max(...values) - Math.min(...values)) / Math.abs(median(values))

/**
 * The quotients of runs that were made one after the other: what disturbed the machine at that time disturbed
 * both, so their quotient says more than that of two medians. Runs without a partner do not count, nor do
 * those whose partner measured nothing.
 */
export const pairedRatios = (
  ours: ReadonlyArray<number>,
  theirs: ReadonlyArray<number>
): ReadonlyArray<number> =>
  ours.flatMap((value, run) => {
    const other = theirs[run]
    return other === undefined || other === 0 ? [] : [value / other]
  })
