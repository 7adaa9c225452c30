/**
 * A transport without sockets: a program that embeds the broker, and tests, connect to it in memory.
 *
 * Each direction is a buffer of limited size with the rules of a socket: a write into a full buffer is short,
 * `onDrain` follows when the reader made room, a paused reader is back-pressure. Delivery is always by
 * microtask: no call of a wire runs a handler. Nothing depends on time, so that tests of back-pressure are
 * deterministic.
 */

import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Acceptor, Listener, Peer, Wire, WireHandler } from "./Transport.ts"

export interface MemoryOptions {
  readonly name: string
  /** Bytes that each direction holds. 64 KiB by default. */
  readonly bufferBytesMax?: number | undefined
}

/**
 * The client's end of a wire: bytes are taken from it by `receive`, so a client that does not receive is
 * slow.
 */
export interface MemoryClient {
  /** Writes what fits and returns how many bytes that was; -1 when closed. The bytes may be reused. */
  readonly write: (bytes: Uint8Array) => number
  /** Writes all of it, waiting for room. False when the wire closed before. */
  readonly send: (bytes: Uint8Array) => Promise<boolean>
  /**
   * The next chunk that arrived, waiting for it; undefined when the wire is closed and everything was
   * received.
   */
  readonly receive: () => Promise<Uint8Array | undefined>
  /** Closes in order: what was written is delivered first. */
  readonly close: () => void
  /** Drops the connection at once. */
  readonly destroy: () => void
  /** Why it closed; undefined while it is open. */
  readonly closeReason: () => string | undefined
}

export interface MemoryListener extends Listener {
  /** Connects. While nobody listens, or when the acceptor refuses, the client is closed from the start. */
  readonly connect: () => MemoryClient
  /** Connects with a handler of events instead of promises. The wire is the client's end. */
  readonly connectWire: (handler: WireHandler) => Wire
}

/** Makes a listener in memory. One listening at a time. */
export const memoryListener = (options: MemoryOptions): MemoryListener => {
  const bufferBytesMax = options.bufferBytesMax ?? 65_536
  const peer: Peer = {
    transport: "memory",
    listener: options.name,
    address: "",
    port: 0,
    isLoopback: true,
    serverName: undefined,
    certificate: undefined
  }
  let listening: { readonly acceptor: Acceptor; readonly clock: Clock.Clock } | undefined

  const connectWire = (handler: WireHandler): Wire => {
    const acceptedAtMs = listening?.clock.unsafeCurrentTimeMillis() ?? 0
    const client = new MemoryWire(peer, bufferBytesMax, acceptedAtMs)
    const server = new MemoryWire(peer, bufferBytesMax, acceptedAtMs)
    client.join(server)
    client.attach(handler)
    const serverHandler = listening?.acceptor(server)
    if (serverHandler === undefined) server.destroy()
    else server.attach(serverHandler)
    return client
  }

  return {
    listen: Effect.fnUntraced(function* (acceptor: Acceptor) {
      const clock = yield* Effect.clock
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          listening = { acceptor, clock }
        }),
        () =>
          Effect.sync(() => {
            listening = undefined
          })
      )
      return { name: options.name, transport: "memory" as const, address: `memory:${options.name}`, port: 0 }
    }),
    connectWire,
    connect: () => new PromiseClient(connectWire)
  }
}

/** One end. Each end owns the buffer that it reads from. */
class MemoryWire implements Wire {
  private other: MemoryWire | undefined
  private handler: WireHandler | undefined
  private readonly inbox: Array<Uint8Array> = []
  private inboxBytes = 0
  private isPaused = false
  private isStarved = false
  private isEnded = false
  private isClosed = false
  private isScheduled = false
  private closeReason: string | undefined

  constructor(
    readonly peer: Peer,
    private readonly bufferBytesMax: number,
    readonly acceptedAtMs: number
  ) {}

  join(other: MemoryWire): void {
    this.other = other
    other.other = this
  }

  attach(handler: WireHandler): void {
    this.handler = handler
    this.schedule()
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    const other = this.other
    if (other === undefined || this.isClosed || other.isClosed) return -1
    const taken = Math.max(0, Math.min(end - start, this.bufferBytesMax - other.inboxBytes))
    if (taken > 0) {
      // A copy: the writer owns its bytes again, and `slice` of a Buffer would be a view of them.
      other.inbox.push(new Uint8Array(bytes.subarray(start, start + taken)))
      other.inboxBytes += taken
      other.schedule()
    }
    if (taken < end - start) this.isStarved = true
    return taken
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.schedule()
  }

  end(): void {
    if (this.isClosed) return
    this.isEnded = true
    // The other end still reads what was written, as it would out of the kernel's buffer.
    this.drop("ended")
    this.other?.schedule()
  }

  destroy(): void {
    // After `end` the other end still reads what was written: only a wire that is open can be reset.
    if (this.isClosed) return
    this.drop("destroyed")
    this.other?.drop("reset by peer")
  }

  private drop(reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    this.closeReason = reason
    this.inbox.length = 0
    this.inboxBytes = 0
    this.schedule()
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    queueMicrotask(() => this.deliver())
  }

  /** The only place that calls the handler. */
  private deliver(): void {
    this.isScheduled = false
    const handler = this.handler
    if (handler === undefined) return
    this.deliverInbox(handler)
    const isPeerDone = this.other?.isEnded === true && this.inbox.length === 0
    if (isPeerDone) this.drop("closed by peer")
    if (this.isClosed) {
      this.handler = undefined
      handler.onClose(this.closeReason ?? "closed")
    } else if (this.isStarved && (this.other?.inboxBytes ?? 0) < this.bufferBytesMax) {
      this.isStarved = false
      handler.onDrain()
    }
  }

  private deliverInbox(handler: WireHandler): void {
    while (!this.isPaused && !this.isClosed && this.inbox.length > 0) {
      const chunk = this.inbox.shift()
      if (chunk === undefined) break
      this.inboxBytes -= chunk.length
      handler.onData(chunk)
    }
    // Only where there is room: two ends that are both full would wake each other for ever.
    if (this.other?.isStarved === true && this.inboxBytes < this.bufferBytesMax) this.other.schedule()
  }
}

/**
 * A client that is written as a conversation. The wire is paused except while somebody waits in `receive`.
 */
class PromiseClient implements MemoryClient {
  private readonly wire: Wire
  private readonly waiting: Array<(chunk: Uint8Array | undefined) => void> = []
  private readonly drains: Array<() => void> = []
  private reason: string | undefined

  constructor(connectWire: (handler: WireHandler) => Wire) {
    this.wire = connectWire({
      onData: (chunk) => {
        this.waiting.shift()?.(chunk)
        if (this.waiting.length === 0) this.wire.pause()
      },
      onDrain: () => {
        for (const drained of this.drains.splice(0)) drained()
      },
      onClose: (reason) => {
        this.reason = reason
        for (const receive of this.waiting.splice(0)) receive(undefined)
        for (const drained of this.drains.splice(0)) drained()
      }
    })
    this.wire.pause()
  }

  readonly write = (bytes: Uint8Array): number => this.wire.write(bytes, 0, bytes.length)

  readonly send = async (bytes: Uint8Array): Promise<boolean> => {
    let sent = 0
    while (sent < bytes.length) {
      const taken = this.wire.write(bytes, sent, bytes.length)
      if (taken < 0) return false
      sent += taken
      if (sent < bytes.length) await new Promise<void>((resolve) => this.drains.push(resolve))
    }
    return true
  }

  readonly receive = (): Promise<Uint8Array | undefined> => {
    if (this.reason !== undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      this.wire.resume()
    })
  }

  readonly close = (): void => this.wire.end()
  readonly destroy = (): void => this.wire.destroy()
  readonly closeReason = (): string | undefined => this.reason
}
