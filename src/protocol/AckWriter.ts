/** Writes PUBACK, PUBREC, PUBREL and PUBCOMP (5.0 and 3.1.1, sections 3.4 to 3.7) in their shortest form. */

import { Buffer } from "node:buffer"
import type { ByteSink } from "./ByteSink.ts"
import type { AckTag, ProtocolVersion, UserProperties } from "./Packet.ts"
import { encodeProperties } from "./Properties.ts"
import { putVarint, varintBytes } from "./Varint.ts"

const firstByteOf = (tag: AckTag): number => {
  switch (tag) {
    case "Puback":
      return 0x40
    case "Pubrec":
      return 0x50
    case "Pubrel":
      return 0x62 // [MQTT-3.6.1-1]
    case "Pubcomp":
      return 0x70
  }
}

/** Appends an acknowledgement. Versions below 5 have no reason code, and 0 is left out in 5.0. */
export const writeAck = (
  sink: ByteSink,
  version: ProtocolVersion,
  tag: AckTag,
  packetId: number,
  reasonCode: number
): void => {
  const hasReason = version === 5 && reasonCode !== 0
  sink.reserve(5)
  const target = sink.bytes
  let at = sink.length
  target[at++] = firstByteOf(tag)
  target[at++] = hasReason ? 3 : 2
  target[at++] = packetId >>> 8
  target[at++] = packetId & 0xff
  if (hasReason) target[at++] = reasonCode
  sink.length = at
}

export interface ExplainedAck {
  readonly tag: AckTag
  readonly packetId: number
  readonly reasonCode: number
  readonly reasonString?: string
  readonly userProperties?: UserProperties
  /** The client's Maximum Packet Size. */
  readonly packetBytesMax: number
}

/**
 * Appends an acknowledgement of version 5 with a reason for people. What the client's Maximum Packet Size has
 * no room for is left out: the Reason String first, then the user properties. [MQTT-3.4.2-2] [MQTT-3.4.2-3]
 * and so on to [MQTT-3.7.2-3]. Whether the client wants them at all is the caller's to know. [MQTT-3.1.2-29]
 */
export const writeExplainedAck = (sink: ByteSink, ack: ExplainedAck): void => {
  const { packetBytesMax, packetId, reasonCode, reasonString, tag, userProperties } = ack
  const room = (properties: Uint8Array): boolean => {
    const remaining = 3 + varintBytes(properties.length) + properties.length
    return 1 + varintBytes(remaining) + remaining <= packetBytesMax
  }
  const own = encodeProperties(userProperties === undefined ? {} : { userProperties })
  const reason = reasonString === undefined ? own : encodeProperties({ reasonString })
  const full = reasonString === undefined ? own : Buffer.concat([reason, own])
  const properties = room(full) ? full : room(own) ? own : undefined
  if (properties === undefined || properties.length === 0) {
    writeAck(sink, 5, tag, packetId, reasonCode)
    return
  }
  const remaining = 3 + varintBytes(properties.length) + properties.length
  sink.reserve(5 + remaining)
  const target = sink.bytes
  let at = sink.length
  target[at++] = firstByteOf(tag)
  at = putVarint(remaining, target, at)
  at = target.writeUInt16BE(packetId, at)
  target[at++] = reasonCode
  at = putVarint(properties.length, target, at)
  target.set(properties, at)
  sink.length = at + properties.length
}
