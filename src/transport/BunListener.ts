/**
 * What every listener on Bun's sockets does: bind, admit, count, bound the handshake, and stop with its
 * scope.
 *
 * A socket is admitted (or destroyed) the moment it is accepted. On TCP it goes to the acceptor at once; on
 * TLS when its handshake is complete, and the handshake has an absolute deadline from accept
 * (`Handshakes.ts`).
 *
 * TLS is put on an accepted TCP socket by `upgradeTLS` rather than by `Bun.listen({ tls })`: new certificates
 * are then a value that the next connection reads, with no second listener and no connection lost in the old
 * one's queue; and a PROXY header can be read first. It costs 10 % more CPU on bulk data only when PROXY
 * headers are on (Bun 1.4.5). Closing the scope stops accepting and destroys unfinished handshakes; wires
 * that were accepted live on.
 */

import { chmodSync, lstatSync, unlinkSync } from "node:fs"
import type { SocketHandler, TLSOptions } from "bun"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AdmissionLimit } from "./AdmissionLimit.ts"
import type { BunSocket, BunWireOwner } from "./BunSocket.ts"
import { BunWire, peerOf } from "./BunSocket.ts"
import type { CidrSet } from "./Cidr.ts"
import type { Handshakes } from "./Handshakes.ts"
import { ProxyHeaderReader, peerBehindProxy, speaksProxy } from "./ProxyProtocol.ts"
import type { Acceptor, Listener, Listening, Peer, TransportKind } from "./Transport.ts"
import { ListenError } from "./Transport.ts"

export interface ListenerStats {
  /** Sockets that are open now, handshakes included. */
  readonly sockets: number
  /** Sockets whose TLS handshake is not complete. */
  readonly handshaking: number
  /** Since the start. */
  readonly accepted: number
  readonly refused: number
  readonly handshakeTimeouts: number
  readonly handshakeFailures: number
}

/** A listener on sockets also counts them. */
export interface SocketListening extends Listening {
  readonly stats: () => ListenerStats
}

export interface SocketListener extends Listener {
  readonly listen: (acceptor: Acceptor) => Effect.Effect<SocketListening, ListenError, Scope.Scope>
}

/** What the listeners' options have in common. */
export interface SocketListenerOptions {
  readonly name: string
  /** Applied when a socket is accepted: a refused one is destroyed at once. */
  readonly admission?: AdmissionLimit | undefined
}

/** Where to listen. */
export type Bind =
  | { readonly hostname: string; readonly port: number; readonly reusePort?: boolean | undefined }
  | { readonly unix: string; readonly mode?: number | undefined }

/** What `upgradeTLS` is told: one immutable value per generation of certificates. */
export interface TlsUpgrade {
  readonly tls: TLSOptions
  /** Bun's hook for SNI: the native context for the name, or undefined for the default one. */
  readonly serverName: (listener: unknown, name: string) => unknown
}

/** What TLS adds to a listener. */
export interface SecureAccept {
  readonly handshakes: Handshakes
  /** Read for each connection: new ones get new certificates. */
  readonly upgrade: () => TlsUpgrade
  /** Who the peer is, once its handshake succeeded; undefined refuses it. */
  readonly identify: (socket: BunSocket, peer: Peer) => Peer | undefined
  /** Load balancers whose connections begin with a PROXY header. */
  readonly proxies: CidrSet | undefined
}

interface AcceptOptions extends SocketListenerOptions {
  readonly transport: TransportKind
  readonly isUnix: boolean
  readonly acceptor: Acceptor
  readonly clock: Clock.Clock
  readonly secure?: SecureAccept | undefined
}

/** The sockets of one listener. It outlives the scope of the listening, for the wires that live on. */
export class BunAccept implements BunWireOwner {
  private readonly headers = new Map<BunWire, ProxyHeaderReader>()
  private readonly secured = new Set<BunWire>()
  private sockets = 0
  private accepted = 0
  private refused = 0
  private handshakeFailures = 0

  constructor(private readonly options: AcceptOptions) {}

  readonly stats = (): ListenerStats => ({
    sockets: this.sockets,
    handshaking: this.options.secure?.handshakes.pending ?? 0,
    accepted: this.accepted,
    refused: this.refused,
    handshakeTimeouts: this.options.secure?.handshakes.timeouts ?? 0,
    handshakeFailures: this.handshakeFailures
  })

  /** Bun keeps one set of callbacks per listener; the wire is the socket's `data`. */
  handlers(): SocketHandler<BunWire> {
    const { secure } = this.options
    if (secure === undefined) return { ...this.streamHandlers(), open: (socket) => this.opened(socket) }
    const handlers: SocketHandler<BunWire> = {
      open: (socket) => this.opened(socket),
      // Bun wants `data` or `drain`; without `data` it does not copy the cipher text into JavaScript.
      drain: () => undefined,
      close: (socket, error) => this.rawClosed(socket.data, error),
      error: (socket, error) => socket.data?.fail(error)
    }
    if (secure.proxies === undefined) return handlers
    return { ...handlers, data: (socket, chunk) => this.headerBytes(socket, chunk, secure) }
  }

  private streamHandlers(): SocketHandler<BunWire> {
    return {
      // What the decoder works on. To wrap a plain array, chunk by chunk, cost a tenth of all that a message
      // costs which is alone in its chunk: 10.75 µs against 9.17 (Bun 1.4.5, 2026-11).
      binaryType: "buffer",
      data: (socket, chunk) => socket.data?.received(chunk),
      drain: (socket) => socket.data?.drained(),
      close: (socket, error) => this.streamClosed(socket.data, error),
      // A handler of ours threw, or a TLS record did not decrypt: the stream cannot go on.
      error: (socket, error) => socket.data?.fail(error),
      timeout: (socket) => socket.data?.lingered()
    }
  }

  private opened(socket: BunSocket): void {
    const { admission, clock, isUnix, secure } = this.options
    const peer = peerOf(socket, this.options)
    const nowMs = clock.unsafeCurrentTimeMillis()
    if (admission?.admit(peer.address, nowMs) !== undefined) {
      this.refused += 1
      socket.terminate()
      return
    }
    this.sockets += 1
    // Acknowledgements are small and awaited: Nagle's algorithm would hold them back.
    if (!isUnix) socket.setNoDelay(true)
    const wire = new BunWire(socket, this, peer, nowMs)
    socket.data = wire
    if (secure === undefined) this.accept(wire)
    else {
      secure.handshakes.add(wire)
      if (secure.proxies !== undefined && speaksProxy(secure.proxies, peer.address))
        this.headers.set(wire, new ProxyHeaderReader())
      else this.startTls(socket, secure, undefined)
    }
  }

  /** The peer authenticated, or the socket closed: it is no pending handshake any more. */
  onSettled({ address, forwardedFor }: BunWire): void {
    const { admission } = this.options
    admission?.settled(address)
    if (forwardedFor !== undefined) admission?.settled(forwardedFor, "forwarded")
  }

  onClosed(): void {
    this.sockets -= 1
  }

  /** Bytes before TLS. Once TLS began, Bun shows the cipher text here as well: it is ignored. */
  private headerBytes(socket: BunSocket, chunk: Uint8Array, secure: SecureAccept): void {
    const { admission, clock } = this.options
    const wire = socket.data
    const outcome = this.headers.get(wire)?.push(chunk)
    if (outcome === undefined || outcome._tag === "More") return
    this.headers.delete(wire)
    if (outcome._tag === "Malformed") {
      wire.destroy()
      return
    }
    wire.peer = peerBehindProxy(wire.peer, outcome)
    if (outcome.source !== undefined && admission !== undefined) {
      if (admission.admit(wire.peer.address, clock.unsafeCurrentTimeMillis(), "forwarded") !== undefined) {
        this.refused += 1
        wire.destroy()
        return
      }
      wire.forwardedFor = wire.peer.address
    }
    this.startTls(socket, secure, outcome.rest.length > 0 ? outcome.rest : undefined)
  }

  /**
   * Puts TLS on an accepted socket. `isServer`, `initialData` and the `serverName` callback are what Bun's
   * own `node:tls` passes; they are missing from Bun's types (1.4.5), and the tests of this listener would
   * notice a change.
   */
  private startTls(socket: BunSocket, secure: SecureAccept, initialData: Uint8Array | undefined): void {
    const { serverName, tls } = secure.upgrade()
    const wire = socket.data
    this.secured.add(wire)
    const handlers = {
      ...this.streamHandlers(),
      open: (upgraded: BunSocket) => wire.adopt(upgraded),
      handshake: (upgraded: BunSocket, isAuthorized: boolean) => this.shaken(upgraded, isAuthorized, secure),
      serverName
    }
    const upgrade = { isServer: true, initialData, data: wire, tls, socket: handlers }
    socket.upgradeTLS<BunWire>(upgrade)
  }

  private shaken(socket: BunSocket, isAuthorized: boolean, secure: SecureAccept): void {
    const wire = socket.data
    // Bun refuses renegotiation; a handshake counts once in any case.
    if (!secure.handshakes.delete(wire)) return
    const peer = isAuthorized ? secure.identify(socket, wire.peer) : undefined
    if (peer === undefined) {
      this.handshakeFailures += 1
      wire.destroy()
      return
    }
    wire.peer = peer
    this.accept(wire)
  }

  private accept(wire: BunWire): void {
    const handler = this.options.acceptor(wire)
    if (handler === undefined) {
      this.refused += 1
      wire.destroy()
      return
    }
    this.accepted += 1
    wire.attach(handler)
  }

  /** The socket below TLS closed; when TLS began, its own socket tells. */
  private rawClosed(wire: BunWire | undefined, error: Error | undefined): void {
    if (wire !== undefined && !this.secured.has(wire)) this.streamClosed(wire, error)
  }

  private streamClosed(wire: BunWire | undefined, error: Error | undefined): void {
    if (wire === undefined) return
    this.headers.delete(wire)
    this.secured.delete(wire)
    if (this.options.secure?.handshakes.delete(wire) === true) this.handshakeFailures += 1
    wire.closed(error)
  }
}

/** A bound listener of Bun. */
export interface BunListening {
  readonly hostname: string
  readonly port: number
  /** Stops accepting; open sockets live on. */
  readonly stop: () => void
}

/** Binds until the scope closes, or fails with `ListenError`. */
export const bindBun = (
  name: string,
  bind: Bind,
  accept: BunAccept
): Effect.Effect<BunListening, ListenError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => bindNow(bind, accept),
      catch: (cause) => new ListenError({ listener: name, address: addressOf(bind), cause })
    }),
    (bound) => Effect.sync(() => bound.stop())
  )

const bindNow = (bind: Bind, accept: BunAccept): BunListening => {
  if ("unix" in bind) {
    const listener = Bun.listen<BunWire>({ unix: bind.unix, socket: accept.handlers() })
    if (bind.mode !== undefined) chmodSync(bind.unix, bind.mode)
    return { hostname: "", port: 0, stop: () => listener.stop(false) }
  }
  // `reusePort` is missing from Bun's type of this option object, but not from what it reads.
  const { hostname, port, reusePort = false } = bind
  const target = { hostname, port, reusePort }
  const listener = Bun.listen<BunWire>({ ...target, socket: accept.handlers() })
  return { hostname: listener.hostname, port: listener.port, stop: () => listener.stop(false) }
}

/** For people: `127.0.0.1:1883`, `[::1]:1883` or a socket's path. */
export const addressOf = (bind: Bind, port?: number): string => {
  if ("unix" in bind) return bind.unix
  const host = bind.hostname.includes(":") ? `[${bind.hostname}]` : bind.hostname
  return `${host}:${port ?? bind.port}`
}

/**
 * Removes a unix socket that nobody listens on: what a killed process leaves behind. A file that is not a
 * socket, or a socket that answers, stays, and binding reports it.
 */
export const removeStaleSocket = (path: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    // Connecting to a plain file is refused as well: only a socket may be taken for stale.
    const isSocket = yield* Effect.try(() => lstatSync(path).isSocket()).pipe(
      Effect.orElseSucceed(() => false)
    )
    if (!isSocket) return
    const isRefused = yield* Effect.tryPromise({
      try: () => Bun.connect({ unix: path, socket: { data: () => undefined } }),
      catch: (error) => (error as { readonly code?: unknown }).code === "ECONNREFUSED"
    }).pipe(
      Effect.map((socket) => {
        socket.terminate()
        return false
      }),
      Effect.merge
    )
    // A directory that may not be written: binding reports it.
    if (isRefused) yield* Effect.option(Effect.try(() => unlinkSync(path)))
  })
