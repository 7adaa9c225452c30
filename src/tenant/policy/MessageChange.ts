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
  if (!forwardedNames.some((name) => name in change)) return bytes
  const properties: Record<string, unknown> = { ...decodeForwardedProperties(bytes) }
  for (const name of forwardedNames) if (name in change) properties[name] = change[name]
  const encoded = encodeForwardedProperties(properties as Properties)
  return encoded.length === 0 ? noForwardedProperties : encoded
}

/** Payload Format Indicator 1; on the wire it may stand anywhere among the properties. */
const promisesUtf8 = (bytes: Uint8Array): boolean =>
  bytes.length > 0 && decodeForwardedProperties(bytes).payloadFormatIndicator === 1

/** Whether a change is one: each field of its type and range, and every text one that MQTT can carry. */
export const isSoundChange = (change: unknown): change is MessageChange => {
  if (typeof change !== "object" || change === null) return false
  const given: { readonly [Name in keyof MessageChange]?: unknown } = change
  const isAbsentOr = (value: unknown, isSound: (value: unknown) => boolean) =>
    value === undefined || isSound(value)
  return (
    isAbsentOr(given.topic, (topic) => typeof topic === "string") &&
    isAbsentOr(given.payload, (payload) => typeof payload === "string" || payload instanceof Uint8Array) &&
    isAbsentOr(given.qos, (qos) => qos === 0 || qos === 1 || qos === 2) &&
    isAbsentOr(given.retain, (retain) => typeof retain === "boolean") &&
    isAbsentOr(given.userProperties, arePairs) &&
    isAbsentOr(given.contentType, isText) &&
    isAbsentOr(given.responseTopic, (t) => isText(t) && validateTopicName(t) === undefined) &&
    isAbsentOr(given.correlationData, (d) => d instanceof Uint8Array && d.length <= fieldBytesMax) &&
    isAbsentOr(given.payloadFormatIndicator, (indicator) => indicator === 0 || indicator === 1) &&
    isAbsentOr(given.messageExpiryInterval, isInterval)
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

const isInterval = (value: unknown): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
