/**
 * What one turn of a session puts on record, and what waits until that is committed. Made by the first who
 * has something to record: an idle session has none.
 *
 * The journal gets up to three units: changes of the session, which cannot be refused; messages that must be
 * written; messages that a connected client may acknowledge before it comes to that.
 */

import type { Publication } from "../router/Publication.ts"
import { Recorded, type SessionRecord } from "../storage/DurableRecord.ts"
import type { CommitOutcome, JournalUnit } from "../storage/Journal.ts"
import { type OutboundEntry, Phase } from "./OutboundEntry.ts"

type Append = (unit: Omit<JournalUnit, "level">) => void

export class TurnRecords {
  private readonly records: Array<SessionRecord> = []
  private readonly copies: Array<OutboundEntry> = []
  private readonly actions: Array<() => void> = []
  private readonly held: Array<Publication> = []
  /**
   * Nothing below this position is held; -1 when the turn has not moved it. And the epoch that says so: the
   * turn may have begun a session anew since.
   */
  advancedTo = -1
  advancedIn = 0

  add(record: SessionRecord): void {
    this.records.push(record)
  }

  addCopy(entry: OutboundEntry): void {
    this.copies.push(entry)
  }

  get isEmpty(): boolean {
    return this.records.length === 0 && this.advancedTo < 0
  }

  afterCommit(action: () => void): void {
    this.actions.push(action)
  }

  settleAfterCommit(publication: Publication): void {
    this.held.push(publication)
  }

  /** `keepsOrder`: older messages of the session may be waiting to be acknowledged rather than written. */
  commit(
    append: Append,
    stored: (entry: OutboundEntry, outcome: CommitOutcome) => void,
    keepsOrder: boolean
  ): void {
    const { actions, copies, held, records } = this
    const committed = (failure: CommitOutcome) => {
      for (const publication of held) publication.settle(failure === undefined)
      if (failure === undefined) for (const action of actions) action()
    }
    if (records.length === 0) committed(undefined)
    else append({ records, mayWait: false, isRefusable: false, committed })
    if (copies.length === 0) return
    const appendCopies = (entries: ReadonlyArray<OutboundEntry>, mayWait: boolean) => {
      if (entries.length === 0) return
      const committed = (outcome: CommitOutcome) => {
        for (const entry of entries) stored(entry, outcome)
      }
      append({ records: entries, mayWait, isRefusable: true, committed, ...(!mayWait && { keepsOrder }) })
    }
    appendCopies(copies.filter(mustBeWritten), false)
    appendCopies(copies.filter(mayBeNeedless), true)
  }
}

/** Its client may acknowledge it any moment now. */
const mayBeNeedless = (entry: OutboundEntry): boolean =>
  entry.phase === Phase.Published && entry.recorded === Recorded.Pending

const mustBeWritten = (entry: OutboundEntry): boolean =>
  entry.phase !== Phase.Published && entry.recorded === Recorded.Pending
