/**
 * What a policy makes of a message: the fields that it changes, and the message that comes of it.
 *
 * Properties travel as encoded bytes; they are taken apart and put together again only when one of them
 * changes. A change that passes `soundChange` can always be encoded; whether its topic is one that the tenant
 * takes messages to is judged where the client's own topic is judged.
 */

import { Buffer } from "node:buffer"
import type { Properties, PublishContent, Qos, Topic, UserProperties } from "../../protocol/Packet.ts"
import { encodeForwardedProperties } from "../../protocol/Properties.ts"
import { decodeForwardedProperties, noForwardedProperties } from "../../protocol/PropertyReader.ts"
import { isUtf8 } from "../../protocol/Utf8.ts"
import { validateTopicName } from "../../topic/TopicName.ts"

/** Fields that are left out stay as they are; a property that is given as undefined is taken away. */
export interface MessageChange {
  readonly topic?: string
  /** Text is encoded as UTF-8. Bytes are the policy's to give away: they must not change afterwards. */
  readonly payload?: Uint8Array | string
  readonly qos?: Qos
  readonly retain?: boolean
  readonly userProperties?: UserProperties | undefined
  readonly contentType?: string | undefined
  readonly responseTopic?: string | undefined
  readonly correlationData?: Uint8Array | undefined
  readonly payloadFormatIndicator?: 0 | 1 | undefined
  /** Seconds. */
  readonly messageExpiryInterval?: number | undefined
}

/** A message with what of its header a policy may change. */
export interface MessageContent extends PublishContent {
  readonly qos: Qos
  readonly retain: boolean
  /** Seconds; -1 when there is none. */
  readonly messageExpiryInterval: number
}

const forwardedNames = [
  "payloadFormatIndicator",
  "contentType",
  "responseTopic",
  "correlationData",
  "userProperties"
] as const

/**
 * The message that a sound change makes. Undefined when its payload would not be the UTF-8 that its Payload
 * Format Indicator promises. `known` is used for the topic where it has the same name.
 */
export const changedMessage = (
  message: MessageContent,
  change: MessageChange,
  known: Topic | undefined
): MessageContent | undefined => {
  const forwardedProperties = changedProperties(message.forwardedProperties, change)
  const payload = payloadOf(message, change)
  if (promisesUtf8(forwardedProperties) && !isUtf8(payload.source, payload.payloadStart, payload.payloadEnd))
    return undefined
  return {
    topic: changedTopic(message.topic, change.topic, known),
    ...payload,
    forwardedProperties,
    qos: change.qos ?? message.qos,
    retain: change.retain ?? message.retain,
    messageExpiryInterval:
      "messageExpiryInterval" in change ? (change.messageExpiryInterval ?? -1) : message.messageExpiryInterval
  }
}

const changedTopic = (topic: Topic, name: string | undefined, known: Topic | undefined): Topic => {
  if (name === undefined || name === topic.name) return topic
  return name === known?.name ? known : { name, bytes: Buffer.from(name, "utf8") }
}

const payloadOf = (
  { payloadEnd, payloadStart, source }: PublishContent,
  { payload }: MessageChange
): Pick<PublishContent, "source" | "payloadStart" | "payloadEnd"> => {
  if (payload === undefined) return { source, payloadStart, payloadEnd }
  const bytes = typeof payload === "string" ? Buffer.from(payload, "utf8") : payload
  return { source: bytes, payloadStart: 0, payloadEnd: bytes.length }
}

const changedProperties = (bytes: Uint8Array, change: MessageChange): Uint8Array => {
  if (!changesProperties(change)) return bytes
  const properties: Record<string, unknown> = { ...decodeForwardedProperties(bytes) }
  for (const name of forwardedNames) if (name in change) properties[name] = change[name]
  const encoded = encodeForwardedProperties(properties as Properties)
  return encoded.length === 0 ? noForwardedProperties : encoded
}

const changesProperties = (change: MessageChange): boolean =>
  "userProperties" in change ||
  "contentType" in change ||
  "responseTopic" in change ||
  "correlationData" in change ||
  "payloadFormatIndicator" in change

/** Payload Format Indicator 1; on the wire it may stand anywhere among the properties. */
const promisesUtf8 = (bytes: Uint8Array): boolean =>
  bytes.length > 0 && decodeForwardedProperties(bytes).payloadFormatIndicator === 1

/** Whether a change is one: each field of its type and range, and every text one that MQTT can carry. */
export const isSoundChange = (given: unknown): given is MessageChange => {
  if (typeof given !== "object" || given === null) return false
  const { payload, qos, retain, topic }: { readonly [Name in keyof MessageChange]?: unknown } = given
  return (
    (topic === undefined || typeof topic === "string") &&
    (payload === undefined || typeof payload === "string" || payload instanceof Uint8Array) &&
    (qos === undefined || qos === 0 || qos === 1 || qos === 2) &&
    (retain === undefined || typeof retain === "boolean") &&
    areSoundProperties(given)
  )
}

const areSoundProperties = (given: { readonly [Name in keyof MessageChange]?: unknown }): boolean => {
  const { contentType, correlationData, messageExpiryInterval: interval } = given
  const { payloadFormatIndicator: indicator, responseTopic, userProperties } = given
  return (
    (userProperties === undefined || arePairs(userProperties)) &&
    (contentType === undefined || isText(contentType)) &&
    (responseTopic === undefined || isTopic(responseTopic)) &&
    (correlationData === undefined || isField(correlationData)) &&
    (indicator === undefined || indicator === 0 || indicator === 1) &&
    (interval === undefined || isInterval(interval))
  )
}

/** The length of a field has two bytes on the wire. */
const fieldBytesMax = 65_535

/** [MQTT-1.5.4-1] [MQTT-1.5.4-2] */
const isText = (value: unknown): value is string =>
  typeof value === "string" &&
  value.isWellFormed() &&
  !value.includes("\0") &&
  Buffer.byteLength(value) <= fieldBytesMax

const arePairs = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isText))

const isTopic = (value: unknown): boolean => isText(value) && validateTopicName(value) === undefined

const isField = (value: unknown): boolean => value instanceof Uint8Array && value.length <= fieldBytesMax

const isInterval = (value: unknown): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
