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
import { type OutboundEntry, Phase } from "./OutboundEntry.ts"

export const PACKET_IDS = 65_535

/** Places of a window that an empty queue keeps. */
const IDLE_PLACES = 64
/** Entries taken out of the middle of the line that are left standing in it, if that is less than half. */
const GAPS_KEPT = 32

export class OutboundQueue {
  /** In flight, each at its identifier modulo the length. */
  private window: Array<OutboundEntry | undefined> = []
  /** Those that wait, in order, and some among them that are gone. */
  private readonly line = new Fifo<OutboundEntry>()
  private gaps = 0
  private inflightCount = 0
  private waitingCount = 0
  private weight = 0
  private inflightWeight = 0
  private upcoming = 0
  private sent = 0
  /** No message below this is held. */
  private low = 0
  /** What a resumed session owes again, oldest first, and how much of that has been sent. */
  private owed: Array<OutboundEntry> = []
  private owedAt = 0
  /** Messages in flight from this position on have not been sent on this connection. */
  private resend = Number.POSITIVE_INFINITY
  private sentSinceRewind = 0

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

  /** Of those that have not been sent yet. */
  get waitingBytes(): number {
    return this.weight - this.inflightWeight
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

  /** The position of the next message. */
  get nextPosition(): number {
    return this.upcoming
  }

  /** Gives out the next position. */
  takePosition(): number {
    return this.upcoming++
  }

  /**
   * Positions go on where an earlier life of the queue stopped, and those below `sent` were sent in it.
   * Nothing below `low` is held; nothing at all when it is undefined.
   */
  goOn(nextPosition: number, sent: number, low: number | undefined): void {
    this.upcoming = nextPosition
    this.sent = Math.min(sent, nextPosition)
    this.low = low ?? nextPosition
  }

  /** A message that has not been sent takes its place at the end of the line. */
  push(entry: OutboundEntry): void {
    this.line.push(entry)
    this.waitingCount++
    this.weight += entry.publication.bytes
  }

  /** A message that an earlier connection sent is owed again, after those that already are. */
  owe(entry: OutboundEntry): void {
    this.inflightCount++
    this.weight += entry.publication.bytes
    this.inflightWeight += entry.publication.bytes
    this.place(entry)
    this.owed.push(entry)
    this.resend = Math.min(this.resend, entry.position)
  }

  /** Lets go of everything; what was in flight counts as sent. */
  clear(): void {
    this.window = []
    this.line.clear()
    this.gaps = 0
    this.inflightCount = 0
    this.waitingCount = 0
    this.weight = 0
    this.inflightWeight = 0
    this.nothingOwed()
  }

  /**
   * The lowest position that is held. The caller knows that none is between the front of the line, or `bound`
   * when nothing waits in it, and what is in flight.
   */
  lowest(bound: number): number {
    const end = this.oldestWaiting()?.position ?? bound
    while (this.low < end && this.find(packetIdAt(this.low))?.position !== this.low) this.low++
    return this.low
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
    const first = this.oldestWaiting()
    return first === undefined || !first.maySend || this.isBlocked ? undefined : first
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
    this.inflightWeight += entry.publication.bytes
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
      this.inflightWeight -= entry.publication.bytes
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
    return packetIdAt(entry.position)
  }

  private nothingOwed(): void {
    if (this.owed.length > 0) this.owed = []
    this.owedAt = 0
    this.resend = Number.POSITIVE_INFINITY
  }

  private inflightInOrder(): Array<OutboundEntry> {
    if (this.inflightCount === 0) return []
    return this.window.filter((entry) => entry !== undefined).sort((a, b) => a.position - b.position)
  }

  /** Puts it in the window, which grows until it has a place of its own there. */
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

const packetIdAt = (position: number): number => 1 + (position % PACKET_IDS)
