/**
 * How often something took how long: counts in buckets whose bounds grow by a constant factor, so that a
 * quantile is known to that factor from microseconds to minutes, in a fixed space.
 */

/** Upper bounds in seconds; what is larger than the last one is counted behind it. */
export const latencyBounds: ReadonlyArray<number> = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60
]

export class Histogram {
  /** Made with the first: one of ten thousand tenants may never have any. */
  private values: Float64Array | undefined
  count = 0
  /** In seconds. */
  sum = 0

  constructor(readonly bounds: ReadonlyArray<number> = latencyBounds) {}

  /** Of each bound those that are not above it and above the one before; then those above all. */
  get counts(): Float64Array {
    return (this.values ??= new Float64Array(this.bounds.length + 1))
  }

  /** `times` values of as many seconds. */
  record(seconds: number, times = 1): void {
    const { bounds, counts } = this
    let at = 0
    // Most values are small, and so are their indexes: a loop is faster here than halving.
    while (at < bounds.length && seconds > bounds[at]!) at++
    counts[at] = counts[at]! + times
    this.count += times
    this.sum += seconds * times
  }

  /** Adds what another one with the same bounds has counted. */
  add(other: Histogram): void {
    for (let index = 0; index < this.counts.length; index++) {
      this.counts[index] = this.counts[index]! + (other.counts[index] ?? 0)
    }
    this.count += other.count
    this.sum += other.sum
  }
}
