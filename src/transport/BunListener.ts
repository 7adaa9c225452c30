/**
 * What every listener on Bun's sockets does: bind, admit, count, bound the handshake, and stop with its scope.
 *
 * A socket is admitted (or destroyed) the moment it is accepted. On TCP it goes to the acceptor at once; on TLS when its
 * handshake is complete, and the handshake has an absolute deadline from accept that no byte prolongs. One sweep per
 * listener looks at the sockets that are still shaking hands, not a timer per socket.
 * Closing the scope stops accepting and destroys unfinished handshakes; wires that were accepted live on.
 */

import { chmodSync, unlinkSync } from "node:fs"
import type { SocketHandler, TLSOptions } from "bun"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { AdmissionLimit } from "./AdmissionLimit.ts"
import type { BunSocket } from "./BunSocket.ts"
import { BunWire, peerOf } from "./BunSocket.ts"
import type { Acceptor, Listener, Listening, TransportKind } from "./Transport.ts"
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

/** What TLS adds to a listener. */
export interface SecureAccept {
  readonly handshakeTimeoutMs: number
  /** Who the peer is, once its handshake succeeded; undefined refuses it. */
  readonly identify: (socket: BunSocket, wire: BunWire) => BunWire["peer"] | undefined
}

interface AcceptOptions extends SocketListenerOptions {
  readonly transport: TransportKind
  readonly isUnix: boolean
  readonly acceptor: Acceptor
  readonly clock: Clock.Clock
  readonly secure?: SecureAccept | undefined
}

/** The sockets of one listener. It outlives the scope of the listening, for the wires that live on. */
export class BunAccept {
  private readonly handshaking = new Set<BunWire>()
  private sockets = 0
  private accepted = 0
  private refused = 0
  private handshakeTimeouts = 0
  private handshakeFailures = 0

  constructor(private readonly options: AcceptOptions) {}

  readonly stats = (): ListenerStats => ({
    sockets: this.sockets,
    handshaking: this.handshaking.size,
    accepted: this.accepted,
    refused: this.refused,
    handshakeTimeouts: this.handshakeTimeouts,
    handshakeFailures: this.handshakeFailures
  })

  /** Bun keeps one set of callbacks per listener; the wire is the socket's `data`. */
  handlers(): SocketHandler<BunWire> {
    const secure = this.options.secure
    const handlers: SocketHandler<BunWire> = {
      binaryType: "uint8array",
      open: (socket) => this.opened(socket),
      data: (socket, chunk) => socket.data?.received(chunk),
      drain: (socket) => socket.data?.drained(),
      close: (socket, error) => socket.data?.closed(error),
      // A handler of ours threw, or a TLS record did not decrypt: the stream cannot go on.
      error: (socket, error) => socket.data?.fail(error),
      timeout: (socket) => socket.data?.lingered()
    }
    if (secure === undefined) return handlers
    return { ...handlers, handshake: (socket, isAuthorized) => this.secured(socket, isAuthorized, secure) }
  }

  /** Destroys the handshakes that began `timeoutMs` ago; with no instant, all of them. */
  expireHandshakes(nowMs: number | undefined): void {
    for (const wire of this.handshaking) {
      if (nowMs !== undefined && nowMs - wire.acceptedAtMs < (this.options.secure?.handshakeTimeoutMs ?? 0))
        continue
      if (nowMs !== undefined) this.handshakeTimeouts += 1
      this.handshaking.delete(wire)
      wire.destroy()
    }
  }

  private opened(socket: BunSocket): void {
    const { admission, clock, secure } = this.options
    const peer = peerOf(socket, this.options)
    const nowMs = clock.unsafeCurrentTimeMillis()
    if (admission?.admit(peer.address, nowMs) !== undefined) {
      this.refused += 1
      socket.terminate()
      return
    }
    this.sockets += 1
    // Acknowledgements are small and awaited: Nagle's algorithm would hold them back.
    if (!this.options.isUnix) socket.setNoDelay(true)
    const owner = {
      onSettled: () => admission?.settled(peer.address),
      onClosed: (closed: BunWire) => {
        this.sockets -= 1
        if (this.handshaking.delete(closed)) this.handshakeFailures += 1
      }
    }
    const wire = new BunWire(socket, owner, peer, nowMs)
    socket.data = wire
    if (secure === undefined) this.accept(wire)
    else this.handshaking.add(wire)
  }

  private secured(socket: BunSocket, isAuthorized: boolean, secure: SecureAccept): void {
    const wire = socket.data
    // TLS 1.2 renegotiation is refused by Bun, but a handshake is accepted once in any case.
    if (wire === undefined || !this.handshaking.delete(wire)) return
    const peer = isAuthorized ? secure.identify(socket, wire) : undefined
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
}

/** A bound listener of Bun. */
export interface BunListening {
  readonly hostname: string
  readonly port: number
  /** Stops accepting; open sockets live on. */
  readonly stop: () => void
}

/** Binds, or fails with `ListenError`. The caller stops it. */
export const bindBun = (
  name: string,
  bind: Bind,
  accept: BunAccept,
  tls?: TLSOptions
): Effect.Effect<BunListening, ListenError> =>
  Effect.try({
    try: () => {
      const secure = tls === undefined ? {} : { tls }
      if ("unix" in bind) {
        const listener = Bun.listen<BunWire>({ unix: bind.unix, socket: accept.handlers(), ...secure })
        if (bind.mode !== undefined) chmodSync(bind.unix, bind.mode)
        return { hostname: "", port: 0, stop: () => listener.stop(false) }
      }
      // `reusePort` is missing from Bun's type of this option object, but not from what it reads.
      const { hostname, port, reusePort = false } = bind
      const target = { hostname, port, reusePort }
      const listener = Bun.listen<BunWire>({ ...target, socket: accept.handlers(), ...secure })
      return { hostname: listener.hostname, port: listener.port, stop: () => listener.stop(false) }
    },
    catch: (cause) => new ListenError({ listener: name, address: addressOf(bind), cause })
  })

/** For people: `127.0.0.1:1883`, `[::1]:1883` or a socket's path. */
export const addressOf = (bind: Bind, port?: number): string => {
  if ("unix" in bind) return bind.unix
  const host = bind.hostname.includes(":") ? `[${bind.hostname}]` : bind.hostname
  return `${host}:${port ?? bind.port}`
}

/** Sweeps handshakes for as long as the scope is open, and destroys the unfinished ones when it closes. */
export const sweepHandshakes = (
  timeoutMs: number,
  expire: (nowMs: number | undefined) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    // A quarter of the time allowed, so that a handshake overstays by 25 % at most.
    const periodMs = Math.max(10, Math.min(1000, timeoutMs / 4))
    yield* Effect.addFinalizer(() => Effect.sync(() => expire(undefined)))
    yield* Effect.map(Clock.currentTimeMillis, expire).pipe(
      Effect.catchAllCause((cause) => Effect.logError("handshake sweep failed", Cause.pretty(cause))),
      Effect.repeat(Schedule.spaced(periodMs)),
      Effect.forkScoped
    )
  })

/**
 * Removes a unix socket that nobody listens on: what a killed process leaves behind. A file that is not a socket, or a
 * socket that answers, stays, and binding reports it.
 */
export const removeStaleSocket = (path: string): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const done = () => resume(Effect.void)
    Bun.connect({
      unix: path,
      socket: {
        open: (socket) => {
          socket.terminate()
          done()
        },
        data: () => undefined,
        connectError: (_socket, error) => {
          if ((error as { readonly code?: unknown }).code === "ECONNREFUSED") {
            try {
              unlinkSync(path)
            } catch {
              // Another process was faster, or the directory is read-only: binding tells.
            }
          }
          done()
        }
      }
    }).catch(done)
  })
