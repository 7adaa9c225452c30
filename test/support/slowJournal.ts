/**
 * A journal that commits when the test says so. What it has not been told to commit it has not written: a
 * message that is acknowledged meanwhile is left out.
 */

import * as Layer from "effect/Layer"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import type { DurableState } from "../../src/storage/DurableState.ts"
import {
  type CommitOutcome,
  type DurabilityLevel,
  Journal,
  type JournalStatus,
  type JournalUnit
} from "../../src/storage/Journal.ts"
import { applyUnit, layerMemory } from "../../src/storage/memory.ts"
import { RecordLog } from "./RecordLog.ts"

export class SlowJournal {
  isSlow = false
  /** What has been committed, unit by unit. */
  readonly units: Array<ReadonlyArray<DurableRecord["_tag"]>> = []
  /** Those that were asked for, unit by unit. */
  readonly levels: Array<DurabilityLevel> = []
  private waiting: Array<JournalUnit> = []
  private status: JournalStatus = "ready"
  private only: string | undefined
  private relieved: Array<() => void> = []

  constructor(readonly state: DurableState = new RecordLog()) {}

  get layer() {
    const journal = Layer.succeed(Journal, {
      append: (unit) => {
        this.levels.push(unit.level)
        if (this.isSlow) this.waiting.push(unit)
        else this.commit(unit, undefined)
      },
      status: (tenant) => (this.isFor(tenant) ? this.status : "ready"),
      whenRelieved: (resume) => this.relieved.push(resume)
    })
    return Layer.merge(layerMemory(this.state), journal)
  }

  /** Of the records that wait, unit by unit. */
  get pending(): ReadonlyArray<ReadonlyArray<DurableRecord["_tag"]>> {
    return this.waiting.map(({ records }) => records.map((record) => record._tag))
  }

  /** Commits what waits, or fails it. */
  settle(outcome: CommitOutcome = undefined): void {
    const { waiting } = this
    this.waiting = []
    for (const unit of waiting) this.commit(unit, outcome)
  }

  /** `only`: whose units are too many, where not everybody's are. */
  become(status: JournalStatus, only?: string): void {
    this.status = status
    this.only = only
    if (status === "ready") for (const resume of this.relieved.splice(0)) resume()
  }

  private isFor(tenant: string | undefined): boolean {
    return this.only === undefined || this.only === tenant
  }

  private commit({ committed, records }: JournalUnit, outcome: CommitOutcome): void {
    if (outcome === undefined) {
      const written = applyUnit(this.state, records)
      if (written.length > 0) this.units.push(written.map((record) => record._tag))
    }
    committed(outcome)
  }
}
