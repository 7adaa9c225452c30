/**
 * A line of what is told of a client that somebody follows: as data for programs, one JSON object each, and
 * as text for people.
 */

import * as Schema from "effect/Schema"
import { ReasonCode } from "../../protocol/ReasonCode.ts"

/** What lines have in common; a packet's and an event's own fields stand beside that. */
export const FollowedLine = Schema.Struct(
  {
    kind: Schema.Literal("packet", "event", "note"),
    /** ISO 8601. */
    at: Schema.String,
    /** Of packets: counts the connections that were followed. */
    connection: Schema.optional(Schema.Number),
    /** `in` comes from the client. */
    direction: Schema.optional(Schema.Literal("in", "out")),
    packet: Schema.optional(Schema.String),
    bytes: Schema.optional(Schema.Number),
    event: Schema.optional(Schema.String),
    text: Schema.optional(Schema.String)
  },
  { key: Schema.String, value: Schema.Unknown }
)

export type FollowedLine = typeof FollowedLine.Type

const reasonNames: ReadonlyMap<number, string> = new Map(
  Object.entries(ReasonCode)
    .toReversed()
    .map(([name, code]) => [code, name])
)

/** What stands in columns of its own, or is the same in every line. */
const columns = new Set([
  ...["kind", "at", "connection", "direction", "packet", "bytes", "event", "text"],
  ...["tenant", "clientId"]
])

/** `CONNECT` shows the identifier that the client gave. */
const isShown = (line: FollowedLine, name: string): boolean =>
  !columns.has(name) || (name === "clientId" && line.packet === "CONNECT")

/** A line as text: time (UTC), connection, direction, name, size, and the rest by name. */
export const followedText = (line: FollowedLine): string => {
  const { at, bytes, connection, direction, event, kind, packet, text } = line
  const time = at.slice(11, 23)
  if (kind === "note") return `${time}  ${"--".padEnd(9)}${printable(text ?? "")}`
  const rest = Object.entries(line)
    .filter(([name]) => isShown(line, name))
    .map(([name, value]) => `${name}=${valueText(name, value)}`)
    .join(" ")
  if (kind === "event") return `${time}  ${"event".padEnd(9)}${event ?? ""}  ${rest}`.trimEnd()
  const place = `#${connection ?? 0} ${direction === "in" ? "<-" : "->"}`.padEnd(9)
  return `${time}  ${place}${(packet ?? "").padEnd(12)}${`${bytes ?? 0} B`.padStart(8)}  ${rest}`.trimEnd()
}

const valueText = (name: string, value: unknown): string => {
  if (name === "reasonCode" && typeof value === "number") return codeText(value)
  if (Array.isArray(value)) {
    const isCodes = name === "reasonCodes"
    return `[${value.map((each) => (isCodes ? codeText(Number(each)) : printable(String(each)))).join(", ")}]`
  }
  if (typeof value !== "string") return String(value)
  return /^[\w$/+#.:%@-]+$/.test(value) ? value : printable(JSON.stringify(value))
}

const codeText = (code: number): string => {
  const name = reasonNames.get(code)
  const hex = `0x${code.toString(16).padStart(2, "0")}`
  return name === undefined || code < 0x04 ? hex : `${hex}:${name}`
}

/** Names are anybody's: nothing of them is to be taken for a command by a terminal. */
const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u{${code.toString(16)}}`
  })
