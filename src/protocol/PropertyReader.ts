/**
 * Checks the property section of a packet from a client against the property table and reads it.
 *
 * Two readers stand on the same checks: `readProperties` makes values, in order, for control packets and
 * wills; `PublishProperties` only notes what a PUBLISH needs and keeps the bytes that are forwarded. Both are
 * linear in the bytes of the section, whatever it holds, and bounded in user properties.
 */

import { Cursor, copyRange } from "./Cursor.ts"
import { noProperties, type Properties } from "./Packet.ts"
import { Owner, ownerSection, type PropertySpec, propertyById } from "./Properties.ts"
import { rules } from "./Rule.ts"
import { asBuffer, decodeUtf8 } from "./Utf8.ts"

/** What one pass over a section must remember to find repeated properties and too many of them. */
export class SectionState {
  seen = 0
  userProperties = 0
  /** The value of the property read last, when its type is a number. */
  value = 0
  /**
   * The name of the user property read last, as a range of the cursor's bytes; its value is the cursor's
   * range.
   */
  nameFrom = 0
  nameTo = 0
  /** Where the section stands, without its length. */
  start = 0
  end = 0
  /** Ranges of the section that are not forwarded: start, end, start, end, ... */
  readonly gaps: Array<number> = []

  constructor(readonly userPropertiesMax: number) {}

  reset(): void {
    this.seen = 0
    this.userProperties = 0
    this.gaps.length = 0
  }
}

const misplaced = (cursor: Cursor, owner: Owner, spec: PropertySpec): never => {
  if (owner === Owner.Publish && spec.name === "subscriptionIdentifiers") {
    return cursor.fail(rules.subscriptionIdInPublish) // [MQTT-3.3.4-6]
  }
  if (owner === Owner.Disconnect && spec.name === "serverReference") {
    return cursor.fail(rules.serverReferenceFromClient)
  }
  return cursor.fail(rules.misplacedProperty)
}

const readNumber = (cursor: Cursor, spec: PropertySpec): number => {
  switch (spec.type) {
    case "uint16":
      return cursor.uint16()
    case "uint32":
      return cursor.uint32()
    case "varint":
      return cursor.varint()
    default:
      return cursor.byte()
  }
}

const readPair = (cursor: Cursor, state: SectionState): void => {
  if (++state.userProperties > state.userPropertiesMax) cursor.fail(rules.userPropertiesMax)
  cursor.string() // [MQTT-1.5.7-1]
  state.nameFrom = cursor.from
  state.nameTo = cursor.to
  cursor.string()
}

const readValue = (cursor: Cursor, state: SectionState, spec: PropertySpec): void => {
  if (spec.type === "pair") readPair(cursor, state)
  else if (spec.type === "string") cursor.string()
  else if (spec.type === "topic")
    cursor.topicName(rules.responseTopicWildcard) // [MQTT-3.3.2-14]
  else if (spec.type === "binary") cursor.binary()
  else {
    state.value = readNumber(cursor, spec)
    if (state.value < spec.min || state.value > spec.max) cursor.fail(spec.rule, spec.clause)
  }
}

/** Reads and checks the property at the cursor; its value is left in `state` and the cursor's range. */
const readProperty = (cursor: Cursor, state: SectionState, owner: Owner): PropertySpec => {
  const start = cursor.at
  const spec = propertyById[cursor.byte()]
  if (spec === undefined) return cursor.fail(rules.unknownProperty)
  if ((spec.owners & owner) === 0) misplaced(cursor, owner, spec)
  if ((state.seen & spec.bit) !== 0 && !spec.repeats) {
    cursor.fail(rules.duplicateProperty, ownerSection.get(owner))
  }
  state.seen |= spec.bit
  readValue(cursor, state, spec)
  if (!spec.forwarded) state.gaps.push(start, cursor.at)
  return spec
}

/** Narrows the cursor to the property section and returns the packet's own end, to be restored. */
const openSection = (cursor: Cursor, state: SectionState): number => {
  state.reset()
  const length = cursor.varint()
  const packetEnd = cursor.end
  const end = cursor.at + length
  if (end > packetEnd) cursor.fail(rules.truncated)
  cursor.end = end
  state.start = cursor.at
  state.end = end
  return packetEnd
}

const userPropertyName = (cursor: Cursor, state: SectionState): string =>
  decodeUtf8(cursor.bytes, state.nameFrom, state.nameTo)

const valueOf = (cursor: Cursor, state: SectionState, spec: PropertySpec): unknown => {
  switch (spec.type) {
    case "flag":
      return state.value === 1
    case "string":
    case "topic":
      return cursor.text()
    case "binary":
      return cursor.copy()
    default:
      return state.value
  }
}

/** Reads properties up to the cursor's end. Names are the table's, never a client's. */
const collect = (cursor: Cursor, state: SectionState, owner: Owner): Properties => {
  const values: Record<string, unknown> = {}
  const userProperties: Array<readonly [string, string]> = []
  while (cursor.at < cursor.end) {
    const spec = readProperty(cursor, state, owner)
    if (spec.type === "pair") userProperties.push([userPropertyName(cursor, state), cursor.text()])
    else if (spec.type === "varint") values[spec.name] = [state.value]
    else values[spec.name] = valueOf(cursor, state, spec)
  }
  if (userProperties.length > 0) values.userProperties = userProperties
  return values
}

/** Checks the section at the cursor and returns its values. Strings and binary data are copies. */
export const readProperties = (cursor: Cursor, state: SectionState, owner: Owner): Properties => {
  const packetEnd = openSection(cursor, state)
  const properties = cursor.at < cursor.end ? collect(cursor, state, owner) : noProperties
  cursor.end = packetEnd
  return properties
}

/** Checks the section at the cursor and keeps nothing: for acknowledgements. */
export const skipProperties = (cursor: Cursor, state: SectionState, owner: Owner): void => {
  const packetEnd = openSection(cursor, state)
  while (cursor.at < cursor.end) readProperty(cursor, state, owner)
  cursor.end = packetEnd
}

/** The empty forwarded properties that all messages without any share. */
export const noForwardedProperties: Uint8Array = Object.freeze(new Uint8Array(0))

/**
 * The bytes of the section read last that go on with the message: a copy that does not pin the chunk.
 * [MQTT-3.3.2-4] [MQTT-3.3.2-15] .. [MQTT-3.3.2-20] [MQTT-3.1.3-10]
 */
export const forwardedBytes = (cursor: Cursor, state: SectionState): Uint8Array => {
  const { end, gaps, start } = state
  let dropped = 0
  for (let gap = 0; gap < gaps.length; gap += 2) dropped += gaps[gap + 1]! - gaps[gap]!
  if (dropped === end - start) return noForwardedProperties
  if (dropped === 0) return copyRange(cursor.bytes, start, end)
  const kept = new Uint8Array(end - start - dropped)
  let from = start
  let at = 0
  for (let gap = 0; gap <= gaps.length; gap += 2) {
    const to = gap < gaps.length ? gaps[gap]! : end
    kept.set(cursor.bytes.subarray(from, to), at)
    at += to - from
    from = gap < gaps.length ? gaps[gap + 1]! : end
  }
  return kept
}

/** What a PUBLISH's properties say, beside the bytes to forward. One object is reused by every PUBLISH. */
export class PublishProperties {
  topicAlias = 0
  messageExpiryInterval = -1
  isUtf8Payload = false
}

/**
 * Checks the properties of a PUBLISH at the cursor, decoding no text. `forwardedBytes` then gives what goes
 * on.
 */
export const readPublishProperties = (cursor: Cursor, state: SectionState, into: PublishProperties): void => {
  const packetEnd = openSection(cursor, state)
  into.topicAlias = 0
  into.messageExpiryInterval = -1
  into.isUtf8Payload = false
  while (cursor.at < cursor.end) {
    const spec = readProperty(cursor, state, Owner.Publish)
    if (spec.name === "topicAlias") into.topicAlias = state.value
    else if (spec.name === "messageExpiryInterval") into.messageExpiryInterval = state.value
    else if (spec.name === "payloadFormatIndicator") into.isUtf8Payload = state.value === 1
  }
  cursor.end = packetEnd
}

/**
 * The values of forwarded properties, for whoever must look into them. The bytes must have come from a
 * decoder.
 */
export const decodeForwardedProperties = (bytes: Uint8Array): Properties => {
  const cursor = new Cursor()
  const state = new SectionState(Number.MAX_SAFE_INTEGER)
  cursor.open(asBuffer(bytes), 0, bytes.length, 5)
  return collect(cursor, state, Owner.Publish)
}
