/**
 * A journal that does only what it is told, so that a crash can fall between any two of its steps: a unit is
 * appended, taken (from then on it cannot be elided), committed (it survives), and told of.
 *
 * What is committed went through the frame codec, as it would on its way to a disk. Units that may wait are
 * overtaken by others until they are asked for.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type DurableRecord, Recorded } from "../../src/storage/DurableRecord.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"
import { Journal, type JournalUnit } from "../../src/storage/Journal.ts"
import { RetainedStore } from "../../src/storage/RetainedStore.ts"
import { SessionStore } from "../../src/storage/SessionStore.ts"
import type { Tables } from "./Tables.ts"

interface Taken {
  readonly unit: JournalUnit
  readonly frame: Uint8Array<ArrayBuffer>
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

  constructor(
    /** With what earlier journals have committed. */
    private readonly tables: Tables,
    /** Of the first frame. */
    private sequence: number,
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
      sessions: all(() => this.tables.sessions()),
      queue: (request, answer) => {
        // It sees every unit that was appended before.
        this.take(Number.POSITIVE_INFINITY, true)
        this.commit(Number.POSITIVE_INFINITY)
        if (!this.isHeld) queueMicrotask(() => this.drain(true))
        this.tables.queue(request, (page) => {
          if (this.isDead) return
          if (this.isHeld) this.answers.push(() => answer(page))
          else answer(page)
        })
      }
    }),
    Layer.succeed(RetainedStore, {
      messages: all(() => this.tables.retained())
    })
  )

  /** Of the next frame. */
  get nextSequence(): number {
    return this.sequence
  }

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
      const written = unit.records.filter(isWritten).filter((record) => record._tag !== this.loses)
      this.taken.push({ unit, frame: encodeFrame(this.sequence++, written) })
    }
  }

  commit(count: number): void {
    for (const { frame, unit } of this.taken.splice(0, count)) {
      this.tables.apply(frame)
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
    if (unit.mayWait) {
      this.waiting.push(unit)
    } else {
      if (unit.keepsOrder === true) this.hasten(unit)
      this.appended.push(unit)
    }
    if (!this.isHeld) this.drain(false)
  }

  /** Units of the same session do not wait any longer. */
  private hasten(next: JournalUnit): void {
    const isOf = (unit: JournalUnit) => clientOf(unit) === clientOf(next)
    this.appended.push(...this.waiting.filter(isOf))
    this.waiting = this.waiting.filter((unit) => !isOf(unit))
  }

  private drain(withWaiting: boolean): void {
    do {
      this.take(Number.POSITIVE_INFINITY, withWaiting)
      this.commit(Number.POSITIVE_INFINITY)
      this.tell(Number.POSITIVE_INFINITY)
    } while (this.appended.length > 0)
  }
}

const all = <A>(read: () => Promise<ReadonlyArray<A>>): Stream.Stream<A> =>
  Stream.fromIterableEffect(Effect.promise(read))

const clientOf = ({ records: [record] }: JournalUnit): string | undefined =>
  record === undefined || record._tag === "Retain" ? undefined : record.clientId

const isNeeded = (record: DurableRecord): boolean =>
  record._tag !== "Enqueue" || record.recorded === Recorded.Pending

/** Marks what is taken, and leaves out what became needless. */
const isWritten = (record: DurableRecord): boolean => {
  if (record._tag !== "Enqueue") return true
  if (record.recorded === Recorded.Elided) return false
  record.recorded = Recorded.Written
  return true
}
