/**
 * The clients of `offline.ts`, in a process of their own.
 *
 *     bun test/bench/capacity/offlineLoad.ts '{"sessions": 1000, "messagesEach": 1000, "port": 1883, ...}'
 *
 * Prints one line of JSON, the rows of the report. Ends with an error when a message is lost, comes twice or
 * out of order.
 */

import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { field, forEach, LoadClient, packetOf, Rota } from "../LoadClient.ts"
import { usageOf } from "../ProcessMeter.ts"
import type { CapacityRow } from "./list.ts"

export interface OfflineRequest {
  readonly sessions: number
  readonly messagesEach: number
  readonly port: number
  /** The broker's process, to be metered. */
  readonly pid: number
  /** Its database's directory. */
  readonly path: string
}

const publishers = 50
/** Messages of a publisher that are not acknowledged at a time. */
const window = 100
const payloadBytes = 64
/** A phase without any news for this long has lost something. */
const newsMs = 30_000

const topicOf = (session: number): string => `offline/${session}`

/** What a phase waits for: so many messages acknowledged, or delivered. */
class Progress {
  count = 0
  endNs = 0
  private done: (() => void) | undefined

  constructor(private readonly total: number) {}

  add(): void {
    if (++this.count < this.total) return
    this.endNs = Bun.nanoseconds()
    this.done?.()
  }

  async untilDone(what: string): Promise<void> {
    const done = new Promise<void>((resolve) => {
      this.done = resolve
      if (this.count >= this.total) resolve()
    })
    for (let before = -1; this.count < this.total; ) {
      if (this.count === before) throw new Error(`only ${before} of ${this.total} messages were ${what}`)
      before = this.count
      await Promise.race([done, Bun.sleep(newsMs)])
    }
  }
}

/** Publishes to some of the sessions in turn. */
class Filler extends LoadClient {
  private sent = 0
  private acknowledged = 0
  private readonly frames: ReadonlyArray<Buffer>

  constructor(
    rota: Rota,
    index: number,
    private readonly total: number,
    topics: ReadonlyArray<string>,
    private readonly progress: Progress
  ) {
    super(rota, { clientId: `filler-${index}`, version: 4, isPersistent: true })
    const rest = Buffer.alloc(2 + payloadBytes)
    this.frames = topics.map((topic) => packetOf(0x32, field(topic), rest))
  }

  override act(): void {
    while (this.sent < this.total && this.sent - this.acknowledged < window && !this.isFull) this.publish()
    this.flush()
  }

  private publish(): void {
    const frame = this.frames[this.sent % this.frames.length]!
    const payloadAt = frame.length - payloadBytes
    frame.writeUInt32BE(Math.floor(this.sent / this.frames.length), payloadAt)
    frame.writeUInt16BE(1 + (this.sent % 65_535), payloadAt - 2)
    this.append(frame, 0, frame.length)
    this.sent++
  }

  protected override received(firstByte: number): void {
    if (firstByte >> 4 !== 4) return
    this.acknowledged++
    this.progress.add()
  }

  protected override parsed(): void {
    this.rota.add(this)
  }
}

/** Comes once to subscribe, and again for what has gathered meanwhile. */
class Sleeper extends LoadClient {
  /** The number that must come next. */
  private next = 0

  constructor(
    rota: Rota,
    private readonly index: number,
    private readonly progress: Progress | undefined
  ) {
    super(rota, { clientId: `sleeper-${index}`, version: 4, isPersistent: true })
  }

  protected override connected(): void {
    if (this.progress !== undefined) return this.ready()
    const packet = packetOf(0x82, Buffer.from([0, 1]), field(topicOf(this.index)), Buffer.from([1]))
    this.append(packet, 0, packet.length)
    this.flush()
  }

  protected override received(firstByte: number, bytes: Buffer, body: number): void {
    if (firstByte >> 4 === 9) return this.ready()
    if (firstByte >> 4 !== 3) return
    const at = body + 2 + bytes.readUInt16BE(body)
    this.appendAck(0x40, bytes[at]!, bytes[at + 1]!)
    const number = bytes.readUInt32BE(at + 2)
    if (number !== this.next) throw new Error(`session ${this.index} got ${number}, not ${this.next}`)
    this.next++
    this.progress?.add()
  }

  protected override parsed(): void {
    this.rota.add(this)
  }
}

const range = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => index)

const megabytes = (bytes: number): number => bytes / 2 ** 20

/** Of the database, its log included. */
const storedBytes = (path: string): number =>
  readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)

/** The most that the process ever held. Zero where the kernel does not say. */
const peakBytes = (pid: number): number => {
  try {
    return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** One after the other: subscribe and leave, fill, drain. */
class Run {
  private readonly rota = new Rota()
  private readonly total: number
  private readonly rows: Array<CapacityRow> = []

  constructor(private readonly request: OfflineRequest) {
    this.total = request.sessions * request.messagesEach
  }

  async measure(): Promise<ReadonlyArray<CapacityRow>> {
    await this.subscribe()
    this.note("resident, all clients gone", megabytes(usageOf(this.request.pid).residentBytes), "MB")
    await this.fill()
    await this.drain()
    return this.rows
  }

  private note(label: string, value: number, unit: string): void {
    this.rows.push({ label, value, unit })
  }

  private sleepers(progress: Progress | undefined): ReadonlyArray<Sleeper> {
    return range(this.request.sessions).map((index) => new Sleeper(this.rota, index, progress))
  }

  private async subscribe(): Promise<void> {
    const sleepers = this.sleepers(undefined)
    await forEach(sleepers, async (sleeper) => {
      await sleeper.connect(this.request.port)
      await sleeper.leave()
    })
  }

  private async fill(): Promise<void> {
    const progress = new Progress(this.total)
    const topics = range(this.request.sessions).map(topicOf)
    const fillers = range(publishers).map((index) => {
      const own = topics.filter((_, session) => session % publishers === index)
      return new Filler(this.rota, index, own.length * this.request.messagesEach, own, progress)
    })
    await forEach(fillers, (filler) => filler.connect(this.request.port))
    const from = this.mark()
    for (const filler of fillers) this.rota.add(filler)
    await progress.untilDone("acknowledged")
    this.noteRate("in", from, progress)
    await forEach(fillers, (filler) => filler.leave())
  }

  private async drain(): Promise<void> {
    const progress = new Progress(this.total)
    const sleepers = this.sleepers(progress)
    const from = this.mark()
    await forEach(sleepers, (sleeper) => sleeper.connect(this.request.port))
    await progress.untilDone("delivered")
    this.noteRate("out", from, progress)
    await forEach(sleepers, (sleeper) => sleeper.leave())
  }

  private mark() {
    return { ns: Bun.nanoseconds(), cpuUs: usageOf(this.request.pid).cpuUs }
  }

  private noteRate(direction: "in" | "out", from: ReturnType<Run["mark"]>, { endNs }: Progress): void {
    const { pid } = this.request
    const { cpuUs, residentBytes } = usageOf(pid)
    this.note(`messages ${direction}`, (this.total * 1e9) / (endNs - from.ns), "/s")
    this.note(`processor time for each ${direction}`, (cpuUs - from.cpuUs) / this.total, "µs")
    this.note(`resident, all ${direction}`, megabytes(residentBytes), "MB")
    this.note(`resident at most until then`, megabytes(peakBytes(pid)), "MB")
    this.note(`database, all ${direction}`, megabytes(storedBytes(this.request.path)), "MB")
  }
}

if (import.meta.main) {
  const request = JSON.parse(process.argv[2] ?? "{}") as OfflineRequest
  process.stdout.write(`${JSON.stringify(await new Run(request).measure())}\n`)
  process.exit(0)
}
