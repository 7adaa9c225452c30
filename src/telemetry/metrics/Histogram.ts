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
  /** The sum of all in whole microseconds, so that what is added and taken away again leaves nothing. */
  micros = 0

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
    this.micros += Math.round(seconds * 1e6) * times
  }

  /** In seconds. */
  get sum(): number {
    return this.micros / 1e6
  }

  /** Adds what another one with the same bounds has counted, or takes it away. */
  add(other: Histogram, sign: 1 | -1 = 1): void {
    // Most of ten thousand tenants have counted nothing.
    if (other.count === 0) return
    const { counts } = this
    const added = other.counts
    for (let index = 0; index < counts.length; index++) {
      counts[index] = counts[index]! + sign * added[index]!
    }
    this.count += sign * other.count
    this.micros += sign * other.micros
  }
}
