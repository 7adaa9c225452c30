/**
 * The socket under the TCP, unix and TLS listeners: Bun's native sockets made into wires.
 *
 * What Bun 1.4.5 does, as probed on Linux, and what is made of it here:
 * - `write` is unbuffered and answers how much the kernel (for TLS: the record layer) took, 0 when full, -1
 *   when closed. `drain` also fires without a short write (after `resume` for instance), so it is passed on
 *   only when one happened.
 * - `end()` closes at once: bytes that arrive afterwards are answered by a reset, which destroys what the
 *   peer has not read yet. A graceful end is therefore `shutdown()` (flush, FIN), then discard what comes
 *   until the peer's FIN or the linger time.
 * - `timeout(s)` is absolute, not reset by bytes, and costs no JavaScript timer: it is the linger time.
 * - A paused socket that is reset still hands over what it had read, and TLS may have a decrypted record at
 *   hand: such chunks are held until `resume`.
 * - `terminate()` calls `close` before it returns: `onClose` is therefore told by microtask, never inside a
 *   wire's method.
 * - Every chunk is a buffer of its own; Bun does not touch it again (`test/transport/Tcp.test.ts` keeps
 *   watch).
 */

import type { Socket } from "bun"
import type { Peer, TransportKind, Wire, WireHandler } from "./Transport.ts"

/** Seconds that an ended socket waits for the peer's FIN. Bun's timers tick every four seconds. */
const LINGER_SECONDS = 4

export type BunSocket = Socket<BunWire>

/**
 * What the listener wants to know of its sockets. One object for all of them: two closures and two objects
 * for each were 9 of the 62 µs that a client costs a broker that is warm (medians of five runs side by side,
 * Bun 1.4.5, 2026-11).
 */
export interface BunWireOwner {
  /** The peer authenticated, or the socket closed: called once. */
  readonly onSettled: (wire: BunWire) => void
  readonly onClosed: () => void
}

export class BunWire implements Wire {
  /** Set by the listener before the acceptor sees the wire: TLS learns the peer's certificate late. */
  peer: Peer
  /** Of the socket itself, whoever it speaks for: what the admission limit counted. */
  readonly address: string
  /** The address behind a proxy that the admission limit also counts. */
  forwardedFor: string | undefined
  private handler: WireHandler | undefined
  private state: "open" | "ending" | "closed" = "open"
  private isPaused = false
  private isStarved = false
  private isSettled = false
  private isFlushing = false
  /** Chunks that arrived while the wire was paused; undefined when there are none. */
  private held: Array<Uint8Array> | undefined
  private closeReason: string | undefined

  constructor(
    private socket: BunSocket,
    private readonly owner: BunWireOwner,
    peer: Peer,
    readonly acceptedAtMs: number
  ) {
    this.peer = peer
    this.address = peer.address
  }

  /** TLS began: from here on the TLS socket is what is read and written. */
  adopt(socket: BunSocket): void {
    this.socket = socket
  }

  /** Starts the flow of events to the handler. */
  attach(handler: WireHandler): void {
    this.handler = handler
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.state !== "open") return -1
    if (start >= end) return 0
    const taken = this.socket.write(bytes, start, end - start)
    if (taken < end - start) this.isStarved = taken >= 0
    return taken
  }

  pause(): void {
    if (this.isPaused || this.state !== "open") return
    this.isPaused = true
    if (!this.isFlushing) this.socket.pause()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    if (this.isFlushing) return
    if (this.held === undefined && this.closeReason === undefined) {
      if (this.state === "open") this.socket.resume()
      return
    }
    this.isFlushing = true
    queueMicrotask(() => this.flushHeld())
  }

  end(): void {
    if (this.state !== "open") {
      this.abandonHeld()
      return
    }
    this.state = "ending"
    this.held = undefined
    // Reading goes on, so that the peer's FIN is seen and its late bytes do not reset the connection.
    if (this.isPaused) this.socket.resume()
    this.socket.timeout(LINGER_SECONDS)
    this.socket.shutdown()
  }

  destroy(): void {
    if (this.state === "closed") {
      this.abandonHeld()
      return
    }
    this.state = "ending"
    this.held = undefined
    this.closeReason = "destroyed"
    this.socket.terminate()
  }

  settled(): void {
    if (this.isSettled) return
    this.isSettled = true
    this.owner.onSettled(this)
  }

  /** From Bun: bytes. */
  received(chunk: Uint8Array): void {
    if (this.state !== "open" || this.handler === undefined) return
    if (!this.isPaused && !this.isFlushing) return this.handler.onData(chunk)
    this.held ??= []
    this.held.push(chunk)
  }

  /** From Bun: the socket may take bytes again. */
  drained(): void {
    if (!this.isStarved || this.state !== "open") return
    this.isStarved = false
    this.handler?.onDrain()
  }

  /** From Bun: the linger time is over. */
  lingered(): void {
    if (this.state === "ending") this.socket.terminate()
  }

  /** From Bun: a callback threw or the TLS session broke. */
  fail(error: Error): void {
    if (this.state === "closed") return
    this.closeReason ??= error.message
    this.state = "ending"
    this.socket.terminate()
  }

  /** From Bun: the socket is gone. `error` is undefined when the peer closed in order. */
  closed(error: Error | undefined): void {
    if (this.state === "closed") return
    const wasOpen = this.state === "open"
    const reason = this.closeReason ?? closeReasonOf(error, wasOpen)
    this.state = "closed"
    this.settled()
    this.owner.onClosed()
    if (error !== undefined) this.held = undefined
    if (wasOpen && (this.isPaused || this.isFlushing) && this.held !== undefined) this.closeReason = reason
    else this.tellClosed(reason)
  }

  private flushHeld(): void {
    this.isFlushing = false
    while (!this.isPaused && this.held !== undefined) {
      const chunk = this.held.shift()
      if (this.held.length === 0) this.held = undefined
      if (chunk !== undefined) this.handler?.onData(chunk)
    }
    if (this.isPaused) return
    if (this.state === "open") this.socket.resume()
    else if (this.state === "closed" && this.closeReason !== undefined) this.tellClosed(this.closeReason)
  }

  /** The wire is closed and the handler does not want the bytes that were held for it. */
  private abandonHeld(): void {
    if (this.state === "closed" && this.closeReason !== undefined) this.tellClosed(this.closeReason)
  }

  private tellClosed(reason: string): void {
    const handler = this.handler
    this.handler = undefined
    this.held = undefined
    if (handler !== undefined) queueMicrotask(() => handler.onClose(reason))
  }
}

const closeReasonOf = (error: Error | undefined, wasOpen: boolean): string => {
  if (error === undefined) return wasOpen ? "closed by peer" : "ended"
  const code = (error as { readonly code?: unknown }).code
  return code === "ECONNRESET" ? "reset by peer" : error.message
}

/** `::ffff:192.0.2.1` (an IPv4 client of an IPv6 socket) as `192.0.2.1`. */
export const plainAddress = (address: string): string =>
  address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address

export const isLoopbackAddress = (address: string): boolean => address === "::1" || address.startsWith("127.")

/** The peer of a socket that was just accepted. */
export const peerOf = (
  socket: BunSocket,
  listener: { readonly name: string; readonly transport: TransportKind; readonly isUnix: boolean }
): Peer => {
  const address = listener.isUnix ? "" : plainAddress(socket.remoteAddress)
  return {
    transport: listener.transport,
    listener: listener.name,
    address,
    port: listener.isUnix ? 0 : socket.remotePort,
    isLoopback: listener.isUnix || isLoopbackAddress(address),
    serverName: undefined,
    certificate: undefined
  }
}
