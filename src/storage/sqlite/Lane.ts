/**
 * What one tenant waits to have written: its units in their order, those that may wait beside them, and its
 * account in the round robin of all tenants.
 */

import type { JournalUnit } from "../Journal.ts"
import { isElided, type WaitingUnit, WaitingUnits } from "./WaitingUnits.ts"

export class Lane {
  readonly waiting = new WaitingUnits()
  /** Units that may wait: since the last `release`, and since the one before. */
  private held = new WaitingUnits()
  private heldLonger = new WaitingUnits()
  /** How many units came to `waiting`, and how many of them went to the thread or will never go. */
  queued = 0
  sent = 0
  /** Units that wait, and others that are at the thread. */
  units = 0
  away = 0
  /** Its share relative to other tenants', as its last unit said. */
  weight = 1
  /** Bytes that it may still have written in this round; negative when the last unit was larger than that. */
  credit = 0
  isCongested = false
  private relieved: Array<() => void> = []

  constructor(readonly tenant: string) {}

  get records(): number {
    return this.waiting.records + this.held.records + this.heldLonger.records
  }

  get bytes(): number {
    return this.waiting.bytes + this.held.bytes + this.heldLonger.bytes
  }

  get isHolding(): boolean {
    return this.held.length + this.heldLonger.length > 0
  }

  /** There is nothing to be known of it. */
  get isIdle(): boolean {
    return this.units === 0 && this.away === 0 && !this.isCongested
  }

  push(unit: WaitingUnit): void {
    this.waiting.push(unit)
    this.queued++
  }

  hold(unit: WaitingUnit): void {
    this.held.push(unit)
  }

  /** Units of the same session do not wait any longer. */
  hasten({ records: [record] }: JournalUnit): void {
    if (record === undefined || record._tag === "Retain") return
    for (const held of [this.heldLonger, this.held]) for (const unit of held.takeOf(record)) this.push(unit)
  }

  hastenAll(): void {
    for (const held of [this.heldLonger, this.held]) for (const unit of held.takeAll()) this.push(unit)
  }

  /** The time that units may wait has passed once more. Those of which nothing has to be written any more. */
  release(): ReadonlyArray<WaitingUnit> {
    const needless: Array<WaitingUnit> = []
    for (const unit of this.heldLonger.takeAll()) {
      if (isElided(unit)) needless.push(unit)
      else this.push(unit)
    }
    const { held, heldLonger } = this
    this.held = heldLonger
    this.heldLonger = held
    return needless
  }

  whenRelieved(resume: () => void): void {
    this.relieved.push(resume)
  }

  relieve(): void {
    const { relieved } = this
    this.isCongested = false
    this.relieved = []
    for (const resume of relieved) resume()
  }
}
