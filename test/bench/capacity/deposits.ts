/**
 * Deposits: messages at QoS 1 for clients that are away, each acknowledged when it is stored. What is
 * measured is how long that takes.
 */

import type { LatencyHistogram } from "../LatencyHistogram.ts"
import { field, LoadClient, packetOf, Rota } from "../LoadClient.ts"
import { connectAll, Holder, leaveAll } from "./clients.ts"

export interface DepositOptions {
  readonly tenant: string
  readonly depositors: number
  /** Clients that are away, for each depositor. */
  readonly sleepers: number
  readonly payloadBytes: number
  /** Messages of a depositor under way at a time. */
  readonly window: number
  /** Messages a second of each; 0 keeps the window full. */
  readonly rate: number
}

class DepositTally {
  isPublishing = false
  acknowledged = 0
  /** Undefined while nothing is measured. */
  latency: LatencyHistogram | undefined
}

const packetIds = 65_536

class Depositor extends LoadClient {
  private readonly sentNs = new Float64Array(packetIds)
  private readonly frames: ReadonlyArray<Buffer>
  private packetId = 0
  private next = 0
  private underWay = 0
  private credit = 0

  constructor(
    rota: Rota,
    private readonly tally: DepositTally,
    private readonly options: DepositOptions,
    name: string
  ) {
    super(rota, { clientId: `${options.tenant}|depositor-${name}`, version: 4 })
    const rest = Buffer.alloc(2 + options.payloadBytes)
    this.frames = Array.from({ length: options.sleepers }, (_, index) =>
      packetOf(0x32, field(topicOf(name, index)), rest)
    )
  }

  grant(messages: number): void {
    this.credit = Math.min(this.credit + messages, 2)
    if (this.credit >= 1) this.rota.add(this)
  }

  override act(): void {
    this.flush()
    const { rate, window } = this.options
    let room = window - this.underWay
    if (rate > 0) room = Math.min(room, Math.floor(this.credit))
    if (!this.tally.isPublishing || room <= 0 || this.isFull) return
    this.credit -= room
    this.underWay += room
    const nowNs = Bun.nanoseconds()
    for (; room > 0; room--) this.publish(nowNs)
    this.flush()
  }

  private publish(nowNs: number): void {
    const frame = this.frames[this.next]!
    this.next = (this.next + 1) % this.frames.length
    this.packetId = (this.packetId % (packetIds - 1)) + 1
    frame.writeUInt16BE(this.packetId, frame.length - this.options.payloadBytes - 2)
    this.sentNs[this.packetId] = nowNs
    this.append(frame, 0, frame.length)
  }

  protected override received(firstByte: number, bytes: Buffer, body: number): void {
    if (firstByte >> 4 !== 4) return
    this.underWay--
    this.tally.acknowledged++
    const sentNs = this.sentNs[bytes.readUInt16BE(body)]!
    this.tally.latency?.record((Bun.nanoseconds() - sentNs) / 1000)
  }

  protected override parsed(): void {
    if (this.options.rate === 0) this.rota.add(this)
  }
}

const topicOf = (name: string, index: number): string => `deposit/${name}/${index}`

export class Deposits {
  readonly tally = new DepositTally()
  private readonly rota = new Rota()
  private readonly depositors: ReadonlyArray<Depositor>
  private pace: NodeJS.Timeout | undefined

  constructor(private readonly options: DepositOptions) {
    this.depositors = Array.from(
      { length: options.depositors },
      (_, index) => new Depositor(this.rota, this.tally, options, `${index}`)
    )
  }

  /** Subscribes for those who will be away, and connects the others. */
  async prepare(port: number): Promise<void> {
    const { depositors, sleepers, tenant } = this.options
    const holders: Array<readonly [Holder, string]> = []
    for (let name = 0; name < depositors; name++) {
      for (let index = 0; index < sleepers; index++) {
        const clientId = `${tenant}|sleeper-${name}-${index}`
        const holder = new Holder(this.rota, { clientId, version: 4, isPersistent: true })
        holders.push([holder, topicOf(`${name}`, index)])
      }
    }
    await connectAll(
      holders.map(([holder]) => holder),
      port
    )
    for (const [holder, topic] of holders) await holder.subscribe([topic])
    await leaveAll(holders.map(([holder]) => holder))
    await connectAll(this.depositors, port)
  }

  start(): void {
    const { rate } = this.options
    this.tally.isPublishing = true
    for (const [index, depositor] of this.depositors.entries()) {
      if (rate > 0) depositor.grant(index / this.depositors.length)
      else this.rota.add(depositor)
    }
    if (rate === 0) return
    let lastNs = Bun.nanoseconds()
    this.pace = setInterval(() => {
      const nowNs = Bun.nanoseconds()
      for (const depositor of this.depositors) depositor.grant((rate * (nowNs - lastNs)) / 1e9)
      lastNs = nowNs
    }, 1)
  }

  async stop(): Promise<void> {
    this.tally.isPublishing = false
    clearInterval(this.pace)
    await Bun.sleep(100)
    await leaveAll(this.depositors)
  }
}
