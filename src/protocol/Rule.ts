/**
 * The rules of the wire format that a client's bytes can break, as data: one row each, with the reason code
 * to close with and the clause of MQTT 5.0 and of 3.1.1 that says so. Nothing else in this folder writes a
 * clause next to a `throw`, so this table is the whole list of what the decoder refuses.
 *
 * A clause without a number in the specification is named by its section; a limit of ours is named by its
 * setting. MQTT 3.1 answers to the clauses of 3.1.1. Reason codes never reach a client older than 5.0: it
 * sees the close.
 */

import { MalformedPacket } from "./MalformedPacket.ts"
import { ReasonCode } from "./ReasonCode.ts"

export interface Rule {
  readonly reasonCode: ReasonCode
  readonly clause: string
  /** The clause of 3.1.1, for 3.1 and 3.1.1. Undefined where only 5.0 has the rule. */
  readonly clauseV3?: string
  readonly reason: string
}

const malformed = (clause: string, clauseV3: string | undefined, reason: string): Rule => ({
  reasonCode: ReasonCode.MalformedPacket,
  clause,
  ...(clauseV3 !== undefined && { clauseV3: `v3 ${clauseV3}` }),
  reason
})

const protocolError = (clause: string, clauseV3: string | undefined, reason: string): Rule => ({
  ...malformed(clause, clauseV3, reason),
  reasonCode: ReasonCode.ProtocolError
})

const withCode = (reasonCode: ReasonCode, rule: Rule): Rule => ({ ...rule, reasonCode })

export const rules = {
  // Fixed header
  firstPacketNotConnect: protocolError("MQTT-3.1.0-1", "MQTT-3.1.0-1", "first packet is not CONNECT"),
  secondConnect: protocolError("MQTT-3.1.0-2", "MQTT-3.1.0-2", "second CONNECT"),
  reservedType: malformed("2.1.2", "2.2.1", "reserved packet type"),
  serverOnlyType: protocolError("2.1.2", "2.2.1", "packet type that only a server sends"),
  reservedFlags: malformed("MQTT-2.1.3-1", "MQTT-2.2.2-2", "reserved flags of the fixed header"),
  pubrelFlags: malformed("MQTT-3.6.1-1", "MQTT-3.6.1-1", "fixed header flags of PUBREL"),
  subscribeFlags: malformed("MQTT-3.8.1-1", "MQTT-3.8.1-1", "fixed header flags of SUBSCRIBE"),
  unsubscribeFlags: malformed("MQTT-3.10.1-1", "MQTT-3.10.1-1", "fixed header flags of UNSUBSCRIBE"),
  disconnectFlags: malformed("MQTT-3.14.1-1", "MQTT-3.14.1-1", "fixed header flags of DISCONNECT"),
  authFlags: malformed("MQTT-3.15.1-1", undefined, "fixed header flags of AUTH"),
  publishQos3: malformed("MQTT-3.3.1-4", "MQTT-3.3.1-4", "PUBLISH with QoS 3"),
  dupAtQos0: malformed("MQTT-3.3.1-2", "MQTT-3.3.1-2", "PUBLISH with DUP at QoS 0"),
  packetTooLarge: {
    reasonCode: ReasonCode.PacketTooLarge,
    clause: "MQTT-3.2.2-15",
    clauseV3: "packetBytesMax",
    reason: "packet larger than the limit"
  },

  // Fields
  varintTooLong: malformed("1.5.5", "2.2.3", "variable byte integer of more than four bytes"),
  varintNotMinimal: malformed("MQTT-1.5.5-1", "2.2.3", "variable byte integer not in the fewest bytes"),
  truncated: malformed("MQTT-4.13.1-1", "MQTT-4.8.0-1", "a field runs beyond the end of its packet"),
  trailingBytes: malformed("MQTT-4.13.1-1", "MQTT-4.8.0-1", "bytes after the last field"),
  illFormedUtf8: malformed("MQTT-1.5.4-1", "MQTT-1.5.3-1", "ill-formed UTF-8"),
  nulCharacter: malformed("MQTT-1.5.4-2", "MQTT-1.5.3-2", "U+0000 in a string"),
  packetIdZero: protocolError("MQTT-2.2.1-3", "MQTT-2.3.1-1", "packet identifier 0"),
  ackPacketIdZero: protocolError("MQTT-2.2.1-5", "MQTT-2.3.1-6", "acknowledgement of packet identifier 0"),

  // Topics
  publishTopicEmpty: protocolError("3.3.2.1", "MQTT-4.7.3-1", "PUBLISH without topic and topic alias"),
  publishTopicWildcard: withCode(
    ReasonCode.TopicNameInvalid,
    malformed("MQTT-3.3.2-2", "MQTT-3.3.2-2", "wildcard in the topic name of PUBLISH")
  ),
  topicEmpty: withCode(
    ReasonCode.TopicNameInvalid,
    malformed("MQTT-4.7.3-1", "MQTT-4.7.3-1", "topic name of zero length")
  ),
  willTopicWildcard: withCode(
    ReasonCode.TopicNameInvalid,
    malformed("MQTT-4.7.0-1", "MQTT-4.7.1-1", "wildcard in the will topic")
  ),
  responseTopicWildcard: withCode(
    ReasonCode.TopicNameInvalid,
    malformed("MQTT-3.3.2-14", undefined, "wildcard in the response topic")
  ),
  topicFilterEmpty: malformed("MQTT-4.7.3-1", "MQTT-4.7.3-1", "topic filter of zero length"),

  // Properties
  unknownProperty: malformed("2.2.2.2", undefined, "unknown property"),
  misplacedProperty: malformed("2.2.2.2", undefined, "property that this packet type does not have"),
  duplicateProperty: protocolError("2.2.2", undefined, "property given twice"),
  propertyValue: protocolError("2.2.2", undefined, "value of a property out of range"),
  topicAliasZero: withCode(
    ReasonCode.TopicAliasInvalid,
    protocolError("MQTT-3.3.2-8", undefined, "topic alias 0")
  ),
  subscriptionIdInPublish: protocolError("MQTT-3.3.4-6", undefined, "subscription identifier in PUBLISH"),
  serverReferenceFromClient: protocolError("3.14.2.2.5", undefined, "server reference from a client"),
  userPropertiesMax: withCode(
    ReasonCode.QuotaExceeded,
    protocolError("userPropertiesMax", undefined, "too many user properties")
  ),
  authenticationDataAlone: protocolError(
    "3.1.2.11.10",
    undefined,
    "authentication data without authentication method"
  ),
  authenticationMethodMissing: protocolError("3.15.2.2.2", undefined, "AUTH without authentication method"),
  payloadFormat: withCode(
    ReasonCode.PayloadFormatInvalid,
    malformed("3.3.2.3.2", undefined, "payload is not the UTF-8 that its format indicator promises")
  ),
  willPayloadFormat: withCode(
    ReasonCode.PayloadFormatInvalid,
    malformed("3.1.3.2.3", undefined, "will payload is not the UTF-8 that its format indicator promises")
  ),

  // CONNECT
  protocolName: withCode(
    ReasonCode.UnsupportedProtocolVersion,
    malformed("MQTT-3.1.2-1", "MQTT-3.1.2-1", "unknown protocol name")
  ),
  protocolLevel: withCode(
    ReasonCode.UnsupportedProtocolVersion,
    malformed("MQTT-3.1.2-2", "MQTT-3.1.2-2", "unsupported protocol level")
  ),
  connectReservedFlag: malformed("MQTT-3.1.2-3", "MQTT-3.1.2-3", "reserved flag of CONNECT"),
  willQosWithoutWill: malformed("MQTT-3.1.2-11", "MQTT-3.1.2-13", "will QoS without will flag"),
  willQos3: malformed("MQTT-3.1.2-12", "MQTT-3.1.2-14", "will QoS 3"),
  willRetainWithoutWill: malformed("MQTT-3.1.2-13", "MQTT-3.1.2-15", "will retain without will flag"),
  passwordWithoutUsername: malformed("3.1.2.9", "MQTT-3.1.2-22", "password without user name"),

  // SUBSCRIBE and UNSUBSCRIBE
  subscribeEmpty: protocolError("MQTT-3.8.3-2", "MQTT-3.8.3-3", "SUBSCRIBE without topic filter"),
  subscribeReservedBits: malformed("MQTT-3.8.3-5", "MQTT-3.8.3-4", "reserved bits of subscription options"),
  subscribeQos3: protocolError("3.8.3.1", "MQTT-3.8.3-4", "subscription with QoS 3"),
  retainHandling3: protocolError("3.8.3.1", undefined, "retain handling 3"),
  noLocalShared: protocolError("MQTT-3.8.3-4", undefined, "no local on a shared subscription"),
  unsubscribeEmpty: protocolError("MQTT-3.10.3-2", "MQTT-3.10.3-2", "UNSUBSCRIBE without topic filter"),

  // Reason codes
  pubackReasonCode: protocolError("MQTT-3.4.2-1", undefined, "reason code that PUBACK does not have"),
  pubrecReasonCode: protocolError("MQTT-3.5.2-1", undefined, "reason code that PUBREC does not have"),
  pubrelReasonCode: protocolError("MQTT-3.6.2-1", undefined, "reason code that PUBREL does not have"),
  pubcompReasonCode: protocolError("MQTT-3.7.2-1", undefined, "reason code that PUBCOMP does not have"),
  disconnectReasonCode: protocolError("MQTT-3.14.2-1", undefined, "reason code no client's DISCONNECT has"),
  authReasonCode: protocolError("MQTT-3.15.2-1", undefined, "reason code that no client's AUTH has")
} as const satisfies Record<string, Rule>

/**
 * The exception for a broken rule, with the clause of the version that the client speaks (0: not known yet).
 */
export const violation = (rule: Rule, version: number, clause: string = rule.clause): MalformedPacket =>
  new MalformedPacket(
    rule.reasonCode,
    version === 3 || version === 4 ? (rule.clauseV3 ?? clause) : clause,
    rule.reason
  )
