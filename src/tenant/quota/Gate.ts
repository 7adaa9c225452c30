/**
 * Where the members of a tenant take turns at what its rates allow: some buckets, and the line of those who
 * wait for them.
 *
 * Whoever finds nobody waiting and no bucket in debt goes through at once. Else he joins the line. When the
 * debts are paid the first of the line is let through, for one passage; he pays for it, hands the turn on
 * (`release`), and for his next stands at the end of the line. So no more than one message overdraws the
 * buckets, however many wait, and none of them waits for more than one of each other's.
 *
 * Pure: instants come in, and the owner is asked to call `due` at an instant.
 */

import type { QuotaResource } from "./QuotaResource.ts"
import type { TokenBucket } from "./TokenBucket.ts"

export interface Waiter {
  /** It is the waiter's turn: it tries again, or gives the turn back. Called once for each `enter`. */
  readonly mayPass: (gate: Gate) => void
}

export interface GateBuckets {
  /** Of passages, and of what they weigh. */
  readonly count?: TokenBucket
  readonly bytes?: TokenBucket
  /** Paid by somebody else: who passes has only to wait for them. */
  readonly others?: ReadonlyArray<TokenBucket>
}

export class Gate {
  private readonly line = new Set<Waiter>()
  /** Whose turn it is. */
  private turn: Waiter | undefined
  /** All that have to be out of debt. */
  readonly buckets: ReadonlyArray<TokenBucket>
  /** When the line goes on; 0 while it does not wait for an instant. */
  dueMs = 0
  /** Kept by `due`. */
  isLimited = false
  /** What those who wait have come to the end of. */
  private lastDebtor: TokenBucket | undefined

  constructor(
    private readonly paid: GateBuckets,
    /** Asks for a call of `due` at that instant; earlier and more often does no harm. */
    private readonly wakeAt: (atMs: number) => void
  ) {
    const { bytes, count, others = [] } = paid
    this.buckets = [count, bytes, ...others].filter((bucket) => bucket !== undefined)
  }

  get waiting(): number {
    return this.line.size
  }

  /** What those who wait, wait for. */
  get resource(): QuotaResource | undefined {
    return this.lastDebtor?.rate.resource
  }

  /** True when the waiter may pass, and then owes `release`; else it stands in the line. */
  enter(waiter: Waiter, nowMs: number): boolean {
    const isItsTurn = this.turn === waiter
    if ((isItsTurn || this.isFree) && this.debtor(nowMs) === undefined) return true
    if (isItsTurn) this.turn = undefined
    this.line.add(waiter)
    this.advance(nowMs)
    return false
  }

  /** The same for a passage whose cost is known later: until `release` nobody else passes. */
  occupy(waiter: Waiter, nowMs: number): boolean {
    const mayPass = this.enter(waiter, nowMs)
    if (mayPass) this.turn = waiter
    return mayPass
  }

  /** Whether whoever comes passes at once, which needs no `release` then. */
  isOpen(nowMs: number): boolean {
    if (!this.isLimited) return true
    if (!this.isFree) return false
    for (const bucket of this.buckets) if (bucket.isInDebt(nowMs)) return false
    return true
  }

  /** Takes what a passage costs. */
  pay(count: number, bytes: number, nowMs: number): void {
    this.paid.count?.take(count, nowMs)
    this.paid.bytes?.take(bytes, nowMs)
  }

  /** Hands the turn on, if it is the waiter's. */
  release(waiter: Waiter, nowMs: number): void {
    if (this.turn !== waiter) return
    this.turn = undefined
    this.advance(nowMs)
  }

  /** The waiter wants nothing any more. */
  leave(waiter: Waiter, nowMs: number): void {
    this.line.delete(waiter)
    this.release(waiter, nowMs)
  }

  /** The instant has come, or the rates have changed. */
  due(nowMs: number): void {
    this.isLimited = this.buckets.some(({ rate }) => rate.perSecond > 0)
    this.dueMs = 0
    this.advance(nowMs)
  }

  /** The bucket that is in debt for longest. */
  private debtor(nowMs: number): TokenBucket | undefined {
    let debtor: TokenBucket | undefined
    for (const bucket of this.buckets) {
      if (!bucket.isInDebt(nowMs)) continue
      if (debtor === undefined || bucket.readyAtMs(nowMs) > debtor.readyAtMs(nowMs)) debtor = bucket
    }
    this.lastDebtor = debtor ?? this.lastDebtor
    return debtor
  }

  private get isFree(): boolean {
    return this.turn === undefined && this.line.size === 0
  }

  private advance(nowMs: number): void {
    if (this.turn !== undefined) return
    const [first] = this.line
    if (first === undefined) return
    const debtor = this.debtor(nowMs)
    this.dueMs = debtor?.readyAtMs(nowMs) ?? 0
    if (this.dueMs !== 0) return this.wakeAt(this.dueMs)
    this.line.delete(first)
    this.turn = first
    first.mayPass(this)
  }
}
