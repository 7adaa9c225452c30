/**
 * The units of all tenants that wait to be written, and whose turn it is.
 *
 * A batch takes units by deficit round robin: a tenant that has some earns `quantumBytes` times its weight
 * each round and pays what its units weigh, so that one with a backlog of any length delays the others by its
 * share of a batch and no more. Units of a tenant keep their order; those of two tenants have none to keep,
 * because nothing that is stored belongs to both.
 *
 * When more waits than should, tenants are congested that have more than their share of the limit, and only
 * those: what the others send is still read, up to their share. So what waits is bounded by twice the limit.
 */

import type { JournalUnit } from "../Journal.ts"
import { Lane } from "./Lane.ts"
import { type WaitingUnit, waitingUnit } from "./WaitingUnits.ts"

export interface LanesOptions {
  /** When more waits, whoever has more than its share of it is congested until it is half of that. */
  readonly waitingRecordsMax: number
  readonly waitingBytesMax: number
  /** Bytes that a tenant of weight 1 may have written in a round. */
  readonly quantumBytes: number
}

export interface BatchLimits {
  readonly recordsMax: number
  readonly bytesMax: number
}

/** How many batches are smaller after one that several tenants had a part in, and how much smaller. */
const SHARED_BATCHES = 32
const SHARED_PART = 1 / 4

/** A weight of nothing would never be written. */
const WEIGHT_MIN = 0.001

export class Lanes {
  private readonly lanes = new Map<string, Lane>()
  /** Those that have units to be written, in the order of their turns. */
  private readonly round = new Set<Lane>()
  private readonly holding = new Set<Lane>()
  private readonly congested = new Set<Lane>()
  private isOver = false
  private sharedBatches = 0
  /** Of all that wait. */
  records = 0
  bytes = 0
  length = 0
  /** Of those lanes that have something. */
  private weights = 0

  constructor(private readonly options: LanesOptions) {}

  get hasWaiting(): boolean {
    return this.round.size > 0
  }

  get isHolding(): boolean {
    return this.holding.size > 0
  }

  /** Units to be written, whosever they are. */
  get waitingLength(): number {
    let length = 0
    for (const lane of this.round) length += lane.waiting.length
    return length
  }

  get isCongested(): boolean {
    return this.congested.size > 0
  }

  isCongestedFor(tenant: string): boolean {
    return this.lanes.get(tenant)?.isCongested === true
  }

  whenRelieved(tenant: string, resume: () => void): void {
    const lane = this.lanes.get(tenant)
    if (lane?.isCongested === true) lane.whenRelieved(resume)
    else resume()
  }

  /** Its lane. */
  add(unit: JournalUnit): Lane {
    const lane = this.laneOf(unit.records[0]?.tenant ?? "")
    this.setWeight(lane, unit.weight ?? 1)
    const waiting = waitingUnit(unit, lane)
    this.count(waiting, 1)
    if (unit.mayWait) {
      lane.hold(waiting)
      this.holding.add(lane)
      return lane
    }
    if (unit.keepsOrder === true) lane.hasten(unit)
    lane.push(waiting)
    this.round.add(lane)
    return lane
  }

  /** Nothing of the tenant's waits any longer than it must. Its lane, undefined when nothing waits. */
  hastenAll(tenant: string): Lane | undefined {
    const lane = this.lanes.get(tenant)
    if (lane === undefined) return undefined
    lane.hastenAll()
    if (lane.waiting.length > 0) this.round.add(lane)
    return lane
  }

  hastenEveryone(): void {
    for (const lane of [...this.holding]) this.hastenAll(lane.tenant)
  }

  /** The time that units may wait has passed once more. Those of which nothing has to be written any more. */
  release(): ReadonlyArray<WaitingUnit> {
    const needless: Array<WaitingUnit> = []
    for (const lane of this.holding) {
      needless.push(...lane.release())
      if (!lane.isHolding) this.holding.delete(lane)
      if (lane.waiting.length > 0) this.round.add(lane)
    }
    for (const unit of needless) this.count(unit, -1)
    return needless
  }

  /**
   * The units of a batch: one at least, and as many as are within both limits. While several tenants write,
   * and for some batches after, batches are smaller: who has little to write waits for the one under way.
   */
  take({ bytesMax, recordsMax }: BatchLimits): ReadonlyArray<WaitingUnit> {
    const taken: Array<WaitingUnit> = []
    if (this.round.size > 1) this.sharedBatches = SHARED_BATCHES
    const part = this.sharedBatches > 0 ? SHARED_PART : 1
    if (this.sharedBatches > 0 && this.round.size > 0) this.sharedBatches--
    let room = { records: recordsMax * part, bytes: bytesMax * part }
    for (const lane of this.round) {
      this.earn(lane)
      if (lane.credit <= 0) {
        this.turnEnds(lane)
        continue
      }
      const units = lane.waiting.takeWithin(room, lane.credit, taken.length === 0)
      for (const { bytes, records } of units) {
        lane.credit -= bytes
        room = { records: room.records - records.length, bytes: room.bytes - bytes }
      }
      lane.sent += units.length
      lane.away += units.length
      taken.push(...units)
      // It is its turn still: the batch is full, and it goes on with the credit that it has left.
      if (lane.waiting.length > 0 && lane.credit > 0) break
      this.turnEnds(lane)
    }
    for (const unit of taken) this.count(unit, -1)
    return taken
  }

  /** Who has nobody to share with owes nobody anything. */
  private earn(lane: Lane): void {
    if (this.round.size === 1) lane.credit = Number.POSITIVE_INFINITY
    else if (lane.credit <= 0 || lane.credit === Number.POSITIVE_INFINITY) {
      const earned = this.options.quantumBytes * lane.weight
      lane.credit = lane.credit > 0 ? earned : lane.credit + earned
    }
  }

  /** Units that were taken have been dealt with. */
  settled(units: ReadonlyArray<WaitingUnit>): void {
    for (const { lane } of units) {
      lane.away--
      this.forgetIdle(lane)
    }
  }

  /** Units that were taken go back to the front of their tenants' others. */
  putBack(units: ReadonlyArray<WaitingUnit>): void {
    for (const unit of units) this.count(unit, 1)
    for (const [lane, own] of Map.groupBy(units, ({ lane }) => lane)) {
      lane.waiting.putBack(own)
      lane.sent -= own.length
      lane.away -= own.length
      this.round.add(lane)
    }
  }

  /** Takes out those that are to be told that they were not stored. */
  takeRefusable(): ReadonlyArray<WaitingUnit> {
    return this.discard([...this.round].flatMap((lane) => lane.waiting.takeRefusable()))
  }

  /** Takes out the oldest of whoever has most for its weight, as far as it is more than may be kept. */
  takeExcess(): ReadonlyArray<WaitingUnit> {
    const { waitingBytesMax, waitingRecordsMax } = this.options
    const excess: Array<WaitingUnit> = []
    while (this.records > 2 * waitingRecordsMax || this.bytes > 2 * waitingBytesMax) {
      const heaviest = this.heaviest()
      if (heaviest === undefined) break
      excess.push(...this.discard(heaviest.waiting.take(1)))
    }
    return excess
  }

  /** Those that wait to be written of a tenant. */
  waitingOf(tenant: string): ReadonlyArray<WaitingUnit> {
    return this.lanes.get(tenant)?.waiting.units ?? []
  }

  /** Something has come into a lane: finds out whether it is congested now, or through it any other. */
  weigh(lane: Lane): void {
    const wasOver = this.isOver
    this.isOver = this.isAboveLimits(1)
    if (!this.isOver) return
    for (const each of wasOver ? [lane] : this.lanes.values()) {
      if (each.isCongested || !this.isAboveShare(each, 1)) continue
      each.isCongested = true
      this.congested.add(each)
    }
  }

  /** Something has been taken: tells those who are not congested any more. */
  ease(): void {
    this.isOver &&= this.isAboveLimits(1)
    if (this.congested.size === 0) return
    const isLow = !this.isAboveLimits(0.5)
    for (const lane of this.congested) if (isLow || !this.isAboveShare(lane, 0.5)) this.relieve(lane)
  }

  relieveAll(): void {
    for (const lane of this.congested) this.relieve(lane)
  }

  /** Whether all have more together than that part of the limits. */
  private isAboveLimits(part: number): boolean {
    const { waitingBytesMax, waitingRecordsMax } = this.options
    return this.records > part * waitingRecordsMax || this.bytes > part * waitingBytesMax
  }

  /** Whether a tenant has more than that part of its share of the limits. */
  private isAboveShare(lane: Lane, part: number): boolean {
    const { waitingBytesMax, waitingRecordsMax } = this.options
    const share = part * (lane.weight / Math.max(this.weights, lane.weight))
    return lane.records > share * waitingRecordsMax || lane.bytes > share * waitingBytesMax
  }

  private relieve(lane: Lane): void {
    this.congested.delete(lane)
    lane.relieve()
    this.forgetIdle(lane)
  }

  /** They will never be written: whoever reads need not wait for them. */
  private discard(units: ReadonlyArray<WaitingUnit>): ReadonlyArray<WaitingUnit> {
    for (const unit of units) {
      unit.lane.sent++
      if (unit.lane.waiting.length === 0) this.round.delete(unit.lane)
      this.count(unit, -1)
    }
    return units
  }

  private heaviest(): Lane | undefined {
    let heaviest: Lane | undefined
    for (const lane of this.round) {
      if (heaviest === undefined || lane.bytes * heaviest.weight > heaviest.bytes * lane.weight)
        heaviest = lane
    }
    return heaviest
  }

  /** It goes to the end of the line, or leaves it. Credit that it did not need is forfeited. */
  private turnEnds(lane: Lane): void {
    this.round.delete(lane)
    if (lane.waiting.length > 0) this.round.add(lane)
    else lane.credit = Math.min(0, lane.credit)
  }

  private laneOf(tenant: string): Lane {
    const known = this.lanes.get(tenant)
    if (known !== undefined) return known
    const lane = new Lane(tenant)
    this.lanes.set(tenant, lane)
    return lane
  }

  private setWeight(lane: Lane, weight: number): void {
    const next = Math.max(WEIGHT_MIN, weight)
    if (lane.units > 0) this.weights += next - lane.weight
    lane.weight = next
  }

  /** A unit has come (1) or gone (-1). */
  private count(unit: WaitingUnit, sign: 1 | -1): void {
    const { bytes, lane, records } = unit
    this.records += sign * records.length
    this.bytes += sign * bytes
    this.length += sign
    lane.units += sign
    if (lane.units === (sign === 1 ? 1 : 0)) this.weights += sign * lane.weight
    // What rounding has left of the others does not add up.
    if (this.length === 0) this.weights = 0
    if (sign === -1) this.forgetIdle(lane)
  }

  /** Ten thousand tenants that have written something once leave nothing behind. */
  private forgetIdle(lane: Lane): void {
    if (lane.isIdle && !this.round.has(lane) && this.lanes.get(lane.tenant) === lane)
      this.lanes.delete(lane.tenant)
  }
}
