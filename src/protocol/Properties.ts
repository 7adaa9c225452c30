/**
 * The properties of MQTT 5.0 as one table (section 2.2.2.2): identifier, name, type, range, who may carry it
 * and how often. The table drives the validation of what clients send (`PropertyReader.ts`) and the encoding
 * here.
 *
 * Forwarded properties are those of a PUBLISH or a will that a server passes on unaltered. They travel as
 * their encoded bytes; only policies, storage tools and tests need them as values.
 */

import { Buffer } from "node:buffer"
import type { Properties } from "./Packet.ts"
import { type Rule, rules } from "./Rule.ts"
import { putVarint, varintBytes } from "./Varint.ts"

/** Packets that carry properties from a client, one bit each. */
export const Owner = {
  Connect: 1 << 0,
  Will: 1 << 1,
  Publish: 1 << 2,
  Puback: 1 << 3,
  Pubrec: 1 << 4,
  Pubrel: 1 << 5,
  Pubcomp: 1 << 6,
  Subscribe: 1 << 7,
  Unsubscribe: 1 << 8,
  Disconnect: 1 << 9,
  Auth: 1 << 10
} as const

export type Owner = (typeof Owner)[keyof typeof Owner]

/**
 * The section that lists the properties of a packet: where "it is a Protocol Error to include it more than
 * once" stands.
 */
export const ownerSection: ReadonlyMap<Owner, string> = new Map<Owner, string>([
  [Owner.Connect, "3.1.2.11"],
  [Owner.Will, "3.1.3.2"],
  [Owner.Publish, "3.3.2.3"],
  [Owner.Puback, "3.4.2.2"],
  [Owner.Pubrec, "3.5.2.2"],
  [Owner.Pubrel, "3.6.2.2"],
  [Owner.Pubcomp, "3.7.2.2"],
  [Owner.Subscribe, "3.8.2.1"],
  [Owner.Unsubscribe, "3.10.2.1"],
  [Owner.Disconnect, "3.14.2.2"],
  [Owner.Auth, "3.15.2.2"]
])

export type PropertyType =
  | "byte"
  | "flag"
  | "uint16"
  | "uint32"
  | "varint"
  | "string"
  | "topic"
  | "binary"
  | "pair"

export interface PropertySpec {
  readonly id: number
  readonly name: keyof Properties
  readonly type: PropertyType
  /** `Owner` bits: packets of a client that may carry it. 0 for what only a server sends. */
  readonly owners: number
  /** May stand several times in one packet. */
  readonly repeats: boolean
  /** Passed on unaltered with the message. */
  readonly forwarded: boolean
  readonly min: number
  readonly max: number
  /** Broken by a value outside [min, max]. */
  readonly rule: Rule
  readonly clause: string
  /** A bit of its own, to find what was given twice. */
  readonly bit: number
}

interface Row {
  readonly owners?: number
  readonly repeats?: boolean
  readonly forwarded?: boolean
  readonly min?: number
  readonly max?: number
  readonly rule?: Rule
  readonly clause?: string
}

const O = Owner
const message = O.Publish | O.Will
const acks = O.Puback | O.Pubrec | O.Pubrel | O.Pubcomp
const authenticated = O.Connect | O.Auth

const rows: ReadonlyArray<readonly [number, keyof Properties, PropertyType, Row]> = [
  [1, "payloadFormatIndicator", "byte", { owners: message, forwarded: true, max: 1, clause: "3.3.2.3.2" }],
  [2, "messageExpiryInterval", "uint32", { owners: message }],
  [3, "contentType", "string", { owners: message, forwarded: true }],
  [8, "responseTopic", "topic", { owners: message, forwarded: true }],
  [9, "correlationData", "binary", { owners: message, forwarded: true }],
  [11, "subscriptionIdentifiers", "varint", { owners: O.Subscribe, min: 1, clause: "3.8.2.1.2" }],
  [17, "sessionExpiryInterval", "uint32", { owners: O.Connect | O.Disconnect }],
  [18, "assignedClientIdentifier", "string", {}],
  [19, "serverKeepAlive", "uint16", {}],
  [21, "authenticationMethod", "string", { owners: authenticated }],
  [22, "authenticationData", "binary", { owners: authenticated }],
  [23, "requestProblemInformation", "flag", { owners: O.Connect, max: 1, clause: "3.1.2.11.7" }],
  [24, "willDelayInterval", "uint32", { owners: O.Will }],
  [25, "requestResponseInformation", "flag", { owners: O.Connect, max: 1, clause: "3.1.2.11.6" }],
  [26, "responseInformation", "string", {}],
  [28, "serverReference", "string", {}],
  [31, "reasonString", "string", { owners: acks | O.Disconnect | O.Auth }],
  [33, "receiveMaximum", "uint16", { owners: O.Connect, min: 1, clause: "3.1.2.11.3" }],
  [34, "topicAliasMaximum", "uint16", { owners: O.Connect }],
  [35, "topicAlias", "uint16", { owners: O.Publish, min: 1, rule: rules.topicAliasZero }],
  [36, "maximumQos", "byte", { max: 1 }],
  [37, "retainAvailable", "flag", { max: 1 }],
  [38, "userProperties", "pair", { owners: ~0, repeats: true, forwarded: true }],
  [39, "maximumPacketSize", "uint32", { owners: O.Connect, min: 1, clause: "3.1.2.11.4" }],
  [40, "wildcardSubscriptionAvailable", "flag", { max: 1 }],
  [41, "subscriptionIdentifiersAvailable", "flag", { max: 1 }],
  [42, "sharedSubscriptionAvailable", "flag", { max: 1 }]
]

export const propertySpecs: ReadonlyArray<PropertySpec> = rows.map(([id, name, type, row], index) => {
  const rule = row.rule ?? rules.propertyValue
  return {
    id,
    name,
    type,
    owners: row.owners ?? 0,
    repeats: row.repeats ?? false,
    forwarded: row.forwarded ?? false,
    min: row.min ?? 0,
    max: row.max ?? 0xffffffff,
    rule,
    clause: row.clause ?? rule.clause,
    bit: 1 << index
  }
})

/** By identifier. All identifiers are below 0x80, that is one byte on the wire. */
export const propertyById: ReadonlyArray<PropertySpec | undefined> = Array.from({ length: 0x80 }, (_, id) =>
  propertySpecs.find((spec) => spec.id === id)
)

const lengthOf = (content: number): number => {
  if (content > 0xffff) throw new RangeError(`a property of ${content} bytes does not fit`)
  return 2 + content
}

const valueBytes = (type: PropertyType, value: unknown): number => {
  switch (type) {
    case "byte":
    case "flag":
      return 1
    case "uint16":
      return 2
    case "uint32":
      return 4
    case "varint":
      return varintBytes(Number(value))
    case "string":
    case "topic":
      return lengthOf(Buffer.byteLength(String(value)))
    case "binary":
      return lengthOf((value as Uint8Array).length)
    case "pair": {
      const [name, text] = value as readonly [string, string]
      return lengthOf(Buffer.byteLength(name)) + lengthOf(Buffer.byteLength(text))
    }
  }
}

const putText = (text: string, target: Buffer, at: number): number => {
  const length = target.write(text, at + 2)
  return target.writeUInt16BE(length, at) + length
}

/** Writes a value at `at` and returns the position after it. */
const putValue = (type: PropertyType, value: unknown, target: Buffer, at: number): number => {
  switch (type) {
    case "byte":
    case "flag":
      return target.writeUInt8(Number(value), at)
    case "uint16":
      return target.writeUInt16BE(Number(value), at)
    case "uint32":
      return target.writeUInt32BE(Number(value), at)
    case "varint":
      return putVarint(Number(value), target, at)
    case "string":
    case "topic":
      return putText(String(value), target, at)
    case "binary": {
      const content = value as Uint8Array
      target.set(content, target.writeUInt16BE(content.length, at))
      return at + 2 + content.length
    }
    case "pair": {
      const [name, text] = value as readonly [string, string]
      return putText(text, target, putText(name, target, at))
    }
  }
}

const isList = (type: PropertyType): boolean => type === "pair" || type === "varint"

const all = (): boolean => true

/** The size of the properties that are wanted. A value beyond two bytes of length throws `RangeError`. */
const sizeOf = (properties: Properties, wanted: (spec: PropertySpec) => boolean): number => {
  let size = 0
  for (const spec of propertySpecs) {
    const value = properties[spec.name]
    if (value === undefined || !wanted(spec)) continue
    if (!isList(spec.type)) size += 1 + valueBytes(spec.type, value)
    else for (const each of value as ReadonlyArray<unknown>) size += 1 + valueBytes(spec.type, each)
  }
  return size
}

interface Place {
  readonly target: Buffer
  readonly at: number
}

const put = (properties: Properties, wanted: (spec: PropertySpec) => boolean, place: Place): void => {
  const { target } = place
  let { at } = place
  for (const spec of propertySpecs) {
    const value = properties[spec.name]
    if (value === undefined || !wanted(spec)) continue
    const values = isList(spec.type) ? (value as ReadonlyArray<unknown>) : undefined
    if (values === undefined) at = putValue(spec.type, value, target, target.writeUInt8(spec.id, at))
    else for (const each of values) at = putValue(spec.type, each, target, target.writeUInt8(spec.id, at))
  }
}

const encode = (properties: Properties, wanted: (spec: PropertySpec) => boolean): Uint8Array => {
  const bytes = Buffer.allocUnsafeSlow(sizeOf(properties, wanted))
  put(properties, wanted, { target: bytes, at: 0 })
  return bytes
}

/** Bytes of every property given, without the Property Length in front. */
export const propertiesBytes = (properties: Properties): number => sizeOf(properties, all)

/** Writes every property given at `at`; there must be room for `propertiesBytes`. */
export const putProperties = (properties: Properties, target: Buffer, at: number): void =>
  put(properties, all, { target, at })

/** The bytes of every property given, without the Property Length in front. */
export const encodeProperties = (properties: Properties): Uint8Array => encode(properties, all)

/** The bytes of those properties that a server forwards unaltered; the others are left out. */
export const encodeForwardedProperties = (properties: Properties): Uint8Array =>
  encode(properties, (spec) => spec.forwarded)
