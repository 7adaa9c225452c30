/**
 * Writes PUBLISH into a connection's output. A message that goes to one receiver is written straight from its
 * parts; one that fans out is encoded once as a `Frame` and copied, with its first byte and packet identifier
 * patched.
 *
 * Parameters are positional and `PublishHeader` is meant to be reused by its caller: these functions run once
 * for each message delivered, and allocate nothing.
 */

import { Buffer } from "node:buffer"
import type { ByteSink } from "./ByteSink.ts"
import type { ProtocolVersion, PublishContent, Qos } from "./Packet.ts"
import { putVarint, varintBytes } from "./Varint.ts"

export interface PublishHeader {
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  /** Not 0 unless `qos` is. [MQTT-2.2.1-2] [MQTT-2.2.1-4] */
  readonly packetId: number
  /** 0 when there is none. Version 5 only, as are all fields below. */
  readonly topicAlias: number
  /** False leaves the topic to the alias. */
  readonly sendTopic: boolean
  /** Seconds; -1 when there is none. */
  readonly messageExpiryInterval: number
  readonly subscriptionIdentifiers: ReadonlyArray<number>
}

/** An encoded PUBLISH of QoS 0 or, with a packet identifier of 0 to be patched, of QoS 1 and 2. */
export interface Frame {
  readonly bytes: Buffer
  /** -1 when it has no packet identifier. */
  readonly packetIdOffset: number
}

/** The first byte of a PUBLISH. */
export const publishByte = (qos: Qos, retain: boolean, dup: boolean): number =>
  0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 0x01 : 0)

/**
 * Copies source[start, end) to target at `at` and returns the position after it. A loop is fastest up to 24
 * bytes.
 */
const put = (source: Uint8Array, start: number, end: number, target: Buffer, at: number): number => {
  const length = end - start
  if (length <= 24) for (let index = 0; index < length; index++) target[at + index] = source[start + index]!
  else if (source instanceof Buffer) source.copy(target, at, start, end)
  else if (length === source.length) target.set(source, at)
  else target.set(source.subarray(start, end), at)
  return at + length
}

const putUint16 = (value: number, target: Buffer, at: number): number => {
  target[at] = value >>> 8
  target[at + 1] = value & 0xff
  return at + 2
}

const propertyBytes = (content: PublishContent, header: PublishHeader): number => {
  let length = content.forwardedProperties.length
  if (header.topicAlias > 0) length += 3
  if (header.messageExpiryInterval >= 0) length += 5
  const identifiers = header.subscriptionIdentifiers
  for (let index = 0; index < identifiers.length; index++) length += 1 + varintBytes(identifiers[index]!)
  return length
}

const remainingLength = (
  version: ProtocolVersion,
  content: PublishContent,
  header: PublishHeader,
  properties: number
): number =>
  2 +
  (header.sendTopic ? content.topic.bytes.length : 0) +
  (header.qos > 0 ? 2 : 0) +
  (version === 5 ? varintBytes(properties) + properties : 0) +
  content.payloadEnd -
  content.payloadStart

/** The size that `writePublish` would write, for the client's Maximum Packet Size. [MQTT-3.1.2-24] */
export const publishBytes = (
  version: ProtocolVersion,
  content: PublishContent,
  header: PublishHeader
): number => {
  const remaining = remainingLength(
    version,
    content,
    header,
    version === 5 ? propertyBytes(content, header) : 0
  )
  return 1 + varintBytes(remaining) + remaining
}

const putProperties = (
  content: PublishContent,
  header: PublishHeader,
  target: Buffer,
  start: number
): number => {
  let at = start
  if (header.messageExpiryInterval >= 0) {
    target[at++] = 0x02
    at = putUint16(header.messageExpiryInterval >>> 16, target, at)
    at = putUint16(header.messageExpiryInterval & 0xffff, target, at)
  }
  if (header.topicAlias > 0) {
    target[at++] = 0x23
    at = putUint16(header.topicAlias, target, at)
  }
  const identifiers = header.subscriptionIdentifiers
  for (let index = 0; index < identifiers.length; index++) {
    target[at++] = 0x0b
    at = putVarint(identifiers[index]!, target, at)
  }
  const forwarded = content.forwardedProperties
  return put(forwarded, 0, forwarded.length, target, at)
}

/** Appends a PUBLISH. */
export const writePublish = (
  sink: ByteSink,
  version: ProtocolVersion,
  content: PublishContent,
  header: PublishHeader
): void => {
  const properties = version === 5 ? propertyBytes(content, header) : 0
  const remaining = remainingLength(version, content, header, properties)
  sink.reserve(5 + remaining)
  const target = sink.bytes
  let at = sink.length
  target[at++] = publishByte(header.qos, header.retain, header.dup)
  at = putVarint(remaining, target, at)
  const topic = content.topic.bytes
  at = putUint16(header.sendTopic ? topic.length : 0, target, at)
  if (header.sendTopic) at = put(topic, 0, topic.length, target, at)
  if (header.qos > 0) at = putUint16(header.packetId, target, at)
  if (version === 5) {
    at = putVarint(properties, target, at)
    at = putProperties(content, header, target, at)
  }
  sink.length = put(content.source, content.payloadStart, content.payloadEnd, target, at)
}

/**
 * A message encoded once for all receivers of a version: the topic in full, no alias, no expiry, no
 * subscription identifier. `hasPacketId` for QoS 1 and 2. The versions below 5 share one form.
 */
export const publishFrame = (
  version: ProtocolVersion,
  content: PublishContent,
  hasPacketId: boolean
): Frame => {
  const topic = content.topic.bytes
  const properties = version === 5 ? content.forwardedProperties : undefined
  const propertiesLength = properties?.length ?? 0
  const remaining =
    2 +
    topic.length +
    (hasPacketId ? 2 : 0) +
    (properties === undefined ? 0 : varintBytes(propertiesLength) + propertiesLength) +
    content.payloadEnd -
    content.payloadStart
  const bytes = Buffer.allocUnsafeSlow(1 + varintBytes(remaining) + remaining)
  bytes[0] = 0x30
  let at = putVarint(remaining, bytes, 1)
  at = putUint16(topic.length, bytes, at)
  at = put(topic, 0, topic.length, bytes, at)
  const packetIdOffset = hasPacketId ? at : -1
  if (hasPacketId) at = putUint16(0, bytes, at)
  if (properties !== undefined) {
    at = putVarint(propertiesLength, bytes, at)
    at = put(properties, 0, propertiesLength, bytes, at)
  }
  put(content.source, content.payloadStart, content.payloadEnd, bytes, at)
  return { bytes, packetIdOffset }
}

/**
 * Makes the shared frame one receiver's, for a write that takes the bytes before anybody else has a turn.
 */
export const addressFrame = (frame: Frame, firstByte: number, packetId: number): void => {
  const { bytes, packetIdOffset } = frame
  bytes[0] = firstByte
  if (packetIdOffset >= 0) putUint16(packetId, bytes, packetIdOffset)
}

/** Appends a frame under `firstByte` (see `publishByte`) and, if it has one, with its packet identifier. */
export const writeFrame = (sink: ByteSink, frame: Frame, firstByte: number, packetId: number): void => {
  const { bytes, packetIdOffset } = frame
  const length = bytes.length
  sink.reserve(length)
  const at = sink.length
  const target = sink.bytes
  bytes.copy(target, at, 0, length)
  target[at] = firstByte
  if (packetIdOffset >= 0) putUint16(packetId, target, at + packetIdOffset)
  sink.length = at + length
}
