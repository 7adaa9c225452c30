/**
 * The rules of MQTT 5.0 without a number, which bind just as well: "it is a Protocol Error to ...", "... is a
 * Malformed Packet". Each row is one violation as bytes of a client, and what the server has to say before it
 * closes.
 *
 * Where a property may stand and how often comes from the tables in `properties.ts`; values that no packet
 * may have are listed here.
 */

import type { TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { concat, field, hex, properties, property, type RawConnect, raw, uint16 } from "../../support/raw.ts"
import { authenticationMethod, type Carrier, type CarrierRow, carriers, propertyRows } from "./properties.ts"

/** What the client is told; the connection is closed in any case. (4.13) */
export type Expected =
  | { readonly _tag: "Connack"; readonly reasonCode: number }
  | { readonly _tag: "Disconnect"; readonly reasonCode: number }

export interface UnnumberedRule {
  /** Of MQTT 5.0. */
  readonly section: string
  readonly rule: string
  /** The violation. */
  readonly bytes: Uint8Array
  /** CONNECT is refused, or the connection is ended by a DISCONNECT. */
  readonly expected: Expected
  /** The good CONNECT before a violation that is not one itself, where it matters. */
  readonly connect?: RawConnect
  /** What a server must not offer for the rule to bite. */
  readonly settings?: Partial<TenantSettings>
}

const malformedPacket = 0x81
const protocolError = 0x82
const topicNameInvalid = 0x90
const topicAliasInvalid = 0x94
const payloadFormatInvalid = 0x99
const notUtf8 = hex("c3 28")

const isHandshake = (carrier: Carrier): boolean => carrier === "CONNECT" || carrier === "will"

const expectedOf = (carrier: Carrier, reasonCode: number): Expected => ({
  _tag: isHandshake(carrier) ? "Connack" : "Disconnect",
  reasonCode
})

/** What has to stand in front of a property for it to be the only mistake. */
export const companions = (carrier: Carrier, propertyName: string): Uint8Array => {
  const method = properties.authenticationMethod(authenticationMethod)
  if (propertyName === "Authentication Method") return Buffer.alloc(0)
  if (carrier === "AUTH" || propertyName === "Authentication Data") return method
  return Buffer.alloc(0)
}

/** [2.2.2.2] and the paragraph of each property: "It is a Protocol Error to include ... more than once". */
const duplicates: ReadonlyArray<UnnumberedRule> = carriers.flatMap(({ build, carrier, section }) =>
  propertyRows
    .filter((row) => row.carriers.includes(carrier) && row.repeats !== true)
    .map((row) => ({
      section,
      rule: `${carrier} has ${row.name} at most once`,
      bytes: build(concat(companions(carrier, row.name), row.bytes, row.bytes)),
      expected: expectedOf(carrier, protocolError)
    }))
)

/**
 * Those for which a paragraph of their own asks for Protocol Error; all others make the packet malformed.
 * [2.2.2.2]
 */
const misplacedCode = (carrier: Carrier, name: string): number => {
  if (carrier === "PUBLISH" && name === "Subscription Identifier") return protocolError
  return carrier === "DISCONNECT" && name === "Server Reference" ? protocolError : malformedPacket
}

const misplaced: ReadonlyArray<UnnumberedRule> = carriers.flatMap(({ build, carrier }) =>
  propertyRows
    .filter((row) => !row.carriers.includes(carrier))
    .map((row) => ({
      section: "2.2.2.2",
      rule: `${carrier} has no ${row.name}`,
      bytes: build(carrier === "AUTH" ? concat(companions(carrier, row.name), row.bytes) : row.bytes),
      expected: expectedOf(carrier, misplacedCode(carrier, row.name))
    }))
)

const unknownIdentifiers: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
  ["0", property(0, Uint8Array.of(1))],
  ["4", property(4, Uint8Array.of(1))],
  ["43", property(43, Uint8Array.of(1))],
  ["128, in two bytes", hex("80 01 01")]
]

const broken = ({ build, carrier }: CarrierRow): ReadonlyArray<UnnumberedRule> => {
  const row = (section: string, rule: string, bytes: Uint8Array): UnnumberedRule => ({
    section,
    rule,
    bytes,
    expected: expectedOf(carrier, malformedPacket)
  })
  const cut = (bytes: Uint8Array) => build(bytes.subarray(0, bytes.length - 1))
  return [
    ...unknownIdentifiers.map(([name, bytes]) =>
      row("2.2.2.2", `${carrier} has no property with identifier ${name}`, build(bytes))
    ),
    row(
      "2.2.2",
      `the properties of ${carrier} end with a property`,
      cut(properties.userProperty("name", "value"))
    )
  ]
}

const publish = (options: Parameters<typeof raw.publish>[0]) => raw.publish({ version: 5, ...options })
const subscribe = (options: Parameters<typeof raw.subscribe>[0]) => raw.subscribe({ version: 5, ...options })
const connect = (options: RawConnect) => raw.connect({ version: 5, clientId: "unnumbered", ...options })
const connack = (reasonCode: number): Expected => ({ _tag: "Connack", reasonCode })
const disconnect = (reasonCode: number): Expected => ({ _tag: "Disconnect", reasonCode })

const connectValues: ReadonlyArray<UnnumberedRule> = [
  {
    section: "3.1.2.11.3",
    rule: "Receive Maximum is not 0",
    bytes: connect({ properties: properties.receiveMaximum(0) }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.2.11.4",
    rule: "Maximum Packet Size is not 0",
    bytes: connect({ properties: properties.maximumPacketSize(0) }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.2.11.6",
    rule: "Request Response Information is 0 or 1",
    bytes: connect({ properties: properties.requestResponseInformation(2) }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.2.11.7",
    rule: "Request Problem Information is 0 or 1",
    bytes: connect({ properties: properties.requestProblemInformation(2) }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.2.11.10",
    rule: "Authentication Data does not come without Authentication Method",
    bytes: connect({ properties: properties.authenticationData("proof") }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.3.2.3",
    rule: "Payload Format Indicator of a will is 0 or 1",
    bytes: connect({ will: { properties: properties.payloadFormatIndicator(2) } }),
    expected: connack(protocolError)
  },
  {
    section: "3.1.3.2.3",
    rule: "the payload of a will is the UTF-8 that Payload Format Indicator 1 promises",
    bytes: connect({ will: { payload: notUtf8, properties: properties.payloadFormatIndicator(1) } }),
    expected: connack(payloadFormatInvalid)
  },
  {
    section: "3.1.3.2.6",
    rule: "Response Topic of a will has no wildcard",
    bytes: connect({ will: { properties: properties.responseTopic("a/+") } }),
    expected: connack(topicNameInvalid)
  },
  {
    section: "3.1.3",
    rule: "nothing follows the last field of CONNECT",
    bytes: connect({ trailer: hex("00") }),
    expected: connack(malformedPacket)
  },
  {
    section: "3.1.3",
    rule: "CONNECT has the user name that its flags announce",
    bytes: connect({ flags: 0x82 }),
    expected: connack(malformedPacket)
  },
  {
    section: "3.1.3",
    rule: "CONNECT has the will that its flags announce",
    bytes: connect({ flags: 0x06 }),
    expected: connack(malformedPacket)
  }
]

const publishValues: ReadonlyArray<UnnumberedRule> = [
  {
    section: "3.3.2.1",
    rule: "an empty topic comes with a Topic Alias",
    bytes: publish({ topic: "" }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.3.2.3.2",
    rule: "Payload Format Indicator is 0 or 1",
    bytes: publish({ properties: properties.payloadFormatIndicator(2) }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.3.2.3.2",
    rule: "the payload is the UTF-8 that Payload Format Indicator 1 promises",
    bytes: publish({ payload: notUtf8, properties: properties.payloadFormatIndicator(1) }),
    expected: disconnect(payloadFormatInvalid)
  },
  {
    section: "3.3.2.3.4",
    rule: "Topic Alias is not 0",
    bytes: publish({ properties: properties.topicAlias(0) }),
    expected: disconnect(topicAliasInvalid)
  },
  {
    section: "3.3.2.3.4",
    rule: "Topic Alias is at most the Topic Alias Maximum of CONNACK",
    bytes: publish({ properties: properties.topicAlias(17) }),
    expected: disconnect(topicAliasInvalid)
  },
  {
    section: "3.3.2.3.4",
    rule: "a Topic Alias without topic was set before on this connection",
    bytes: publish({ topic: "", properties: properties.topicAlias(1) }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.2.2.3.8",
    rule: "there is no Topic Alias when CONNACK had no Topic Alias Maximum",
    bytes: publish({ properties: properties.topicAlias(1) }),
    expected: disconnect(topicAliasInvalid),
    settings: { topicAliasMaximum: 0 }
  },
  {
    section: "3.3.2",
    rule: "a PUBLISH at QoS 1 is long enough for its Packet Identifier",
    bytes: raw.packet(0x32, field("topic"), Uint8Array.of(0)),
    expected: disconnect(malformedPacket)
  },
  {
    section: "3.3.2.1",
    rule: "the topic of a PUBLISH lies within the packet",
    bytes: raw.packet(0x30, uint16(100), Buffer.from("topic")),
    expected: disconnect(malformedPacket)
  }
]

const subscribeValues: ReadonlyArray<UnnumberedRule> = [
  {
    section: "3.8.2.1.2",
    rule: "Subscription Identifier is not 0",
    bytes: subscribe({ properties: properties.subscriptionIdentifier(0) }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.8.2.1.2",
    rule: "Subscription Identifier has at most four bytes",
    bytes: subscribe({ properties: hex("0b 80 80 80 80 01") }),
    expected: disconnect(malformedPacket)
  },
  {
    section: "3.8.3.1",
    rule: "Maximum QoS of a subscription is not 3",
    bytes: subscribe({ filters: [["topic", 0x03]] }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.8.3.1",
    rule: "Retain Handling is not 3",
    bytes: subscribe({ filters: [["topic", 0x30]] }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.8.3",
    rule: "every Topic Filter of SUBSCRIBE has its options",
    bytes: raw.packet(0x82, uint16(1), Uint8Array.of(0), field("topic")),
    expected: disconnect(malformedPacket)
  },
  {
    section: "3.2.2.3.11",
    rule: "there is no wildcard where CONNACK said that they are not available",
    bytes: subscribe({ filters: ["a/+"] }),
    expected: disconnect(0xa2),
    settings: { wildcardSubscriptionAvailable: false }
  },
  {
    section: "3.2.2.3.12",
    rule: "there is no Subscription Identifier where CONNACK said that they are not available",
    bytes: subscribe({ properties: properties.subscriptionIdentifier(1) }),
    expected: disconnect(0xa1),
    settings: { subscriptionIdentifiersAvailable: false }
  },
  {
    section: "3.2.2.3.13",
    rule: "there is no shared subscription where CONNACK said that they are not available",
    bytes: subscribe({ filters: ["$share/g/a"] }),
    expected: disconnect(0x9e),
    settings: { sharedSubscriptionAvailable: false }
  }
]

const sessionValues: ReadonlyArray<UnnumberedRule> = [
  {
    section: "3.14.2.2.2",
    rule: "DISCONNECT does not raise a Session Expiry Interval that was 0",
    bytes: raw.disconnect({ reasonCode: 0, properties: properties.sessionExpiryInterval(1) }),
    expected: disconnect(protocolError),
    connect: { properties: properties.sessionExpiryInterval(0) }
  },
  {
    section: "3.14.2.2.2",
    rule: "DISCONNECT does not raise a Session Expiry Interval that was absent",
    bytes: raw.disconnect({ reasonCode: 0, properties: properties.sessionExpiryInterval(1) }),
    expected: disconnect(protocolError),
    connect: {}
  },
  {
    section: "3.15.2.2.2",
    rule: "AUTH has an Authentication Method",
    bytes: raw.auth({ reasonCode: 0x19, properties: Buffer.alloc(0) }),
    expected: disconnect(protocolError)
  },
  {
    section: "3.15.2.2.2",
    rule: "AUTH without any properties lacks its Authentication Method",
    bytes: hex("f0 02 19 00"),
    expected: disconnect(protocolError)
  },
  {
    section: "4.12.1",
    rule: "an AUTH that continues answers a challenge",
    bytes: raw.auth({ reasonCode: 0x18, properties: properties.authenticationMethod(authenticationMethod) }),
    expected: disconnect(protocolError)
  }
]

const acks: ReadonlyArray<readonly [name: string, firstByte: number]> = [
  ["PUBACK", 0x40],
  ["PUBREC", 0x50],
  ["PUBREL", 0x62],
  ["PUBCOMP", 0x70]
]

const serverPackets: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
  ["CONNACK", hex("20 03 00 00 00")],
  ["SUBACK", hex("90 04 00 01 00 00")],
  ["UNSUBACK", hex("b0 04 00 01 00 00")],
  ["PINGRESP", hex("d0 00")]
]

const frames: ReadonlyArray<UnnumberedRule> = [
  {
    section: "2.1.2",
    rule: "packet type 0 is not used",
    bytes: hex("00 00"),
    expected: disconnect(malformedPacket)
  },
  ...serverPackets.map(([name, bytes]) => ({
    section: "2.1.2",
    rule: `a client does not send ${name}`,
    bytes,
    expected: disconnect(protocolError)
  })),
  {
    section: "2.1.4",
    rule: "Remaining Length has at most four bytes",
    bytes: hex("30 80 80 80 80 01"),
    expected: disconnect(malformedPacket)
  },
  {
    section: "2.2.2.1",
    rule: "Property Length has at most four bytes",
    bytes: raw.packet(0x82, uint16(1), hex("80 80 80 80 01"), field("topic"), Uint8Array.of(0)),
    expected: disconnect(malformedPacket)
  },
  {
    section: "2.2.2.1",
    rule: "Property Length lies within the packet",
    bytes: raw.packet(0x82, uint16(1), hex("7f"), field("topic"), Uint8Array.of(0)),
    expected: disconnect(malformedPacket)
  },
  {
    section: "3.12",
    rule: "PINGREQ has neither variable header nor payload",
    bytes: hex("c0 01 00"),
    expected: disconnect(malformedPacket)
  },
  ...acks.flatMap(([name, firstByte]) => [
    {
      section: "2.2.1",
      rule: `${name} has a Packet Identifier`,
      bytes: raw.packet(firstByte, Uint8Array.of(1)),
      expected: disconnect(malformedPacket)
    },
    {
      section: "2.2.1",
      rule: `the Packet Identifier of ${name} is not 0`,
      bytes: raw.packet(firstByte, uint16(0)),
      expected: disconnect(protocolError)
    },
    {
      section: "2.1.4",
      rule: `nothing follows the properties of ${name}`,
      bytes: raw.packet(firstByte, uint16(1), hex("00 00 00")),
      expected: disconnect(malformedPacket)
    }
  ])
]

/** Every violation; the matrix of conformance counts them. */
export const rules: ReadonlyArray<UnnumberedRule> = [
  ...duplicates,
  ...misplaced,
  ...carriers.flatMap(broken),
  ...connectValues,
  ...publishValues,
  ...subscribeValues,
  ...sessionValues,
  ...frames
]
