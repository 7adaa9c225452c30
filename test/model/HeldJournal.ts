/**
 * A journal that does only what it is told, so that a crash can fall between any two of its steps: a unit is
 * appended, taken (from then on it cannot be elided), committed (it survives), and told of.
 *
 * What is committed went through the frame codec, as it would on its way to a disk. Units that may wait are
 * overtaken by others until they are asked for.
 */

import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type DurableRecord, Recorded } from "../../src/storage/DurableRecord.ts"
import type { DurableState } from "../../src/storage/DurableState.ts"
import { decodeFrame } from "../../src/storage/frame/FrameReader.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"
import { Journal, type JournalUnit } from "../../src/storage/Journal.ts"
import { queuePage } from "../../src/storage/memory.ts"
import { RetainedStore } from "../../src/storage/RetainedStore.ts"
import { SessionStore } from "../../src/storage/SessionStore.ts"

interface Taken {
  readonly unit: JournalUnit
  readonly frame: Uint8Array
}

export class HeldJournal {
  private appended: Array<JournalUnit> = []
  private waiting: Array<JournalUnit> = []
  private taken: Array<Taken> = []
  private committed: Array<JournalUnit> = []
  /** Parts of queues that were read, and not told yet. */
  private readonly answers: Array<() => void> = []
  private isHeld = false
  private isDead = false
  private sequence = 1

  constructor(
    /** What an earlier journal has committed. */
    readonly state: DurableState,
    /** Records of this kind are not committed, although it says so: to see that it shows. */
    private readonly loses: DurableRecord["_tag"] | undefined
  ) {}

  readonly layer = Layer.mergeAll(
    Layer.succeed(Journal, {
      append: (unit) => this.append(unit),
      status: () => "ready",
      whenRelieved: (resume) => resume()
    }),
    Layer.succeed(SessionStore, {
      sessions: Stream.suspend(() => Stream.fromIterable(this.state.sessions())),
      queue: (request, answer) => {
        // It sees every unit that was appended before.
        this.take(Number.POSITIVE_INFINITY, true)
        this.commit(Number.POSITIVE_INFINITY)
        const page = queuePage(this.state, request)
        if (this.isHeld) return void this.answers.push(() => answer(page))
        queueMicrotask(() => this.drain(true))
        answer(page)
      }
    }),
    Layer.succeed(RetainedStore, {
      messages: Stream.suspend(() => Stream.fromIterable(this.state.retained()))
    })
  )

  /** Everything that was appended, and may not wait, is committed and told of. */
  get isIdle(): boolean {
    return this.appended.length + this.taken.length + this.committed.length === 0
  }

  /** Nothing at all waits. */
  get isSettled(): boolean {
    return this.isIdle && this.waiting.every(({ records }) => !records.some(isNeeded))
  }

  hold(): void {
    this.isHeld = true
  }

  run(): void {
    this.isHeld = false
    this.drain(false)
  }

  /** The process is dead: nothing happens any more. What was committed stays in `state`. */
  kill(): void {
    this.isDead = true
  }

  /** Everything, also what may wait. */
  flush(): void {
    this.drain(true)
  }

  take(count: number, withWaiting: boolean): void {
    if (withWaiting) this.appended.push(...this.waiting.splice(0))
    for (const unit of this.appended.splice(0, count)) {
      this.taken.push({ unit, frame: encodeFrame(this.sequence++, unit.records.filter(isWritten)) })
    }
  }

  commit(count: number): void {
    for (const { frame, unit } of this.taken.splice(0, count)) {
      for (const record of decodeFrame(frame).records) {
        if (record._tag !== this.loses) this.state.apply(record)
      }
      this.committed.push(unit)
    }
  }

  tell(count: number): void {
    for (const unit of this.committed.splice(0, count)) unit.committed(undefined)
    // What was read is older than what has been told.
    for (const answer of this.answers.splice(0)) answer()
  }

  private append(unit: JournalUnit): void {
    if (this.isDead) return
    if (unit.mayWait) this.waiting.push(unit)
    else this.appended.push(unit)
    if (!this.isHeld) this.drain(false)
  }

  private drain(withWaiting: boolean): void {
    do {
      this.take(Number.POSITIVE_INFINITY, withWaiting)
      this.commit(Number.POSITIVE_INFINITY)
      this.tell(Number.POSITIVE_INFINITY)
    } while (this.appended.length > 0)
  }
}

const isNeeded = (record: DurableRecord): boolean =>
  record._tag !== "Enqueue" || record.recorded === Recorded.Pending

/** Marks what is taken, and leaves out what became needless. */
const isWritten = (record: DurableRecord): boolean => {
  if (record._tag !== "Enqueue") return true
  if (record.recorded === Recorded.Elided) return false
  record.recorded = Recorded.Written
  return true
}
