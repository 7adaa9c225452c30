/**
 * The strict walk over SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH: every byte is looked at and every rule of
 * section 3 that binds a client is checked, before anything is read from the packet. What the walk must
 * decode anyway (properties, in order) it returns; the other fields are left to `ControlReader.ts`.
 * `ConnectReader.ts` does the same for CONNECT.
 *
 * Not refused here, because the specification wants an answer rather than a close: topic filters that are
 * strings but not valid filters (a reason code of their own in SUBACK and UNSUBACK).
 */

import type { Cursor } from "./Cursor.ts"
import { type Disconnect, noProperties, type Properties } from "./Packet.ts"
import { Owner } from "./Properties.ts"
import { readProperties, type SectionState } from "./PropertyReader.ts"
import { ReasonCode } from "./ReasonCode.ts"
import { rules } from "./Rule.ts"

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

const normalDisconnection: Disconnect = Object.freeze({
  _tag: "Disconnect",
  reasonCode: ReasonCode.NormalDisconnection,
  properties: noProperties
})

/** DISCONNECT, section 3.14: the walk decodes all of it. */
export const readDisconnect = (cursor: Cursor, section: SectionState): Disconnect => {
  if (cursor.at === cursor.end) return normalDisconnection
  if (cursor.version !== 5) return cursor.fail(rules.trailingBytes)
  const reasonCode = cursor.byte()
  if (!disconnectReasonCodes.has(reasonCode)) cursor.fail(rules.disconnectReasonCode) // [MQTT-3.14.2-1]
  if (cursor.at === cursor.end) return { _tag: "Disconnect", reasonCode, properties: noProperties }
  const properties = readProperties(cursor, section, Owner.Disconnect)
  cursor.finish()
  return { _tag: "Disconnect", reasonCode, properties }
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
