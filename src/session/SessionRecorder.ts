/**
 * What a session puts on record: the records of its turn, handed to the journal at the turn's end, what waits
 * for their commit, and the word of the journal on its copies of messages.
 *
 * It also keeps the tenant's gauges in step, once a turn. It does not decide what is recorded:
 * `durability.ts` and the machine do.
 */

import type { Store } from "../router/Gathering.ts"
import type { Publication } from "../router/Publication.ts"
import type { EnqueueRecord, SessionRecord } from "../storage/DurableRecord.ts"
import type { CommitOutcome, JournalUnit } from "../storage/Journal.ts"
import { recordAdvance } from "./durability.ts"
import { OutboundEntry, Phase } from "./OutboundEntry.ts"
import { SessionReporter } from "./SessionReporter.ts"
import { TurnRecords } from "./TurnRecords.ts"

export abstract class SessionRecorder extends SessionReporter {
  /** What the turn has put on record; undefined while that is nothing. */
  private turnRecords: TurnRecords | undefined
  /** What the last turn that had something to record has recorded; undefined when it is committed. */
  private uncommitted: TurnRecords | undefined
  /** Messages that could not be stored, until the session has dealt with them. */
  private unstored: Array<OutboundEntry> | undefined
  private isStoredSignalled = false
  private endsUnderWay = 0
  private afterEnds: (() => void) | undefined
  /** Units of ours that may wait and are not committed. */
  private waitingUnits = 0

  record(record: SessionRecord): void {
    this.onRecord.add(record)
  }

  keep(entry: OutboundEntry): void {
    this.onRecord.addCopy(entry)
  }

  advance(before: number): void {
    this.onRecord.advancedTo = before
    this.onRecord.advancedIn = this.state.epoch
  }

  get isStorageFailing(): boolean {
    const { durability, journal } = this.services
    return journal.status() === "failing" && durability() !== "memory"
  }

  gather(publication: Publication, record: SessionRecord, isRefusable: boolean): void {
    const store: Store = (records, committed) => {
      const settled = (outcome: CommitOutcome) => {
        committed(outcome)
        if (record._tag === "End") this.endCommitted()
      }
      this.append({ records, mayWait: false, isRefusable, committed: settled })
    }
    publication.gather(record, store, isRefusable)
  }

  /** The end of the session goes on record with its will, not with what this turn records. */
  protected endBegun(): void {
    this.endsUnderWay++
  }

  protected endCommitted(): void {
    this.endsUnderWay--
    if (this.endsUnderWay > 0) return
    const { afterEnds } = this
    this.afterEnds = undefined
    afterEnds?.()
  }

  /** Calls back when what was stored of the session before is discarded; once, for the last who asks. */
  protected afterDiscard(action: () => void): void {
    // A new session that is stored replaces the one before by its own record.
    if (this.endsUnderWay > 0 && !this.state.isRecorded) this.afterEnds = action
    else this.afterCommit(action)
  }

  afterCommit(action: () => void): void {
    if (this.turnRecords === undefined || this.turnRecords.isEmpty) action()
    else this.turnRecords.afterCommit(action)
  }

  afterAllCommits(action: () => void): void {
    const { turnRecords, uncommitted } = this
    if (turnRecords !== undefined && !turnRecords.isEmpty) turnRecords.afterCommit(action)
    else if (uncommitted !== undefined) uncommitted.afterCommit(action)
    else action()
  }

  settleAfterCommit(publication: Publication): void {
    this.onRecord.settleAfterCommit(publication)
  }

  /** Hands the turn's records to the journal. */
  protected commit(): void {
    const { turnRecords } = this
    if (turnRecords === undefined) return
    const { advancedIn: epoch, advancedTo: before } = turnRecords
    if (before >= 0) recordAdvance(this.state, { epoch, before }, this)
    this.turnRecords = undefined
    if (!turnRecords.isEmpty) {
      this.uncommitted = turnRecords
      turnRecords.afterCommit(() => {
        if (this.uncommitted === turnRecords) this.uncommitted = undefined
      })
    }
    turnRecords.commit(
      (unit) => this.append(unit.mayWait ? this.counted(unit) : unit),
      (entry, outcome) => this.stored(entry, outcome),
      this.waitingUnits > 0
    )
  }

  private get onRecord(): TurnRecords {
    return (this.turnRecords ??= new TurnRecords())
  }

  /** Counts it among those that wait as long as it is not committed. */
  private counted(unit: Omit<JournalUnit, "level">): Omit<JournalUnit, "level"> {
    this.waitingUnits++
    const committed = (outcome: CommitOutcome) => {
      this.waitingUnits--
      unit.committed(outcome)
    }
    return { ...unit, committed }
  }

  protected append(unit: Omit<JournalUnit, "level">): void {
    const { durability, journal } = this.services
    journal.append({ ...unit, level: durability(), weight: this.state.settings.weight })
  }

  /** A copy of ours has been put on record, or could not be. */
  stored(entry: EnqueueRecord, outcome: CommitOutcome): void {
    if (!(entry instanceof OutboundEntry) || entry.phase === Phase.Gone) return
    entry.isStored = outcome === undefined
    entry.release(entry.isStored)
    if (!entry.isStored) (this.unstored ??= []).push(entry)
    else if (entry.qos === 1 && this.isConnected && this.state.backlog === undefined) return
    if (this.isStoredSignalled) return
    this.isStoredSignalled = true
    this.actor.signal({ _tag: "Stored" })
  }

  /** What could not be stored since the last call. */
  protected takeUnstored(): ReadonlyArray<OutboundEntry> {
    this.isStoredSignalled = false
    const { unstored = [] } = this
    this.unstored = undefined
    return unstored
  }

  /** Brings what the session holds into the tenant's gauges. */
  protected account(): void {
    this.state.account.bring(this.state)
  }
}
