/**
 * Publishers and subscribers of the load generator. A payload begins with the instant it was sent, its
 * publisher and its sequence number, so that a subscriber can tell latency, loss, duplicates and disorder.
 */

import type { LatencyHistogram } from "./LatencyHistogram.ts"
import { field, type Hello, LoadClient, packetOf, type Rota } from "./LoadClient.ts"
import type { MessageScenario } from "./scenarios.ts"

/** Time (8 bytes, float), publisher (4), sequence number (4). */
export const stampBytes = 16
/** Messages that a publisher writes at a time. */
const blockMax = 256
/** Gaps larger than this are counted, not remembered number by number. */
const gapMax = 10_000

/** What the clients of one run count together. */
export class Tally {
  isPublishing = false
  isMeasuring = false
  sent = 0
  received = 0
  duplicated = 0
  reordered = 0
  /** Lost in gaps too large to remember. */
  skipped = 0

  constructor(
    readonly scenario: MessageScenario,
    readonly latency: LatencyHistogram,
    /** From the write of a QoS 1 or 2 message to its PUBACK or PUBREC. */
    readonly ackLatency: LatencyHistogram
  ) {}

  get copies(): number {
    return copiesOf(this.scenario)
  }

  /** What the clients of a scenario say when they connect. */
  hello(clientId: string): Hello {
    const { sessions, version } = this.scenario
    return { clientId, version, isPersistent: sessions !== "clean" }
  }
}

/** Subscribers that get each message. */
export const copiesOf = ({ mode, subscribers }: MessageScenario): number =>
  mode === "fan-out" || mode === "fan-in" ? subscribers : 1

export const topicOf = ({ mode, name }: MessageScenario, publisher: number): string =>
  mode === "fan-out" ? `bench/${name}/all` : `bench/${name}/${publisher}/out`

export const filterOf = (scenario: MessageScenario, subscriber: number): string => {
  const { mode, name } = scenario
  switch (mode) {
    case "p2p":
    case "fan-out":
      return topicOf(scenario, subscriber)
    case "wildcard":
      return `bench/+/${subscriber}/+`
    case "fan-in":
      return `bench/${name}/#`
    case "shared":
      return `$share/group/bench/${name}/#`
  }
}

export class Publisher extends LoadClient {
  sequence = 0
  undelivered = 0
  private unacknowledged = 0
  private packetId = 0
  private credit = 0
  private chunkNs = 0
  /** When the message with a Packet Identifier was written. */
  private readonly sentNs: Float64Array
  /**
   * As many frames as are written at a time, all alike but for identifier and stamp: nothing is encoded in
   * the run.
   */
  private readonly block: Buffer
  private readonly view: DataView
  private readonly frameBytes: number
  private readonly packetIdAt: number

  constructor(
    rota: Rota,
    private readonly tally: Tally,
    index: number
  ) {
    super(rota, tally.hello(`bench-pub-${index}`))
    this.sentNs = new Float64Array(tally.scenario.qos > 0 ? 65_536 : 0)
    const { payloadBytes, qos, version } = tally.scenario
    const payload = Buffer.alloc(Math.max(stampBytes, payloadBytes), 0x2e)
    payload.writeUInt32BE(index, 8)
    const beforePayload = Buffer.alloc((qos > 0 ? 2 : 0) + (version === 5 ? 1 : 0))
    const frame = packetOf(0x30 | (qos << 1), field(topicOf(tally.scenario, index)), beforePayload, payload)
    this.frameBytes = frame.length
    this.packetIdAt = frame.length - payload.length - beforePayload.length
    const frames = Math.max(1, Math.min(blockMax, Math.floor((64 * 1024) / frame.length)))
    this.block = Buffer.concat(Array.from({ length: frames }, () => frame))
    this.view = new DataView(this.block.buffer, this.block.byteOffset, this.block.length)
  }

  /**
   * An open loop's allowance: `messages` more may be sent; what a blocked publisher could not use is not
   * saved up.
   */
  grant(messages: number, most: number): void {
    this.credit = Math.min(this.credit + messages, most)
    if (this.credit >= 1) this.rota.add(this)
  }

  override act(nowNs: number): void {
    this.flush()
    while (this.tally.isPublishing && !this.isFull) {
      const count = Math.min(this.allowance(), Math.floor(this.block.length / this.frameBytes))
      if (count < 1) return
      this.publish(count, nowNs)
    }
  }

  private allowance(): number {
    const { qos, rate, window } = this.tally.scenario
    const { copies } = this.tally
    const unacknowledged = qos > 0 ? window - this.unacknowledged : window
    if (rate > 0) return Math.min(Math.floor(this.credit), unacknowledged)
    return Math.min(unacknowledged, Math.floor((window * copies - this.undelivered) / copies))
  }

  private publish(count: number, nowNs: number): void {
    const { frameBytes, packetIdAt, tally, view } = this
    const { qos, version } = tally.scenario
    const stampAt = packetIdAt + (qos > 0 ? 2 : 0) + (version === 5 ? 1 : 0)
    for (let index = 0, at = 0; index < count; index++, at += frameBytes) {
      if (qos > 0) {
        view.setUint16(at + packetIdAt, (this.packetId = (this.packetId % 65_535) + 1))
        this.sentNs[this.packetId] = nowNs
      }
      view.setFloat64(at + stampAt, nowNs)
      view.setUint32(at + stampAt + 12, this.sequence++)
    }
    this.credit -= count
    if (tally.scenario.sessions !== "absent") this.undelivered += count * tally.copies
    if (qos > 0) this.unacknowledged += count
    if (tally.isMeasuring) tally.sent += count
    this.write(this.block, count * frameBytes)
  }

  /** Messages that nobody has yet, or, where nobody is there, that are not acknowledged yet. */
  get outstanding(): number {
    return this.tally.scenario.sessions === "absent" ? this.unacknowledged : this.undelivered
  }

  override data(chunk: Buffer): void {
    this.chunkNs = Bun.nanoseconds()
    super.data(chunk)
  }

  /** A subscriber has one of ours. */
  delivered(): void {
    const { scenario } = this.tally
    this.undelivered--
    // Not at once: a window that is refilled by the half makes batches as a busy client would.
    if (scenario.rate === 0 && this.undelivered <= (scenario.window * this.tally.copies) / 2)
      this.rota.add(this)
  }

  protected override received(firstByte: number, bytes: Buffer, body: number): void {
    switch (firstByte >> 4) {
      case 5:
        this.acknowledged((bytes[body]! << 8) | bytes[body + 1]!)
        this.appendAck(0x62, bytes[body]!, bytes[body + 1]!)
        break
      case 4:
        this.acknowledged((bytes[body]! << 8) | bytes[body + 1]!)
        this.unacknowledged--
        break
      case 7:
        this.unacknowledged--
        break
    }
  }

  private acknowledged(packetId: number): void {
    const { tally } = this
    if (!tally.isMeasuring) return
    tally.ackLatency.record((this.chunkNs - this.sentNs[packetId]!) / 1000)
    if (tally.scenario.sessions === "absent") tally.received++
  }

  protected override parsed(): void {
    this.rota.add(this)
  }
}

export class Subscriber extends LoadClient {
  /** The next sequence number of each publisher. */
  private readonly next: Uint32Array
  private missing: Map<number, Set<number>> | undefined

  constructor(
    rota: Rota,
    private readonly tally: Tally,
    private readonly publishers: ReadonlyArray<Publisher>,
    private readonly index: number
  ) {
    super(rota, tally.hello(`bench-sub-${index}`))
    this.next = new Uint32Array(tally.scenario.publishers)
  }

  /** Messages that should have come and did not, in the order of their topics. */
  get lost(): number {
    const { mode } = this.tally.scenario
    let lost = 0
    for (const missing of this.missing?.values() ?? []) lost += missing.size
    for (const [index, publisher] of this.publishers.entries()) {
      const isOurs = mode === "fan-in" || mode === "fan-out" || index === this.index
      if (isOurs) lost += publisher.sequence - this.next[index]!
    }
    return lost
  }

  protected override connected(): void {
    const { qos, version } = this.tally.scenario
    const head = Buffer.from(version === 5 ? [0, 1, 0] : [0, 1])
    const packet = packetOf(0x82, head, field(filterOf(this.tally.scenario, this.index)), Buffer.from([qos]))
    this.append(packet, 0, packet.length)
    this.flush()
  }

  protected override received(firstByte: number, bytes: Buffer, body: number, end: number): void {
    switch (firstByte >> 4) {
      case 3:
        return this.published(firstByte, bytes, body)
      case 6:
        return this.appendAck(0x70, bytes[body]!, bytes[body + 1]!)
      case 9:
        if (bytes[end - 1]! >= 0x80) throw new Error(`SUBACK ${bytes[end - 1]}`)
        this.ready()
    }
  }

  private published(firstByte: number, bytes: Buffer, body: number): void {
    const { tally } = this
    const qos = (firstByte >> 1) & 3
    let at = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!)
    if (qos > 0) {
      this.appendAck(qos === 1 ? 0x40 : 0x50, bytes[at]!, bytes[at + 1]!)
      at += 2
    }
    // No property section of ours is longer than its length byte says.
    if (tally.scenario.version === 5) at += 1 + bytes[at]!
    const index = bytes.readUInt32BE(at + 8)
    if (tally.scenario.mode !== "shared") this.check(index, bytes.readUInt32BE(at + 12))
    if (tally.isMeasuring) {
      tally.received++
      tally.latency.record((this.chunkNs - bytes.readDoubleBE(at)) / 1000)
    }
    this.publishers[index]!.delivered()
  }

  private check(publisher: number, sequence: number): void {
    const expected = this.next[publisher]!
    if (sequence === expected) {
      this.next[publisher] = expected + 1
      return
    }
    this.disorder(publisher, sequence, expected)
  }

  private disorder(publisher: number, sequence: number, expected: number): void {
    const { tally } = this
    this.missing ??= new Map()
    const missing = this.missing.get(publisher) ?? new Set()
    this.missing.set(publisher, missing)
    if (sequence < expected) {
      if (missing.delete(sequence)) tally.reordered++
      else tally.duplicated++
      return
    }
    if (sequence - expected > gapMax) tally.skipped += sequence - expected
    else for (let number = expected; number < sequence; number++) missing.add(number)
    this.next[publisher] = sequence + 1
  }

  /** One look at the clock for a chunk: its packets arrived together. */
  private chunkNs = 0

  override data(chunk: Buffer): void {
    this.chunkNs = Bun.nanoseconds()
    super.data(chunk)
  }

  protected override parsed(): void {
    this.rota.add(this)
  }
}
