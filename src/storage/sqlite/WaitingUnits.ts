/** Units that wait to be written, in order, with what they weigh. */

import { type DurableRecord, Recorded, type StoredMessage } from "../DurableRecord.ts"
import { bytesOf } from "../DurableState.ts"
import type { CommitOutcome, JournalUnit } from "../Journal.ts"

export interface WaitingUnit {
  readonly records: ReadonlyArray<DurableRecord>
  readonly isSynced: boolean
  readonly isRefusable: boolean
  /** Undefined when it was told already. */
  readonly committed: ((outcome: CommitOutcome) => void) | undefined
  readonly bytes: number
}

/** What a record costs beside its message, about. */
const recordBytes = 96

export const waitingUnit = (unit: JournalUnit): WaitingUnit => {
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

export class WaitingUnits {
  private own: Array<WaitingUnit> = []
  records = 0
  bytes = 0

  get units(): ReadonlyArray<WaitingUnit> {
    return this.own
  }

  get length(): number {
    return this.own.length
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

  /** Takes units from the front, one at least, as long as they are within both limits. */
  take(recordsMax: number, bytesMax: number): ReadonlyArray<WaitingUnit> {
    let records = 0
    let bytes = 0
    let count = 0
    for (const unit of this.units) {
      if (count > 0 && (records + unit.records.length > recordsMax || bytes + unit.bytes > bytesMax)) break
      records += unit.records.length
      bytes += unit.bytes
      count++
    }
    this.records -= records
    this.bytes -= bytes
    return this.own.splice(0, count)
  }

  takeAll(): ReadonlyArray<WaitingUnit> {
    const units = this.own
    this.reset([])
    return units
  }

  /** Takes out those of a session, which they have as a whole. */
  takeOf(session: { readonly tenant: string; readonly clientId: string }): ReadonlyArray<WaitingUnit> {
    const isOf = ({ records: [record] }: WaitingUnit): boolean =>
      record !== undefined &&
      record._tag !== "Retain" &&
      record.clientId === session.clientId &&
      record.tenant === session.tenant
    const taken = this.units.filter(isOf)
    if (taken.length > 0) this.reset(this.units.filter((unit) => !isOf(unit)))
    return taken
  }

  /** Takes out those that are to be told that they were not stored. */
  takeRefusable(): ReadonlyArray<WaitingUnit> {
    const refusable = this.units.filter((unit) => unit.isRefusable)
    if (refusable.length > 0) this.reset(this.units.filter((unit) => !unit.isRefusable))
    return refusable
  }

  private reset(units: Array<WaitingUnit>): void {
    this.own = units
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
