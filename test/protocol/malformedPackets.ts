/**
 * Everything that the decoder refuses: one row or more for each rule of `Rule.ts`, with the bytes, the reason
 * code and the clause, in the notation of `wire.ts`.
 */

import type { ProtocolVersion } from "../../src/protocol/Packet.ts"
import type { rules } from "../../src/protocol/Rule.ts"
import { wire } from "./wire.ts"

export type RuleName = keyof typeof rules

export interface Row {
  readonly name: string
  /** What the decoder has read a CONNECT of; 0 starts with nothing. */
  readonly version: ProtocolVersion | 0
  readonly bytes: Buffer
  readonly rule: RuleName
  readonly reasonCode: number
  readonly clause: string
}

const rows: Array<Row> = []

export const malformedPackets: ReadonlyArray<Row> = rows

/** Rows of one rule: the version before the packet, a name, the packet. */
const broken = (
  rule: RuleName,
  reasonCode: number,
  clause: string,
  cases: ReadonlyArray<readonly [ProtocolVersion | 0, string, string]>
): void => {
  for (const [version, name, text] of cases)
    rows.push({ name, version, bytes: wire(text), rule, reasonCode, clause })
}

// Fixed header

broken("firstPacketNotConnect", 0x82, "MQTT-3.1.0-1", [
  [0, "PUBLISH first", "30"],
  [0, "SUBSCRIBE first", "82"],
  [0, "PINGREQ first", "c0"],
  [0, "AUTH first", "f0"],
  [0, "CONNACK first", "20"],
  [0, "an HTTP request", "'G'"],
  [0, "a zero byte", "00"]
])
broken("secondConnect", 0x82, "MQTT-3.1.0-2", [[5, "second CONNECT", "10"]])
broken("secondConnect", 0x82, "v3 MQTT-3.1.0-2", [
  [3, "second CONNECT of MQTT 3.1", "10"],
  [4, "second CONNECT", "10"],
  [4, "second CONNECT with flags", "1f"]
])
broken("reservedType", 0x81, "2.1.2", [[5, "packet type 0", "00"]])
broken("reservedType", 0x81, "v3 2.2.1", [
  [4, "packet type 0", "0f"],
  [4, "AUTH, which 3.1.1 does not have", "f0"],
  [3, "AUTH, which 3.1 does not have", "f0"]
])
broken("serverOnlyType", 0x82, "2.1.2", [
  [5, "CONNACK from a client", "20"],
  [5, "SUBACK from a client", "90"],
  [5, "UNSUBACK from a client", "b0"],
  [5, "PINGRESP from a client", "d0"]
])
broken("serverOnlyType", 0x82, "v3 2.2.1", [[4, "CONNACK from a client", "20"]])
broken("reservedFlags", 0x81, "MQTT-2.1.3-1", [
  [0, "CONNECT with flags", "11"],
  [0, "a TLS ClientHello", "16"],
  [5, "PUBACK with flags", "42"],
  [5, "PUBREC with flags", "52"],
  [5, "PUBCOMP with flags", "72"],
  [5, "PINGREQ with flags", "c1"]
])
broken("reservedFlags", 0x81, "v3 MQTT-2.2.2-2", [
  [4, "PUBACK with flags", "41"],
  [4, "PINGREQ with flags", "c8"]
])
broken("pubrelFlags", 0x81, "MQTT-3.6.1-1", [
  [5, "PUBREL with flags 0", "60"],
  [5, "PUBREL with flags 3", "63"],
  [5, "PUBREL with DUP, which only 3.1 has", "6a"]
])
broken("pubrelFlags", 0x81, "v3 MQTT-3.6.1-1", [
  [4, "PUBREL with DUP, which only 3.1 has", "6a"],
  [3, "PUBREL with flags 0", "60"]
])
broken("subscribeFlags", 0x81, "MQTT-3.8.1-1", [
  [5, "SUBSCRIBE with flags 0", "80"],
  [5, "SUBSCRIBE with flags 3", "83"]
])
broken("subscribeFlags", 0x81, "v3 MQTT-3.8.1-1", [
  [4, "SUBSCRIBE with flags 0", "80"],
  [4, "SUBSCRIBE with DUP, which only 3.1 has", "8a"]
])
broken("unsubscribeFlags", 0x81, "MQTT-3.10.1-1", [[5, "UNSUBSCRIBE with flags 0", "a0"]])
broken("unsubscribeFlags", 0x81, "v3 MQTT-3.10.1-1", [[4, "UNSUBSCRIBE with flags 6", "a6"]])
broken("disconnectFlags", 0x81, "MQTT-3.14.1-1", [[5, "DISCONNECT with flags 1", "e1"]])
broken("disconnectFlags", 0x81, "v3 MQTT-3.14.1-1", [[4, "DISCONNECT with flags 2", "e2"]])
broken("authFlags", 0x81, "MQTT-3.15.1-1", [[5, "AUTH with flags 1", "f1"]])
broken("publishQos3", 0x81, "MQTT-3.3.1-4", [
  [5, "PUBLISH with QoS 3", "36"],
  [5, "PUBLISH with QoS 3, DUP and RETAIN", "3f"]
])
broken("publishQos3", 0x81, "v3 MQTT-3.3.1-4", [[4, "PUBLISH with QoS 3", "37"]])
broken("dupAtQos0", 0x81, "MQTT-3.3.1-2", [[5, "PUBLISH with DUP at QoS 0", "38"]])
broken("dupAtQos0", 0x81, "v3 MQTT-3.3.1-2", [[4, "PUBLISH with DUP and RETAIN at QoS 0", "39"]])

// Fields

broken("varintTooLong", 0x81, "1.5.5", [
  [0, "Remaining Length of five bytes", "10 80808080"],
  [5, "Remaining Length of five bytes", "30 ffffffff7f"],
  [5, "Property Length of five bytes", "30 ** ~'t' 8080808001"],
  [5, "Subscription Identifier of five bytes", "82 ** 0001 [ 0b 8080808001 ] ~'t' 00"]
])
broken("varintTooLong", 0x81, "v3 2.2.3", [[4, "Remaining Length of five bytes", "30 80808080"]])
broken("varintNotMinimal", 0x81, "MQTT-1.5.5-1", [
  [0, "Remaining Length 0 in two bytes", "10 8000"],
  [5, "Remaining Length 0 in two bytes", "c0 8000"],
  [5, "Remaining Length 5 in three bytes", "30 858000"],
  [5, "Remaining Length 5 in four bytes", "30 85808000"],
  [5, "Property Length 0 in two bytes", "30 ** ~'t' 8000"],
  [5, "Subscription Identifier 1 in two bytes", "82 ** 0001 [ 0b 8100 ] ~'t' 00"]
])
broken("varintNotMinimal", 0x81, "v3 2.2.3", [[4, "Remaining Length 5 in two bytes", "30 8500"]])
broken("truncated", 0x81, "MQTT-4.13.1-1", [
  [0, "CONNECT without a body", "10 00"],
  [0, "CONNECT that ends in its protocol name", "10 ** 0004 'MQT'"],
  [0, "CONNECT that ends before its level", "10 ** ~'MQTT'"],
  [0, "CONNECT that ends before its flags", "10 ** ~'MQTT' 05"],
  [0, "CONNECT that ends in Keep Alive", "10 ** ~'MQTT' 05 02 00"],
  [0, "CONNECT without properties", "10 ** ~'MQTT' 05 02 003c"],
  [0, "CONNECT whose properties run over", "10 ** ~'MQTT' 05 02 003c 7f 21 0001"],
  [0, "CONNECT without Client Identifier [MQTT-3.1.3-3]", "10 ** ~'MQTT' 05 02 003c [ ]"],
  [0, "CONNECT whose Client Identifier runs over", "10 ** ~'MQTT' 05 02 003c [ ] 0009 'client'"],
  [0, "CONNECT without the Will it announces [MQTT-3.1.2-9]", "10 ** ~'MQTT' 05 06 003c [ ] ~'c'"],
  [0, "CONNECT without Will Payload", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ ] ~'w'"],
  [0, "CONNECT without User Name [MQTT-3.1.2-17]", "10 ** ~'MQTT' 05 82 003c [ ] ~'c'"],
  [0, "CONNECT without Password [MQTT-3.1.2-19]", "10 ** ~'MQTT' 05 c2 003c [ ] ~'c' ~'u'"],
  [5, "PUBLISH without a body", "30 00"],
  [5, "PUBLISH with half a topic length", "30 01 00"],
  [5, "PUBLISH whose topic runs over", "30 ** 0005 'abcd'"],
  [5, "PUBLISH without packet identifier", "32 ** ~'t'"],
  [5, "PUBLISH with half a packet identifier", "32 ** ~'t' 00"],
  [5, "PUBLISH without properties", "30 ** ~'t'"],
  [5, "PUBLISH whose properties run over", "30 ** ~'t' 05 01"],
  [5, "a property that runs out of its section", "30 ** ~'t' 02 23 00 05 'payload'"],
  [5, "a string property that runs out of its section", "30 ** ~'t' [ 03 0004 'abc' ] 'd'"],
  [5, "a user property without value", "30 ** ~'t' [ 26 ~'name' ]"],
  [5, "a property without value", "30 ** ~'t' [ 01 ]"],
  [5, "PUBACK without packet identifier", "40 00"],
  [5, "PUBACK with half a packet identifier", "40 01 00"],
  [5, "PUBACK whose properties run over", "40 ** 0001 00 05"],
  [5, "SUBSCRIBE without a body", "82 00"],
  [5, "SUBSCRIBE without properties", "82 ** 0001"],
  [5, "SUBSCRIBE without options", "82 ** 0001 [ ] ~'t'"],
  [5, "SUBSCRIBE whose filter runs over", "82 ** 0001 [ ] 0009 't' 00"],
  [5, "UNSUBSCRIBE whose filter runs over", "a2 ** 0001 [ ] 0009 't'"],
  [5, "DISCONNECT whose properties run over", "e0 ** 00 05"],
  [5, "AUTH without properties", "f0 ** 18"]
])
broken("truncated", 0x81, "v3 MQTT-4.8.0-1", [
  [0, "CONNECT without Client Identifier [v3 MQTT-3.1.3-3]", "10 ** ~'MQTT' 04 02 003c"],
  [0, "CONNECT without User Name [v3 MQTT-3.1.2-19]", "10 ** ~'MQTT' 04 82 003c ~'c'"],
  [0, "CONNECT without Password [v3 MQTT-3.1.2-21]", "10 ** ~'MQTT' 04 c2 003c ~'c' ~'u'"],
  [0, "CONNECT without Will Message [v3 MQTT-3.1.2-9]", "10 ** ~'MQIsdp' 03 06 003c ~'c' ~'w'"],
  [4, "PUBLISH without packet identifier", "32 ** ~'t'"],
  [4, "PUBACK without packet identifier", "40 00"],
  [4, "SUBSCRIBE with half a filter", "82 ** 0001 0003 'ab'"],
  [4, "SUBSCRIBE without QoS", "82 ** 0001 ~'ab'"],
  [4, "UNSUBSCRIBE with half a filter", "a2 ** 0001 0003 'ab'"]
])
broken("trailingBytes", 0x81, "MQTT-4.13.1-1", [
  [0, "CONNECT with one byte more", "10 ** ~'MQTT' 05 02 003c [ ] ~'c' 00"],
  [0, "CONNECT with User Name but no flag [MQTT-3.1.2-16]", "10 ** ~'MQTT' 05 02 003c [ ] ~'c' ~'u'"],
  [0, "CONNECT with Password but no flag [MQTT-3.1.2-18]", "10 ** ~'MQTT' 05 82 003c [ ] ~'c' ~'u' ~'p'"],
  [5, "PUBACK with one byte more", "40 ** 0001 00 [ ] 00"],
  [5, "PINGREQ with a body", "c0 01 00"],
  [5, "DISCONNECT with one byte more", "e0 ** 00 [ ] 00"],
  [5, "AUTH with one byte more", "f0 ** 18 [ 15 ~'m' ] 00"]
])
broken("trailingBytes", 0x81, "v3 MQTT-4.8.0-1", [
  [0, "CONNECT with User Name but no flag [v3 MQTT-3.1.2-18]", "10 ** ~'MQTT' 04 02 003c ~'c' ~'u'"],
  [0, "CONNECT with Password but no flag [v3 MQTT-3.1.2-20]", "10 ** ~'MQTT' 04 82 003c ~'c' ~'u' ~'p'"],
  [0, "CONNECT with a Will but no flag [v3 MQTT-3.1.2-11]", "10 ** ~'MQTT' 04 02 003c ~'c' ~'w' ~'gone'"],
  [4, "PUBACK with a reason code", "40 03 0001 00"],
  [4, "PUBREL with a reason code", "62 03 0001 00"],
  [3, "PUBCOMP of MQTT 3.1 with a reason code", "70 03 0001 00"],
  [4, "PINGREQ with a body", "c0 01 00"],
  [4, "DISCONNECT with a reason code", "e0 01 00"]
])

const illFormed: ReadonlyArray<readonly [string, string]> = [
  ["a lone continuation byte", "80"],
  ["a lone lead byte", "c3"],
  ["an overlong NUL", "c080"],
  ["an overlong slash", "c0af"],
  ["an overlong form of three bytes", "e08080"],
  ["an overlong form of four bytes", "f0808080"],
  ["surrogate U+D800", "eda080"],
  ["surrogate U+DFFF", "edbfbf"],
  ["a surrogate pair", "eda0bdedb880"],
  ["U+110000", "f4908080"],
  ["byte FF", "ff"],
  ["a sequence of five bytes", "f888808080"]
]
broken("illFormedUtf8", 0x81, "MQTT-1.5.4-1", [
  ...illFormed.map(([name, bytes]) => [5, `topic with ${name}`, `30 ** ~61${bytes} [ ]`] as const),
  ...illFormed.map(([name, bytes]) => [5, `filter with ${name}`, `82 ** 0001 [ ] ~${bytes} 00`] as const),
  [0, "Protocol Name", "10 ** ~ff 05 02 003c [ ] ~'c'"],
  [0, "Client Identifier [MQTT-3.1.3-4]", "10 ** ~'MQTT' 05 02 003c [ ] ~ff"],
  [0, "Will Topic [MQTT-3.1.3-11]", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ ] ~ff ~'p'"],
  [0, "User Name [MQTT-3.1.3-12]", "10 ** ~'MQTT' 05 82 003c [ ] ~'c' ~ff"],
  [0, "Authentication Method", "10 ** ~'MQTT' 05 02 003c [ 15 ~ff ] ~'c'"],
  [0, "Content Type of the Will", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ 03 ~ff ] ~'w' ~'p'"],
  [5, "Content Type [MQTT-3.3.2-19]", "30 ** ~'t' [ 03 ~eda080 ]"],
  [5, "Response Topic [MQTT-3.3.2-13]", "30 ** ~'t' [ 08 ~eda080 ]"],
  [5, "user property name [MQTT-1.5.7-1]", "30 ** ~'t' [ 26 ~ff ~'v' ]"],
  [5, "user property value [MQTT-1.5.7-1]", "30 ** ~'t' [ 26 ~'n' ~ff ]"],
  [5, "Reason String of PUBACK", "40 ** 0001 00 [ 1f ~ff ]"],
  [5, "topic filter of UNSUBSCRIBE [MQTT-3.10.3-1]", "a2 ** 0001 [ ] ~ff"],
  [5, "Reason String of DISCONNECT", "e0 ** 00 [ 1f ~ff ]"]
])
broken("illFormedUtf8", 0x81, "v3 MQTT-1.5.3-1", [
  [0, "Client Identifier [v3 MQTT-3.1.3-4]", "10 ** ~'MQTT' 04 02 003c ~ff"],
  [0, "Will Topic [v3 MQTT-3.1.3-10]", "10 ** ~'MQTT' 04 06 003c ~'c' ~ff ~'p'"],
  [0, "User Name [v3 MQTT-3.1.3-11]", "10 ** ~'MQTT' 04 82 003c ~'c' ~ff"],
  [4, "topic [v3 MQTT-3.3.2-1]", "30 ** ~eda080"],
  [4, "filter of SUBSCRIBE [v3 MQTT-3.8.3-1]", "82 ** 0001 ~ff 00"],
  [4, "filter of UNSUBSCRIBE [v3 MQTT-3.10.3-1]", "a2 ** 0001 ~ff"]
])
broken("nulCharacter", 0x81, "MQTT-1.5.4-2", [
  [0, "Client Identifier", "10 ** ~'MQTT' 05 02 003c [ ] ~00"],
  [5, "topic [MQTT-4.7.3-2]", "30 ** ~612f0062 [ ]"],
  [5, "topic after a character of two bytes", "30 ** ~c3a900 [ ]"],
  [5, "filter [MQTT-4.7.3-2]", "82 ** 0001 [ ] ~6100 00"],
  [5, "user property name [MQTT-1.5.7-1]", "30 ** ~'t' [ 26 ~00 ~'v' ]"]
])
broken("nulCharacter", 0x81, "v3 MQTT-1.5.3-2", [
  [4, "topic [v3 MQTT-4.7.3-2]", "30 ** ~612f0062"],
  [4, "filter [v3 MQTT-4.7.3-2]", "82 ** 0001 ~6100 00"],
  [0, "User Name", "10 ** ~'MQTT' 04 82 003c ~'c' ~7500"]
])
broken("packetIdZero", 0x82, "MQTT-2.2.1-3", [
  [5, "PUBLISH of QoS 1", "32 ** ~'t' 0000 [ ]"],
  [5, "PUBLISH of QoS 2", "34 ** ~'t' 0000 [ ]"],
  [5, "SUBSCRIBE", "82 ** 0000 [ ] ~'t' 00"],
  [5, "UNSUBSCRIBE", "a2 ** 0000 [ ] ~'t'"]
])
broken("packetIdZero", 0x82, "v3 MQTT-2.3.1-1", [
  [4, "PUBLISH of QoS 1", "32 ** ~'t' 0000"],
  [4, "SUBSCRIBE", "82 ** 0000 ~'t' 00"],
  [4, "UNSUBSCRIBE", "a2 ** 0000 ~'t'"]
])
broken("ackPacketIdZero", 0x82, "MQTT-2.2.1-5", [
  [5, "PUBACK", "40 02 0000"],
  [5, "PUBREC", "50 02 0000"],
  [5, "PUBREL", "62 02 0000"],
  [5, "PUBCOMP", "70 02 0000"]
])
broken("ackPacketIdZero", 0x82, "v3 MQTT-2.3.1-6", [[4, "PUBACK", "40 02 0000"]])

// Topics

broken("publishTopicEmpty", 0x82, "3.3.2.1", [[5, "no topic and no alias", "30 ** 0000 [ ] 'p'"]])
broken("publishTopicEmpty", 0x82, "v3 MQTT-4.7.3-1", [[4, "empty topic", "30 ** 0000 'p'"]])
broken("publishTopicWildcard", 0x90, "MQTT-3.3.2-2", [
  [5, "# in the topic", "30 ** ~'a/#' [ ]"],
  [5, "+ in the topic", "30 ** ~'a/+/b' [ ]"],
  [5, "+ within a level", "30 ** ~'a+b' [ ]"],
  [5, "# after a character of three bytes", "30 ** ~e282ac23 [ ]"]
])
broken("publishTopicWildcard", 0x90, "v3 MQTT-3.3.2-2", [[4, "# as the topic", "30 ** ~'#'"]])
broken("topicEmpty", 0x90, "MQTT-4.7.3-1", [
  [0, "empty Will Topic", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ ] 0000 ~'p'"],
  [5, "empty Response Topic", "30 ** ~'t' [ 08 0000 ]"]
])
broken("topicEmpty", 0x90, "v3 MQTT-4.7.3-1", [
  [0, "empty Will Topic", "10 ** ~'MQTT' 04 06 003c ~'c' 0000 ~'p'"]
])
broken("willTopicWildcard", 0x90, "MQTT-4.7.0-1", [
  [0, "# in the Will Topic", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ ] ~'a/#' ~'p'"]
])
broken("willTopicWildcard", 0x90, "v3 MQTT-4.7.1-1", [
  [0, "+ in the Will Topic", "10 ** ~'MQTT' 04 06 003c ~'c' ~'+/a' ~'p'"]
])
broken("responseTopicWildcard", 0x90, "MQTT-3.3.2-14", [
  [5, "+ in the Response Topic", "30 ** ~'t' [ 08 ~'a/+' ]"],
  [0, "# in the Will's Response Topic", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ 08 ~'#' ] ~'w' ~'p'"]
])
broken("topicFilterEmpty", 0x81, "MQTT-4.7.3-1", [
  [5, "empty filter in SUBSCRIBE", "82 ** 0001 [ ] ~'a' 00 0000 00"],
  [5, "empty filter in UNSUBSCRIBE", "a2 ** 0001 [ ] 0000"]
])
broken("topicFilterEmpty", 0x81, "v3 MQTT-4.7.3-1", [
  [4, "empty filter in SUBSCRIBE", "82 ** 0001 0000 00"],
  [4, "empty filter in UNSUBSCRIBE", "a2 ** 0001 ~'a' 0000"]
])

// Properties

broken("unknownProperty", 0x81, "2.2.2.2", [
  [5, "identifier 0", "30 ** ~'t' [ 00 00 ]"],
  [5, "identifier 4", "30 ** ~'t' [ 04 00 ]"],
  [5, "identifier 0x7f", "30 ** ~'t' [ 7f 00 ]"],
  [5, "identifier of two bytes", "30 ** ~'t' [ 8101 00 ]"],
  [0, "identifier 0x2b in CONNECT", "10 ** ~'MQTT' 05 02 003c [ 2b 00 ] ~'c'"]
])

const anywhere: ReadonlyArray<readonly [id: number, value: string]> = [
  [0x01, "01"],
  [0x02, "00000001"],
  [0x03, "~'t'"],
  [0x08, "~'t'"],
  [0x09, "~'t'"],
  [0x0b, "01"],
  [0x11, "00000001"],
  [0x12, "~'t'"],
  [0x13, "0001"],
  [0x15, "~'t'"],
  [0x16, "~'t'"],
  [0x17, "01"],
  [0x18, "00000001"],
  [0x19, "01"],
  [0x1a, "~'t'"],
  [0x1c, "~'t'"],
  [0x1f, "~'t'"],
  [0x21, "0001"],
  [0x22, "0001"],
  [0x23, "0001"],
  [0x24, "01"],
  [0x25, "01"],
  [0x26, "~'n' ~'v'"],
  [0x27, "00000001"],
  [0x28, "01"],
  [0x29, "01"],
  [0x2a, "01"]
]

interface Place {
  readonly name: string
  readonly version: ProtocolVersion | 0
  readonly packet: (section: string) => string
  readonly allowed: ReadonlyArray<number>
}

const message = [0x01, 0x02, 0x03, 0x08, 0x09, 0x26]
const places: ReadonlyArray<Place> = [
  {
    name: "CONNECT",
    version: 0,
    packet: (section) => `10 ** ~'MQTT' 05 02 003c ${section} ~'c'`,
    allowed: [0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27]
  },
  {
    name: "the Will",
    version: 0,
    packet: (section) => `10 ** ~'MQTT' 05 06 003c [ ] ~'c' ${section} ~'w' ~'p'`,
    allowed: [...message, 0x18]
  },
  { name: "PUBLISH", version: 5, packet: (s) => `30 ** ~'t' ${s} 'p'`, allowed: [...message, 0x23, 0x0b] },
  { name: "PUBACK", version: 5, packet: (s) => `40 ** 0001 00 ${s}`, allowed: [0x1f, 0x26] },
  { name: "PUBREC", version: 5, packet: (s) => `50 ** 0001 00 ${s}`, allowed: [0x1f, 0x26] },
  { name: "PUBREL", version: 5, packet: (s) => `62 ** 0001 00 ${s}`, allowed: [0x1f, 0x26] },
  { name: "PUBCOMP", version: 5, packet: (s) => `70 ** 0001 00 ${s}`, allowed: [0x1f, 0x26] },
  { name: "SUBSCRIBE", version: 5, packet: (s) => `82 ** 0001 ${s} ~'t' 00`, allowed: [0x0b, 0x26] },
  { name: "UNSUBSCRIBE", version: 5, packet: (s) => `a2 ** 0001 ${s} ~'t'`, allowed: [0x26] },
  { name: "DISCONNECT", version: 5, packet: (s) => `e0 ** 00 ${s}`, allowed: [0x11, 0x1f, 0x26, 0x1c] },
  { name: "AUTH", version: 5, packet: (s) => `f0 ** 18 ${s}`, allowed: [0x15, 0x16, 0x1f, 0x26] }
]

const byteOf = (id: number): string => id.toString(16).padStart(2, "0")

for (const place of places) {
  for (const [id, value] of anywhere) {
    if (place.allowed.includes(id)) continue
    const name = `property 0x${byteOf(id)} in ${place.name}`
    const text = place.packet(`[ ${byteOf(id)} ${value} ]`)
    broken("misplacedProperty", 0x81, "2.2.2.2", [[place.version, name, text]])
  }
}
broken("subscriptionIdInPublish", 0x82, "MQTT-3.3.4-6", [[5, "from a client", "30 ** ~'t' [ 0b 01 ]"]])
broken("serverReferenceFromClient", 0x82, "3.14.2.2.5", [[5, "DISCONNECT", "e0 ** 00 [ 1c ~'other' ]"]])

const sections: ReadonlyMap<string, string> = new Map([
  ["CONNECT", "3.1.2.11"],
  ["the Will", "3.1.3.2"],
  ["PUBLISH", "3.3.2.3"],
  ["PUBACK", "3.4.2.2"],
  ["PUBREC", "3.5.2.2"],
  ["PUBREL", "3.6.2.2"],
  ["PUBCOMP", "3.7.2.2"],
  ["SUBSCRIBE", "3.8.2.1"],
  ["UNSUBSCRIBE", "3.10.2.1"],
  ["DISCONNECT", "3.14.2.2"],
  ["AUTH", "3.15.2.2"]
])

for (const place of places) {
  for (const [id, value] of anywhere) {
    if (!place.allowed.includes(id) || id === 0x26) continue
    if (place.name === "PUBLISH" && id === 0x0b) continue
    if (place.name === "DISCONNECT" && id === 0x1c) continue
    const twice = `${byteOf(id)} ${value} 26 ~'n' ~'v' ${byteOf(id)} ${value}`
    broken("duplicateProperty", 0x82, sections.get(place.name) ?? "", [
      [place.version, `property 0x${byteOf(id)} twice in ${place.name}`, place.packet(`[ ${twice} ]`)]
    ])
  }
}
const connectWith = (section: string): string => `10 ** ~'MQTT' 05 02 003c [ ${section} ] ~'c'`
broken("propertyValue", 0x82, "3.1.2.11.3", [[0, "Receive Maximum 0", connectWith("21 0000")]])
broken("propertyValue", 0x82, "3.1.2.11.4", [[0, "Maximum Packet Size 0", connectWith("27 00000000")]])
broken("propertyValue", 0x82, "3.1.2.11.6", [[0, "Request Response Information 2", connectWith("19 02")]])
broken("propertyValue", 0x82, "3.1.2.11.7", [[0, "Request Problem Information 255", connectWith("17 ff")]])
broken("propertyValue", 0x82, "3.3.2.3.2", [
  [5, "Payload Format Indicator 2", "30 ** ~'t' [ 01 02 ]"],
  [0, "Payload Format Indicator 2 of the Will", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ 01 02 ] ~'w' ~'p'"]
])
broken("propertyValue", 0x82, "3.8.2.1.2", [[5, "Subscription Identifier 0", "82 ** 0001 [ 0b 00 ] ~'t' 00"]])
broken("topicAliasZero", 0x94, "MQTT-3.3.2-8", [[5, "Topic Alias 0", "30 ** ~'t' [ 23 0000 ]"]])
broken("userPropertiesMax", 0x97, "userPropertiesMax", [
  [5, "1001 user properties in PUBLISH", `30 ** ~'t' [ ${"26 ~'n' ~'v' ".repeat(1001)}]`],
  [0, "1001 user properties in CONNECT", connectWith("26 ~'n' ~'v' ".repeat(1001))]
])
broken("authenticationDataAlone", 0x82, "3.1.2.11.10", [[0, "in CONNECT", connectWith("16 ~'data'")]])
broken("authenticationMethodMissing", 0x82, "3.15.2.2.2", [
  [5, "AUTH without properties", "f0 ** 18 [ ]"],
  [5, "AUTH with data only", "f0 ** 19 [ 16 ~'data' ]"]
])
broken("payloadFormat", 0x99, "3.3.2.3.2", [
  [5, "payload of one bad byte", "30 ** ~'t' [ 01 01 ] ff"],
  [5, "payload with a surrogate at its end", `30 ** ~'t' [ 01 01 ] '${"x".repeat(100)}' eda080`]
])
broken("willPayloadFormat", 0x99, "3.1.3.2.3", [
  [0, "Will Payload of one bad byte", "10 ** ~'MQTT' 05 06 003c [ ] ~'c' [ 01 01 ] ~'w' ~ff"]
])

// CONNECT

broken("protocolName", 0x84, "MQTT-3.1.2-1", [
  [0, "HTTP", "10 ** ~'HTTP' 05 02 003c [ ] ~'c'"],
  [0, "mqtt in lower case", "10 ** ~'mqtt' 04 02 003c ~'c'"],
  [0, "an empty name", "10 ** 0000 04 02 003c ~'c'"],
  [0, "MQTTX", "10 ** ~'MQTTX' 04 02 003c ~'c'"],
  [0, "a name with U+FEFF [MQTT-1.5.4-3]", "10 ** ~efbbbf4d515454 04 02 003c ~'c'"]
])
broken("protocolLevel", 0x84, "MQTT-3.1.2-2", [
  [0, "MQTT level 0", "10 ** ~'MQTT' 00 02 003c ~'c'"],
  [0, "MQTT level 3", "10 ** ~'MQTT' 03 02 003c ~'c'"],
  [0, "MQTT level 6", "10 ** ~'MQTT' 06 02 003c [ ] ~'c'"],
  [0, "MQTT level 0x84, a bridge", "10 ** ~'MQTT' 84 02 003c ~'c'"],
  [0, "MQIsdp level 4", "10 ** ~'MQIsdp' 04 02 003c ~'c'"],
  [0, "MQIsdp level 5", "10 ** ~'MQIsdp' 05 02 003c ~'c'"]
])
broken("connectReservedFlag", 0x81, "MQTT-3.1.2-3", [[0, "5.0", "10 ** ~'MQTT' 05 03 003c [ ] ~'c'"]])
broken("connectReservedFlag", 0x81, "v3 MQTT-3.1.2-3", [
  [0, "3.1.1", "10 ** ~'MQTT' 04 03 003c ~'c'"],
  [0, "3.1", "10 ** ~'MQIsdp' 03 03 003c ~'c'"]
])
broken("willQosWithoutWill", 0x81, "MQTT-3.1.2-11", [
  [0, "QoS 1", "10 ** ~'MQTT' 05 0a 003c [ ] ~'c'"],
  [0, "QoS 3", "10 ** ~'MQTT' 05 1a 003c [ ] ~'c'"]
])
broken("willQosWithoutWill", 0x81, "v3 MQTT-3.1.2-13", [[0, "QoS 2", "10 ** ~'MQTT' 04 12 003c ~'c'"]])
broken("willQos3", 0x81, "MQTT-3.1.2-12", [[0, "5.0", "10 ** ~'MQTT' 05 1e 003c [ ] ~'c' [ ] ~'w' ~'p'"]])
broken("willQos3", 0x81, "v3 MQTT-3.1.2-14", [[0, "3.1.1", "10 ** ~'MQTT' 04 1e 003c ~'c' ~'w' ~'p'"]])
broken("willRetainWithoutWill", 0x81, "MQTT-3.1.2-13", [[0, "5.0", "10 ** ~'MQTT' 05 22 003c [ ] ~'c'"]])
broken("willRetainWithoutWill", 0x81, "v3 MQTT-3.1.2-15", [[0, "3.1.1", "10 ** ~'MQTT' 04 22 003c ~'c'"]])
broken("passwordWithoutUsername", 0x81, "v3 MQTT-3.1.2-22", [
  [0, "3.1.1", "10 ** ~'MQTT' 04 42 003c ~'c' ~'p'"],
  [0, "3.1", "10 ** ~'MQIsdp' 03 42 003c ~'c' ~'p'"]
])

// SUBSCRIBE and UNSUBSCRIBE

broken("subscribeEmpty", 0x82, "MQTT-3.8.3-2", [[5, "no filter", "82 ** 0001 [ ]"]])
broken("subscribeEmpty", 0x82, "v3 MQTT-3.8.3-3", [[4, "no filter", "82 02 0001"]])
broken("subscribeReservedBits", 0x81, "MQTT-3.8.3-5", [
  [5, "bit 6", "82 ** 0001 [ ] ~'t' 40"],
  [5, "bit 7, second filter", "82 ** 0001 [ ] ~'t' 00 ~'u' 81"]
])
broken("subscribeReservedBits", 0x81, "v3 MQTT-3.8.3-4", [
  [4, "No Local, which only 5.0 has", "82 ** 0001 ~'t' 04"],
  [4, "bit 7", "82 ** 0001 ~'t' 80"],
  [3, "bit 2 in MQTT 3.1", "82 ** 0001 ~'t' 04"]
])
broken("subscribeQos3", 0x82, "3.8.3.1", [[5, "QoS 3", "82 ** 0001 [ ] ~'t' 03"]])
broken("subscribeQos3", 0x82, "v3 MQTT-3.8.3-4", [[4, "QoS 3", "82 ** 0001 ~'t' 03"]])
broken("retainHandling3", 0x82, "3.8.3.1", [[5, "Retain Handling 3", "82 ** 0001 [ ] ~'t' 30"]])
broken("noLocalShared", 0x82, "MQTT-3.8.3-4", [
  [5, "No Local on $share/group/t", "82 ** 0001 [ ] ~'$share/group/t' 04"]
])
broken("unsubscribeEmpty", 0x82, "MQTT-3.10.3-2", [[5, "no filter", "a2 ** 0001 [ ]"]])
broken("unsubscribeEmpty", 0x82, "v3 MQTT-3.10.3-2", [[4, "no filter", "a2 02 0001"]])

// Reason codes

broken("pubackReasonCode", 0x82, "MQTT-3.4.2-1", [
  [5, "0x01", "40 03 0001 01"],
  [5, "0x92, which PUBREL has", "40 03 0001 92"]
])
broken("pubrecReasonCode", 0x82, "MQTT-3.5.2-1", [[5, "0x92, which PUBREL has", "50 03 0001 92"]])
broken("pubrelReasonCode", 0x82, "MQTT-3.6.2-1", [[5, "0x80, which PUBREC has", "62 03 0001 80"]])
broken("pubcompReasonCode", 0x82, "MQTT-3.7.2-1", [[5, "0x10, which PUBREC has", "70 03 0001 10"]])
broken("disconnectReasonCode", 0x82, "MQTT-3.14.2-1", [
  [5, "0x01", "e0 01 01"],
  [5, "0x8e, which only a server sends", "e0 01 8e"],
  [5, "0x9d, which only a server sends", "e0 ** 9d [ ]"]
])
broken("authReasonCode", 0x82, "MQTT-3.15.2-1", [
  [5, "0x00, which only a server sends", "f0 ** 00 [ 15 ~'m' ]"],
  [5, "no body, which means 0x00", "f0 00"],
  [5, "0x80", "f0 ** 80 [ 15 ~'m' ]"]
])
