/**
 * The strict walk over CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH: every byte is looked at and
 * every rule of section 3 that binds a client is checked, before anything is read from the packet. What the
 * walk must decode anyway (properties, in order) it returns; the other fields are left to `ControlReader.ts`.
 *
 * Not refused here, because the specification wants an answer rather than a close: client identifiers
 * (CONNACK 0x02 or 0x85) and topic filters that are strings but not valid filters (a reason code of their own
 * in SUBACK and UNSUBACK).
 */

import type { Cursor } from "./Cursor.ts"
import { noProperties, type Properties, type ProtocolVersion } from "./Packet.ts"
import { Owner } from "./Properties.ts"
import { forwardedBytes, noForwardedProperties, readProperties, type SectionState } from "./PropertyReader.ts"
import { ReasonCode } from "./ReasonCode.ts"
import { rules } from "./Rule.ts"
import { isUtf8 } from "./Utf8.ts"

const usernameFlag = 0x80
const passwordFlag = 0x40
const willRetainFlag = 0x20
const willQosBits = 0x18
const willFlag = 0x04

export interface CheckedConnect {
  readonly version: ProtocolVersion
  readonly properties: Properties
  readonly willProperties: Properties
  readonly willForwardedProperties: Uint8Array
}

const isNamed = (cursor: Cursor, name: string): boolean => {
  if (cursor.to - cursor.from !== name.length) return false
  for (let index = 0; index < name.length; index++) {
    if (cursor.bytes[cursor.from + index] !== name.charCodeAt(index)) return false
  }
  return true
}

/** Protocol name and level; the version that they mean becomes the cursor's. */
const checkProtocol = (cursor: Cursor): ProtocolVersion => {
  cursor.string()
  const isMqtt = isNamed(cursor, "MQTT")
  if (!isMqtt && !isNamed(cursor, "MQIsdp")) cursor.fail(rules.protocolName) // [MQTT-3.1.2-1]
  const level = cursor.byte()
  const isKnown = isMqtt ? level === 4 || level === 5 : level === 3
  if (!isKnown) cursor.fail(rules.protocolLevel) // [MQTT-3.1.2-2]
  cursor.version = level
  return level as ProtocolVersion
}

const checkConnectFlags = (cursor: Cursor, version: ProtocolVersion): number => {
  const flags = cursor.byte()
  if ((flags & 1) !== 0) cursor.fail(rules.connectReservedFlag) // [MQTT-3.1.2-3]
  if ((flags & willFlag) === 0) {
    if ((flags & willQosBits) !== 0) cursor.fail(rules.willQosWithoutWill) // [MQTT-3.1.2-11]
    if ((flags & willRetainFlag) !== 0) cursor.fail(rules.willRetainWithoutWill) // [MQTT-3.1.2-13]
  } else if ((flags & willQosBits) === willQosBits) cursor.fail(rules.willQos3) // [MQTT-3.1.2-12]
  if (version !== 5 && (flags & passwordFlag) !== 0 && (flags & usernameFlag) === 0) {
    cursor.fail(rules.passwordWithoutUsername) // [v3 MQTT-3.1.2-22]
  }
  return flags
}

/** CONNECT, section 3.1. The fields stand in the order of [MQTT-3.1.3-1]. */
export const checkConnect = (cursor: Cursor, section: SectionState): CheckedConnect => {
  const version = checkProtocol(cursor)
  const flags = checkConnectFlags(cursor, version)
  let properties = noProperties
  let willProperties = noProperties
  let willForwardedProperties = noForwardedProperties
  cursor.uint16() // Keep Alive
  if (version === 5) {
    properties = readProperties(cursor, section, Owner.Connect)
    if (properties.authenticationData !== undefined && properties.authenticationMethod === undefined) {
      cursor.fail(rules.authenticationDataAlone)
    }
  }
  cursor.string() // Client Identifier [MQTT-3.1.3-3] [MQTT-3.1.3-4]
  if ((flags & willFlag) !== 0) {
    if (version === 5) {
      willProperties = readProperties(cursor, section, Owner.Will)
      willForwardedProperties = forwardedBytes(cursor, section)
    }
    cursor.topicName(rules.willTopicWildcard) // [MQTT-3.1.3-11]
    cursor.binary()
    if (willProperties.payloadFormatIndicator === 1 && !isUtf8(cursor.bytes, cursor.from, cursor.to)) {
      cursor.fail(rules.willPayloadFormat)
    }
  }
  if ((flags & usernameFlag) !== 0) cursor.string() // [MQTT-3.1.3-12]
  if ((flags & passwordFlag) !== 0) cursor.binary()
  cursor.finish()
  return { version, properties, willProperties, willForwardedProperties }
}

const share = "$share/"

const isShared = (cursor: Cursor): boolean => {
  if (cursor.to - cursor.from < share.length) return false
  for (let index = 0; index < share.length; index++) {
    if (cursor.bytes[cursor.from + index] !== share.charCodeAt(index)) return false
  }
  return true
}

const checkTopicFilter = (cursor: Cursor): void => {
  cursor.string() // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
  if (cursor.from === cursor.to) cursor.fail(rules.topicFilterEmpty) // [MQTT-4.7.3-1]
}

const checkOptions = (cursor: Cursor): void => {
  const options = cursor.byte()
  const reserved = cursor.version === 5 ? 0xc0 : 0xfc
  if ((options & reserved) !== 0) cursor.fail(rules.subscribeReservedBits) // [MQTT-3.8.3-5] [v3 MQTT-3.8.3-4]
  if ((options & 0x03) === 0x03) cursor.fail(rules.subscribeQos3)
  if ((options & 0x30) === 0x30) cursor.fail(rules.retainHandling3)
  if ((options & 0x04) !== 0 && isShared(cursor)) cursor.fail(rules.noLocalShared) // [MQTT-3.8.3-4]
}

/** SUBSCRIBE, section 3.8. Returns its properties. */
export const checkSubscribe = (cursor: Cursor, section: SectionState): Properties => {
  cursor.packetId()
  const properties = cursor.version === 5 ? readProperties(cursor, section, Owner.Subscribe) : noProperties
  if (cursor.at === cursor.end) cursor.fail(rules.subscribeEmpty) // [MQTT-3.8.3-2] [v3 MQTT-3.8.3-3]
  while (cursor.at < cursor.end) {
    checkTopicFilter(cursor)
    checkOptions(cursor)
  }
  return properties
}

/** UNSUBSCRIBE, section 3.10. Returns its properties. */
export const checkUnsubscribe = (cursor: Cursor, section: SectionState): Properties => {
  cursor.packetId()
  const properties = cursor.version === 5 ? readProperties(cursor, section, Owner.Unsubscribe) : noProperties
  if (cursor.at === cursor.end) cursor.fail(rules.unsubscribeEmpty) // [MQTT-3.10.3-2]
  while (cursor.at < cursor.end) checkTopicFilter(cursor)
  return properties
}

/** The codes of section 3.14.2.1 that a client may send. */
const disconnectReasonCodes: ReadonlySet<number> = new Set([
  ReasonCode.NormalDisconnection,
  ReasonCode.DisconnectWithWillMessage,
  ReasonCode.UnspecifiedError,
  ReasonCode.MalformedPacket,
  ReasonCode.ProtocolError,
  ReasonCode.ImplementationSpecificError,
  ReasonCode.TopicNameInvalid,
  ReasonCode.ReceiveMaximumExceeded,
  ReasonCode.TopicAliasInvalid,
  ReasonCode.PacketTooLarge,
  ReasonCode.MessageRateTooHigh,
  ReasonCode.QuotaExceeded,
  ReasonCode.AdministrativeAction,
  ReasonCode.PayloadFormatInvalid
])

/** DISCONNECT, section 3.14. Returns its properties. */
export const checkDisconnect = (cursor: Cursor, section: SectionState): Properties => {
  if (cursor.at === cursor.end) return noProperties
  if (cursor.version !== 5) return cursor.fail(rules.trailingBytes)
  if (!disconnectReasonCodes.has(cursor.byte())) cursor.fail(rules.disconnectReasonCode) // [MQTT-3.14.2-1]
  if (cursor.at === cursor.end) return noProperties
  const properties = readProperties(cursor, section, Owner.Disconnect)
  cursor.finish()
  return properties
}

/** AUTH, section 3.15. Returns its properties. */
export const checkAuth = (cursor: Cursor, section: SectionState): Properties => {
  // Without a body it says Success, which only a server may. [MQTT-3.15.2-1]
  const reasonCode = cursor.at === cursor.end ? ReasonCode.Success : cursor.byte()
  if (reasonCode !== ReasonCode.ContinueAuthentication && reasonCode !== ReasonCode.ReAuthenticate) {
    cursor.fail(rules.authReasonCode)
  }
  const properties = readProperties(cursor, section, Owner.Auth)
  if (properties.authenticationMethod === undefined) cursor.fail(rules.authenticationMethodMissing)
  cursor.finish()
  return properties
}
