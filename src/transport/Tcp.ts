/**
 * MQTT over TCP (IPv4 and IPv6) and over unix domain sockets.
 *
 * The acceptor is called when the socket is accepted. A TCP wire is closed as soon as the peer closes its
 * side: MQTT has no half-open connections. Back-pressure, the graceful end and Bun's ways are in
 * `BunSocket.ts`.
 */

import * as Effect from "effect/Effect"
import type { Bind, SocketListener, SocketListenerOptions } from "./BunListener.ts"
import { addressOf, BunAccept, bindBun, removeStaleSocket } from "./BunListener.ts"
import type { Acceptor, TransportKind } from "./Transport.ts"

export interface TcpOptions extends SocketListenerOptions {
  /** An address or name of this machine: `0.0.0.0`, `::` (both families), `127.0.0.1`. */
  readonly hostname: string
  /** 0 asks for any free port. */
  readonly port: number
  /** Lets several processes listen on the same port (Linux). Off by default. */
  readonly reusePort?: boolean | undefined
}

export interface UnixOptions extends SocketListenerOptions {
  readonly path: string
  /** Permission bits of the socket, for instance 0o660. The process's umask decides by default. */
  readonly mode?: number | undefined
}

/** Listens on TCP. */
export const tcpListener = (options: TcpOptions): SocketListener =>
  plainListener(options, "tcp", {
    hostname: options.hostname,
    port: options.port,
    reusePort: options.reusePort
  })

/** Listens on a unix domain socket. A socket that a killed process left behind is replaced. */
export const unixListener = (options: UnixOptions): SocketListener =>
  plainListener(options, "unix", { unix: options.path, mode: options.mode })

const plainListener = (
  options: SocketListenerOptions,
  transport: TransportKind,
  bind: Bind
): SocketListener => ({
  listen: Effect.fnUntraced(function* (acceptor: Acceptor) {
    const { admission, name } = options
    const isUnix = "unix" in bind
    const clock = yield* Effect.clock
    const accept = new BunAccept({ name, admission, transport, isUnix, acceptor, clock })
    if (isUnix) yield* removeStaleSocket(bind.unix)
    const { port } = yield* bindBun(name, bind, accept)
    return { name, transport, address: addressOf(bind, port), port, stats: accept.stats }
  })
})
