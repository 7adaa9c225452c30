/** Units that wait to be written, in order, with what they weigh. */

import { type DurableRecord, Recorded, type StoredMessage } from "../DurableRecord.ts"
import { bytesOf } from "../DurableState.ts"
import type { CommitOutcome, JournalUnit } from "../Journal.ts"
import type { Lane } from "./Lane.ts"

export interface WaitingUnit {
  /** Its tenant's. */
  readonly lane: Lane
  readonly records: ReadonlyArray<DurableRecord>
  readonly isSynced: boolean
  readonly isRefusable: boolean
  /** Undefined when it was told already. */
  readonly committed: ((outcome: CommitOutcome) => void) | undefined
  readonly bytes: number
}

/** What a record costs beside its message, about. */
const recordBytes = 96

/** What a batch may still take. */
export interface Room {
  readonly records: number
  readonly bytes: number
}

export const waitingUnit = (unit: JournalUnit, lane: Lane): WaitingUnit => {
  const { committed, isRefusable, level, records } = unit
  let bytes = recordBytes * records.length
  let last: StoredMessage | undefined
  for (const record of records) {
    // Several targets of a message share it.
    if (!("message" in record) || record.message === last) continue
    last = record.message
    bytes += bytesOf(last)
  }
  const isTold = level === "memory"
  return {
    lane,
    records,
    isSynced: level === "disk",
    isRefusable: isRefusable && !isTold,
    committed: isTold ? undefined : committed,
    bytes
  }
}

/** Nothing of it has to be written any more. */
export const isElided = ({ records }: WaitingUnit): boolean =>
  records.every((record) => record._tag === "Enqueue" && record.recorded === Recorded.Elided)

/** Units that are consumed before the front of the list is cut off. */
const CUT_AT = 1024

export class WaitingUnits {
  private own: Array<WaitingUnit> = []
  private head = 0
  records = 0
  bytes = 0

  get units(): ReadonlyArray<WaitingUnit> {
    return this.head === 0 ? this.own : this.own.slice(this.head)
  }

  get length(): number {
    return this.own.length - this.head
  }

  push(unit: WaitingUnit): void {
    this.own.push(unit)
    this.records += unit.records.length
    this.bytes += unit.bytes
  }

  /** In front of all others. */
  putBack(units: ReadonlyArray<WaitingUnit>): void {
    this.reset([...units, ...this.units])
  }

  /**
   * Takes units from the front as long as there is credit, which the last may overdraw, and room for them.
   * `takesOne`: the first one is taken, room or not.
   */
  takeWithin(room: Room, credit: number, takesOne: boolean): ReadonlyArray<WaitingUnit> {
    let { bytes, records } = room
    let left = credit
    let count = 0
    for (let at = this.head; at < this.own.length && left > 0; at++) {
      const unit = this.own[at]
      if (unit === undefined) break
      const fits = unit.records.length <= records && unit.bytes <= bytes
      if (!fits && (count > 0 || !takesOne)) break
      records -= unit.records.length
      bytes -= unit.bytes
      left -= unit.bytes
      count++
    }
    return this.take(count)
  }

  /** Takes so many units from the front. */
  take(count: number): ReadonlyArray<WaitingUnit> {
    const taken = this.own.slice(this.head, this.head + count)
    this.head += taken.length
    for (const unit of taken) {
      this.records -= unit.records.length
      this.bytes -= unit.bytes
    }
    if (this.head === this.own.length) {
      this.own = []
      this.head = 0
    } else if (this.head >= CUT_AT && this.head * 2 >= this.own.length) {
      this.own.splice(0, this.head)
      this.head = 0
    }
    return taken
  }

  takeAll(): ReadonlyArray<WaitingUnit> {
    return this.take(this.length)
  }

  /** Takes out those of a session, which they have as a whole. */
  takeOf(session: { readonly tenant: string; readonly clientId: string }): ReadonlyArray<WaitingUnit> {
    return this.takeIf(
      ({ records: [record] }) =>
        record !== undefined &&
        record._tag !== "Retain" &&
        record.clientId === session.clientId &&
        record.tenant === session.tenant
    )
  }

  /** Takes out those that are to be told that they were not stored. */
  takeRefusable(): ReadonlyArray<WaitingUnit> {
    return this.takeIf((unit) => unit.isRefusable)
  }

  private takeIf(isTaken: (unit: WaitingUnit) => boolean): ReadonlyArray<WaitingUnit> {
    const { units } = this
    const taken = units.filter(isTaken)
    if (taken.length > 0) this.reset(units.filter((unit) => !isTaken(unit)))
    return taken
  }

  private reset(units: Array<WaitingUnit>): void {
    this.own = units
    this.head = 0
    this.records = 0
    this.bytes = 0
    for (const unit of units) {
      this.records += unit.records.length
      this.bytes += unit.bytes
    }
  }
}

/** Whether what a session's queue holds hangs on a unit. */
export const touchesQueue = ({ records }: WaitingUnit, tenant: string, clientId: string): boolean =>
  records.some((record) => {
    if (record._tag === "Retain" || record.clientId !== clientId || record.tenant !== tenant) return false
    switch (record._tag) {
      case "Enqueue":
      case "Advance":
      case "Dequeue":
      case "Release":
      case "End":
        return true
      case "Connect":
        return record.isCleanStart
      default:
        return false
    }
  })
