/**
 * Whether the broker does its work at all. The timekeeper's beat is its clock: at each it looks whether the
 * dispatcher has work and does not take it up, and whoever asks looks whether there still is a beat. A loop
 * that is stuck altogether answers nobody, which says the same.
 */

/** What is watched: a `Dispatcher`. */
export interface Watched {
  readonly ticks: number
  readonly hasWork: boolean
}

export interface Liveness {
  readonly isAlive: boolean
  readonly reasons: ReadonlyArray<string>
}

/** How long nothing may happen. A pause of the machine, or of the collector, is no death. */
const STILL_MS = 10_000
/** How long after somebody has asked and found no beat the next one may conclude that there is none. */
const DOUBT_MS = 1000

export class Watchdog {
  private beatMs: number
  private ticks = 0
  /** Since when the dispatcher has had work and has not run; 0 while that is not so. */
  private idleSinceMs = 0
  private doubtedBeatMs = -1
  private doubtedAtMs = 0

  constructor(
    private readonly dispatcher: Watched,
    nowMs: number
  ) {
    this.beatMs = nowMs
  }

  /** The timekeeper has come round. */
  beat(nowMs: number): void {
    const { hasWork, ticks } = this.dispatcher
    // A clock that was set, or a machine that slept, says nothing of the dispatcher.
    const isStill = hasWork && ticks === this.ticks && nowMs - this.beatMs < STILL_MS && nowMs >= this.beatMs
    if (!isStill) this.idleSinceMs = 0
    else if (this.idleSinceMs === 0) this.idleSinceMs = nowMs
    this.ticks = ticks
    this.beatMs = nowMs
  }

  livenessAt(nowMs: number): Liveness {
    const reasons: Array<string> = []
    if (this.idleSinceMs !== 0 && this.beatMs - this.idleSinceMs >= STILL_MS) {
      reasons.push("the dispatcher has work and does not run")
    }
    if (this.isBeatMissing(nowMs)) reasons.push("the timekeeper does not run: no deadline is kept")
    return { isAlive: reasons.length === 0, reasons }
  }

  /** After a pause somebody may ask before the timekeeper has had its turn: who asks again knows better. */
  private isBeatMissing(nowMs: number): boolean {
    const { beatMs } = this
    if (nowMs - beatMs < STILL_MS) return false
    if (this.doubtedBeatMs !== beatMs) {
      this.doubtedBeatMs = beatMs
      this.doubtedAtMs = nowMs
    }
    return nowMs - this.doubtedAtMs >= DOUBT_MS
  }
}
