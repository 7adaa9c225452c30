/**
 * The transport port: what a broker needs of a byte stream, and nothing more, so that TCP, TLS, WebSocket,
 * unix sockets, memory and other runtimes' sockets are all small adapters.
 *
 * A listener accepts a `Wire` and asks its `Acceptor` for the `WireHandler` that will receive the wire's
 * events. All calls are synchronous and run on the event loop's thread; none of them throws.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export type TransportKind = "tcp" | "tls" | "ws" | "wss" | "unix" | "memory"

/**
 * What the peer's verified certificate says. Present only when the peer sent one and it verified against the
 * listener's CA.
 */
export interface PeerCertificate {
  readonly commonName: string | undefined
  /** The distinguished name in RFC 4514 order, for instance `CN=device-1,O=acme`. */
  readonly subject: string
  /** Subject alternative names as `DNS:…`, `URI:…`, `email:…`, `IP:…`. */
  readonly subjectAltNames: ReadonlyArray<string>
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  readonly fingerprint256: string
}

/** Who is at the other end, known when the wire is accepted. */
export interface Peer {
  readonly transport: TransportKind
  /** The listener's name in the configuration. */
  readonly listener: string
  /**
   * The client's address after PROXY protocol or X-Forwarded-For from a trusted network; "" for unix and
   * memory.
   */
  readonly address: string
  readonly port: number
  /**
   * True when the client itself is on this machine: loopback, unix socket or memory, and no proxy said
   * otherwise.
   */
  readonly isLoopback: boolean
  /** The server name that the client asked for (TLS SNI). */
  readonly serverName: string | undefined
  readonly certificate: PeerCertificate | undefined
}

/** One accepted byte stream, as the broker writes to it. */
export interface Wire {
  readonly peer: Peer
  /**
   * Writes bytes[start, end) and returns how many of them were taken; after fewer than all,
   * `WireHandler.onDrain` tells when to go on. The bytes may be reused as soon as this returns. Returns -1
   * when the wire is closed.
   */
  readonly write: (bytes: Uint8Array, start: number, end: number) => number
  /**
   * Stops `onData` until `resume`; the peer then feels TCP's back-pressure. Both may be called repeatedly.
   */
  readonly pause: () => void
  readonly resume: () => void
  /**
   * Ends the stream after what was written has been sent. Safe to call more than once; `onClose` follows
   * once.
   */
  readonly end: () => void
  /** Ends the stream at once, without waiting for anything. `onClose` follows once. */
  readonly destroy: () => void
  /** Clock instant (ms) at which the byte stream was accepted, before any TLS or WebSocket handshake. */
  readonly acceptedAtMs?: number
  /**
   * Says that the peer has proved who it is (its CONNECT was accepted): the listener's admission limit no
   * longer counts it as a pending handshake. A wire that closes is settled by that. May be called repeatedly.
   */
  readonly settled?: () => void
}

/** The receiver of a wire's events. */
export interface WireHandler {
  /** Bytes in order. The handler owns the chunk: nobody writes to it again. */
  readonly onData: (chunk: Uint8Array) => void
  /** The wire takes bytes again after a short write. */
  readonly onDrain: () => void
  /**
   * The last event, exactly once, and never from inside a call of the wire. `reason` is for events and logs.
   * Bytes that arrived before an orderly close are handed over first, also when the wire is paused: then
   * after `resume`.
   */
  readonly onClose: (reason: string) => void
}

/**
 * Called once for each accepted wire, before any of its events. Undefined refuses it: the listener destroys
 * the wire.
 */
export type Acceptor = (wire: Wire) => WireHandler | undefined

/**
 * A listener could not start: the address is in use, the certificate does not parse. The broker does not
 * start.
 */
export class ListenError extends Data.TaggedError("ListenError")<{
  readonly listener: string
  readonly address: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `listener ${this.listener} cannot listen on ${this.address}: ${whyOf(this.cause)}`
  }
}

/** What the system's codes mean here: Bun's message repeats the address and no more. */
const reasons: ReadonlyMap<unknown, string> = new Map([
  ["EADDRINUSE", "it is in use"],
  ["EADDRNOTAVAIL", "this machine does not have that address"],
  ["EACCES", "permission denied"],
  ["ENOENT", "the directory does not exist"]
])

const whyOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return reasons.get("code" in cause ? cause.code : undefined) ?? cause.message
}

/** A listener that is accepting. */
export interface Listening {
  readonly name: string
  readonly transport: TransportKind
  /** For people: `127.0.0.1:1883`, `ws://[::]:8083/mqtt`, a socket's path. */
  readonly address: string
  /** The port really bound (port 0 asks for any free one); 0 for unix and memory. */
  readonly port: number
}

/**
 * Something that accepts wires for as long as its scope is open. Closing the scope stops accepting and leaves
 * live wires alone.
 */
export interface Listener {
  readonly listen: (acceptor: Acceptor) => Effect.Effect<Listening, ListenError, Scope.Scope>
}

/** The listeners of a broker. */
export class Transports extends Context.Tag("heddle/Transports")<Transports, ReadonlyArray<Listener>>() {}
