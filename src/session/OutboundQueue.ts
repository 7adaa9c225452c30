/**
 * The QoS 1 and 2 messages of one session on their way to the client: those that wait, and behind them in the
 * same order those that were sent and are not yet acknowledged.
 *
 * Every message has a position, and the position gives its Packet Identifier: 1 + position mod 65535. A
 * resend therefore uses the original identifier without anything having to be written down, and identifiers
 * in use never collide because the queue spans fewer than 65,535 positions. Three cursors: `head` (oldest not
 * completed), `sent` (first not yet sent), `tail` (next to be given). Completed, expired and dropped messages
 * leave holes that the cursors skip.
 *
 *     head ......... sent ......... tail
 *      in flight       waiting
 *
 * Entries live in a ring that grows by doubling and is dropped when empty: an idle session holds no queue.
 */

import type { Qos } from "../protocol/Packet.ts"
import type { Publication } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"

export const PACKET_IDS = 65_535

/** How far the delivery of a sent message has come. */
export const Phase = {
  Waiting: 0,
  /** PUBLISH sent; PUBACK or PUBREC outstanding. */
  Published: 1,
  /** PUBREC received, PUBREL sent; PUBCOMP outstanding. [MQTT-4.3.3-6] */
  Released: 2
} as const
export type Phase = (typeof Phase)[keyof typeof Phase]

export interface OutboundEntry {
  readonly publication: Publication
  readonly options: DeliveryOptions
  readonly qos: Qos
  readonly position: number
  phase: Phase
  /**
   * It was sent before, on this connection or an earlier one: the next PUBLISH carries DUP. [MQTT-3.3.1-1]
   */
  wasSent: boolean
}

/** What a store knows of a queue; entries by position, oldest first. */
export interface RestoredQueue {
  readonly entries: ReadonlyArray<{
    readonly position: number
    readonly publication: Publication
    readonly options: DeliveryOptions
    readonly qos: 1 | 2
    readonly isReleased: boolean
  }>
  readonly nextPosition: number
  readonly sentBefore: number
}

export class OutboundQueue {
  private ring: Array<OutboundEntry | undefined> = []
  private mask = -1
  private head = 0
  private sent = 0
  private tail = 0
  /** Where the resending after a resume has come to; equal to `sent` when there is nothing to resend. */
  private resend = 0
  private live = 0
  private waitingCount = 0
  private weight = 0

  /**
   * A queue as it was stored: positions go on at `nextPosition`, and those below `sentBefore` may have been
   * sent.
   */
  static restore(stored: RestoredQueue): OutboundQueue {
    const queue = new OutboundQueue()
    const first = stored.entries[0]?.position ?? stored.nextPosition
    queue.head = queue.sent = queue.resend = queue.tail = first
    for (const { isReleased, options, position, publication, qos } of stored.entries) {
      while (queue.tail < position) queue.skip()
      const entry = queue.push(publication, options, qos)
      if (position < stored.sentBefore) {
        queue.advance(entry)
        if (isReleased) entry.phase = Phase.Released
      }
    }
    while (queue.tail < stored.nextPosition) queue.skip()
    return queue
  }

  /** Messages that have not been sent yet. */
  get waiting(): number {
    return this.waitingCount
  }

  /** Messages sent (on any connection) and not completed. */
  get inflight(): number {
    return this.live - this.waitingCount
  }

  get size(): number {
    return this.live
  }

  /** Payload bytes of everything held. */
  get bytes(): number {
    return this.weight
  }

  /** Positions below this have been sent at least once. */
  get sentBefore(): number {
    return this.sent
  }

  /** The oldest message in flight was sent so long ago that the next identifiers would come round to it. */
  get isExhausted(): boolean {
    return this.sent - this.head >= PACKET_IDS - 1
  }

  push(publication: Publication, options: DeliveryOptions, qos: Qos): OutboundEntry {
    if (this.tail - this.head >= this.ring.length) this.grow()
    const entry: OutboundEntry = {
      publication,
      options,
      qos,
      position: this.tail,
      phase: Phase.Waiting,
      wasSent: false
    }
    this.ring[this.tail & this.mask] = entry
    this.tail++
    this.live++
    this.waitingCount++
    this.weight += publication.bytes
    return entry
  }

  /**
   * What to send next: first what a resumed session owes again, then the oldest that waits; undefined when
   * nothing can be.
   */
  next(): OutboundEntry | undefined {
    for (; this.resend < this.sent; this.resend++) {
      const entry = this.at(this.resend)
      if (entry !== undefined) return entry
    }
    for (; this.sent < this.tail && !this.isExhausted; this.sent++) {
      const entry = this.at(this.sent)
      if (entry !== undefined) return entry
    }
    this.resend = this.sent
    return undefined
  }

  /** What `next` gave has been sent: the cursor moves past it. */
  advance(entry: OutboundEntry): void {
    if (entry.position < this.sent) {
      this.resend = entry.position + 1
      return
    }
    this.waitingCount--
    this.sent = entry.position + 1
    this.resend = this.sent
    entry.phase = Phase.Published
    entry.wasSent = true
  }

  /** Whether it was sent on this connection, rather than only on an earlier one. */
  isCurrent(entry: OutboundEntry): boolean {
    return entry.position < this.resend
  }

  /** The entry in flight with that Packet Identifier; undefined when there is none. */
  find(packetId: number): OutboundEntry | undefined {
    const offset = (packetId - 1 - (this.head % PACKET_IDS) + PACKET_IDS) % PACKET_IDS
    const position = this.head + offset
    if (position >= this.sent) return undefined
    return this.at(position)
  }

  /** Takes an entry out: completed, expired or dropped. */
  remove(entry: OutboundEntry): void {
    const index = entry.position & this.mask
    if (this.ring[index] !== entry) return
    this.ring[index] = undefined
    this.live--
    this.weight -= entry.publication.bytes
    if (entry.position >= this.sent) this.waitingCount--
    if (this.live === 0) {
      this.head = this.tail
      this.sent = this.tail
      this.resend = this.tail
      if (this.ring.length > 64) {
        this.ring = []
        this.mask = -1
      }
      return
    }
    while (this.head < this.tail && this.at(this.head) === undefined) this.head++
    if (this.sent < this.head) this.sent = this.head
    if (this.resend < this.head) this.resend = this.head
  }

  /** The oldest message that has not been sent; undefined when none waits. */
  oldestWaiting(): OutboundEntry | undefined {
    for (let position = this.sent; position < this.tail; position++) {
      const entry = this.at(position)
      if (entry !== undefined) return entry
    }
    return undefined
  }

  /** A new connection resumes the session: everything in flight is owed again, in order. [MQTT-4.4.0-1] */
  rewind(): void {
    this.resend = this.head
  }

  /** All entries, oldest first. */
  *entries(): Iterable<OutboundEntry> {
    for (let position = this.head; position < this.tail; position++) {
      const entry = this.at(position)
      if (entry !== undefined) yield entry
    }
  }

  packetIdOf(entry: OutboundEntry): number {
    return 1 + (entry.position % PACKET_IDS)
  }

  /** A position without a message: what was there has been completed. */
  private skip(): void {
    if (this.tail - this.head >= this.ring.length) this.grow()
    this.tail++
    if (this.live === 0) this.head = this.sent = this.resend = this.tail
  }

  private at(position: number): OutboundEntry | undefined {
    return this.ring[position & this.mask]
  }

  private grow(): void {
    const size = Math.max(8, this.ring.length * 2)
    const ring = new Array<OutboundEntry | undefined>(size).fill(undefined)
    for (let position = this.head; position < this.tail; position++) {
      ring[position & (size - 1)] = this.at(position)
    }
    this.ring = ring
    this.mask = size - 1
  }
}
