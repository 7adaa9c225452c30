/**
 * Reads PUBLISH and its acknowledgements without `mqtt-packet`: they are nearly all of the traffic, and its
 * generic parser needs 1.25 µs for a PUBLISH that this file reads in less than a fifth of that.
 *
 * `TopicMemo` is why: devices publish to the same topic again and again, so a decoder keeps the topic that it
 * read last, and the same bytes again mean the same checked, decoded object.
 */

import type { Buffer } from "node:buffer"
import type { ControlReader } from "./ControlReader.ts"
import { copyRange } from "./Cursor.ts"
import type { Ack, AckTag, ProtocolVersion, Publish, Qos, Topic } from "./Packet.ts"
import { Owner } from "./Properties.ts"
import {
  forwardedBytes,
  noForwardedProperties,
  readPublishProperties,
  skipProperties
} from "./PropertyReader.ts"
import { ReasonCode } from "./ReasonCode.ts"
import { type Rule, rules, violation } from "./Rule.ts"
import { decodeUtf8, isUtf8, stringFault } from "./Utf8.ts"

/** The topic of a PUBLISH that names it by alias only. */
export const noTopic: Topic = Object.freeze({ name: "", bytes: Object.freeze(new Uint8Array(0)) })

const readTopic = (bytes: Buffer, start: number, end: number, version: number): Topic => {
  const fault = stringFault(bytes, start, end)
  if (fault !== "none") {
    throw violation(fault === "nul" ? rules.nulCharacter : rules.illFormedUtf8, version)
  }
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === 0x23 || byte === 0x2b) throw violation(rules.publishTopicWildcard, version) // [MQTT-3.3.2-2]
  }
  return { name: decodeUtf8(bytes, start, end), bytes: copyRange(bytes, start, end) }
}

/** The topic that a decoder read last. */
export class TopicMemo {
  private last: Topic = noTopic

  /** The topic spelled by bytes[start, end), which are not empty. */
  read(bytes: Buffer, start: number, end: number, version: number): Topic {
    const last = this.last.bytes
    const length = end - start
    if (last.length === length) {
      // From the end: the topics of one client differ in their last levels, if at all.
      let at = length - 1
      while (at >= 0 && last[at] === bytes[start + at]) at--
      if (at < 0) return this.last
    }
    return (this.last = readTopic(bytes, start, end, version))
  }
}

/** Where a packet of one of these types lies, and what its decoder knows. */
export interface Frame {
  readonly bytes: Buffer
  /** First byte after the fixed header. */
  readonly body: number
  readonly end: number
  readonly firstByte: number
  readonly version: ProtocolVersion
}

/** PUBLISH, section 3.3. `firstByte` has been checked. */
export const readPublish = (frame: Frame, topics: TopicMemo, control: ControlReader): Publish => {
  const { body, bytes, end, firstByte, version } = frame
  const qos = ((firstByte >> 1) & 3) as Qos
  if (body + 2 > end) throw violation(rules.truncated, version)
  let at = body + 2
  const topicEnd = at + ((bytes[body]! << 8) | bytes[body + 1]!)
  if (topicEnd > end) throw violation(rules.truncated, version)
  const topic = topicEnd === at ? noTopic : topics.read(bytes, at, topicEnd, version)
  at = topicEnd

  let packetId = 0
  if (qos > 0) {
    if (at + 2 > end) throw violation(rules.truncated, version)
    packetId = (bytes[at]! << 8) | bytes[at + 1]!
    if (packetId === 0) throw violation(rules.packetIdZero, version) // [MQTT-2.2.1-3] [v3 MQTT-2.3.1-1]
    at += 2
  }

  let topicAlias = 0
  let messageExpiryInterval = -1
  let forwardedProperties = noForwardedProperties
  if (version === 5) {
    if (at < end && bytes[at] === 0) at++
    else {
      const { cursor, publishProperties, section } = control
      cursor.open(bytes, at, end, version)
      readPublishProperties(cursor, section, publishProperties)
      forwardedProperties = forwardedBytes(cursor, section)
      at = cursor.at
      cursor.close()
      topicAlias = publishProperties.topicAlias
      messageExpiryInterval = publishProperties.messageExpiryInterval
      if (publishProperties.isUtf8Payload && !isUtf8(bytes, at, end)) {
        throw violation(rules.payloadFormat, version)
      }
    }
  }
  if (topic === noTopic && topicAlias === 0) throw violation(rules.publishTopicEmpty, version)

  return {
    _tag: "Publish",
    topic,
    source: bytes,
    payloadStart: at,
    payloadEnd: end,
    forwardedProperties,
    qos,
    retain: (firstByte & 1) !== 0,
    dup: (firstByte & 8) !== 0,
    packetId,
    topicAlias,
    messageExpiryInterval
  }
}

interface AckKind {
  readonly tag: AckTag
  readonly owner: Owner
  readonly reasonCodes: ReadonlySet<number>
  readonly rule: Rule
}

const received: ReadonlySet<number> = new Set([
  ReasonCode.Success,
  ReasonCode.NoMatchingSubscribers,
  ReasonCode.UnspecifiedError,
  ReasonCode.ImplementationSpecificError,
  ReasonCode.NotAuthorized,
  ReasonCode.TopicNameInvalid,
  ReasonCode.PacketIdentifierInUse,
  ReasonCode.QuotaExceeded,
  ReasonCode.PayloadFormatInvalid
])

const released: ReadonlySet<number> = new Set([ReasonCode.Success, ReasonCode.PacketIdentifierNotFound])

/** By packet type, which is 4 for PUBACK to 7 for PUBCOMP. */
const ackKinds: ReadonlyArray<AckKind> = [
  { tag: "Puback", owner: Owner.Puback, reasonCodes: received, rule: rules.pubackReasonCode },
  { tag: "Pubrec", owner: Owner.Pubrec, reasonCodes: received, rule: rules.pubrecReasonCode },
  { tag: "Pubrel", owner: Owner.Pubrel, reasonCodes: released, rule: rules.pubrelReasonCode },
  { tag: "Pubcomp", owner: Owner.Pubcomp, reasonCodes: released, rule: rules.pubcompReasonCode }
]

/** PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7. `firstByte` has been checked. */
export const readAck = <Tag extends AckTag>(frame: Frame, control: ControlReader): Ack<Tag> => {
  const { body, bytes, end, firstByte, version } = frame
  const kind = ackKinds[(firstByte >> 4) - 4]!
  if (body + 2 > end) throw violation(rules.truncated, version)
  const packetId = (bytes[body]! << 8) | bytes[body + 1]!
  if (packetId === 0) throw violation(rules.ackPacketIdZero, version) // [MQTT-2.2.1-5] [v3 MQTT-2.3.1-6]
  let reasonCode = 0
  if (end > body + 2) {
    if (version !== 5) throw violation(rules.trailingBytes, version)
    reasonCode = bytes[body + 2]!
    // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
    if (!kind.reasonCodes.has(reasonCode)) throw violation(kind.rule, version)
    if (end > body + 3) {
      control.cursor.open(bytes, body + 3, end, version)
      skipProperties(control.cursor, control.section, kind.owner)
      control.cursor.finish()
      control.cursor.close()
    }
  }
  return { _tag: kind.tag as Tag, packetId, reasonCode }
}
