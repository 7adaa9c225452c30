/**
 * How many lines of a kind may be logged: a bucket that refills with time, and a count of what did not fit,
 * so that a stranger who is refused ten thousand times a second fills neither the log nor the disk. Pure:
 * instants come in.
 */

export class LineLimit {
  private tokens: number
  private refilledAtMs: number
  private suppressed = 0

  constructor(
    private readonly perSecond: number,
    nowMs: number
  ) {
    this.tokens = perSecond
    this.refilledAtMs = nowMs
  }

  /** Undefined when the line must not be written; else how many lines were left out before it. */
  admit(nowMs: number): number | undefined {
    const elapsedMs = Math.max(0, nowMs - this.refilledAtMs)
    this.tokens = Math.min(this.perSecond, this.tokens + (elapsedMs / 1000) * this.perSecond)
    this.refilledAtMs = nowMs
    if (this.tokens < 1) {
      this.suppressed++
      return undefined
    }
    this.tokens--
    const { suppressed } = this
    this.suppressed = 0
    return suppressed
  }
}
