/**
 * Valid packets of every kind and version, in the notation of `wire.ts`, and what the decoder makes of them.
 */

import type { ProtocolVersion } from "../../src/protocol/Packet.ts"
import { toHex } from "../support/raw.ts"
import { wire } from "./wire.ts"

export interface Row {
  readonly name: string
  readonly version: ProtocolVersion | 0
  readonly packet: string
  readonly expected: unknown
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const none = new Uint8Array(0)

const bareConnect = {
  _tag: "Connect",
  protocolVersion: 5,
  cleanStart: true,
  keepAlive: 60,
  clientId: "c",
  username: undefined,
  password: undefined,
  will: undefined,
  properties: {}
}
const bareWill = {
  topic: "w/t",
  payload: bytesOf("gone"),
  qos: 0,
  retain: false,
  delayInterval: 0,
  messageExpiryInterval: -1,
  forwardedProperties: none
}

export const connects: ReadonlyArray<Row> = [
  { name: "5.0, bare", version: 0, packet: "10 ** ~'MQTT' 05 02 003c [ ] ~'c'", expected: bareConnect },
  {
    name: "3.1.1, bare",
    version: 0,
    packet: "10 ** ~'MQTT' 04 00 ffff ~'c'",
    expected: { ...bareConnect, protocolVersion: 4, cleanStart: false, keepAlive: 65535 }
  },
  {
    name: "3.1, bare",
    version: 0,
    packet: "10 ** ~'MQIsdp' 03 02 0000 ~'c'",
    expected: { ...bareConnect, protocolVersion: 3, keepAlive: 0 }
  },
  {
    name: "[v3 MQTT-3.1.3-8] an empty client identifier without clean session is the connection's to answer",
    version: 0,
    packet: "10 ** ~'MQTT' 04 00 003c 0000",
    expected: { ...bareConnect, protocolVersion: 4, cleanStart: false, clientId: "" }
  },
  {
    name: "3.1, a client identifier of more than 23 bytes is the connection's to answer",
    version: 0,
    packet: "10 ** ~'MQIsdp' 03 02 003c ~'123456789012345678901234'",
    expected: { ...bareConnect, protocolVersion: 3, clientId: "123456789012345678901234" }
  },
  {
    name: "[MQTT-3.1.3-1] all fields in order, 3.1.1",
    version: 0,
    packet: "10 ** ~'MQTT' 04 ee 003c ~'c' ~'w/t' ~'gone' ~'user' ~'pass'",
    expected: {
      ...bareConnect,
      protocolVersion: 4,
      username: "user",
      password: bytesOf("pass"),
      will: { ...bareWill, qos: 1, retain: true }
    }
  },
  {
    name: "empty user name, password and will payload are present, not absent",
    version: 0,
    packet: "10 ** ~'MQTT' 04 c6 003c ~'c' ~'w/t' 0000 0000 0000",
    expected: {
      ...bareConnect,
      protocolVersion: 4,
      username: "",
      password: none,
      will: { ...bareWill, payload: none }
    }
  },
  {
    name: "5.0 allows a password without user name",
    version: 0,
    packet: "10 ** ~'MQTT' 05 42 003c [ ] ~'c' ~'token'",
    expected: { ...bareConnect, password: bytesOf("token") }
  },
  {
    name: "every CONNECT property",
    version: 0,
    packet: `10 ** ~'MQTT' 05 02 003c [ 11 ffffffff 21 ffff 27 00000001 22 0007 19 01 17 00
      26 ~'a' ~'1' 15 ~'SCRAM' 16 ~00ff 26 ~'__proto__' ~'2' 26 ~'a' ~'3' ] ~'c'`,
    expected: {
      ...bareConnect,
      properties: {
        sessionExpiryInterval: 4294967295,
        receiveMaximum: 65535,
        maximumPacketSize: 1,
        topicAliasMaximum: 7,
        requestResponseInformation: true,
        requestProblemInformation: false,
        authenticationMethod: "SCRAM",
        authenticationData: Uint8Array.of(0, 255),
        userProperties: [
          ["a", "1"],
          ["__proto__", "2"],
          ["a", "3"]
        ]
      }
    }
  },
  {
    name: "[MQTT-3.1.3-10] every will property; delay and expiry are not forwarded",
    version: 0,
    packet: `10 ** ~'MQTT' 05 16 003c [ ] ~'c' [ 18 00000005 01 01 02 0000000a 26 ~'a' ~'1' 03 ~'text'
      08 ~'r' 09 ~ff 26 ~'a' ~'0' ] ~'w/t' ~'gone'`,
    expected: {
      ...bareConnect,
      will: {
        ...bareWill,
        qos: 2,
        delayInterval: 5,
        messageExpiryInterval: 10,
        forwardedProperties: Uint8Array.from(
          wire("01 01 26 ~'a' ~'1' 03 ~'text' 08 ~'r' 09 ~ff 26 ~'a' ~'0'")
        )
      }
    }
  },
  {
    name: "[MQTT-1.5.4-3] a byte order mark stays",
    version: 0,
    packet: "10 ** ~'MQTT' 05 82 003c [ ] ~efbbbf63 ~efbbbf",
    expected: { ...bareConnect, clientId: "\ufeffc", username: "\ufeff" }
  },
  {
    name: "characters of two, three and four bytes and non-characters",
    version: 0,
    packet: "10 ** ~'MQTT' 05 02 003c [ ] ~c3a9e282acf09f9880efbfbff48fbfbf",
    expected: { ...bareConnect, clientId: "é€😀\uffff\u{10ffff}" }
  }
]

const barePublish = {
  _tag: "Publish",
  topic: "t",
  topicBytes: "74",
  payload: toHex(bytesOf("p")),
  forwarded: "",
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  topicAlias: 0,
  messageExpiryInterval: -1
}

export const publishes: ReadonlyArray<Row> = [
  { name: "QoS 0, 3.1", version: 3, packet: "30 ** ~'t' 'p'", expected: barePublish },
  { name: "QoS 0, 3.1.1", version: 4, packet: "30 ** ~'t' 'p'", expected: barePublish },
  { name: "QoS 0, 5.0", version: 5, packet: "30 ** ~'t' [ ] 'p'", expected: barePublish },
  {
    name: "no payload",
    version: 4,
    packet: "31 ** ~'t'",
    expected: { ...barePublish, payload: "", retain: true }
  },
  {
    name: "QoS 1, DUP and RETAIN",
    version: 4,
    packet: "3b ** ~'t' ffff 'p'",
    expected: { ...barePublish, qos: 1, dup: true, retain: true, packetId: 65535 }
  },
  {
    name: "QoS 2",
    version: 5,
    packet: "34 ** ~'t' 0102 [ ] 'p'",
    expected: { ...barePublish, qos: 2, packetId: 258 }
  },
  {
    name: "an alias instead of a topic",
    version: 5,
    packet: "30 ** 0000 [ 23 ffff ] 'p'",
    expected: { ...barePublish, topic: "", topicBytes: "", topicAlias: 65535 }
  },
  {
    name: "[MQTT-3.3.2-18] alias and expiry are taken out, the rest is forwarded in its order",
    version: 5,
    packet: `30 ** ~'t' [ 02 00000e10 26 ~'b' ~'2' 01 01 23 0003 03 ~'text/plain' 26 ~'a' ~'1' 08 ~'re/ply'
      09 ~00 ] 'p'`,
    expected: {
      ...barePublish,
      topicAlias: 3,
      messageExpiryInterval: 3600,
      forwarded: toHex(wire("26 ~'b' ~'2' 01 01 03 ~'text/plain' 26 ~'a' ~'1' 08 ~'re/ply' 09 ~00"))
    }
  },
  {
    name: "forwarded properties only",
    version: 5,
    packet: "30 ** ~'t' [ 26 ~'__proto__' ~'constructor' 26 0000 0000 ] 'p'",
    expected: { ...barePublish, forwarded: toHex(wire("26 ~'__proto__' ~'constructor' 26 0000 0000")) }
  },
  {
    name: "a message expiry of 0 and of the maximum",
    version: 5,
    packet: "30 ** ~'t' [ 02 ffffffff ] 'p'",
    expected: { ...barePublish, messageExpiryInterval: 4294967295 }
  },
  {
    name: "3.1.1 payload that looks like properties",
    version: 4,
    packet: "30 ** ~'t' 00",
    expected: { ...barePublish, payload: "00" }
  },
  {
    name: "payload format 1 with U+0000, which payloads may hold",
    version: 5,
    packet: "30 ** ~'t' [ 01 01 ] 00c3a9",
    expected: { ...barePublish, payload: "00c3a9", forwarded: "0101" }
  },
  {
    name: "payload format 0 with any bytes",
    version: 5,
    packet: "30 ** ~'t' [ 01 00 ] ff",
    expected: { ...barePublish, payload: "ff", forwarded: "0100" }
  },
  {
    name: "[MQTT-4.7.3-4] a topic is not normalised",
    version: 4,
    packet: "30 ** ~'//$SYS/ /é/' 'p'",
    expected: { ...barePublish, topic: "//$SYS/ /é/", topicBytes: toHex(bytesOf("//$SYS/ /é/")) }
  },
  {
    name: "a topic of 65,535 bytes",
    version: 4,
    packet: `30 ** ~'${"x".repeat(65535)}' 'p'`,
    expected: { ...barePublish, topic: "x".repeat(65535), topicBytes: "78".repeat(65535) }
  }
]

const ack = (tag: string, reasonCode = 0) => ({ _tag: tag, packetId: 1, reasonCode })

export const others: ReadonlyArray<Row> = [
  { name: "PUBACK, 3.1.1", version: 4, packet: "40 02 0001", expected: ack("Puback") },
  { name: "PUBREC, 3.1.1", version: 4, packet: "50 02 0001", expected: ack("Pubrec") },
  { name: "PUBREL, 3.1.1", version: 4, packet: "62 02 0001", expected: ack("Pubrel") },
  { name: "PUBREL with DUP, 3.1", version: 3, packet: "6a 02 0001", expected: ack("Pubrel") },
  { name: "PUBCOMP, 3.1.1", version: 4, packet: "70 02 0001", expected: ack("Pubcomp") },
  { name: "PUBACK without reason code, 5.0", version: 5, packet: "40 02 0001", expected: ack("Puback") },
  {
    name: "PUBACK with reason code only",
    version: 5,
    packet: "40 03 0001 97",
    expected: ack("Puback", 0x97)
  },
  {
    name: "PUBREC with reason code and properties",
    version: 5,
    packet: "50 ** 0001 80 [ ]",
    expected: ack("Pubrec", 0x80)
  },
  { name: "PUBREL 0x92", version: 5, packet: "62 ** 0001 92 [ 1f ~'why' ]", expected: ack("Pubrel", 0x92) },
  {
    name: "PUBCOMP with user properties",
    version: 5,
    packet: "70 ** 0001 92 [ 26 ~'a' ~'b' 1f ~'why' 26 ~'a' ~'b' ]",
    expected: ack("Pubcomp", 0x92)
  },
  {
    name: "SUBSCRIBE, 3.1.1",
    version: 4,
    packet: "82 ** 0009 ~'a/+' 01 ~'#' 02",
    expected: {
      _tag: "Subscribe",
      packetId: 9,
      subscriptions: [
        { topicFilter: "a/+", qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
        { topicFilter: "#", qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 }
      ],
      subscriptionIdentifier: 0,
      userProperties: []
    }
  },
  {
    name: "SUBSCRIBE with DUP, 3.1",
    version: 3,
    packet: "8a ** 0009 ~'a' 00",
    expected: {
      _tag: "Subscribe",
      packetId: 9,
      subscriptions: [
        { topicFilter: "a", qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 }
      ],
      subscriptionIdentifier: 0,
      userProperties: []
    }
  },
  {
    name: "SUBSCRIBE with every option, 5.0; invalid filters are the session's to answer",
    version: 5,
    packet: "82 ** ffff [ 26 ~'b' ~'1' 0b ffffff7f 26 ~'a' ~'2' ] ~'a/#/b' 2e ~'$share//x' 11 ~'n' 04",
    expected: {
      _tag: "Subscribe",
      packetId: 65535,
      subscriptions: [
        { topicFilter: "a/#/b", qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { topicFilter: "$share//x", qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 1 },
        { topicFilter: "n", qos: 0, noLocal: true, retainAsPublished: false, retainHandling: 0 }
      ],
      subscriptionIdentifier: 268435455,
      userProperties: [
        ["b", "1"],
        ["a", "2"]
      ]
    }
  },
  {
    name: "UNSUBSCRIBE, 3.1.1",
    version: 4,
    packet: "a2 ** 0001 ~'a' ~'__proto__'",
    expected: { _tag: "Unsubscribe", packetId: 1, topicFilters: ["a", "__proto__"], userProperties: [] }
  },
  {
    name: "UNSUBSCRIBE with user properties, 5.0",
    version: 5,
    packet: "a2 ** 0001 [ 26 ~'x' ~'y' ] ~'a'",
    expected: { _tag: "Unsubscribe", packetId: 1, topicFilters: ["a"], userProperties: [["x", "y"]] }
  },
  { name: "PINGREQ", version: 4, packet: "c0 00", expected: { _tag: "Pingreq" } },
  {
    name: "DISCONNECT, 3.1.1",
    version: 4,
    packet: "e0 00",
    expected: { _tag: "Disconnect", reasonCode: 0, properties: {} }
  },
  {
    name: "DISCONNECT without a body, 5.0",
    version: 5,
    packet: "e0 00",
    expected: { _tag: "Disconnect", reasonCode: 0, properties: {} }
  },
  {
    name: "DISCONNECT with reason code only",
    version: 5,
    packet: "e0 01 04",
    expected: { _tag: "Disconnect", reasonCode: 4, properties: {} }
  },
  {
    name: "DISCONNECT with properties",
    version: 5,
    packet: "e0 ** 81 [ 11 00000000 1f ~'why' 26 ~'a' ~'b' ]",
    expected: {
      _tag: "Disconnect",
      reasonCode: 0x81,
      properties: { sessionExpiryInterval: 0, reasonString: "why", userProperties: [["a", "b"]] }
    }
  },
  {
    name: "AUTH",
    version: 5,
    packet: "f0 ** 18 [ 15 ~'m' 16 ~00 1f ~'why' 26 ~'a' ~'b' ]",
    expected: {
      _tag: "Auth",
      reasonCode: 0x18,
      properties: {
        authenticationMethod: "m",
        authenticationData: Uint8Array.of(0),
        reasonString: "why",
        userProperties: [["a", "b"]]
      }
    }
  }
]
