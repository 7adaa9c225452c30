/**
 * Who fails too often waits before the next attempt, twice as long after each failure, up to a limit.
 *
 * A key is an address or a user. The first failures are free, for people mistype; they are forgotten when
 * none was added for a while. Success does not wipe them out, or somebody with an account of his own could
 * go on guessing at another. Pure: instants are passed in.
 */

import { BoundedTable } from "./BoundedTable.ts"

export interface BackoffOptions {
  /** Failures before the first wait. */
  readonly failuresFree: number
  readonly firstWaitMs: number
  readonly waitMsMax: number
  readonly keysMax: number
}

interface Failures {
  readonly count: number
  readonly lastMs: number
  /** No attempt before this instant. */
  readonly untilMs: number
}

/** Failures are forgotten after so many of the longest waits without another. */
const FORGET_FACTOR = 10

export class Backoff {
  private readonly keys: BoundedTable<Failures>

  constructor(private readonly options: BackoffOptions) {
    this.keys = new BoundedTable(options.keysMax)
  }

  /** How long the key has to wait; 0 when it may try. */
  waitMs(key: string, nowMs: number): number {
    const failures = this.keys.get(key)
    if (failures === undefined) return 0
    // A clock that was set back must not lock anybody out.
    return Math.min(Math.max(0, failures.untilMs - nowMs), this.options.waitMsMax)
  }

  failed(key: string, nowMs: number): void {
    const { failuresFree, firstWaitMs, waitMsMax } = this.options
    const before = this.keys.get(key)
    const isForgotten = before === undefined || nowMs - before.lastMs > waitMsMax * FORGET_FACTOR
    const count = isForgotten ? 1 : before.count + 1
    const excess = count - failuresFree
    const wait = excess <= 0 ? 0 : Math.min(waitMsMax, firstWaitMs * 2 ** Math.min(excess - 1, 32))
    this.keys.set(key, { count, lastMs: nowMs, untilMs: nowMs + wait })
  }
}
