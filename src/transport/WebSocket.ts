/**
 * MQTT over WebSocket (MQTT 5.0, section 6) on top of any other listener: ws is this over TCP, wss is this
 * over TLS.
 *
 * Why not the runtime's own WebSocket server: Bun's `ServerWebSocket` cannot be paused, so a tenant's
 * back-pressure would not reach the peer; it has no absolute deadline for the upgrade and cannot follow a
 * PROXY header. Here a WebSocket is one more wire over a wire, with the same rules; and a port to another
 * runtime needs nothing but a byte socket.
 *
 * The acceptor is called after the upgrade, when the client's address is known; until then the connection
 * counts as a handshake with an absolute deadline. Each write is one binary frame (of 64 KiB at most). What
 * the inner wire did not take of a frame is kept here, so that a frame that was begun is always completed: at
 * most one frame per connection.
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AdmissionLimit } from "./AdmissionLimit.ts"
import type { CidrSet } from "./Cidr.ts"
import type { Handshakes } from "./Handshakes.ts"
import { type HandshakeTimeout, makeHandshakes } from "./Handshakes.ts"
import type { HttpHeaders, UpgradeRules } from "./HttpUpgrade.ts"
import { forwardedAddress, isForwarded, judgeUpgrade, refuse } from "./HttpUpgrade.ts"
import { speaksProxy } from "./ProxyProtocol.ts"
import type {
  Acceptor,
  ListenError,
  Listener,
  Listening,
  Peer,
  TransportKind,
  Wire,
  WireHandler
} from "./Transport.ts"
import {
  CloseCode,
  closeFrame,
  FRAME_HEADER_BYTES_MAX,
  pongFrame,
  WebSocketDecoder,
  writeFrameHeader
} from "./WebSocketCodec.ts"

export interface WebSocketOptions {
  /** `/mqtt` by default. */
  readonly paths?: ReadonlyArray<string> | undefined
  /**
   * Web pages that may connect, by origin. Any by default: MQTT does not use cookies, but a browser's network
   * may be trusted.
   */
  readonly origins?: ReadonlyArray<string> | undefined
  /**
   * Reverse proxies whose X-Forwarded-For is believed, and with any, the peers of a unix socket. None by
   * default.
   */
  readonly trustedProxies?: CidrSet | undefined
  /** Request line and headers; more is answered with 431. 8 KiB by default. */
  readonly headBytesMax?: number | undefined
  /**
   * Declared payload length of one frame; more closes with 1009. By default that of the largest MQTT packet.
   */
  readonly frameBytesMax?: number | undefined
  /** From accept, TLS included, to the complete upgrade. 10 s by default. */
  readonly handshakeTimeoutMs?: HandshakeTimeout | undefined
  /** Judges clients behind trusted proxies by their own address. */
  readonly admission?: AdmissionLimit | undefined
}

export interface WebSocketStats {
  readonly upgrading: number
  readonly upgraded: number
  readonly refused: number
  readonly handshakeTimeouts: number
}

export interface WebSocketListening extends Listening {
  /** The listening below. */
  readonly inner: Listening
  readonly webSocketStats: () => WebSocketStats
}

export interface WebSocketListener extends Listener {
  readonly listen: (acceptor: Acceptor) => Effect.Effect<WebSocketListening, ListenError, Scope.Scope>
}

const FRAME_PAYLOAD_BYTES = 65_536
/** Fixed header, and 268,435,455 bytes of remaining length. */
const MQTT_PACKET_BYTES_MAX = 268_435_460
/** A connection that ends gets this long to take what was written. */
const CLOSE_WITHIN_MS = 4000

/** Speaks WebSocket on the wires of another listener. */
export const webSocketListener = (inner: Listener, options: WebSocketOptions = {}): WebSocketListener => ({
  listen: Effect.fnUntraced(function* (acceptor: Acceptor) {
    const rules = { paths: options.paths ?? ["/mqtt"], origins: options.origins }
    const shared: Shared = {
      acceptor,
      rules,
      trustedProxies: options.trustedProxies,
      admission: options.admission,
      headBytesMax: options.headBytesMax ?? 8192,
      frameBytesMax: options.frameBytesMax ?? MQTT_PACKET_BYTES_MAX,
      handshakes: yield* makeHandshakes(options.handshakeTimeoutMs),
      scratch: new Uint8Array(FRAME_HEADER_BYTES_MAX + FRAME_PAYLOAD_BYTES),
      counts: { upgrading: 0, upgraded: 0, refused: 0 }
    }
    const below = yield* inner.listen((wire) => new WebSocketWire(wire, shared))
    const transport = transportOver(below.transport)
    return {
      name: below.name,
      transport,
      address: `${transport}://${below.address}${rules.paths[0] ?? "/"}`,
      port: below.port,
      inner: below,
      webSocketStats: () => ({ ...shared.counts, handshakeTimeouts: shared.handshakes.timeouts })
    }
  })
})

/** What the connections of one listener share. */
interface Shared {
  readonly acceptor: Acceptor
  readonly rules: UpgradeRules
  readonly trustedProxies: CidrSet | undefined
  readonly admission: AdmissionLimit | undefined
  readonly headBytesMax: number
  readonly frameBytesMax: number
  readonly handshakes: Handshakes
  /** Where a frame is put together: writing is synchronous, so that one is enough. */
  readonly scratch: Uint8Array
  readonly counts: { upgrading: number; upgraded: number; refused: number }
}

const EMPTY = new Uint8Array(0)

const transportOver = (below: TransportKind): TransportKind =>
  below === "tls" || below === "wss" ? "wss" : "ws"

class WebSocketWire implements Wire, WireHandler {
  peer: Peer
  private state: "upgrading" | "open" | "ending" | "closed" = "upgrading"
  private handler: WireHandler | undefined
  private head: Uint8Array = EMPTY
  private headLength = 0
  private readonly decoder: WebSocketDecoder
  private isPaused = false
  private isStarved = false
  private isPumpScheduled = false
  /** The rest of a frame that was begun. */
  private out: Uint8Array = EMPTY
  /** A newer ping replaces the answer to an older one (RFC 6455, 5.5.3). */
  private pong: Uint8Array | undefined
  private closing: Uint8Array | undefined
  private closeReason: string | undefined
  private forwardedFor: string | undefined

  constructor(
    private readonly inner: Wire,
    private readonly shared: Shared
  ) {
    this.peer = { ...inner.peer, transport: transportOver(inner.peer.transport) }
    this.decoder = new WebSocketDecoder(shared.frameBytesMax)
    shared.handshakes.add(this)
    shared.counts.upgrading += 1
  }

  get acceptedAtMs(): number {
    return this.inner.acceptedAtMs ?? this.shared.handshakes.nowMs()
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    if (this.state !== "open") return -1
    const { scratch } = this.shared
    let at = start
    if (this.flush()) {
      while (at < end) {
        const length = Math.min(end - at, FRAME_PAYLOAD_BYTES)
        const headerLength = writeFrameHeader(scratch, length)
        scratch.set(bytes.subarray(at, at + length), headerLength)
        const taken = this.inner.write(scratch, 0, headerLength + length)
        if (taken < 0) return -1
        if (taken === 0) break
        at += length
        if (taken < headerLength + length) {
          this.out = scratch.slice(taken, headerLength + length)
          break
        }
      }
    }
    if (at < end) this.isStarved = true
    return at - start
  }

  pause(): void {
    this.isPaused = true
    this.inner.pause()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    if (!this.decoder.hasInput && this.closeReason === undefined) {
      this.inner.resume()
      return
    }
    if (this.isPumpScheduled) return
    this.isPumpScheduled = true
    queueMicrotask(() => {
      this.isPumpScheduled = false
      this.pump()
      if (!this.isPaused) this.inner.resume()
    })
  }

  end(): void {
    if (this.state === "open") this.finish(closeFrame(CloseCode.normal))
    else if (this.state === "closed") this.tellClosed(this.closeReason)
  }

  destroy(): void {
    this.leaveHandshake()
    if (this.state !== "closed") this.state = "ending"
    this.inner.destroy()
    this.tellClosed(this.closeReason)
  }

  settled(): void {
    this.inner.settled?.()
    const address = this.forwardedFor
    this.forwardedFor = undefined
    if (address !== undefined) this.shared.admission?.settled(address, "forwarded")
  }

  onData(chunk: Uint8Array): void {
    if (this.state === "open") {
      this.decoder.feed(chunk)
      this.pump()
    } else if (this.state === "upgrading") this.readHead(chunk)
  }

  onDrain(): void {
    if (!this.flush()) return
    if (this.state === "ending") this.inner.end()
    else if (this.isStarved) {
      this.isStarved = false
      this.handler?.onDrain()
    }
  }

  onClose(reason: string): void {
    this.leaveHandshake()
    this.shared.handshakes.delete(this)
    const wasOpen = this.state === "open"
    this.state = "closed"
    this.settled()
    this.closeReason = reason
    if (!wasOpen || !this.decoder.hasInput) this.tellClosed(reason)
  }

  /** Hands on what was fed, until it is used up or the handler pauses. */
  private pump(): void {
    while (!this.isPaused && (this.state === "open" || this.state === "closed")) {
      const { decoder } = this
      switch (decoder.next()) {
        case "payload":
          this.handler?.onData(decoder.payload)
          break
        case "ping":
          this.pong = pongFrame(decoder.payload)
          this.flush()
          break
        case "pong":
          break
        case "close":
          // The peer gets its own code back (RFC 6455, 5.5.1).
          this.finish(closeFrame(decoder.code))
          this.tellClosed("closed by peer")
          return
        case "error":
          this.finish(closeFrame(decoder.code))
          this.tellClosed(`WebSocket: ${decoder.reason}`)
          return
        case "more":
          if (this.state === "closed") this.tellClosed(this.closeReason)
          return
      }
    }
  }

  /** Writes what waits. True when nothing waits any longer. */
  private flush(): boolean {
    for (;;) {
      if (this.out.length === 0) {
        const next = this.pong ?? this.closing
        if (next === undefined) return true
        if (next === this.pong) this.pong = undefined
        else this.closing = undefined
        this.out = next
      }
      const taken = this.inner.write(this.out, 0, this.out.length)
      if (taken < 0) return false
      this.out = this.out.subarray(taken)
      if (this.out.length > 0) return false
    }
  }

  /**
   * Sends a last frame (or response) after what waits, then ends the inner wire, which waits for the peer's
   * FIN.
   */
  private finish(last: Uint8Array): void {
    const { handshakes } = this.shared
    if (this.state === "closed") return
    this.state = "ending"
    this.closing = last
    if (this.flush() || handshakes.isStopped) this.inner.end()
    else handshakes.addEnding(this, CLOSE_WITHIN_MS)
  }

  private tellClosed(reason: string | undefined): void {
    const { handler } = this
    if (handler === undefined || reason === undefined) return
    this.handler = undefined
    queueMicrotask(() => handler.onClose(reason))
  }

  /** Collects the request's head; what follows it belongs to the first frames. */
  private readHead(chunk: Uint8Array): void {
    const { headBytesMax } = this.shared
    const isMethod = (byte: number) => byte >= 0x41 && byte <= 0x5a
    if (this.headLength === 0 && chunk.length > 0 && !isMethod(chunk[0]!)) {
      // TLS or bare MQTT on a WebSocket port: no HTTP answer would be understood.
      this.destroy()
      return
    }
    const before = this.headLength
    const length = Math.min(before + chunk.length, headBytesMax)
    if (length > this.head.length) {
      const grown = new Uint8Array(Math.min(headBytesMax, Math.max(1024, length, this.head.length * 2)))
      grown.set(this.head)
      this.head = grown
    }
    this.head.set(chunk.subarray(0, length - before), before)
    this.headLength = length
    const view = Buffer.from(this.head.buffer, 0, length)
    const headEnd = view.indexOf("\r\n\r\n", Math.max(0, before - 3), "latin1")
    if (headEnd >= 0) {
      this.head = EMPTY
      this.upgrade(view.toString("latin1", 0, headEnd), chunk.subarray(headEnd + 4 - before))
    } else if (length === headBytesMax) {
      this.refuseWith(refuse(431, `The request's headers are longer than ${headBytesMax} bytes.`).response)
    }
  }

  private upgrade(head: string, rest: Uint8Array): void {
    const { acceptor, counts, rules } = this.shared
    const verdict = judgeUpgrade(head, rules)
    if (verdict._tag === "Refused") {
      this.refuseWith(verdict.response)
      return
    }
    if (!this.identify(verdict.headers)) {
      this.refuseWith(refuse(503, "Too many connections from this address.").response)
      return
    }
    this.leaveHandshake()
    this.shared.handshakes.delete(this)
    this.out = Buffer.from(verdict.response, "latin1")
    this.state = "open"
    const handler = acceptor(this)
    if (handler === undefined) {
      counts.refused += 1
      this.out = EMPTY
      this.destroy()
      return
    }
    counts.upgraded += 1
    this.handler = handler
    this.flush()
    if (rest.length > 0) this.onData(rest)
  }

  /** Learns who the client behind a trusted proxy is. False when its address may not connect now. */
  private identify(headers: HttpHeaders): boolean {
    const { admission, handshakes, trustedProxies } = this.shared
    if (trustedProxies !== undefined && speaksProxy(trustedProxies, this.inner.peer.address)) {
      const address = forwardedAddress(headers, trustedProxies)
      if (address === undefined) this.peer = { ...this.peer, isLoopback: false }
      else {
        this.peer = { ...this.peer, address, port: 0, isLoopback: false }
        if (admission?.admit(address, handshakes.nowMs(), "forwarded") !== undefined) return false
        this.forwardedFor = address
      }
    } else if (isForwarded(headers)) this.peer = { ...this.peer, isLoopback: false }
    return true
  }

  private refuseWith(response: string): void {
    this.leaveHandshake()
    this.shared.counts.refused += 1
    this.finish(Buffer.from(response, "latin1"))
  }

  private leaveHandshake(): void {
    if (this.state === "upgrading") this.shared.counts.upgrading -= 1
  }
}
