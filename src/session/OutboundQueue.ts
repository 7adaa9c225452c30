/**
 * The QoS 1 and 2 messages of one session on their way to the client: those that wait in a line, and those
 * that were sent and are not yet acknowledged in a window.
 *
 * Every message has a position, and the position gives its Packet Identifier: 1 + position mod 65535. A
 * resend therefore uses the original identifier without anything having to be written down. Expired and
 * dropped messages leave gaps between positions: a session whose oldest message is never acknowledged, while
 * a full queue drops thousands, has a wide range of positions and still few messages. So nothing here is laid
 * out by position: the line is a queue, and the window a table by identifier that grows until no two share a
 * place. A message whose identifier is in flight waits until that one is acknowledged.
 *
 * An idle session holds no large table.
 */

import { Fifo } from "../actor/Fifo.ts"
import type { Qos } from "../protocol/Packet.ts"
import type { Publication } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"

export const PACKET_IDS = 65_535

/** Places of a window that an empty queue keeps. */
const IDLE_PLACES = 64
/** Entries taken out of the middle of the line that are left standing in it, if that is less than half. */
const GAPS_KEPT = 32

/** How far the delivery of a message has come. */
export const Phase = {
  Waiting: 0,
  /** PUBLISH sent; PUBACK or PUBREC outstanding. */
  Published: 1,
  /** PUBREC received, PUBREL sent; PUBCOMP outstanding. [MQTT-4.3.3-6] */
  Released: 2,
  /** Completed, expired or dropped: no longer in the queue. */
  Gone: 3
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
  /** In flight, each at its identifier modulo the length. */
  private window: Array<OutboundEntry | undefined> = []
  /** Those that wait, in order, and some among them that are gone. */
  private readonly line = new Fifo<OutboundEntry>()
  private gaps = 0
  private inflightCount = 0
  private waitingCount = 0
  private weight = 0
  /** The position of the next message. */
  private tail = 0
  private sent = 0
  /** What a resumed session owes again, oldest first, and how much of that has been sent. */
  private owed: ReadonlyArray<OutboundEntry> = []
  private owedAt = 0
  /** Messages in flight from this position on have not been sent on this connection. */
  private resend = Number.POSITIVE_INFINITY
  private sentSinceRewind = 0

  /**
   * A queue as it was stored: positions go on at `nextPosition`, and those below `sentBefore` may have been
   * sent.
   */
  static restore(stored: RestoredQueue): OutboundQueue {
    const queue = new OutboundQueue()
    const { nextPosition, sentBefore } = stored
    for (const { isReleased, options, position, publication, qos } of stored.entries) {
      queue.tail = position
      const entry = queue.push(publication, options, qos)
      if (position >= sentBefore) continue
      entry.wasSent = true
      if (queue.next() !== entry) continue
      queue.advance(entry)
      if (isReleased) entry.phase = Phase.Released
    }
    queue.tail = nextPosition
    queue.sent = Math.min(sentBefore, nextPosition)
    return queue
  }

  /** Messages that have not been sent yet. */
  get waiting(): number {
    return this.waitingCount
  }

  /** Messages sent (on any connection) and not completed. */
  get inflight(): number {
    return this.inflightCount
  }

  get size(): number {
    return this.inflightCount + this.waitingCount
  }

  /** Payload bytes of everything held. */
  get bytes(): number {
    return this.weight
  }

  /** Positions below this have been sent at least once. */
  get sentBefore(): number {
    return this.sent
  }

  /** The next message needs the identifier of one in flight. */
  get isBlocked(): boolean {
    const first = this.oldestWaiting()
    return first !== undefined && this.find(this.packetIdOf(first)) !== undefined
  }

  /**
   * The client has had a chance to acknowledge the message that blocks the queue: this connection has sent it
   * tens of thousands of others.
   */
  get isStuck(): boolean {
    return this.sentSinceRewind > PACKET_IDS / 2 && this.isBlocked
  }

  push(publication: Publication, options: DeliveryOptions, qos: Qos): OutboundEntry {
    const entry: OutboundEntry = {
      publication,
      options,
      qos,
      position: this.tail,
      phase: Phase.Waiting,
      wasSent: false
    }
    this.line.push(entry)
    this.tail++
    this.waitingCount++
    this.weight += publication.bytes
    return entry
  }

  /**
   * What to send next: first what a resumed session owes again, then the oldest that waits; undefined when
   * nothing can be.
   */
  next(): OutboundEntry | undefined {
    for (; this.owedAt < this.owed.length; this.owedAt++) {
      const entry = this.owed[this.owedAt]
      if (entry !== undefined && entry.phase !== Phase.Gone) return entry
    }
    if (this.owedAt > 0) this.nothingOwed()
    return this.isBlocked ? undefined : this.oldestWaiting()
  }

  /** What `next` gave has been sent. */
  advance(entry: OutboundEntry): void {
    if (entry.phase !== Phase.Waiting) {
      this.owedAt++
      this.resend = entry.position + 1
      return
    }
    this.line.shift()
    this.waitingCount--
    this.inflightCount++
    this.sentSinceRewind++
    this.sent = Math.max(this.sent, entry.position + 1)
    entry.phase = Phase.Published
    entry.wasSent = true
    this.place(entry)
  }

  /** Whether it was sent on this connection, rather than only on an earlier one. */
  isCurrent(entry: OutboundEntry): boolean {
    return entry.position < this.resend
  }

  /** The entry in flight with that Packet Identifier; undefined when there is none. */
  find(packetId: number): OutboundEntry | undefined {
    const entry = this.window[packetId & (this.window.length - 1)]
    return entry !== undefined && this.packetIdOf(entry) === packetId ? entry : undefined
  }

  /** Takes an entry out: completed, expired or dropped. */
  remove(entry: OutboundEntry): void {
    const { phase } = entry
    if (phase === Phase.Gone) return
    entry.phase = Phase.Gone
    this.weight -= entry.publication.bytes
    if (phase === Phase.Waiting) {
      this.waitingCount--
      this.gaps++
      this.closeGaps()
    } else {
      this.inflightCount--
      this.window[this.packetIdOf(entry) & (this.window.length - 1)] = undefined
    }
    if (this.size > 0) return
    this.nothingOwed()
    if (this.window.length > IDLE_PLACES) this.window = []
  }

  /** The oldest message that has not been sent; undefined when none waits. */
  oldestWaiting(): OutboundEntry | undefined {
    let first = this.line.peek()
    while (first?.phase === Phase.Gone) {
      this.line.shift()
      this.gaps--
      first = this.line.peek()
    }
    return first
  }

  /** A new connection resumes the session: everything in flight is owed again, in order. [MQTT-4.4.0-1] */
  rewind(): void {
    this.owed = this.inflightInOrder()
    this.owedAt = 0
    this.resend = this.owed[0]?.position ?? Number.POSITIVE_INFINITY
    this.sentSinceRewind = 0
  }

  /** All entries, oldest first. */
  *entries(): Iterable<OutboundEntry> {
    yield* this.inflightInOrder()
    for (const entry of this.line.values()) if (entry.phase !== Phase.Gone) yield entry
  }

  packetIdOf(entry: OutboundEntry): number {
    return 1 + (entry.position % PACKET_IDS)
  }

  private nothingOwed(): void {
    this.owed = []
    this.owedAt = 0
    this.resend = Number.POSITIVE_INFINITY
  }

  private inflightInOrder(): ReadonlyArray<OutboundEntry> {
    if (this.inflightCount === 0) return []
    return this.window.filter((entry) => entry !== undefined).sort((a, b) => a.position - b.position)
  }

  /** Those that are gone leave the front of the line at once, and its middle when they are most of it. */
  private place(entry: OutboundEntry): void {
    const packetId = this.packetIdOf(entry)
    while (this.window[packetId & (this.window.length - 1)] !== undefined || this.window.length === 0) {
      this.widen()
    }
    this.window[packetId & (this.window.length - 1)] = entry
  }

  private widen(): void {
    const places = Math.max(8, this.window.length * 2)
    const window = new Array<OutboundEntry | undefined>(places).fill(undefined)
    for (const entry of this.window) {
      if (entry !== undefined) window[this.packetIdOf(entry) & (places - 1)] = entry
    }
    this.window = window
  }

  /** Those that are gone leave the front of the line at once, and its middle when they are the most of it. */
  private closeGaps(): void {
    this.oldestWaiting()
    if (this.gaps <= GAPS_KEPT || this.gaps <= this.waitingCount) return
    for (let count = this.line.length; count > 0; count--) {
      const entry = this.line.shift()
      if (entry !== undefined && entry.phase !== Phase.Gone) this.line.push(entry)
    }
    this.gaps = 0
  }
}
