/**
 * A client of the load generator: bytes to and from a socket, nothing allocated for a message.
 *
 * What it has to send is collected and written once per turn of the event loop; `Rota` keeps those that have
 * something to do. Packets are parsed in place; only one that is cut by the end of a chunk is copied.
 */

import type { Socket, SocketHandler } from "bun"

/** The clients that have something to do before the event loop waits again, each once. */
export class Rota {
  private due: Array<LoadClient> = []
  private spare: Array<LoadClient> = []
  private isScheduled = false

  add(client: LoadClient): void {
    if (client.isDue) return
    client.isDue = true
    this.due.push(client)
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(this.run)
  }

  private readonly run = (): void => {
    this.isScheduled = false
    const { due } = this
    this.due = this.spare
    const nowNs = Bun.nanoseconds()
    for (const client of due) {
      client.isDue = false
      client.act(nowNs)
    }
    due.length = 0
    this.spare = due
  }
}

export interface Hello {
  readonly clientId: string
  readonly version: 4 | 5
  /** The broker's certificate is not looked at. */
  readonly tls?: boolean
  /** The session outlives the connection, and an earlier one is taken up. */
  readonly isPersistent?: boolean
}

const nothing: Buffer = Buffer.alloc(0)

export class LoadClient {
  isDue = false
  private socket: Socket<LoadClient> | undefined
  private out: Buffer = nothing
  private outStart = 0
  private outEnd = 0
  private isBlocked = false
  private carry: Buffer = nothing
  private settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined
  private isLeaving = false
  private left: (() => void) | undefined

  constructor(
    protected readonly rota: Rota,
    protected readonly hello: Hello
  ) {}

  /** Connects, and subscribes if it is a subscriber. */
  connect(port: number, hostname = "127.0.0.1"): Promise<void> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject }
      const tls = this.hello.tls === true ? { rejectUnauthorized: false } : false
      Bun.connect<LoadClient>({ hostname, port, data: this, socket: handlers, tls }).catch(reject)
    })
  }

  /** Says goodbye and closes; resolves when the socket has closed. */
  leave(): Promise<void> {
    return new Promise((resolve) => {
      this.left = resolve
      this.isLeaving = true
      this.socket?.write(disconnectPacket)
      this.socket?.end()
    })
  }

  /** Once per turn of the event loop, when the rota has it. */
  act(_nowNs: number): void {
    this.flush()
  }

  /** CONNACK came: what else there is to do before the client is ready. */
  protected connected(): void {
    this.ready()
  }

  protected ready(): void {
    this.settle?.resolve()
    this.settle = undefined
  }

  /** A packet other than CONNACK: `bytes[body, end)` without its fixed header, valid during the call. */
  protected received(_firstByte: number, _bytes: Buffer, _body: number, _end: number): void {}

  /** A chunk has been parsed. */
  protected parsed(): void {}

  /** True while the socket does not take what was written: nothing more should be produced. */
  protected get isFull(): boolean {
    return this.isBlocked
  }

  /** Appends to what leaves with the next flush. */
  protected append(bytes: Uint8Array, start: number, end: number): void {
    this.reserve(end - start)
    this.out.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), this.outEnd)
    this.outEnd += end - start
  }

  /** Appends a packet of four bytes: an acknowledgement. */
  protected appendAck(firstByte: number, high: number, low: number): void {
    this.reserve(4)
    const { out, outEnd } = this
    out[outEnd] = firstByte
    out[outEnd + 1] = 2
    out[outEnd + 2] = high
    out[outEnd + 3] = low
    this.outEnd = outEnd + 4
  }

  /** Writes without a copy what the caller keeps, after everything that was appended. */
  protected write(bytes: Uint8Array, end: number): void {
    if (this.outEnd > this.outStart) this.flush()
    const taken = this.isBlocked ? 0 : (this.socket?.write(bytes, 0, end) ?? 0)
    if (taken >= end) return
    this.isBlocked = true
    this.append(bytes, Math.max(0, taken), end)
  }

  protected flush(): void {
    if (this.isBlocked || this.outEnd === this.outStart) return
    const taken = this.socket?.write(this.out, this.outStart, this.outEnd - this.outStart) ?? 0
    this.outStart += Math.max(0, taken)
    if (this.outStart < this.outEnd) this.isBlocked = true
    else this.outStart = this.outEnd = 0
  }

  opened(socket: Socket<LoadClient>): void {
    this.socket = socket
    socket.setNoDelay(true)
    if (this.hello.tls !== true) this.greet()
  }

  /** The socket carries bytes of ours: at once, or after the TLS handshake. */
  greet(): void {
    this.socket?.write(connectPacket(this.hello))
  }

  drained(): void {
    this.isBlocked = false
    this.flush()
    this.rota.add(this)
  }

  closed(error?: Error): void {
    this.left?.()
    if (this.isLeaving) return
    const why = new Error(`${this.hello.clientId}: the broker closed the connection`, { cause: error })
    if (this.settle === undefined) throw why
    this.settle.reject(why)
  }

  data(chunk: Buffer): void {
    const bytes = this.carry.length === 0 ? chunk : Buffer.concat([this.carry, chunk])
    const { length } = bytes
    let at = 0
    while (at + 2 <= length) {
      let body = at + 1
      let remaining = 0
      let shift = 0
      let byte = 0x80
      while (byte >= 0x80 && body < length) {
        byte = bytes[body++]!
        remaining |= (byte & 0x7f) << shift
        shift += 7
      }
      if (byte >= 0x80 || body + remaining > length) break
      this.packet(bytes[at]!, bytes, body, body + remaining)
      at = body + remaining
    }
    // The chunk is ours, and small when it is only a part of a packet.
    this.carry = at === length ? nothing : bytes.subarray(at)
    this.parsed()
  }

  private packet(firstByte: number, bytes: Buffer, body: number, end: number): void {
    if (firstByte >> 4 === 2) {
      if (bytes[body + 1] === 0) this.connected()
      else this.settle?.reject(new Error(`${this.hello.clientId}: CONNACK ${bytes[body + 1]}`))
      return
    }
    if (firstByte >> 4 === 14) throw new Error(`${this.hello.clientId}: DISCONNECT ${bytes[body]}`)
    this.received(firstByte, bytes, body, end)
  }

  private reserve(count: number): void {
    if (this.outEnd + count <= this.out.length) return
    const length = this.outEnd - this.outStart
    const grown = length + count <= this.out.length ? this.out : Buffer.alloc(2 * (length + count) + 256)
    grown.set(this.out.subarray(this.outStart, this.outEnd))
    this.out = grown
    this.outStart = 0
    this.outEnd = length
  }
}

const handlers: SocketHandler<LoadClient, "buffer"> = {
  binaryType: "buffer",
  open: (socket) => socket.data.opened(socket),
  handshake: (socket) => socket.data.greet(),
  data: (socket, chunk) => socket.data.data(chunk),
  drain: (socket) => socket.data.drained(),
  close: (socket, error) => socket.data.closed(error),
  error: (_socket, error) => {
    throw error
  }
}

export const field = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}

export const packetOf = (firstByte: number, ...body: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = Buffer.concat(body)
  const header = [firstByte]
  let rest = bytes.length
  do {
    header.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from(header), bytes])
}

/** A Session Expiry Interval of an hour. */
const expiryProperty = [5, 0x11, 0, 0, 0x0e, 0x10]

const connectPacket = ({ clientId, isPersistent = false, version }: Hello): Buffer => {
  const properties = version === 4 ? [] : isPersistent ? expiryProperty : [0]
  const rest = Buffer.from([version, isPersistent ? 0 : 2, 0, 0, ...properties])
  return packetOf(0x10, field("MQTT"), rest, field(clientId))
}

const disconnectPacket = Buffer.from([0xe0, 0])

/** Handshakes under way at a time. */
const handshakesMax = 100

/** Runs `task` for each element, `handshakesMax` at a time. */
export const forEach = async <A>(
  elements: ReadonlyArray<A>,
  task: (element: A) => Promise<void>
): Promise<void> => {
  const queue = elements[Symbol.iterator]()
  const work = async (): Promise<void> => {
    for (const element of queue) await task(element)
  }
  await Promise.all(Array.from({ length: handshakesMax }, work))
}
