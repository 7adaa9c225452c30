/** How long something is to last, as it stands behind `--for`. */

import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { parseDuration } from "../values/Units.ts"

/** What was given is no time. Told to the person at the terminal. */
export class NoDuration extends Data.TaggedError("NoDuration")<{ readonly given: string }> {
  override get message(): string {
    return `${this.given} is no duration: expected one such as 90s, 2h or 30d`
  }
}

export const secondsOf = (given: string): Effect.Effect<number, NoDuration> => {
  const millis = parseDuration(given)
  return millis === undefined || millis < 1000
    ? new NoDuration({ given })
    : Effect.succeed(Math.ceil(millis / 1000))
}
