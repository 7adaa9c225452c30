/**
 * Who may connect, and how fast: the first answer to connection floods and handshake storms, given at TCP
 * accept, before TLS or a single byte of MQTT costs anything.
 *
 * A token bucket for the listener and one per address bound the accept rate; two counters bound the
 * handshakes that are pending, that is connections that have not been accepted as an MQTT client yet. An
 * admitted connection is settled once, when it is accepted or when it closes. Pure: instants are passed in.
 * The address table is bounded: an idle address is forgotten first, and one with pending handshakes never is.
 */

import type { CidrSet } from "./Cidr.ts"
import { limitKey } from "./Cidr.ts"

/** Read each time: the owner may change them, and they hold for connections that come then. */
export interface AdmissionOptions {
  /** Connections per second on the listener, and how many may come at once. */
  readonly acceptsPerSecond: number
  readonly acceptsBurst: number
  /** The same for one address (for IPv6: one /64). */
  readonly acceptsPerSecondPerAddress: number
  readonly acceptsBurstPerAddress: number
  /** Connections that may be unauthenticated at once. */
  readonly pendingMax: number
  readonly pendingMaxPerAddress: number
  /** Addresses remembered; at least `pendingMax`. */
  readonly addressesMax: number
  /**
   * Load balancers: only the listener's limits hold for their sockets, the address limits for the clients
   * behind them.
   */
  readonly proxies?: CidrSet | undefined
}

export type AdmissionRefusal =
  | "accept rate"
  | "address accept rate"
  | "pending handshakes"
  | "address pending handshakes"

/**
 * `accepted` is the socket itself; `forwarded` is the client that a trusted proxy on that socket speaks for.
 */
export type AdmissionHop = "accepted" | "forwarded"

interface AddressEntry {
  tokens: number
  refilledAtMs: number
  pending: number
}

export class AdmissionLimit {
  private readonly addresses = new Map<string, AddressEntry>()
  private tokens: number
  private refilledAtMs = Number.NEGATIVE_INFINITY
  private pendingCount = 0

  constructor(private readonly options: AdmissionOptions) {
    this.tokens = options.acceptsBurst
  }

  private get addressesMax(): number {
    return Math.max(this.options.addressesMax, this.options.pendingMax + 1)
  }

  get pending(): number {
    return this.pendingCount
  }

  get addressesKnown(): number {
    return this.addresses.size
  }

  /** Counts a connection in, or says why not: nothing is taken from any limit then. */
  admit(address: string, nowMs: number, hop: AdmissionHop = "accepted"): AdmissionRefusal | undefined {
    const { options } = this
    if (hop === "accepted") {
      this.refill(nowMs)
      if (this.pendingCount >= options.pendingMax) return "pending handshakes"
      if (this.tokens < 1) return "accept rate"
    }
    if (hop === "forwarded" || this.isLimitedByAddress(address)) {
      const entry = this.entryOf(limitKey(address), nowMs)
      if (entry.pending >= options.pendingMaxPerAddress) return "address pending handshakes"
      if (entry.tokens < 1) return "address accept rate"
      entry.tokens -= 1
      entry.pending += 1
    }
    if (hop === "accepted") {
      this.tokens -= 1
      this.pendingCount += 1
    }
    return undefined
  }

  /** Ends a pending handshake: exactly once for every connection (and hop) that was admitted. */
  settled(address: string, hop: AdmissionHop = "accepted"): void {
    if (hop === "accepted") this.pendingCount -= 1
    if (hop === "accepted" && !this.isLimitedByAddress(address)) return
    const entry = this.addresses.get(limitKey(address))
    if (entry !== undefined) entry.pending -= 1
  }

  /** Unix sockets and memory have no address, and a load balancer speaks for many clients. */
  private isLimitedByAddress(address: string): boolean {
    return address !== "" && this.options.proxies?.contains(address) !== true
  }

  private refill(nowMs: number): void {
    const { acceptsBurst, acceptsPerSecond } = this.options
    this.tokens = refilled(this.tokens, nowMs - this.refilledAtMs, acceptsPerSecond, acceptsBurst)
    this.refilledAtMs = nowMs
  }

  private entryOf(key: string, nowMs: number): AddressEntry {
    const { acceptsBurstPerAddress, acceptsPerSecondPerAddress } = this.options
    const known = this.addresses.get(key)
    if (known !== undefined) {
      const elapsedMs = nowMs - known.refilledAtMs
      known.tokens = refilled(known.tokens, elapsedMs, acceptsPerSecondPerAddress, acceptsBurstPerAddress)
      known.refilledAtMs = nowMs
      // The map's order is the order of use: the front is the address that was idle longest.
      this.addresses.delete(key)
      this.addresses.set(key, known)
      return known
    }
    if (this.addresses.size >= this.addressesMax) this.forgetOne()
    const entry: AddressEntry = { tokens: acceptsBurstPerAddress, refilledAtMs: nowMs, pending: 0 }
    this.addresses.set(key, entry)
    return entry
  }

  /**
   * At most `pendingMax` entries are pending and the table holds more, so that the loop finds an idle one.
   */
  private forgetOne(): void {
    let looked = this.addresses.size
    for (const [key, entry] of this.addresses) {
      this.addresses.delete(key)
      if (entry.pending <= 0 || looked-- === 0) return
      this.addresses.set(key, entry)
    }
  }
}

/**
 * A clock that steps back adds nothing and takes nothing; a rate of zero never adds, however long ago it was.
 */
const refilled = (tokens: number, elapsedMs: number, perSecond: number, burst: number): number =>
  elapsedMs > 0 && perSecond > 0 ? Math.min(burst, tokens + (elapsedMs / 1000) * perSecond) : tokens
