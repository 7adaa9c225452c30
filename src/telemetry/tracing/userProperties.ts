/**
 * `traceparent` and `tracestate` among the user properties of a PUBLISH of version 5: found in, and put into,
 * the encoded properties that a message carries with it.
 */

import { Buffer } from "node:buffer"
import { asBuffer } from "../../protocol/Utf8.ts"
import { formatTraceparent, parseTraceContext, type TraceContext } from "./TraceContext.ts"

/** Identifier 38, a name of 11 bytes and `traceparent` with its value of 55 need this many bytes. */
export const TRACED_BYTES_MIN = 1 + 2 + 11 + 2 + 55

const PARENT = "traceparent"
const STATE = "tracestate"

/** What the publisher says of its trace; undefined when it says nothing, or nothing sound. */
export const traceContextOf = (forwardedProperties: Uint8Array): TraceContext | undefined => {
  // Most messages are told apart by their length.
  if (forwardedProperties.length < TRACED_BYTES_MIN) return undefined
  const bytes = asBuffer(forwardedProperties)
  let parent: string | undefined
  let state: string | undefined
  for (const property of properties(bytes)) {
    if (property.name === PARENT) {
      // Given twice it means nothing. (Trace Context, section 3.2.1)
      if (parent !== undefined) return undefined
      parent = bytes.toString("latin1", property.valueStart, property.end)
    } else if (property.name === STATE) {
      const value = bytes.toString("latin1", property.valueStart, property.end)
      state = state === undefined ? value : `${state},${value}`
    }
  }
  return parent === undefined ? undefined : parseTraceContext(parent, state)
}

/**
 * The same properties with this context instead of what they say of a trace; without any when it is
 * undefined. A new buffer, unless nothing changes.
 */
export const withTraceContext = (
  forwardedProperties: Uint8Array,
  context: TraceContext | undefined
): Uint8Array => {
  const bytes = asBuffer(forwardedProperties)
  const parts: Array<Uint8Array> = []
  let keptFrom = 0
  for (const property of forwardedProperties.length < TRACED_BYTES_MIN ? [] : properties(bytes)) {
    if (property.name !== PARENT && property.name !== STATE) continue
    parts.push(bytes.subarray(keptFrom, property.start))
    keptFrom = property.end
  }
  if (keptFrom === 0 && context === undefined) return forwardedProperties
  parts.push(bytes.subarray(keptFrom))
  if (context !== undefined) {
    parts.push(encoded(PARENT, formatTraceparent(context)))
    if (context.traceState !== "") parts.push(encoded(STATE, context.traceState))
  }
  return Buffer.concat(parts)
}

const encoded = (name: string, value: string): Buffer => {
  const bytes = Buffer.alloc(5 + name.length + value.length)
  bytes[0] = USER_PROPERTY
  bytes.writeUInt16BE(name.length, 1)
  bytes.write(name, 3, "latin1")
  bytes.writeUInt16BE(value.length, 3 + name.length)
  bytes.write(value, 5 + name.length, "latin1")
  return bytes
}

const USER_PROPERTY = 38
const PAYLOAD_FORMAT = 1
const CONTENT_TYPE = 3
const RESPONSE_TOPIC = 8
const CORRELATION_DATA = 9

interface UserProperty {
  /** "" for one whose name is not of interest here. */
  readonly name: string
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** The user properties, in order. The bytes were checked when they came. */
function* properties(bytes: Buffer): Generator<UserProperty> {
  let at = 0
  while (at < bytes.length) {
    const start = at
    switch (bytes[at]) {
      case PAYLOAD_FORMAT:
        at += 2
        break
      case CONTENT_TYPE:
      case RESPONSE_TOPIC:
      case CORRELATION_DATA:
        at += 3 + bytes.readUInt16BE(at + 1)
        break
      case USER_PROPERTY: {
        const nameBytes = bytes.readUInt16BE(at + 1)
        const nameEnd = at + 3 + nameBytes
        at = nameEnd + 2 + bytes.readUInt16BE(nameEnd)
        const mayMatter = nameBytes === PARENT.length || nameBytes === STATE.length
        const name = mayMatter ? bytes.toString("latin1", start + 3, nameEnd).toLowerCase() : ""
        yield { name, start, valueStart: nameEnd + 2, end: at }
        break
      }
      default:
        // Nothing else is forwarded.
        return
    }
  }
}
