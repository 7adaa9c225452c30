/**
 * What may be shown of a packet: names, sizes, identifiers, reason codes.
 *
 * Every field that is shown is named here, so a packet that gets another one does not show it by itself.
 * Passwords, authentication data and the values of user properties, where tokens are put, have no field;
 * payloads are lengths, and the first bytes of a PUBLISH where somebody asks for them.
 */

import { Buffer } from "node:buffer"
import type {
  ClientPacket,
  Connect,
  Properties,
  PublishContent,
  ServerControlPacket,
  SubscriptionRequest
} from "../../protocol/Packet.ts"
import { decodeForwardedProperties } from "../../protocol/PropertyReader.ts"
import type { PublishHeader } from "../../protocol/PublishWriter.ts"

export type FieldValue = string | number | boolean | ReadonlyArray<string | number>

/** In the order in which they are shown; what is undefined is not. */
export type PacketFields = Readonly<Record<string, FieldValue | undefined>>

/** Names are anybody's, and up to 64 KB long. */
const TEXT_MAX = 256
/** Of a list, as of the filters of a SUBSCRIBE. */
const LIST_MAX = 20

export const shortened = (text: string): string =>
  text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}… (${text.length} characters)`

/** `payloadBytes`: how much of a PUBLISH's payload is shown. */
export const receivedFields = (packet: ClientPacket, payloadBytes: number): PacketFields => {
  switch (packet._tag) {
    case "Connect":
      return connectFields(packet)
    case "Publish": {
      const { dup, messageExpiryInterval, packetId, qos, retain, topic, topicAlias } = packet
      return {
        topic: topic.name === "" ? undefined : shortened(topic.name),
        topicAlias: topicAlias || undefined,
        qos,
        packetId: packetId || undefined,
        retain: retain || undefined,
        dup: dup || undefined,
        messageExpiryInterval: messageExpiryInterval < 0 ? undefined : messageExpiryInterval,
        ...contentFields(packet, payloadBytes)
      }
    }
    case "Subscribe":
      return {
        packetId: packet.packetId,
        topicFilters: listed(packet.subscriptions.map(subscriptionText)),
        subscriptionIdentifier: packet.subscriptionIdentifier || undefined
      }
    case "Unsubscribe":
      return { packetId: packet.packetId, topicFilters: listed(packet.topicFilters.map(shortened)) }
    case "Disconnect":
    case "Auth":
      return { reasonCode: packet.reasonCode, ...closingFields(packet.properties) }
    case "Pingreq":
      return {}
    default:
      return { packetId: packet.packetId, reasonCode: packet.reasonCode || undefined }
  }
}

export const sentPublishFields = (
  content: PublishContent,
  { dup, messageExpiryInterval, packetId, qos, retain, subscriptionIdentifiers, topicAlias }: PublishHeader,
  payloadBytes: number
): PacketFields => ({
  topic: shortened(content.topic.name),
  topicAlias: topicAlias || undefined,
  qos,
  packetId: packetId || undefined,
  retain: retain || undefined,
  dup: dup || undefined,
  messageExpiryInterval: messageExpiryInterval < 0 ? undefined : messageExpiryInterval,
  subscriptionIdentifiers: subscriptionIdentifiers.length === 0 ? undefined : listed(subscriptionIdentifiers),
  ...contentFields(content, payloadBytes)
})

export const sentFields = (packet: ServerControlPacket): PacketFields => {
  switch (packet._tag) {
    case "Connack": {
      const { properties, reasonCode, sessionPresent } = packet
      const { assignedClientIdentifier, maximumQos, receiveMaximum, retainAvailable, serverKeepAlive } =
        properties
      return {
        reasonCode,
        sessionPresent,
        assignedClientIdentifier,
        serverKeepAlive,
        receiveMaximum,
        maximumQos,
        retainAvailable,
        topicAliasMaximum: properties.topicAliasMaximum,
        maximumPacketSize: properties.maximumPacketSize,
        ...closingFields(properties)
      }
    }
    case "Suback":
    case "Unsuback":
      return {
        packetId: packet.packetId,
        reasonCodes: packet.reasonCodes.slice(0, LIST_MAX),
        ...closingFields(packet.properties)
      }
    case "Pingresp":
      return {}
    default:
      return { reasonCode: packet.reasonCode, ...closingFields(packet.properties) }
  }
}

const connectFields = ({
  cleanStart,
  clientId,
  keepAlive,
  password,
  properties,
  protocolVersion,
  username,
  will
}: Connect): PacketFields => ({
  clientId: shortened(clientId),
  protocolVersion,
  cleanStart,
  keepAlive,
  username: username === undefined ? undefined : shortened(username),
  hasPassword: password === undefined ? undefined : true,
  willTopic: will === undefined ? undefined : shortened(will.topic),
  willQos: will?.qos,
  willRetain: will?.retain,
  willPayloadBytes: will?.payload.length,
  willDelayInterval: will?.delayInterval || undefined,
  receiveMaximum: properties.receiveMaximum,
  maximumPacketSize: properties.maximumPacketSize,
  topicAliasMaximum: properties.topicAliasMaximum,
  ...closingFields(properties),
  userProperties: properties.userProperties?.length
})

/** Properties that several packets have. */
const closingFields = ({
  authenticationData,
  authenticationMethod,
  reasonString,
  serverReference,
  sessionExpiryInterval
}: Properties): PacketFields => ({
  sessionExpiryInterval,
  authenticationMethod: authenticationMethod === undefined ? undefined : shortened(authenticationMethod),
  authenticationDataBytes: authenticationData?.length,
  serverReference,
  reasonString: reasonString === undefined ? undefined : shortened(reasonString)
})

const contentFields = (content: PublishContent, payloadBytes: number): PacketFields => {
  const { forwardedProperties, payloadEnd, payloadStart, source } = content
  const length = payloadEnd - payloadStart
  const shown = Math.min(length, payloadBytes)
  return {
    payloadBytes: length,
    payload: shown === 0 ? undefined : payloadText(source.subarray(payloadStart, payloadStart + shown)),
    ...(forwardedProperties.length > 0 && forwardedFields(forwardedProperties))
  }
}

const forwardedFields = (bytes: Uint8Array): PacketFields => {
  const { contentType, correlationData, responseTopic, userProperties } = decodeForwardedProperties(bytes)
  return {
    contentType: contentType === undefined ? undefined : shortened(contentType),
    responseTopic: responseTopic === undefined ? undefined : shortened(responseTopic),
    correlationDataBytes: correlationData?.length,
    userProperties: userProperties?.length
  }
}

/** As text where it is some, perhaps with a character cut in two at its end; else in hexadecimal digits. */
const payloadText = (bytes: Uint8Array): string => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString("utf8").replace(/\uFFFD$/, "")
  return text.includes("\uFFFD") ? `0x${buffer.toString("hex")}` : text
}

const subscriptionText = ({
  noLocal,
  qos,
  retainAsPublished,
  retainHandling,
  topicFilter
}: SubscriptionRequest): string => {
  const more = [
    `QoS ${qos}`,
    ...(noLocal ? ["no local"] : []),
    ...(retainAsPublished ? ["retain as published"] : []),
    ...(retainHandling > 0 ? [`retain handling ${retainHandling}`] : [])
  ]
  return `${shortened(topicFilter)} (${more.join(", ")})`
}

const listed = (items: ReadonlyArray<string | number>): ReadonlyArray<string | number> =>
  items.length <= LIST_MAX ? items : [...items.slice(0, LIST_MAX), `and ${items.length - LIST_MAX} more`]
