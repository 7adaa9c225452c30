/**
 * The binary form of messages and wills: in frames, in the database, and between the two. A message is
 * written once, and from then on copied as it is: who stores it need not understand more than its `head`.
 */

import { Buffer } from "node:buffer"
import { copyRange } from "../../protocol/Cursor.ts"
import type { Qos, SubscriptionRequest, Will } from "../../protocol/Packet.ts"
import { decodeUtf8 } from "../../protocol/Utf8.ts"
import type { StoredMessage } from "../DurableRecord.ts"
import type { ByteReader } from "./ByteReader.ts"
import type { ByteWriter } from "./ByteWriter.ts"

/** Bits of a message's first byte; the lowest two are its QoS. The others are 0 until a later version. */
const Bit = { Retain: 4, Expires: 8, Properties: 16, Traced: 32, Principal: 64 } as const
const knownBits = 127

export const writeMessage = (writer: ByteWriter, message: StoredMessage): void => {
  const { expiresAtMs, forwardedProperties, payload, publisherId, qos, retain, topic, traceContext } = message
  const { publisherPrincipal } = message
  writer.byte(
    qos |
      (retain ? Bit.Retain : 0) |
      (expiresAtMs === 0 ? 0 : Bit.Expires) |
      (forwardedProperties.length === 0 ? 0 : Bit.Properties) |
      (traceContext === undefined ? 0 : Bit.Traced) |
      (publisherPrincipal === undefined ? 0 : Bit.Principal)
  )
  if (expiresAtMs !== 0) writer.number(expiresAtMs)
  writer.binary(topic.bytes)
  writer.binary(payload)
  if (forwardedProperties.length > 0) writer.binary(forwardedProperties)
  writer.text(publisherId)
  if (traceContext !== undefined) writer.text(traceContext)
  if (publisherPrincipal !== undefined) writer.text(publisherPrincipal)
}

const flagsOf = (reader: ByteReader): number => {
  const flags = reader.byte()
  if (flags > knownBits || (flags & 3) === 3) reader.fail("a message has unknown flags")
  return flags
}

const noBytes = new Uint8Array(0)

export const readMessage = (reader: ByteReader): StoredMessage => {
  const flags = flagsOf(reader)
  const expiresAtMs = (flags & Bit.Expires) === 0 ? 0 : reader.number()
  reader.skip()
  const topic = {
    name: decodeUtf8(reader.bytes, reader.from, reader.to),
    bytes: copyRange(reader.bytes, reader.from, reader.to)
  }
  return {
    topic,
    expiresAtMs,
    payload: reader.binary(),
    forwardedProperties: (flags & Bit.Properties) === 0 ? noBytes : reader.binary(),
    publisherId: reader.text(),
    traceContext: (flags & Bit.Traced) === 0 ? undefined : reader.text(),
    ...((flags & Bit.Principal) !== 0 && { publisherPrincipal: reader.text() }),
    qos: (flags & 3) as Qos,
    retain: (flags & Bit.Retain) !== 0
  }
}

/** What who stores a message must know of it. */
export interface MessageHead {
  readonly expiresAtMs: number
  /** Of payload, properties and topic. */
  readonly bytes: number
  readonly payloadBytes: number
}

export const readHead = (reader: ByteReader): MessageHead => {
  const flags = flagsOf(reader)
  const expiresAtMs = (flags & Bit.Expires) === 0 ? 0 : reader.number()
  reader.skip()
  const topicBytes = reader.to - reader.from
  reader.skip()
  const payloadBytes = reader.to - reader.from
  if ((flags & Bit.Properties) === 0) return { expiresAtMs, bytes: topicBytes + payloadBytes, payloadBytes }
  reader.skip()
  return { expiresAtMs, bytes: topicBytes + payloadBytes + reader.to - reader.from, payloadBytes }
}

/** The topic of a message that the reader stands before. */
export const readTopic = (reader: ByteReader): string => {
  if ((flagsOf(reader) & Bit.Expires) !== 0) reader.number()
  return reader.text()
}

export const writeWill = (writer: ByteWriter, will: Will): void => {
  writer.byte(will.qos | (will.retain ? Bit.Retain : 0))
  writer.text(will.topic)
  writer.binary(will.payload)
  writer.number(will.delayInterval)
  writer.number(will.messageExpiryInterval + 1)
  writer.binary(will.forwardedProperties)
}

export const readWill = (reader: ByteReader): Will => {
  const flags = reader.byte()
  if (flags > 7 || (flags & 3) === 3) reader.fail("a will has unknown flags")
  return {
    qos: (flags & 3) as Qos,
    retain: (flags & Bit.Retain) !== 0,
    topic: reader.text(),
    payload: reader.binary(),
    delayInterval: reader.number(),
    messageExpiryInterval: reader.number() - 1,
    forwardedProperties: reader.binary()
  }
}

/** A subscription's options in a byte, laid out as in SUBSCRIBE. */
export const optionsOf = (request: SubscriptionRequest): number =>
  request.qos |
  (request.noLocal ? 4 : 0) |
  (request.retainAsPublished ? 8 : 0) |
  (request.retainHandling << 4)

/** Undefined when no subscription has these options. */
export const requestOf = (topicFilter: string, options: number): SubscriptionRequest | undefined =>
  options > 63 || (options & 3) === 3 || options >> 4 === 3
    ? undefined
    : {
        topicFilter,
        qos: (options & 3) as Qos,
        noLocal: (options & 4) !== 0,
        retainAsPublished: (options & 8) !== 0,
        retainHandling: (options >> 4) as 0 | 1 | 2
      }

/** What few messages of a queue have: Subscription Identifiers, and the shared subscription they came by. */
export interface DeliveryExtra {
  readonly subscriptionIdentifiers: ReadonlyArray<number>
  readonly group: string | undefined
}

export const hasExtra = ({ group, subscriptionIdentifiers }: DeliveryExtra): boolean =>
  group !== undefined || subscriptionIdentifiers.length > 0

export const writeExtra = (writer: ByteWriter, { group, subscriptionIdentifiers }: DeliveryExtra): void => {
  writer.number(subscriptionIdentifiers.length)
  for (const identifier of subscriptionIdentifiers) writer.number(identifier)
  writer.byte(group === undefined ? 0 : 1)
  if (group !== undefined) writer.text(group)
}

export const readExtra = (reader: ByteReader): DeliveryExtra => {
  const subscriptionIdentifiers: Array<number> = []
  for (let count = reader.number(); count > 0; count--) subscriptionIdentifiers.push(reader.number())
  return { subscriptionIdentifiers, group: reader.byte() === 0 ? undefined : reader.text() }
}

export const noExtra: DeliveryExtra = Object.freeze({
  subscriptionIdentifiers: Object.freeze([]),
  group: undefined
})

/** A copy of what was written between two positions. */
export const written = (writer: ByteWriter, from: number): Uint8Array =>
  Buffer.from(writer.bytes.subarray(from, writer.length))
