/**
 * Table 2-4 of MQTT 5.0 (section 2.2.2.2) from a server's point of view, written down once more for the
 * tests: which packet of a client may carry which property, with bytes that are a good value of it. The
 * broker's own table is not imported, so that a mistake in it cannot hide.
 */

import { properties, type RawConnect, raw } from "../../support/raw.ts"

export const authenticationMethod = "conformance"

/** Packets of a client that have properties; the will has its own, inside CONNECT. */
export type Carrier =
  | "CONNECT"
  | "will"
  | "PUBLISH"
  | "PUBACK"
  | "PUBREC"
  | "PUBREL"
  | "PUBCOMP"
  | "SUBSCRIBE"
  | "UNSUBSCRIBE"
  | "DISCONNECT"
  | "AUTH"

export interface CarrierRow {
  readonly carrier: Carrier
  /** Where its properties are listed. */
  readonly section: string
  /** A good packet of it with these properties. */
  readonly build: (section: Uint8Array) => Uint8Array
}

const connect = (options: RawConnect): Uint8Array =>
  raw.connect({ version: 5, clientId: "unnumbered", ...options })

export const carriers: ReadonlyArray<CarrierRow> = [
  { carrier: "CONNECT", section: "3.1.2.11", build: (section) => connect({ properties: section }) },
  { carrier: "will", section: "3.1.3.2", build: (section) => connect({ will: { properties: section } }) },
  {
    carrier: "PUBLISH",
    section: "3.3.2.3",
    build: (section) => raw.publish({ version: 5, properties: section })
  },
  {
    carrier: "PUBACK",
    section: "3.4.2.2",
    build: (section) => raw.puback({ reasonCode: 0, properties: section })
  },
  {
    carrier: "PUBREC",
    section: "3.5.2.2",
    build: (section) => raw.pubrec({ reasonCode: 0, properties: section })
  },
  {
    carrier: "PUBREL",
    section: "3.6.2.2",
    build: (section) => raw.pubrel({ reasonCode: 0, properties: section })
  },
  {
    carrier: "PUBCOMP",
    section: "3.7.2.2",
    build: (section) => raw.pubcomp({ reasonCode: 0, properties: section })
  },
  {
    carrier: "SUBSCRIBE",
    section: "3.8.2.1",
    build: (section) => raw.subscribe({ version: 5, properties: section })
  },
  {
    carrier: "UNSUBSCRIBE",
    section: "3.10.2.1",
    build: (section) => raw.unsubscribe({ version: 5, properties: section })
  },
  {
    carrier: "DISCONNECT",
    section: "3.14.2.2",
    build: (section) => raw.disconnect({ reasonCode: 0, properties: section })
  },
  {
    carrier: "AUTH",
    section: "3.15.2.2",
    build: (section) => raw.auth({ reasonCode: 0x19, properties: section })
  }
]

export interface PropertyRow {
  readonly id: number
  readonly name: string
  /** Identifier and a good value. */
  readonly bytes: Uint8Array
  /** Client packets that may carry it; none for what only a server sends. */
  readonly carriers: ReadonlyArray<Carrier>
  /** It may stand in a packet more than once. */
  readonly repeats?: boolean
}

const message: ReadonlyArray<Carrier> = ["will", "PUBLISH"]
const flag = (id: number): Uint8Array => Uint8Array.of(id, 1)

export const propertyRows: ReadonlyArray<PropertyRow> = [
  { id: 1, name: "Payload Format Indicator", bytes: properties.payloadFormatIndicator(1), carriers: message },
  { id: 2, name: "Message Expiry Interval", bytes: properties.messageExpiryInterval(60), carriers: message },
  { id: 3, name: "Content Type", bytes: properties.contentType("text/plain"), carriers: message },
  { id: 8, name: "Response Topic", bytes: properties.responseTopic("answers"), carriers: message },
  { id: 9, name: "Correlation Data", bytes: properties.correlationData("7"), carriers: message },
  {
    id: 11,
    name: "Subscription Identifier",
    bytes: properties.subscriptionIdentifier(1),
    carriers: ["SUBSCRIBE"]
  },
  {
    id: 17,
    name: "Session Expiry Interval",
    bytes: properties.sessionExpiryInterval(60),
    carriers: ["CONNECT", "DISCONNECT"]
  },
  {
    id: 18,
    name: "Assigned Client Identifier",
    bytes: properties.assignedClientIdentifier("x"),
    carriers: []
  },
  { id: 19, name: "Server Keep Alive", bytes: properties.serverKeepAlive(60), carriers: [] },
  {
    id: 21,
    name: "Authentication Method",
    bytes: properties.authenticationMethod(authenticationMethod),
    carriers: ["CONNECT", "AUTH"]
  },
  {
    id: 22,
    name: "Authentication Data",
    bytes: properties.authenticationData("proof"),
    carriers: ["CONNECT", "AUTH"]
  },
  {
    id: 23,
    name: "Request Problem Information",
    bytes: properties.requestProblemInformation(1),
    carriers: ["CONNECT"]
  },
  { id: 24, name: "Will Delay Interval", bytes: properties.willDelayInterval(1), carriers: ["will"] },
  {
    id: 25,
    name: "Request Response Information",
    bytes: properties.requestResponseInformation(1),
    carriers: ["CONNECT"]
  },
  { id: 26, name: "Response Information", bytes: properties.responseInformation("x"), carriers: [] },
  { id: 28, name: "Server Reference", bytes: properties.serverReference("x"), carriers: [] },
  {
    id: 31,
    name: "Reason String",
    bytes: properties.reasonString("why"),
    carriers: ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "DISCONNECT", "AUTH"]
  },
  { id: 33, name: "Receive Maximum", bytes: properties.receiveMaximum(10), carriers: ["CONNECT"] },
  { id: 34, name: "Topic Alias Maximum", bytes: properties.topicAliasMaximum(10), carriers: ["CONNECT"] },
  { id: 35, name: "Topic Alias", bytes: properties.topicAlias(1), carriers: ["PUBLISH"] },
  { id: 36, name: "Maximum QoS", bytes: properties.maximumQos(1), carriers: [] },
  { id: 37, name: "Retain Available", bytes: properties.retainAvailable(1), carriers: [] },
  {
    id: 38,
    name: "User Property",
    bytes: properties.userProperty("name", "value"),
    carriers: carriers.map((row) => row.carrier),
    repeats: true
  },
  { id: 39, name: "Maximum Packet Size", bytes: properties.maximumPacketSize(1000), carriers: ["CONNECT"] },
  { id: 40, name: "Wildcard Subscription Available", bytes: flag(40), carriers: [] },
  { id: 41, name: "Subscription Identifier Available", bytes: flag(41), carriers: [] },
  { id: 42, name: "Shared Subscription Available", bytes: flag(42), carriers: [] }
]
