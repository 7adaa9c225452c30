/**
 * Latencies in buckets of 3 % width (32 for each power of two of microseconds): recording one allocates
 * nothing.
 */

const bucketsPerOctave = 32

export class LatencyHistogram {
  private readonly counts = new Uint32Array(32 * bucketsPerOctave)
  private total = 0

  record(microseconds: number): void {
    const value = microseconds < 1 ? 1 : microseconds > 0x3ff_ffff ? 0x3ff_ffff : microseconds | 0
    const octave = 31 - Math.clz32(value)
    const step = ((value << 5) >>> octave) & (bucketsPerOctave - 1)
    this.counts[octave * bucketsPerOctave + step]!++
    this.total++
  }

  /**
   * Microseconds that the given share of the latencies does not exceed, to a bucket's width; 0 when there are
   * none.
   */
  quantile(share: number): number {
    let below = 0
    for (let index = 0; index < this.counts.length; index++) {
      below += this.counts[index]!
      if (below > 0 && below >= this.total * share) {
        const octave = Math.floor(index / bucketsPerOctave)
        return Math.round(2 ** octave * (1 + ((index % bucketsPerOctave) + 0.5) / bucketsPerOctave))
      }
    }
    return 0
  }
}
