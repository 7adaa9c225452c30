/**
 * Packets as bytes, for tests that play the client themselves.
 *
 * `raw.*` builds what a client sends, well-formed by default and broken on request: every builder takes the
 * fields that a rule is about, and `raw.packet` takes anything. `ServerReader` reads what the broker answers,
 * with `mqtt-packet`, so that a mistake shared by our encoder and our decoder cannot hide.
 */

import { Buffer } from "node:buffer"
import { parser as makeParser, type Packet, type Parser } from "mqtt-packet"

export type Version = 3 | 4 | 5
export type UserPair = readonly [name: string, value: string]

/** Bytes written as hexadecimal with any white space, for instance `hex("c0 00")`. */
export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ""), "hex")

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

export const concat = (...parts: ReadonlyArray<Uint8Array>): Buffer => Buffer.concat(parts)

export const uint16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff])

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A Variable Byte Integer; `width` pads it to more bytes than it needs, which [MQTT-1.5.5-1] forbids. */
export const varint = (value: number, width = 1): Buffer => {
  const bytes: Array<number> = []
  let rest = value
  do {
    bytes.push(rest & 0x7f)
    rest = Math.floor(rest / 128)
  } while (rest > 0 || bytes.length < width)
  return Buffer.from(bytes.map((byte, index) => (index < bytes.length - 1 ? byte | 0x80 : byte)))
}

/** Binary Data, or a UTF-8 string: two bytes of length and the content. */
export const field = (content: string | Uint8Array): Buffer => {
  const bytes = typeof content === "string" ? Buffer.from(content) : content
  return concat(uint16(bytes.length), bytes)
}

/** One property by identifier and encoded value. */
export const property = (id: number, value: Uint8Array): Buffer => concat(Buffer.from([id]), value)

/** The properties by name, encoded: `concat` them for a `properties` field. */
export const properties = {
  payloadFormatIndicator: (value: number) => property(1, Buffer.from([value])),
  messageExpiryInterval: (seconds: number) => property(2, uint32(seconds)),
  contentType: (text: string | Uint8Array) => property(3, field(text)),
  responseTopic: (text: string | Uint8Array) => property(8, field(text)),
  correlationData: (bytes: string | Uint8Array) => property(9, field(bytes)),
  subscriptionIdentifier: (value: number) => property(11, varint(value)),
  sessionExpiryInterval: (seconds: number) => property(17, uint32(seconds)),
  assignedClientIdentifier: (text: string) => property(18, field(text)),
  serverKeepAlive: (seconds: number) => property(19, uint16(seconds)),
  authenticationMethod: (text: string | Uint8Array) => property(21, field(text)),
  authenticationData: (bytes: string | Uint8Array) => property(22, field(bytes)),
  requestProblemInformation: (value: number) => property(23, Buffer.from([value])),
  willDelayInterval: (seconds: number) => property(24, uint32(seconds)),
  requestResponseInformation: (value: number) => property(25, Buffer.from([value])),
  responseInformation: (text: string) => property(26, field(text)),
  serverReference: (text: string) => property(28, field(text)),
  reasonString: (text: string | Uint8Array) => property(31, field(text)),
  receiveMaximum: (value: number) => property(33, uint16(value)),
  topicAliasMaximum: (value: number) => property(34, uint16(value)),
  topicAlias: (value: number) => property(35, uint16(value)),
  maximumQos: (value: number) => property(36, Buffer.from([value])),
  retainAvailable: (value: number) => property(37, Buffer.from([value])),
  userProperty: (name: string | Uint8Array, value: string | Uint8Array) =>
    property(38, concat(field(name), field(value))),
  maximumPacketSize: (value: number) => property(39, uint32(value))
}

/** Any packet: first byte, Remaining Length as it should be, body. */
const packet = (firstByte: number, ...body: ReadonlyArray<Uint8Array>): Buffer => {
  const bytes = concat(...body)
  return concat(Buffer.from([firstByte]), varint(bytes.length), bytes)
}

/** A property section, with its length; nothing below version 5. */
const section = (version: Version, content: Uint8Array | undefined): Buffer => {
  if (version !== 5) return Buffer.alloc(0)
  const bytes = content ?? Buffer.alloc(0)
  return concat(varint(bytes.length), bytes)
}

export interface RawWill {
  readonly topic?: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly retain?: boolean
  /** Encoded properties, without their length. */
  readonly properties?: Uint8Array
}

export interface RawConnect {
  /** Default 4. */
  readonly version?: Version
  readonly clientId?: string | Uint8Array
  /** Clean Session or Clean Start; default true. */
  readonly clean?: boolean
  readonly keepAlive?: number
  readonly username?: string | Uint8Array
  readonly password?: string | Uint8Array
  readonly will?: RawWill
  /** Encoded properties, without their length. */
  readonly properties?: Uint8Array
  /** Default by version: "MQIsdp" for 3, "MQTT" otherwise. */
  readonly protocolName?: string | Uint8Array
  /** Default the version. */
  readonly level?: number
  /** Replaces the flags byte. */
  readonly flags?: number
  /** After the last field. */
  readonly trailer?: Uint8Array
}

const connectFlags = (options: RawConnect): number => {
  const { clean = true, password, username, will } = options
  let flags = clean ? 0x02 : 0
  if (will !== undefined) flags |= 0x04 | ((will.qos ?? 0) << 3) | (will.retain === true ? 0x20 : 0)
  if (username !== undefined) flags |= 0x80
  if (password !== undefined) flags |= 0x40
  return flags
}

const connect = (options: RawConnect = {}): Buffer => {
  const { version = 4, will } = options
  const parts = [
    field(options.protocolName ?? (version === 3 ? "MQIsdp" : "MQTT")),
    Buffer.from([options.level ?? version, options.flags ?? connectFlags(options)]),
    uint16(options.keepAlive ?? 60),
    section(version, options.properties),
    field(options.clientId ?? "client")
  ]
  if (will !== undefined) {
    parts.push(section(version, will.properties), field(will.topic ?? "will"), field(will.payload ?? "gone"))
  }
  if (options.username !== undefined) parts.push(field(options.username))
  if (options.password !== undefined) parts.push(field(options.password))
  if (options.trailer !== undefined) parts.push(Buffer.from(options.trailer))
  return packet(0x10, ...parts)
}

export interface RawPublish {
  /** Default 4. */
  readonly version?: Version
  readonly topic?: string | Uint8Array
  readonly payload?: string | Uint8Array
  readonly qos?: number
  readonly retain?: boolean
  readonly dup?: boolean
  /** Written at QoS 1 and above; default 1. */
  readonly packetId?: number
  /** Encoded properties, without their length. */
  readonly properties?: Uint8Array
}

const publish = (options: RawPublish = {}): Buffer => {
  const { payload = "payload", qos = 0, version = 4 } = options
  const firstByte = 0x30 | (options.dup === true ? 8 : 0) | (qos << 1) | (options.retain === true ? 1 : 0)
  return packet(
    firstByte,
    field(options.topic ?? "topic"),
    qos > 0 ? uint16(options.packetId ?? 1) : Buffer.alloc(0),
    section(version, options.properties),
    Buffer.from(payload)
  )
}

export interface RawAck {
  readonly packetId?: number
  /** Version 5: present when given, also when 0. */
  readonly reasonCode?: number
  /** Encoded properties, without their length; they need a reason code. */
  readonly properties?: Uint8Array
}

const ack =
  (firstByte: number) =>
  (options: RawAck = {}): Buffer =>
    packet(
      firstByte,
      uint16(options.packetId ?? 1),
      options.reasonCode === undefined ? Buffer.alloc(0) : Buffer.from([options.reasonCode]),
      options.properties === undefined ? Buffer.alloc(0) : section(5, options.properties)
    )

export interface RawSubscribe {
  /** Default 4. */
  readonly version?: Version
  readonly packetId?: number
  /**
   * A filter with QoS 0, or with the whole options byte (QoS in bits 0-1, No Local 4, Retain As Published 8,
   * ...).
   */
  readonly filters?: ReadonlyArray<string | readonly [filter: string | Uint8Array, options: number]>
  /** Encoded properties, without their length. */
  readonly properties?: Uint8Array
  readonly firstByte?: number
}

const subscribe = (options: RawSubscribe = {}): Buffer =>
  packet(
    options.firstByte ?? 0x82,
    uint16(options.packetId ?? 1),
    section(options.version ?? 4, options.properties),
    ...(options.filters ?? ["topic"]).map((filter) =>
      typeof filter === "string"
        ? concat(field(filter), Buffer.from([0]))
        : concat(field(filter[0]), Buffer.from([filter[1]]))
    )
  )

export interface RawUnsubscribe {
  /** Default 4. */
  readonly version?: Version
  readonly packetId?: number
  readonly filters?: ReadonlyArray<string | Uint8Array>
  readonly properties?: Uint8Array
  readonly firstByte?: number
}

const unsubscribe = (options: RawUnsubscribe = {}): Buffer =>
  packet(
    options.firstByte ?? 0xa2,
    uint16(options.packetId ?? 1),
    section(options.version ?? 4, options.properties),
    ...(options.filters ?? ["topic"]).map(field)
  )

export interface RawReason {
  /** Absent: no body at all, which is the only form below version 5. */
  readonly reasonCode?: number
  readonly properties?: Uint8Array
}

const reasoned =
  (firstByte: number) =>
  (options: RawReason = {}): Buffer => {
    if (options.reasonCode === undefined) return packet(firstByte)
    const tail = options.properties === undefined ? Buffer.alloc(0) : section(5, options.properties)
    return packet(firstByte, Buffer.from([options.reasonCode]), tail)
  }

/** What clients send. */
export const raw = {
  packet,
  section,
  connect,
  publish,
  puback: ack(0x40),
  pubrec: ack(0x50),
  pubrel: ack(0x62),
  pubcomp: ack(0x70),
  subscribe,
  unsubscribe,
  pingreq: (): Buffer => packet(0xc0),
  disconnect: reasoned(0xe0),
  auth: reasoned(0xf0)
}

/** Packets from a server, whatever the chunks. Throws on bytes that `mqtt-packet` does not accept. */
export class ServerReader {
  private readonly parser: Parser
  private readonly packets: Array<Packet> = []
  private error: Error | undefined

  constructor(version: Version) {
    this.parser = makeParser({ protocolVersion: version })
    this.parser.on("packet", (packet) => {
      this.packets.push(packet)
    })
    this.parser.on("error", (error: Error) => {
      this.error = error
    })
  }

  /** Takes bytes and returns the packets that they completed. */
  push(bytes: Uint8Array): ReadonlyArray<Packet> {
    this.parser.parse(Buffer.from(bytes))
    if (this.error !== undefined) throw this.error
    return this.packets.splice(0)
  }
}

/** All packets in `bytes`, which must end with a complete one. */
export const readServer = (bytes: Uint8Array, version: Version): ReadonlyArray<Packet> =>
  new ServerReader(version).push(bytes)

/** Small deterministic random numbers for tests that need many cases: mulberry32. */
export const seeded = (seed: number): ((below: number) => number) => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** `bytes` cut into chunks of 1 to `chunkBytesMax` bytes. */
export const chunked = (
  bytes: Uint8Array,
  random: (below: number) => number,
  chunkBytesMax: number
): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random(chunkBytesMax))
    chunks.push(bytes.slice(at, end))
    at = end
  }
  return chunks
}
