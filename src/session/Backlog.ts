/**
 * What waits behind the queue of a session: messages on record that were let go from memory, of which only
 * position and weight are kept, and behind them newer ones that are on their way onto the record.
 *
 * An absent client's queue, and what a slow one has too much of, is thereby not held in memory: some 16 bytes
 * a message are. It is read back page by page when the client takes it.
 */

import { Fifo } from "../actor/Fifo.ts"
import type { QueueIndex } from "../storage/DurableState.ts"
import { type OutboundEntry, Phase } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"

/** Two numbers in arrays. */
const RECORD_BYTES = 16

export class Backlog {
  private positions: Array<number> = []
  private weights: Array<number> = []
  private head = 0
  private weight = 0
  /** Of those in memory. */
  private tailWeight = 0
  /** Messages on record below this position were sent to the client: they do not wait, they are in flight. */
  private sentBefore = 0
  private sentCount = 0
  private sentWeight = 0
  /** Newer than all on record; some may be gone already. */
  private readonly tail = new Fifo<OutboundEntry>()
  private tailCount = 0
  /** A page was asked for. */
  isAsked = false
  /** What the page that was asked for shows for certain: everything on record up to this position. */
  askedTo = -1

  /** Messages on record, of which the queue may hold none. */
  static of({ bytes, positions }: QueueIndex, sentBefore: number): Backlog {
    const backlog = new Backlog()
    for (const [index, position] of positions.entries()) backlog.record(position, bytes[index] ?? 0)
    backlog.countSent(sentBefore)
    return backlog
  }

  get size(): number {
    return this.onRecord + this.tailCount
  }

  /** Messages that have not been sent. */
  get waiting(): number {
    return this.size - this.sentCount
  }

  /** Of payload, properties and topic. */
  get bytes(): number {
    return this.weight
  }

  /** What it takes in memory, beside the messages' own objects. */
  get memoryBytes(): number {
    return this.tailWeight + this.onRecord * RECORD_BYTES
  }

  /** Of those that have not been sent. */
  get waitingBytes(): number {
    return this.weight - this.sentWeight
  }

  /** Messages of which only position and weight are here. */
  get onRecord(): number {
    return this.positions.length - this.head
  }

  /** The lowest position; undefined when nothing is left. */
  get first(): number | undefined {
    return this.positions[this.head] ?? this.oldestInTail()?.position
  }

  /** The highest position on record; -1 when nothing is. */
  get lastOnRecord(): number {
    return this.positions[this.positions.length - 1] ?? -1
  }

  push(entry: OutboundEntry): void {
    this.tail.push(entry)
    this.tailCount++
    this.weight += entry.publication.bytes
    this.tailWeight += entry.publication.bytes
  }

  /** Takes the oldest message on record out of the list; its position. */
  shift(): number | undefined {
    const position = this.positions[this.head]
    if (position === undefined) return undefined
    const weight = this.weights[this.head] ?? 0
    this.weight -= weight
    if (position < this.sentBefore) {
      this.sentCount--
      this.sentWeight -= weight
    }
    this.head++
    if (this.head === this.positions.length) {
      this.positions = []
      this.weights = []
      this.head = 0
    }
    return position
  }

  /** Takes everything on record below a position out of the list; how many that were. */
  skipTo(position: number): number {
    const before = this.onRecord
    for (let first = this.positions[this.head]; first !== undefined && first < position; ) {
      this.shift()
      first = this.positions[this.head]
    }
    return before - this.onRecord
  }

  /** Takes out the oldest message on record that was not sent; its position, undefined when there is none. */
  dropOldest(): number | undefined {
    const index = this.head + this.sentCount
    const position = this.positions[index]
    if (position === undefined) return undefined
    if (index === this.head) return this.shift()
    this.weight -= this.weights[index] ?? 0
    this.positions.splice(index, 1)
    this.weights.splice(index, 1)
    return position
  }

  /** The oldest of those that are in memory. */
  oldestInTail(): OutboundEntry | undefined {
    let first = this.tail.peek()
    while (first?.phase === Phase.Gone) {
      this.tail.shift()
      first = this.tail.peek()
    }
    return first
  }

  /** An entry that waits in memory is dropped. */
  remove(entry: OutboundEntry): void {
    entry.phase = Phase.Gone
    this.tailCount--
    this.weight -= entry.publication.bytes
    this.tailWeight -= entry.publication.bytes
  }

  /** Entries that are in memory, oldest first. */
  *entries(): Iterable<OutboundEntry> {
    for (const entry of this.tail.values()) if (entry.phase !== Phase.Gone) yield entry
  }

  /** Lets go of the entries that have come onto the record, as far as nothing before them has not. */
  letGo(): void {
    for (let entry = this.oldestInTail(); entry?.isStored === true; entry = this.oldestInTail()) {
      this.takeFromTail(entry)
      this.record(entry.position, entry.publication.bytes)
    }
  }

  /**
   * The client is away: the queue's own messages are let go as well, when all are on record. Those of a
   * shared group stay, because another member may be given them.
   */
  absorb(queue: OutboundQueue): void {
    if (queue.size === 0) return
    const entries = [...queue.entries()]
    if (entries.some((entry) => !entry.isStored || entry.options.group !== undefined)) return
    const positions = this.positions.slice(this.head)
    const weights = this.weights.slice(this.head)
    this.positions = [...entries.map((entry) => entry.position), ...positions]
    this.weights = [...entries.map((entry) => entry.publication.bytes), ...weights]
    this.head = 0
    this.weight += queue.bytes
    this.countSent(queue.sentBefore)
    queue.clear()
  }

  /** Nothing is on record: what is left goes on in the queue. */
  moveInto(queue: OutboundQueue): void {
    for (let entry = this.oldestInTail(); entry !== undefined; entry = this.oldestInTail()) {
      this.takeFromTail(entry)
      queue.push(entry)
    }
  }

  private countSent(sentBefore: number): void {
    this.sentBefore = sentBefore
    const firstUnsent = this.positions.findIndex((position) => position >= sentBefore)
    this.sentCount = firstUnsent < 0 ? this.positions.length : firstUnsent
    this.sentWeight = 0
    for (let index = 0; index < this.sentCount; index++) this.sentWeight += this.weights[index] ?? 0
  }

  private takeFromTail(entry: OutboundEntry): void {
    this.tail.shift()
    this.tailCount--
    this.weight -= entry.publication.bytes
    this.tailWeight -= entry.publication.bytes
  }

  private record(position: number, bytes: number): void {
    this.positions.push(position)
    this.weights.push(bytes)
    this.weight += bytes
  }
}
