/**
 * A notation for packets in test tables, and decoding in every way that chunks can fall.
 *
 *     wire("10 ** ~'MQTT' 05 02 003c [ 21 000a ] ~'client'")
 *
 * Plain tokens are hexadecimal; `'text'` is its UTF-8; `~'text'` has its two-byte length in front (`~` before
 * a hex token too); `[ ... ]` has its length as a Variable Byte Integer in front, as properties have; `**` is
 * the Remaining Length of what follows.
 */

import { Decoder, type DecoderOptions } from "../../src/protocol/Decoder.ts"
import { MalformedPacket } from "../../src/protocol/MalformedPacket.ts"
import type { ClientPacket, ProtocolVersion } from "../../src/protocol/Packet.ts"
import { chunked, concat, field, seeded, toHex, varint } from "../support/raw.ts"

const content = (token: string): Buffer => {
  if (token.startsWith("'")) return Buffer.from(token.slice(1, -1))
  if (!/^([0-9a-f]{2})*$/.test(token)) throw new RangeError(`not a token of wire(): ${token}`)
  return Buffer.from(token, "hex")
}

const build = (tokens: Array<string>): Buffer => {
  const parts: Array<Buffer> = []
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token === "]") break
    if (token === "[") {
      const section = build(tokens)
      parts.push(varint(section.length), section)
    } else if (token === "**") {
      const rest = build(tokens)
      parts.push(varint(rest.length), rest)
    } else parts.push(token.startsWith("~") ? field(content(token.slice(1))) : content(token))
  }
  return concat(...parts)
}

export const wire = (text: string): Buffer => build(text.match(/~?'[^']*'|[^\s']+/g) ?? [])

/** A packet with its bytes as text, so that tables can be compared. */
export const plain = (packet: ClientPacket): unknown => {
  if (packet._tag !== "Publish") return packet
  const { forwardedProperties, payloadEnd, payloadStart, source, topic, ...rest } = packet
  return {
    ...rest,
    topic: topic.name,
    topicBytes: toHex(topic.bytes),
    payload: toHex(source.subarray(payloadStart, payloadEnd)),
    forwarded: toHex(forwardedProperties)
  }
}

export const connectBytes = (version: ProtocolVersion): Buffer =>
  wire(
    version === 5
      ? "10 ** ~'MQTT' 05 02 003c [ ] ~'client'"
      : version === 4
        ? "10 ** ~'MQTT' 04 02 003c ~'client'"
        : "10 ** ~'MQIsdp' 03 02 003c ~'client'"
  )

/** A decoder that has read a CONNECT of `version`; of 0, one that has read nothing. */
export const decoderOf = (version: ProtocolVersion | 0, options: Partial<DecoderOptions> = {}): Decoder => {
  const decoder = new Decoder({ packetBytesMax: 268_435_460, ...options })
  if (version === 0) return decoder
  decoder.push(connectBytes(version))
  if (decoder.next()?._tag !== "Connect") throw new RangeError("CONNECT was not read")
  return decoder
}

export interface Outcome {
  readonly packets: ReadonlyArray<unknown>
  readonly failure: MalformedPacket | undefined
}

/** Pushes the chunks one by one and takes all packets after each. */
export const decode = (decoder: Decoder, chunks: ReadonlyArray<Uint8Array>): Outcome => {
  const packets: Array<unknown> = []
  try {
    for (const chunk of chunks) {
      decoder.push(chunk)
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next())
        packets.push(plain(packet))
    }
  } catch (failure) {
    if (failure instanceof MalformedPacket) return { packets, failure }
    throw failure
  }
  return { packets, failure: undefined }
}

export interface Way {
  readonly way: string
  readonly chunks: ReadonlyArray<Uint8Array>
}

/**
 * The same bytes whole, byte by byte, in seeded random chunks, and as a plain Uint8Array inside a larger one.
 */
export const ways = (bytes: Uint8Array): ReadonlyArray<Way> => {
  const larger = new Uint8Array(bytes.length + 20)
  larger.set(bytes, 10)
  const random = [1, 2, 3].map((seed) => ({
    way: `random chunks ${seed}`,
    chunks: chunked(bytes, seeded(seed), 7)
  }))
  return [
    { way: "whole", chunks: [Buffer.from(bytes)] },
    { way: "byte by byte", chunks: chunked(bytes, () => 0, 1) },
    { way: "within a larger array", chunks: [larger.subarray(10, 10 + bytes.length)] },
    ...random
  ]
}
