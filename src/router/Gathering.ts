/**
 * Records of several actors that belong to one message and become durable together or not at all: the
 * identifier of a QoS 2 message and the copies of all who get it, a will that is done and its copies, a
 * message that leaves one member of a shared group for another.
 *
 * Whoever will have a record to add is expected first; when all have contributed, the unit goes to the
 * journal, but not before those of earlier messages: a crash must not keep a message and lose one before it,
 * which its publisher then sends again. [MQTT-4.6.0-6]
 */

import { Fifo } from "../actor/Fifo.ts"
import type { DurableRecord, EnqueueRecord } from "../storage/DurableRecord.ts"
import type { CommitOutcome } from "../storage/Journal.ts"
import { StorageError } from "../storage/StorageError.ts"

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
  private readonly whenFailed: Array<() => void> = []
  private missing = 0
  private line: GatheringLine | undefined
  isComplete = false
  private isRefused = false
  private isRejected = false

  constructor(
    /** Somebody waits who can be told that it was not stored; else it is kept until it is. */
    readonly isRefusable: boolean,
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

  /** Calls back if nothing of it was stored. */
  onFailure(failed: () => void): void {
    this.whenFailed.push(failed)
  }

  /** Somebody cannot take what he should keep: nothing of it is stored, if its publisher can be told. */
  refuse(): void {
    this.isRefused = this.isRefusable
  }

  /** Its message is not taken: nothing of it is to be stored, if its publisher can be told. */
  reject(): void {
    this.isRejected = this.isRefusable
  }

  /** One of those expected has added what it had. True with the last. */
  contributed(): boolean {
    this.missing--
    return this.missing <= 0
  }

  /** Its message has been routed: it takes its place among the others. */
  enter(line: GatheringLine): void {
    if (this.line !== undefined) return
    this.line = line
    line.push(this)
  }

  /** It waits for none before it any more. */
  leave(): void {
    this.line = undefined
  }

  /** All have contributed. */
  complete(): void {
    this.isComplete = true
    if (this.line === undefined) this.commit()
    else this.line.advance()
  }

  /** Hands the unit to the journal. */
  commit(): void {
    if (this.isRejected) this.done(undefined)
    else if (this.isRefused) this.committed(noRoom)
    else this.store(this.records, (outcome) => this.committed(outcome))
  }

  private committed(outcome: CommitOutcome): void {
    for (const [keeper, entry] of this.copies) keeper.stored(entry, outcome)
    if (outcome !== undefined) for (const failed of this.whenFailed) failed()
    this.done(outcome)
  }
}

const noRoom = new StorageError({ reason: "a session that keeps the message has no room", cause: undefined })

/** The units of a router's messages, in the order in which those were routed. */
export class GatheringLine {
  private readonly line = new Fifo<Gathering>()
  private isDissolved = false

  get isEmpty(): boolean {
    return this.line.length === 0
  }

  push(gathering: Gathering): void {
    this.line.push(gathering)
  }

  /** Hands on what is complete, as far as nothing before it is not. */
  advance(): void {
    for (let first = this.line.peek(); first !== undefined; first = this.line.peek()) {
      if (!first.isComplete && !this.isDissolved) return
      this.line.shift()
      if (first.isComplete) first.commit()
      else first.leave()
    }
  }

  /** Somebody will never contribute: the others need not wait for that one. */
  dissolve(): void {
    this.isDissolved = true
    this.advance()
  }
}
