/**
 * Flows: a publisher and a subscriber of a tenant and what goes from one to the other, on one topic or many.
 *
 * A payload begins with the instant it was sent. Every flow counts what arrives and notes how long it took
 * while its tally says so.
 */

import type { LatencyHistogram } from "../LatencyHistogram.ts"
import { field, type Hello, LoadClient, packetOf, type Rota } from "../LoadClient.ts"

export interface FlowOptions {
  readonly tenant: string
  readonly name: string
  readonly qos: 0 | 1
  /** What it publishes to, in turn. */
  readonly topics: ReadonlyArray<string>
  readonly filter: string
  readonly payloadBytes: number
  /** Messages under way at a time. */
  readonly window: number
  /** Messages a second; 0 keeps the window full. */
  readonly rate: number
  readonly tls?: boolean
}

/** What the flows of one run count together. */
export class FlowTally {
  isPublishing = false
  received = 0
  /** Undefined while nothing is measured. */
  latency: LatencyHistogram | undefined
}

const stampBytes = 8

const helloOf = (role: string, { name, tenant, tls = false }: FlowOptions): Hello => ({
  clientId: `${tenant}|${role}-${name}`,
  version: 4,
  tls
})

class Source extends LoadClient {
  undelivered = 0
  private unacknowledged = 0
  private packetId = 0
  private next = 0
  private credit = 0
  private readonly frames: ReadonlyArray<Buffer>

  constructor(
    rota: Rota,
    private readonly tally: FlowTally,
    readonly options: FlowOptions
  ) {
    super(rota, helloOf("source", options))
    const { payloadBytes, qos, topics } = options
    const rest = Buffer.alloc((qos > 0 ? 2 : 0) + Math.max(stampBytes, payloadBytes))
    this.frames = topics.map((topic) => packetOf(0x30 | (qos << 1), field(topic), rest))
  }

  get rate(): number {
    return this.options.rate
  }

  /** `messages` more may be sent; what a blocked publisher could not use is not saved up for long. */
  grant(messages: number): void {
    this.credit = Math.min(this.credit + messages, Math.max(2, this.rate * 0.05))
    if (this.credit >= 1) this.rota.add(this)
  }

  override act(): void {
    this.flush()
    const { credit, options, tally } = this
    const { qos, rate, window } = options
    let room = window - Math.max(this.undelivered, qos > 0 ? this.unacknowledged : 0)
    if (rate > 0) room = Math.min(room, Math.floor(credit))
    if (!tally.isPublishing || room <= 0 || this.isFull) return
    this.credit -= room
    this.undelivered += room
    if (qos > 0) this.unacknowledged += room
    const nowNs = Bun.nanoseconds()
    for (; room > 0; room--) this.publish(nowNs)
    this.flush()
  }

  delivered(): void {
    this.undelivered--
    // Not at once: a window that is refilled by the half makes batches as a busy client would.
    if (this.options.rate === 0 && this.undelivered <= this.options.window / 2) this.rota.add(this)
  }

  protected override received(firstByte: number): void {
    if (firstByte >> 4 === 4) this.unacknowledged--
  }

  protected override parsed(): void {
    if (this.options.rate === 0) this.rota.add(this)
  }

  private publish(nowNs: number): void {
    const frame = this.frames[this.next]!
    this.next = (this.next + 1) % this.frames.length
    const stampAt = frame.length - Math.max(stampBytes, this.options.payloadBytes)
    frame.writeDoubleBE(nowNs, stampAt)
    if (this.options.qos > 0) {
      this.packetId = (this.packetId % 65_535) + 1
      frame.writeUInt16BE(this.packetId, stampAt - 2)
    }
    this.append(frame, 0, frame.length)
  }
}

class Sink extends LoadClient {
  private chunkNs = 0

  constructor(
    rota: Rota,
    private readonly tally: FlowTally,
    private readonly source: Source
  ) {
    super(rota, helloOf("sink", source.options))
  }

  override data(chunk: Buffer): void {
    this.chunkNs = Bun.nanoseconds()
    super.data(chunk)
  }

  protected override connected(): void {
    const { filter, qos } = this.source.options
    const packet = packetOf(0x82, Buffer.from([0, 1]), field(filter), Buffer.from([qos]))
    this.append(packet, 0, packet.length)
    this.flush()
  }

  protected override received(firstByte: number, bytes: Buffer, body: number): void {
    if (firstByte >> 4 === 9) return this.ready()
    if (firstByte >> 4 !== 3) return
    let at = body + 2 + bytes.readUInt16BE(body)
    if (firstByte & 0x06) {
      this.appendAck(0x40, bytes[at]!, bytes[at + 1]!)
      at += 2
    }
    this.tally.received++
    this.tally.latency?.record((this.chunkNs - bytes.readDoubleBE(at)) / 1000)
    this.source.delivered()
  }

  protected override parsed(): void {
    this.rota.add(this)
  }
}

/** A set of flows against one broker. */
export class Traffic {
  readonly tally = new FlowTally()
  private readonly sources: ReadonlyArray<Source>
  private readonly sinks: ReadonlyArray<Sink>
  private pace: NodeJS.Timeout | undefined

  constructor(
    private readonly rota: Rota,
    private readonly flows: ReadonlyArray<FlowOptions>
  ) {
    this.sources = flows.map((flow) => new Source(rota, this.tally, flow))
    this.sinks = this.sources.map((source) => new Sink(rota, this.tally, source))
  }

  get clients(): ReadonlyArray<LoadClient> {
    return [...this.sinks, ...this.sources]
  }

  start(): void {
    this.tally.isPublishing = true
    for (const [index, source] of this.sources.entries()) {
      // Those that keep to a rate keep the same pace but not the same step.
      if (source.rate > 0) source.grant(index / this.flows.length)
      else this.rota.add(source)
    }
    let lastNs = Bun.nanoseconds()
    this.pace = setInterval(() => {
      const nowNs = Bun.nanoseconds()
      const seconds = (nowNs - lastNs) / 1e9
      lastNs = nowNs
      for (const source of this.sources) if (source.rate > 0) source.grant(source.rate * seconds)
    }, 1)
  }

  /** Stops publishing and waits for what is on its way. */
  async stop(): Promise<void> {
    this.tally.isPublishing = false
    clearInterval(this.pace)
    for (let looks = 0; looks < 100 && this.sources.some(({ undelivered }) => undelivered > 0); looks++) {
      await Bun.sleep(20)
    }
  }
}
