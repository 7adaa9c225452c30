/**
 * The control packets of MQTT 3.1, 3.1.1 and 5.0 as plain tagged objects.
 *
 * `ClientPacket` is what a decoder yields; `ServerPacket` is what an encoder takes. A field that a version
 * does not have carries its neutral value (no properties, reason code 0), so that what follows need not ask
 * for the version. PUBLISH keeps its payload as a range of the chunk it came in: whoever keeps one beyond the
 * turn copies it.
 */

export type ProtocolVersion = 3 | 4 | 5
export type Qos = 0 | 1 | 2

/** User properties in the order in which they stand in the packet; names may repeat. */
export type UserProperties = ReadonlyArray<readonly [name: string, value: string]>

/** Every property of MQTT 5.0 section 2.2.2.2. Intervals are seconds. */
export interface Properties {
  readonly payloadFormatIndicator?: 0 | 1
  readonly messageExpiryInterval?: number
  readonly contentType?: string
  readonly responseTopic?: string
  readonly correlationData?: Uint8Array
  readonly subscriptionIdentifiers?: ReadonlyArray<number>
  readonly sessionExpiryInterval?: number
  readonly assignedClientIdentifier?: string
  readonly serverKeepAlive?: number
  readonly authenticationMethod?: string
  readonly authenticationData?: Uint8Array
  readonly requestProblemInformation?: boolean
  readonly willDelayInterval?: number
  readonly requestResponseInformation?: boolean
  readonly responseInformation?: string
  readonly serverReference?: string
  readonly reasonString?: string
  readonly receiveMaximum?: number
  readonly topicAliasMaximum?: number
  readonly topicAlias?: number
  readonly maximumQos?: 0 | 1
  readonly retainAvailable?: boolean
  readonly userProperties?: UserProperties
  readonly maximumPacketSize?: number
  readonly wildcardSubscriptionAvailable?: boolean
  readonly subscriptionIdentifiersAvailable?: boolean
  readonly sharedSubscriptionAvailable?: boolean
}

export const noProperties: Properties = Object.freeze({})

/**
 * A topic name with the bytes that spell it. One object serves every PUBLISH of a connection that repeats the
 * topic.
 */
export interface Topic {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * The application message of a PUBLISH, as it travels through the broker. Shared by all its receivers, never
 * changed.
 */
export interface PublishContent {
  readonly topic: Topic
  /** The buffer that holds the payload. A view of a socket's chunk until somebody keeps the message. */
  readonly source: Uint8Array
  readonly payloadStart: number
  readonly payloadEnd: number
  /**
   * The encoded MQTT 5 properties that a server forwards unaltered, in the order received: all but Topic
   * Alias, Message Expiry Interval and Subscription Identifier. Empty when there are none. [MQTT-3.3.2-15] ..
   * [MQTT-3.3.2-20]
   */
  readonly forwardedProperties: Uint8Array
}

export interface Publish extends PublishContent {
  readonly _tag: "Publish"
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  /** 0 at QoS 0, which has no Packet Identifier. [MQTT-2.2.1-2] */
  readonly packetId: number
  /** 0 when absent. With an empty `topic.name` the connection's alias table supplies the topic. */
  readonly topicAlias: number
  /** Seconds; -1 when absent. */
  readonly messageExpiryInterval: number
}

export interface Will {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  readonly delayInterval: number
  /** Seconds; -1 when absent. */
  readonly messageExpiryInterval: number
  /** As in `PublishContent`. [MQTT-3.1.3-10] */
  readonly forwardedProperties: Uint8Array
}

export interface Connect {
  readonly _tag: "Connect"
  readonly protocolVersion: ProtocolVersion
  /** Clean Start (5.0) or Clean Session (3.1, 3.1.1). */
  readonly cleanStart: boolean
  /** Seconds; 0 turns the mechanism off. */
  readonly keepAlive: number
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
  readonly will: Will | undefined
  readonly properties: Properties
}

export type AckTag = "Puback" | "Pubrec" | "Pubrel" | "Pubcomp"

/**
 * PUBACK, PUBREC, PUBREL or PUBCOMP. Reason strings and user properties of clients are validated, then
 * dropped.
 */
export interface Ack<Tag extends AckTag = AckTag> {
  readonly _tag: Tag
  readonly packetId: number
  readonly reasonCode: number
}

export interface SubscriptionRequest {
  readonly topicFilter: string
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly packetId: number
  readonly subscriptions: ReadonlyArray<SubscriptionRequest>
  /** 0 when absent. */
  readonly subscriptionIdentifier: number
  readonly userProperties: UserProperties
}

export interface Unsubscribe {
  readonly _tag: "Unsubscribe"
  readonly packetId: number
  readonly topicFilters: ReadonlyArray<string>
  readonly userProperties: UserProperties
}

export interface Disconnect {
  readonly _tag: "Disconnect"
  readonly reasonCode: number
  readonly properties: Properties
}

export interface Auth {
  readonly _tag: "Auth"
  readonly reasonCode: number
  readonly properties: Properties
}

export interface Pingreq {
  readonly _tag: "Pingreq"
}

export type ClientPacket =
  | Connect
  | Publish
  | Ack<"Puback">
  | Ack<"Pubrec">
  | Ack<"Pubrel">
  | Ack<"Pubcomp">
  | Subscribe
  | Unsubscribe
  | Pingreq
  | Disconnect
  | Auth

export interface Connack {
  readonly _tag: "Connack"
  readonly sessionPresent: boolean
  /** The Connect Reason Code of 5.0; the encoder translates it to a return code for 3.1 and 3.1.1. */
  readonly reasonCode: number
  readonly properties: Properties
}

export interface Suback {
  readonly _tag: "Suback"
  readonly packetId: number
  /** One a filter, in the SUBSCRIBE's order; the encoder turns failures into 0x80 for 3.1 and 3.1.1. */
  readonly reasonCodes: ReadonlyArray<number>
  readonly properties: Properties
}

export interface Unsuback {
  readonly _tag: "Unsuback"
  readonly packetId: number
  readonly reasonCodes: ReadonlyArray<number>
  readonly properties: Properties
}

export interface Pingresp {
  readonly _tag: "Pingresp"
}

/**
 * The control packets that the server sends now and then; PUBLISH and its acknowledgements have writers of
 * their own.
 */
export type ServerControlPacket = Connack | Suback | Unsuback | Pingresp | Disconnect | Auth
