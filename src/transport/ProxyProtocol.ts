/**
 * The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): a load balancer says whose
 * connection it passes on.
 *
 * Only peers in the configured networks are believed, and from them the header is required, as the
 * specification demands: a receiver that guesses lets clients forge their address. From anybody else such a
 * header is just bytes, and not MQTT. The reader takes bytes as they come, is bounded (107 bytes for version
 * 1, 4 KiB for version 2) and never looks past the header. Anything ill-formed destroys the connection.
 */

import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AdmissionLimit } from "./AdmissionLimit.ts"
import type { CidrSet } from "./Cidr.ts"
import { canonicalAddress, formatAddress } from "./Cidr.ts"
import type { Handshakes } from "./Handshakes.ts"
import { type HandshakeTimeout, makeHandshakes } from "./Handshakes.ts"
import type { Acceptor, Listener, Listening, Peer, TransportKind, Wire, WireHandler } from "./Transport.ts"
import { ListenError } from "./Transport.ts"

/** What a header said. */
export interface ProxyHeader {
  readonly _tag: "Header"
  /** The proxy speaks for itself (LOCAL: a health check). */
  readonly isLocal: boolean
  /** The client; undefined when the proxy does not know or it is not an internet address. */
  readonly source: { readonly address: string; readonly port: number } | undefined
  /** The host name that the client asked the proxy for (TLV 0x02). */
  readonly authority: string | undefined
  /** What came after the header: a view into the last chunk. */
  readonly rest: Uint8Array
}

export type ProxyOutcome =
  | { readonly _tag: "More" }
  | { readonly _tag: "Malformed"; readonly reason: string }
  | ProxyHeader

const MORE: ProxyOutcome = { _tag: "More" }
const V1_PREFIX = Buffer.from("PROXY ", "latin1")
const V1_BYTES_MAX = 107
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1")
const V2_FIXED_BYTES = 16
/** 216 for the longest addresses; the rest is room for TLVs. */
const V2_BYTES_MAX = 4096
const TLV_AUTHORITY = 0x02

const malformed = (reason: string): ProxyOutcome => ({ _tag: "Malformed", reason })

/** Reads one header from the start of a stream. Not to be used again after its last outcome. */
export class ProxyHeaderReader {
  private bytes: Uint8Array = new Uint8Array(128)
  private length = 0

  push(chunk: Uint8Array): ProxyOutcome {
    for (let at = 0; at < chunk.length; ) {
      const take = Math.min(this.wantedBytes() - this.length, chunk.length - at)
      this.append(chunk.subarray(at, at + take))
      at += take
      const outcome = this.look(chunk.subarray(at))
      if (outcome !== MORE) return outcome
    }
    return MORE
  }

  /** How many bytes to have before looking again. */
  private wantedBytes(): number {
    if (this.length === 0) return 1
    if (this.bytes[0] === V1_PREFIX[0]) return this.length + 1
    return this.length < V2_FIXED_BYTES ? V2_FIXED_BYTES : this.v2Bytes()
  }

  /** The whole length of a version 2 header whose fixed part is here. */
  private v2Bytes(): number {
    return V2_FIXED_BYTES + ((this.bytes[14]! << 8) | this.bytes[15]!)
  }

  private append(piece: Uint8Array): void {
    if (this.length + piece.length > this.bytes.length) {
      const grown = new Uint8Array(V2_BYTES_MAX)
      grown.set(this.bytes.subarray(0, this.length))
      this.bytes = grown
    }
    this.bytes.set(piece, this.length)
    this.length += piece.length
  }

  private look(rest: Uint8Array): ProxyOutcome {
    const { bytes, length } = this
    const prefix = bytes[0] === V1_PREFIX[0] ? V1_PREFIX : V2_SIGNATURE
    for (let at = 0; at < Math.min(length, prefix.length); at++)
      if (bytes[at] !== prefix[at]) return malformed("no PROXY header")
    if (prefix === V1_PREFIX) {
      if (bytes[length - 1] === 0x0a && length > prefix.length) return readV1(bytes.subarray(0, length), rest)
      return length >= V1_BYTES_MAX ? malformed("version 1 header too long") : MORE
    }
    if (length < V2_FIXED_BYTES) return MORE
    if (bytes[12]! >> 4 !== 2) return malformed("unknown version")
    if (this.v2Bytes() > V2_BYTES_MAX) return malformed("version 2 header too long")
    if (length < this.v2Bytes()) return MORE
    return readV2(bytes.subarray(0, length), rest)
  }
}

const V1_LINE = /^PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5}))\r\n$/

const readV1 = (line: Uint8Array, rest: Uint8Array): ProxyOutcome => {
  const found = V1_LINE.exec(Buffer.from(line).toString("latin1"))
  if (found === null) return malformed("ill-formed version 1 header")
  const [, family, source, destination, sourcePort, destinationPort] = found
  if (family === undefined || source === undefined || destination === undefined)
    return { _tag: "Header", isLocal: false, source: undefined, authority: undefined, rest }
  const isFamily = (address: string) =>
    address.includes(":") === (family === "TCP6") && !address.includes("%")
  const address = canonicalAddress(source)
  if (address === undefined || canonicalAddress(destination) === undefined)
    return malformed("ill-formed address")
  if (!isFamily(source) || !isFamily(destination)) return malformed("address of another family")
  if (!isPort(sourcePort) || !isPort(destinationPort)) return malformed("ill-formed port")
  const port = Number(sourcePort)
  return { _tag: "Header", isLocal: false, source: { address, port }, authority: undefined, rest }
}

const isPort = (text: string | undefined): boolean =>
  text !== undefined && /^(0|[1-9]\d*)$/.test(text) && Number(text) <= 65_535

/** Bytes of the address block by address family (upper half of the byte): unspecified, IPv4, IPv6, unix. */
const V2_ADDRESS_BYTES = [0, 12, 36, 216]

const readV2 = (bytes: Uint8Array, rest: Uint8Array): ProxyOutcome => {
  const command = bytes[12]! & 0x0f
  const family = bytes[13]! >> 4
  const protocol = bytes[13]! & 0x0f
  if (command > 1) return malformed("unknown command")
  const isLocal = command === 0
  const addressBytes = V2_ADDRESS_BYTES[family]
  // The addresses of LOCAL are to be ignored, whatever they are; only the length counts.
  if (isLocal) return { _tag: "Header", isLocal, source: undefined, authority: undefined, rest }
  if (addressBytes === undefined || protocol > 2) return malformed("unknown address family")
  if (V2_FIXED_BYTES + addressBytes > bytes.length) return malformed("address block too short")
  const block = bytes.subarray(V2_FIXED_BYTES)
  const authority = family === 0 ? undefined : readAuthority(block.subarray(addressBytes))
  if (authority === false) return malformed("TLV overruns the header")
  return { _tag: "Header", isLocal, source: readV2Source(family, block), authority, rest }
}

const readV2Source = (family: number, block: Uint8Array): ProxyHeader["source"] => {
  if (family === 1) {
    const address = block.subarray(0, 4).join(".")
    return { address, port: (block[8]! << 8) | block[9]! }
  }
  if (family !== 2) return undefined
  return { address: formatAddress(block.subarray(0, 16)), port: (block[32]! << 8) | block[33]! }
}

/** Walks the TLVs, which must fill the rest of the header exactly. False when one overruns it. */
const readAuthority = (tlvs: Uint8Array): string | undefined | false => {
  let authority: string | undefined
  for (let at = 0; at < tlvs.length; ) {
    if (at + 3 > tlvs.length) return false
    const end = at + 3 + ((tlvs[at + 1]! << 8) | tlvs[at + 2]!)
    if (end > tlvs.length) return false
    if (tlvs[at] === TLV_AUTHORITY)
      authority = hostName(Buffer.from(tlvs.subarray(at + 3, end)).toString("latin1"))
    at = end
  }
  return authority
}

/**
 * A name that a client or proxy asked for, in lower case; undefined when it holds anything that no host name
 * does.
 */
export const hostName = (name: string): string | undefined =>
  name.length <= 253 && /^[A-Za-z0-9_.-]+$/.test(name) ? name.toLowerCase() : undefined

/** The peer as the header tells it. */
export const peerBehindProxy = (proxy: Peer, header: ProxyHeader): Peer => {
  if (header.isLocal) return proxy
  const serverName = header.authority ?? proxy.serverName
  if (header.source === undefined) return { ...proxy, serverName, isLoopback: false }
  const { address, port } = header.source
  return { ...proxy, address, port, serverName, isLoopback: false }
}

/**
 * Peers that must send a header: those in the networks, and unix or memory peers, which have no address to
 * forge.
 */
export const speaksProxy = (trusted: CidrSet, address: string): boolean =>
  address === "" || trusted.contains(address)

export interface ProxyProtocolOptions {
  /** The load balancers. */
  readonly trusted: CidrSet
  /** From accept to the complete header. 10 s by default. */
  readonly handshakeTimeoutMs?: HandshakeTimeout | undefined
  /** Judges the clients behind the proxies by their own address. */
  readonly admission?: AdmissionLimit | undefined
}

/** PROXY headers were configured above TLS or WebSocket, where none can be. */
export class ProxyPlacementError extends Data.TaggedError("ProxyPlacementError")<{
  readonly transport: TransportKind
}> {
  override get message(): string {
    return (
      `a PROXY header precedes everything else, so it cannot be expected inside ${this.transport}: ` +
      "set the TLS listener's own proxyProtocol option, or wrap the TCP listener below"
    )
  }
}

interface ProxyListener extends Listener {
  readonly listen: (acceptor: Acceptor) => Effect.Effect<Listening, ListenError, Scope.Scope>
}

/**
 * Expects PROXY headers on the wires of another listener. On TLS the header comes before the handshake: that
 * is an option of the TLS listener itself, and wrapping one is refused when it starts.
 */
export const proxyProtocolListener = (inner: Listener, options: ProxyProtocolOptions): ProxyListener => ({
  listen: Effect.fnUntraced(function* (acceptor: Acceptor) {
    const handshakes = yield* makeHandshakes(options.handshakeTimeoutMs)
    const listening = yield* inner.listen((wire) =>
      speaksProxy(options.trusted, wire.peer.address)
        ? new ProxiedWire(wire, { acceptor, handshakes, admission: options.admission })
        : acceptor(wire)
    )
    if (listening.transport === "tcp" || listening.transport === "unix" || listening.transport === "memory")
      return listening
    const cause = new ProxyPlacementError({ transport: listening.transport })
    return yield* new ListenError({ listener: listening.name, address: listening.address, cause })
  })
})

interface Shared {
  readonly acceptor: Acceptor
  readonly handshakes: Handshakes
  readonly admission: AdmissionLimit | undefined
}

class ProxiedWire implements Wire, WireHandler {
  peer: Peer
  private reader: ProxyHeaderReader | undefined = new ProxyHeaderReader()
  private handler: WireHandler | undefined
  private isPaused = false
  /** What came in the same chunk as the header, when the acceptor paused at once. */
  private held: Uint8Array | undefined
  private closeReason: string | undefined
  private forwardedFor: string | undefined

  constructor(
    private readonly inner: Wire,
    private readonly shared: Shared
  ) {
    this.peer = inner.peer
    shared.handshakes.add(this)
  }

  get acceptedAtMs(): number {
    return this.inner.acceptedAtMs ?? this.shared.handshakes.nowMs()
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    return this.inner.write(bytes, start, end)
  }

  pause(): void {
    this.isPaused = true
    this.inner.pause()
  }

  resume(): void {
    this.isPaused = false
    if (this.held === undefined) this.inner.resume()
    else queueMicrotask(() => this.deliverHeld())
  }

  end(): void {
    this.dropHeld()
    this.inner.end()
  }

  destroy(): void {
    this.dropHeld()
    this.inner.destroy()
  }

  settled(): void {
    this.inner.settled?.()
    const address = this.forwardedFor
    this.forwardedFor = undefined
    if (address !== undefined) this.shared.admission?.settled(address, "forwarded")
  }

  onData(chunk: Uint8Array): void {
    if (this.reader === undefined) {
      this.handler?.onData(chunk)
      return
    }
    const outcome = this.reader.push(chunk)
    if (outcome._tag === "Malformed") this.inner.destroy()
    else if (outcome._tag === "Header") this.accept(outcome)
  }

  onDrain(): void {
    this.handler?.onDrain()
  }

  onClose(reason: string): void {
    this.shared.handshakes.delete(this)
    this.settled()
    if (this.held === undefined) this.handler?.onClose(reason)
    else this.closeReason = reason
  }

  private accept(header: ProxyHeader): void {
    const { acceptor, admission, handshakes } = this.shared
    this.reader = undefined
    handshakes.delete(this)
    this.peer = peerBehindProxy(this.inner.peer, header)
    if (header.source !== undefined && admission !== undefined) {
      if (admission.admit(this.peer.address, handshakes.nowMs(), "forwarded") !== undefined) {
        this.inner.destroy()
        return
      }
      this.forwardedFor = this.peer.address
    }
    this.handler = acceptor(this)
    if (this.handler === undefined) this.inner.destroy()
    else if (header.rest.length > 0) {
      this.held = header.rest
      if (!this.isPaused) this.deliverHeld()
    }
  }

  private deliverHeld(): void {
    if (this.isPaused || this.held === undefined) return
    const chunk = this.held
    this.held = undefined
    this.handler?.onData(chunk)
    if (this.closeReason !== undefined) this.tellClosed(this.closeReason)
    else if (!this.isPaused) this.inner.resume()
  }

  private dropHeld(): void {
    this.held = undefined
    if (this.closeReason !== undefined) this.tellClosed(this.closeReason)
  }

  private tellClosed(reason: string): void {
    const { handler } = this
    this.handler = undefined
    this.closeReason = undefined
    if (handler !== undefined) queueMicrotask(() => handler.onClose(reason))
  }
}
