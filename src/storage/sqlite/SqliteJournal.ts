/**
 * The journal over the thread of a database: gathers units and commits them in batches, one at a time. While
 * a batch is on its way new units gather for the next, so the slower the disk, the more share an fsync.
 *
 * Units that may wait do so for a moment, because most of their messages are acknowledged by then and need
 * not be written. When a batch fails, who can be told is told; the rest stays and is tried again, in order
 * and before anything else, until it works. What a client reads of its queue has seen everything that was
 * appended before.
 *
 * What waits is bounded by `status`: who has to call for more looks at it first. What is kept through a long
 * failure is bounded by force: beyond the limit the oldest is given up, so that the database, once it can be
 * written, may show messages as waiting that were acknowledged, and lack the state of sessions that were new.
 */

import type { Tracing } from "../../telemetry/tracing/Tracing.ts"
import { type DurableRecord, Recorded } from "../DurableRecord.ts"
import type { StoredDelivery } from "../DurableState.ts"
import { FrameWriter } from "../frame/FrameWriter.ts"
import type { JournalStatus, JournalUnit } from "../Journal.ts"
import type { QueueRequest } from "../SessionStore.ts"
import type { StorageCounters } from "../StorageCounters.ts"
import { StorageError } from "../StorageError.ts"
import { readAll, readDelivery } from "./pages.ts"
import type { DoneReply, FailureReply } from "./requests.ts"
import { isLost, type LostReply, type ReplyTo, type SqliteThread } from "./SqliteThread.ts"
import { traceCommit } from "./tracing.ts"
import { isElided, touchesQueue, type WaitingUnit, WaitingUnits, waitingUnit } from "./WaitingUnits.ts"

export interface SqliteJournalOptions {
  readonly thread: Pick<SqliteThread, "open" | "request">
  readonly counters: StorageCounters
  /** Of the last frame in the database. */
  readonly applied: number
  /** A batch ends before it exceeds one of these, but for a unit that does alone. */
  readonly batchRecordsMax: number
  readonly batchBytesMax: number
  /** When more waits, the journal is congested until it is half of it. */
  readonly waitingRecordsMax: number
  readonly waitingBytesMax: number
  /** Calls back when what is done in this turn of the event loop is done. */
  readonly atTickEnd: (callback: () => void) => void
  /** Has `release` called after the time that units may wait. */
  readonly releaseLater: () => void
  /** Has `retry` called in a while. */
  readonly retryLater: () => void
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number
  readonly report: (event: JournalEvent) => void
  /** Undefined while nothing is traced. */
  readonly tracing?: Tracing | undefined
}

/** What an operator should hear of. */
export type JournalEvent =
  | { readonly _tag: "Failing"; readonly error: StorageError }
  | { readonly _tag: "Recovered" }
  | { readonly _tag: "GivenUp"; readonly records: number }
  | { readonly _tag: "ThreadEnded"; readonly error: StorageError }

interface Batch {
  readonly units: ReadonlyArray<WaitingUnit>
  readonly records: number
  readonly isSynced: boolean
  readonly sequence: number
  /** How often the thread has ended with it. */
  readonly losses: number
}

interface QueueRead {
  readonly request: QueueRequest
  readonly answer: (deliveries: ReadonlyArray<StoredDelivery> | StorageError) => void
  /** How many units must have been sent before. */
  readonly after: number
}

/** A batch with which the thread ended as often as this has failed. */
const lossesMax = 2

export class SqliteJournal {
  private readonly writer = new FrameWriter()
  private readonly waiting = new WaitingUnits()
  /** Units that may wait: since the last `release`, and since the one before. */
  private held = new WaitingUnits()
  private heldLonger = new WaitingUnits()
  private isReleaseDue = false
  private applied: number
  /** What is at the thread. */
  private underWay: Batch | "probe" | "open" | undefined = undefined
  /** The thread has ended; and the batch of which it is not known whether it was committed. */
  private needsThread = false
  private doubtful: Batch | undefined = undefined
  private isFlushDue = false
  /** How many units went to the thread, and how many came to `waiting`. */
  private sent = 0
  private queued = 0
  private reads: Array<QueueRead> = []
  private failure: StorageError | undefined = undefined
  /** While failing: whether to try now or when the alarm rings. */
  private mayTry = true
  private hasGivenUp = false
  private isCongested = false
  private relieved: Array<() => void> = []
  private isClosed = false
  private drained: (() => void) | undefined = undefined

  constructor(private readonly options: SqliteJournalOptions) {
    this.applied = options.applied
  }

  status(): JournalStatus {
    return this.failure !== undefined ? "failing" : this.isCongested ? "congested" : "ready"
  }

  whenRelieved(resume: () => void): void {
    if (this.status() === "congested") this.relieved.push(resume)
    else resume()
  }

  append(unit: JournalUnit): void {
    if (this.isClosed) return unit.committed(closed)
    const waiting = waitingUnit(unit)
    if (waiting.committed === undefined) unit.committed(undefined)
    else if (this.failure !== undefined && waiting.isRefusable) return this.refuse([waiting], this.failure)
    if (unit.mayWait) {
      this.held.push(waiting)
      this.scheduleRelease()
    } else {
      if (unit.keepsOrder === true) this.hasten(unit)
      this.enqueue(waiting)
      this.scheduleFlush()
    }
    this.weigh()
  }

  /** Units of the same session do not wait any longer. */
  private hasten({ records: [record] }: JournalUnit): void {
    if (record === undefined || record._tag === "Retain") return
    for (const held of [this.heldLonger, this.held]) {
      for (const unit of held.takeOf(record)) this.enqueue(unit)
    }
  }

  queue(request: QueueRequest, answer: QueueRead["answer"]): void {
    if (this.isClosed) return answer(closed)
    this.options.counters.queueReads++
    for (const unit of [...this.heldLonger.takeAll(), ...this.held.takeAll()]) this.enqueue(unit)
    this.reads.push({ request, answer, after: this.queued })
    this.scheduleFlush()
  }

  /** The time that units may wait has passed once more. */
  release(): void {
    this.isReleaseDue = false
    for (const unit of this.heldLonger.takeAll()) {
      if (isElided(unit)) this.drop(unit)
      else this.enqueue(unit)
    }
    const { held, heldLonger } = this
    this.held = heldLonger
    this.heldLonger = held
    if (held.length > 0) this.scheduleRelease()
    this.pump()
  }

  /** A unit of which nothing has to be written any more. */
  private drop(unit: WaitingUnit): void {
    this.options.counters.recordsElided += unit.records.length
    unit.committed?.(undefined)
  }

  /** Somebody else's request has found that the thread has ended. */
  threadEnded(reply: LostReply): void {
    if (!this.isClosed && !this.needsThread && this.underWay === undefined) this.lost(undefined, reply)
  }

  /** Tries again to write what could not be written. */
  retry(): void {
    this.mayTry = true
    this.pump()
  }

  /** Takes nothing more; calls back when all that was appended is committed, or cannot be for now. */
  close(drained: () => void): void {
    this.isClosed = true
    this.drained = drained
    for (const unit of [...this.heldLonger.takeAll(), ...this.held.takeAll()]) this.enqueue(unit)
    this.mayTry = true
    this.pump()
  }

  /** Units that are not committed. */
  get length(): number {
    return this.waiting.length + this.held.length + this.heldLonger.length + this.unsettled.length
  }

  /** Units whose batch is at the thread, or was when that ended. */
  private get unsettled(): ReadonlyArray<WaitingUnit> {
    const batch = this.doubtful ?? this.underWay
    return typeof batch === "object" ? batch.units : []
  }

  private enqueue(unit: WaitingUnit): void {
    this.waiting.push(unit)
    this.queued++
  }

  private scheduleRelease(): void {
    if (this.isReleaseDue) return
    this.isReleaseDue = true
    this.options.releaseLater()
  }

  private scheduleFlush(): void {
    if (this.isFlushDue || this.underWay !== undefined) return
    this.isFlushDue = true
    this.options.atTickEnd(() => {
      this.isFlushDue = false
      this.pump()
    })
  }

  /** Sends the next of what there is to do, as far as the thread is free for it. */
  private pump(): void {
    if (this.needsThread) {
      if (this.underWay === undefined && this.mayTry) this.openThread()
      if (this.underWay === undefined) this.settleClose()
      return
    }
    while (this.underWay === undefined && (this.failure === undefined || this.mayTry)) {
      const units = this.takeUnits()
      if (units.length === 0) break
      this.sent += units.length
      this.sendBatch(units, 0)
      this.sendReads()
    }
    if (this.underWay === undefined && this.failure !== undefined && this.mayTry) this.probe()
    this.sendReads()
    this.weigh()
    if (this.underWay === undefined) this.settleClose()
  }

  private settleClose(): void {
    const { drained } = this
    this.drained = undefined
    drained?.()
  }

  private takeUnits(): ReadonlyArray<WaitingUnit> {
    const { batchBytesMax, batchRecordsMax } = this.options
    return this.waiting.length === 0 ? [] : this.waiting.take(batchRecordsMax, batchBytesMax)
  }

  /** Hands units over; those of which nothing has to be written are done at once. */
  private sendBatch(units: ReadonlyArray<WaitingUnit>, losses: number): void {
    const sequence = this.applied + 1
    this.writer.begin(sequence)
    let records = 0
    for (const unit of units) records += this.write(unit.records)
    const isSynced = units.some((unit) => unit.isSynced && !isElided(unit))
    if (records === 0) return this.tell(units)
    const batch = { units, records, isSynced, sequence, losses }
    this.underWay = batch
    const sentAtMs = this.options.nowMs()
    const frame = this.writer.finish()
    const bytes = frame.length
    const { tracing } = this.options
    const traced = tracing && traceCommit({ units, records, bytes, isSynced }, tracing)
    this.options.thread.request({ _tag: "Apply", frame, isSynced }, (reply) => {
      if (reply._tag === "Failed") {
        traced?.fail(reply.reason)
        return this.batchFailed(batch, reply)
      }
      traced?.end()
      const elapsedMs = this.options.nowMs() - sentAtMs
      this.options.counters.committed({ units: units.length, records, bytes, isSynced, elapsedMs })
      this.batchCommitted(batch, reply)
    })
  }

  /** Adds records to the frame; answers how many. From here on what becomes of a message needs a record. */
  private write(records: ReadonlyArray<DurableRecord>): number {
    let count = 0
    for (const record of records) {
      if (record._tag === "Enqueue") {
        if (record.recorded === Recorded.Elided) {
          this.options.counters.recordsElided++
          continue
        }
        record.recorded = Recorded.Written
      }
      this.writer.add(record)
      count++
    }
    return count
  }

  private batchCommitted(batch: Batch, reply: DoneReply): void {
    this.underWay = undefined
    this.applied = batch.sequence
    this.options.counters.databaseBytes = reply.databaseBytes
    this.tell(batch.units)
    this.pump()
  }

  private tell(units: ReadonlyArray<WaitingUnit>): void {
    for (const { committed } of units) committed?.(undefined)
  }

  private batchFailed(batch: Batch, reply: FailureReply | LostReply): void {
    if (isLost(reply)) return this.lost(batch, reply)
    this.underWay = undefined
    const refused = batch.units.filter((unit) => unit.isRefusable)
    this.keep(batch.units.filter((unit) => !unit.isRefusable))
    // Without those that are refused it may work.
    this.fail(reply, refused.length > 0)
    this.refuse(refused, this.failure ?? closed)
    this.pump()
  }

  private fail({ isFull, reason }: FailureReply, mayTry: boolean): void {
    const isFirst = this.failure === undefined
    const error = new StorageError({ reason, cause: undefined, ...(isFull ? { isFull } : {}) })
    this.failure = error
    this.mayTry = mayTry && isFirst
    this.options.counters.failures++
    if (isFirst) this.options.report({ _tag: "Failing", error })
    this.refuse(this.waiting.takeRefusable(), error, true)
    this.giveUp(error)
    if (!this.mayTry) this.options.retryLater()
    // Who waits for room goes on with what needs no storage: what needs it is refused.
    this.relieve()
  }

  /** Those who are told. `wasQueued`: they were counted as waiting, and will not be sent. */
  private refuse(units: ReadonlyArray<WaitingUnit>, error: StorageError, wasQueued = false): void {
    if (wasQueued) this.sent += units.length
    this.options.counters.unitsRefused += units.length
    for (const { committed } of units) committed?.(error)
  }

  /** Units that were sent go back to the front. */
  private keep(units: ReadonlyArray<WaitingUnit>): void {
    this.sent -= units.length
    this.waiting.putBack(units)
  }

  /** The oldest of what is kept, as far as it is more than may be. */
  private giveUp(error: StorageError): void {
    const { counters, report, waitingBytesMax, waitingRecordsMax } = this.options
    const given: Array<WaitingUnit> = []
    while (this.waiting.records > 2 * waitingRecordsMax || this.waiting.bytes > 2 * waitingBytesMax) {
      given.push(...this.waiting.take(1, 1))
    }
    if (given.length === 0) return
    this.sent += given.length
    const records = given.reduce((sum, unit) => sum + unit.records.length, 0)
    counters.recordsGivenUp += records
    if (!this.hasGivenUp) report({ _tag: "GivenUp", records })
    this.hasGivenUp = true
    for (const { committed } of given) committed?.(error)
  }

  private probe(): void {
    this.underWay = "probe"
    this.options.thread.request({ _tag: "Probe" }, (reply) => {
      if (reply._tag === "Failed") {
        if (isLost(reply)) return this.lost(undefined, reply)
        this.underWay = undefined
        this.fail(reply, false)
      } else {
        this.underWay = undefined
        this.failure = undefined
        this.hasGivenUp = false
        this.options.report({ _tag: "Recovered" })
      }
      this.pump()
    })
  }

  /** The thread has ended, perhaps with a batch. */
  private lost(batch: Batch | undefined, { reason }: FailureReply): void {
    this.options.counters.restarts++
    this.options.report({ _tag: "ThreadEnded", error: new StorageError({ reason, cause: undefined }) })
    this.needsThread = true
    this.doubtful = batch
    this.openThread()
  }

  /** Starts another thread, which says whether the batch had been committed. Nothing is sent before. */
  private openThread(): void {
    this.underWay = "open"
    this.options.thread.open((reply) => {
      this.underWay = undefined
      if (reply._tag === "Failed") this.fail(reply, false)
      else {
        this.needsThread = false
        const batch = this.doubtful
        this.doubtful = undefined
        if (batch !== undefined) this.resolve(batch, reply)
      }
      this.pump()
    })
  }

  private resolve(batch: Batch, reply: DoneReply): void {
    const losses = batch.losses + 1
    if (reply.applied >= batch.sequence) this.batchCommitted(batch, reply)
    else if (losses < lossesMax) this.sendBatch(batch.units, losses)
    else
      this.batchFailed(batch, {
        _tag: "Failed",
        reason: "cannot write: the thread ended twice",
        isFull: false
      })
  }

  private sendReads(): void {
    const ready = this.reads.findIndex(({ after }) => after > this.sent)
    const reads = this.reads.splice(0, ready === -1 ? this.reads.length : ready)
    if (reads.length > 0) this.read(reads)
  }

  private read(reads: ReadonlyArray<QueueRead>): void {
    const requests = reads.map(({ request }) => request)
    this.options.thread.request({ _tag: "Queues", requests }, (reply) => {
      for (const [index, read] of reads.entries()) read.answer(this.answerTo(read, reply, index))
    })
  }

  /** A queue that lacks what could not be written is not shown. */
  private answerTo(
    { request }: QueueRead,
    reply: ReplyTo<{ readonly _tag: "Queues"; readonly requests: ReadonlyArray<QueueRequest> }>,
    index: number
  ): ReadonlyArray<StoredDelivery> | StorageError {
    if (reply._tag === "Failed") return new StorageError({ reason: reply.reason, cause: undefined })
    if (this.failure !== undefined && this.lacks(request)) return this.failure
    const part = reply.parts[index]
    return part === undefined ? [] : readAll(part, readDelivery)
  }

  /** Whether something that a queue hangs on could not be written yet. */
  private lacks({ clientId, tenant }: QueueRequest): boolean {
    return [...this.waiting.units, ...this.unsettled].some((unit) => touchesQueue(unit, tenant, clientId))
  }

  /** Counts what waits, and says so when that becomes too much or is not any more. */
  private weigh(): void {
    const { counters, waitingBytesMax, waitingRecordsMax } = this.options
    const { held, heldLonger, waiting } = this
    const records = waiting.records + held.records + heldLonger.records
    const bytes = waiting.bytes + held.bytes + heldLonger.bytes
    counters.waitingUnits = waiting.length + held.length + heldLonger.length
    counters.waitingRecords = records
    counters.waitingBytes = bytes
    if (records > waitingRecordsMax || bytes > waitingBytesMax) this.isCongested = true
    else if (this.isCongested && records <= waitingRecordsMax / 2 && bytes <= waitingBytesMax / 2) {
      this.isCongested = false
      this.relieve()
    }
  }

  private relieve(): void {
    const { relieved } = this
    this.relieved = []
    for (const resume of relieved) resume()
  }
}

const closed = new StorageError({ reason: "the storage is closed", cause: undefined })
