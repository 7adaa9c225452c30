/**
 * Records of several actors that belong to one message and become durable together or not at all: the
 * identifier of a QoS 2 message and the copies of all who get it, a will that is done and its copies, a
 * message that leaves one member of a shared group for another.
 *
 * Whoever will have a record to add is expected first; when all have contributed, the unit goes to the
 * journal.
 */

import type { DurableRecord, EnqueueRecord } from "../storage/DurableRecord.ts"
import type { CommitOutcome } from "../storage/Journal.ts"

/** Who keeps a copy, and hears when it is durable. */
export interface Keeper {
  readonly stored: (entry: EnqueueRecord, outcome: CommitOutcome) => void
}

/** Passes a unit to the journal. */
export type Store = (
  records: ReadonlyArray<DurableRecord>,
  committed: (outcome: CommitOutcome) => void
) => void

export class Gathering {
  private readonly records: Array<DurableRecord> = []
  private readonly copies: Array<readonly [Keeper, EnqueueRecord]> = []
  private missing = 0

  constructor(
    private readonly store: Store,
    private readonly done: (outcome: CommitOutcome) => void
  ) {}

  expect(): void {
    this.missing++
  }

  add(record: DurableRecord): void {
    this.records.push(record)
  }

  addCopy(entry: EnqueueRecord, keeper: Keeper): void {
    this.records.push(entry)
    this.copies.push([keeper, entry])
  }

  /** One of those expected has added what it had. True with the last. */
  contributed(): boolean {
    this.missing--
    return this.missing <= 0
  }

  /** Hands the unit to the journal. */
  commit(): void {
    this.store(this.records, (outcome) => {
      for (const [keeper, entry] of this.copies) keeper.stored(entry, outcome)
      this.done(outcome)
    })
  }
}
