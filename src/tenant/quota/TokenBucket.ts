/**
 * A token bucket that can be overdrawn: what has come is taken whole, and who took more than there was waits
 * until the debt is paid. A message larger than the bucket passes therefore as well, and costs its time.
 *
 * While who is in debt does not take, no more passes in any t seconds than burst + rate * t and one message.
 *
 * Pure: instants come in. When the clock is set back, nothing is paid in at that moment.
 */

import type { QuotaResource } from "./QuotaResource.ts"

/** What a bucket obeys. Shared by all buckets of a kind; a change is felt by all of them at once. */
export class Rate {
  /** Tokens; 0 does not limit. */
  perSecond = 0
  /** Tokens that may be taken at once after a rest. */
  burst = 0

  constructor(readonly resource: QuotaResource) {}

  set(perSecond: number, burstSeconds: number): void {
    this.perSecond = perSecond
    this.burst = perSecond * burstSeconds
  }
}

/** Debts smaller than this are what is left of rounding. */
const NOTHING = 1e-6

export class TokenBucket {
  /** Undefined: it has never been taken from, and is full. */
  private tokens: number | undefined
  private filledAtMs = 0

  constructor(readonly rate: Rate) {}

  /** Takes that many, also where there are not so many left. */
  take(tokens: number, nowMs: number): void {
    if (this.rate.perSecond === 0) this.tokens = undefined
    // Of many messages in one instant only the first has to look at the time.
    else if (nowMs === this.filledAtMs && this.tokens !== undefined) this.tokens -= tokens
    else this.tokens = this.fill(nowMs) - tokens
  }

  /** When it is out of debt; `nowMs` when it is. */
  readyAtMs(nowMs: number): number {
    if (!this.isInDebt(nowMs)) return nowMs
    return nowMs + Math.ceil((-this.fill(nowMs) / this.rate.perSecond) * 1000 - NOTHING)
  }

  isInDebt(nowMs: number): boolean {
    // Time pays in and takes nothing out: who was out of debt once still is.
    if (this.tokens === undefined || this.tokens > -NOTHING) return false
    return this.rate.perSecond > 0 && this.fill(nowMs) <= -NOTHING
  }

  /** Whether less is left than that, or than half of what may be taken after a rest. */
  isLow(tokens: number, nowMs: number): boolean {
    const { burst, perSecond } = this.rate
    if (perSecond === 0) return false
    const enough = Math.max(tokens, burst / 2)
    const left = this.tokens ?? burst
    return left < enough && this.fill(nowMs) < enough
  }

  /** Pays in what has accrued; what there is then, negative in debt. */
  private fill(nowMs: number): number {
    const { burst, perSecond } = this.rate
    const { tokens = burst } = this
    const elapsedMs = Math.max(0, nowMs - this.filledAtMs)
    this.filledAtMs = nowMs
    this.tokens = Math.min(burst, tokens + (elapsedMs / 1000) * perSecond)
    return this.tokens
  }
}
