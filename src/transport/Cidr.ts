/**
 * Internet addresses and networks (RFC 4291, RFC 4632): which peers are trusted proxies, which addresses
 * share a limit.
 *
 * Every address is sixteen bytes here; an IPv4 address is its IPv4-mapped IPv6 form, so that a client of a
 * dual-stack socket (`::ffff:192.0.2.1`) is the same as one of an IPv4 socket. Anything that does not parse
 * is in no network.
 */

import * as Data from "effect/Data"

/** A network in the configuration that is not one. The configuration is refused. */
export class CidrError extends Data.TaggedError("CidrError")<{ readonly network: string }> {
  override get message(): string {
    const expected = "an address or CIDR such as 10.0.0.0/8 or 2001:db8::/32"
    return `"${this.network}" is not a network: expected ${expected}`
  }
}

interface Network {
  readonly bytes: Uint8Array
  readonly prefixBits: number
}

const parseIpv4 = (text: string, into: Uint8Array, at: number): boolean => {
  const parts = text.split(".")
  if (parts.length !== 4) return false
  for (const [index, part] of parts.entries()) {
    // Leading zeros are refused: some parsers read them as octal.
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return false
    const value = Number(part)
    if (value > 255) return false
    into[at + index] = value
  }
  return true
}

const parseGroups = (text: string, allowIpv4: boolean): Array<number> | undefined => {
  if (text === "") return []
  const groups: Array<number> = []
  const parts = text.split(":")
  for (const [index, part] of parts.entries()) {
    if (allowIpv4 && index === parts.length - 1 && part.includes(".")) {
      const ipv4 = new Uint8Array(4)
      if (!parseIpv4(part, ipv4, 0)) return undefined
      groups.push((ipv4[0]! << 8) | ipv4[1]!, (ipv4[2]! << 8) | ipv4[3]!)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

/**
 * The sixteen bytes of an IPv4 or IPv6 address, undefined when it is not one. Zone identifiers (`%eth0`) are
 * ignored.
 */
export const parseAddress = (address: string): Uint8Array | undefined => {
  // 45 characters are the longest IPv6 text; a zone may follow.
  if (address.length > 80) return undefined
  const bytes = new Uint8Array(16)
  if (!address.includes(":")) {
    bytes[10] = 0xff
    bytes[11] = 0xff
    return parseIpv4(address, bytes, 12) ? bytes : undefined
  }
  const zone = address.indexOf("%")
  const halves = (zone < 0 ? address : address.slice(0, zone)).split("::")
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] ?? "", halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "", true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  for (const [index, group] of groups.entries()) {
    bytes[index * 2] = group >> 8
    bytes[index * 2 + 1] = group & 0xff
  }
  return bytes
}

const isIpv4Mapped = (bytes: Uint8Array): boolean =>
  bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0)

/** The usual text of an address, so that one client has one spelling; undefined when it is not an address. */
export const canonicalAddress = (address: string): string | undefined => {
  const bytes = parseAddress(address)
  return bytes === undefined ? undefined : formatAddress(bytes)
}

/** Sixteen bytes as text: dotted for IPv4, RFC 5952 for IPv6. */
export const formatAddress = (bytes: Uint8Array): string => {
  if (isIpv4Mapped(bytes)) return bytes.subarray(12).join(".")
  const groups: Array<number> = []
  for (let at = 0; at < 16; at += 2) groups.push((bytes[at]! << 8) | bytes[at + 1]!)
  let bestStart = -1
  let bestLength = 1
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length++
    if (length > bestLength) {
      bestStart = start
      bestLength = length
    }
  }
  const text = (part: ReadonlyArray<number>) => part.map((group) => group.toString(16)).join(":")
  if (bestStart < 0) return text(groups)
  return `${text(groups.slice(0, bestStart))}::${text(groups.slice(bestStart + bestLength))}`
}

/**
 * The unit that an address limit counts: an IPv4 address, or the /64 of an IPv6 address, since one customer
 * line has at least that and could otherwise take a fresh address for every connection. Anything else is its
 * own unit.
 */
export const limitKey = (address: string): string => {
  if (!address.includes(":")) return address
  const bytes = parseAddress(address)
  if (bytes === undefined || isIpv4Mapped(bytes)) return bytes === undefined ? address : formatAddress(bytes)
  return `${formatAddress(bytes.fill(0, 8))}/64`
}

const parseNetwork = (network: string): Network => {
  const slash = network.indexOf("/")
  const bytes = parseAddress(slash < 0 ? network : network.slice(0, slash))
  if (bytes === undefined || network.includes("%")) throw new CidrError({ network })
  const isIpv4 = !network.includes(":")
  const bits = slash < 0 ? (isIpv4 ? "32" : "128") : network.slice(slash + 1)
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (isIpv4 ? 32 : 128)) throw new CidrError({ network })
  return { bytes, prefixBits: Number(bits) + (isIpv4 ? 96 : 0) }
}

const isWithin = (network: Network, address: Uint8Array): boolean => {
  const whole = network.prefixBits >> 3
  for (let at = 0; at < whole; at++) if (network.bytes[at] !== address[at]) return false
  const rest = network.prefixBits & 7
  return rest === 0 || ((network.bytes[whole]! ^ address[whole]!) & (0xff00 >> rest) & 0xff) === 0
}

/** A set of networks. */
export class CidrSet {
  private readonly networks: ReadonlyArray<Network>

  /** Throws `CidrError` for what is not an address or a network. */
  constructor(networks: ReadonlyArray<string>) {
    this.networks = networks.map(parseNetwork)
  }

  contains(address: string): boolean {
    if (this.networks.length === 0) return false
    const bytes = parseAddress(address)
    return bytes !== undefined && this.networks.some((network) => isWithin(network, bytes))
  }
}
