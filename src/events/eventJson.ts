/**
 * Events as JSON: one flat object each, `event` its name, `at` the instant as ISO 8601, then its own fields.
 */

import { errorText } from "../telemetry/redaction.ts"
import type { Event } from "./Event.ts"

/** An event and the instant (ms since the epoch) at which it was reported. */
export interface Happened {
  readonly event: Event
  readonly atMs: number
}

export const eventJson = (happened: Happened): string => JSON.stringify(eventObject(happened))

export const eventObject = ({ atMs, event }: Happened): object => {
  const { _tag, ...fields } = event
  const told =
    event._tag === "ActorDefect"
      ? { ...fields, defect: errorText(event.defect).slice(0, DEFECT_LENGTH_MAX) }
      : fields
  return { event: _tag, at: new Date(atMs).toISOString(), ...told }
}

const DEFECT_LENGTH_MAX = 500

/** What an event weighs in a queue, roughly: the texts in it, and the object. */
export const eventBytes = (event: Event): number => {
  let bytes = 200
  for (const value of Object.values(event)) {
    if (typeof value === "string") bytes += value.length
    else if (Array.isArray(value)) for (const part of value) bytes += String(part).length
  }
  return bytes
}
