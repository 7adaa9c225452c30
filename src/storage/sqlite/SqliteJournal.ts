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
import type { Lane } from "./Lane.ts"
import { Lanes } from "./Lanes.ts"
import { readAll, readDelivery } from "./pages.ts"
import type { DoneReply, FailureReply } from "./requests.ts"
import { isLost, type LostReply, type ReplyTo, type SqliteThread } from "./SqliteThread.ts"
import { traceCommit } from "./tracing.ts"
import { isElided, touchesQueue, type WaitingUnit } from "./WaitingUnits.ts"

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
  /** What a tenant of weight 1 may have written in a round while others wait as well. */
  readonly quantumBytes: number
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
  /** How many units of its tenant must have been sent before; none when it has no lane. */
  readonly lane: Lane | undefined
  readonly after: number
}

/** A batch with which the thread ended as often as this has failed. */
const lossesMax = 2

export class SqliteJournal {
  private readonly writer = new FrameWriter()
  private readonly lanes: Lanes
  private isReleaseDue = false
  private applied: number
  /** What is at the thread. */
  private underWay: Batch | "probe" | "open" | undefined = undefined
  /** The thread has ended; and the batch of which it is not known whether it was committed. */
  private needsThread = false
  private doubtful: Batch | undefined = undefined
  private isFlushDue = false
  private reads: Array<QueueRead> = []
  private failure: StorageError | undefined = undefined
  /** While failing: whether to try now or when the alarm rings. */
  private mayTry = true
  private hasGivenUp = false
  private isClosed = false
  private drained: (() => void) | undefined = undefined

  constructor(private readonly options: SqliteJournalOptions) {
    this.applied = options.applied
    this.lanes = new Lanes(options)
  }

  status(tenant?: string): JournalStatus {
    if (this.failure !== undefined) return "failing"
    const { lanes } = this
    if (!lanes.isCongested) return "ready"
    return tenant === undefined || lanes.isCongestedFor(tenant) ? "congested" : "ready"
  }

  whenRelieved(resume: () => void, tenant: string): void {
    if (this.failure !== undefined) resume()
    else this.lanes.whenRelieved(tenant, resume)
  }

  append(unit: JournalUnit): void {
    if (this.isClosed) return unit.committed(closed)
    if (unit.level === "memory") unit.committed(undefined)
    else if (this.failure !== undefined && unit.isRefusable) {
      this.options.counters.unitsRefused++
      return unit.committed(this.failure)
    }
    const lane = this.lanes.add(unit)
    if (unit.mayWait) this.scheduleRelease()
    else this.scheduleFlush()
    this.lanes.weigh(lane)
    this.gauge()
  }

  queue(request: QueueRequest, answer: QueueRead["answer"]): void {
    if (this.isClosed) return answer(closed)
    this.options.counters.queueReads++
    const lane = this.lanes.hastenAll(request.tenant)
    this.reads.push({ request, answer, lane, after: lane?.queued ?? 0 })
    this.scheduleFlush()
  }

  /** The time that units may wait has passed once more. */
  release(): void {
    this.isReleaseDue = false
    for (const unit of this.lanes.release()) {
      this.options.counters.recordsElided += unit.records.length
      unit.committed?.(undefined)
    }
    if (this.lanes.isHolding) this.scheduleRelease()
    this.pump()
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
    this.lanes.hastenEveryone()
    this.mayTry = true
    this.pump()
  }

  /** Units that are not committed. */
  get length(): number {
    return this.lanes.length + this.unsettled.length
  }

  /** Units whose batch is at the thread, or was when that ended. */
  private get unsettled(): ReadonlyArray<WaitingUnit> {
    const batch = this.doubtful ?? this.underWay
    return typeof batch === "object" ? batch.units : []
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
      this.sendBatch(units, 0)
      this.sendReads()
    }
    if (this.underWay === undefined && this.failure !== undefined && this.mayTry) this.probe()
    this.sendReads()
    this.lanes.ease()
    this.gauge()
    if (this.underWay === undefined) this.settleClose()
  }

  private settleClose(): void {
    const { drained } = this
    this.drained = undefined
    drained?.()
  }

  private takeUnits(): ReadonlyArray<WaitingUnit> {
    const { batchBytesMax, batchRecordsMax } = this.options
    return this.lanes.take({ recordsMax: batchRecordsMax, bytesMax: batchBytesMax })
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
    this.lanes.settled(units)
    for (const { committed } of units) committed?.(undefined)
  }

  private batchFailed(batch: Batch, reply: FailureReply | LostReply): void {
    if (isLost(reply)) return this.lost(batch, reply)
    this.underWay = undefined
    const refused = batch.units.filter((unit) => unit.isRefusable)
    this.lanes.settled(refused)
    this.lanes.putBack(batch.units.filter((unit) => !unit.isRefusable))
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
    this.refuse(this.lanes.takeRefusable(), error)
    this.giveUp(error)
    if (!this.mayTry) this.options.retryLater()
    // Who waits for room goes on with what needs no storage: what needs it is refused.
    this.lanes.relieveAll()
  }

  private refuse(units: ReadonlyArray<WaitingUnit>, error: StorageError): void {
    this.options.counters.unitsRefused += units.length
    for (const { committed } of units) committed?.(error)
  }

  /** The oldest of what is kept, as far as it is more than may be. */
  private giveUp(error: StorageError): void {
    const { counters, report } = this.options
    const given = this.lanes.takeExcess()
    if (given.length === 0) return
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
    if (this.reads.length === 0) return
    const isReady = ({ after, lane }: QueueRead): boolean => lane === undefined || lane.sent >= after
    const ready = this.reads.filter(isReady)
    if (ready.length === 0) return
    this.reads = this.reads.filter((read) => !isReady(read))
    this.read(ready)
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
    return [...this.lanes.waitingOf(tenant), ...this.unsettled].some((unit) =>
      touchesQueue(unit, tenant, clientId)
    )
  }

  private gauge(): void {
    const { counters } = this.options
    const { bytes, length, records } = this.lanes
    counters.waitingUnits = length
    counters.waitingRecords = records
    counters.waitingBytes = bytes
  }
}

const closed = new StorageError({ reason: "the storage is closed", cause: undefined })
