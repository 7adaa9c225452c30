/**
 * What is wrong with something that a person wrote, told so that it can be mended without another look at the
 * manual.
 */

import { levensteinDistance } from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"
import { redactedUrl } from "./publicUrl.ts"

export interface Problem {
  /** Where: the key's path, the environment variable or the file. */
  readonly key: string
  /** What was found and what is allowed: reads on after the key. */
  readonly message: string
}

/** Advice on a name that does not exist: the one that was likely meant, or else all that are known. */
export const suggest = (
  name: string,
  known: ReadonlyArray<string>,
  manual = "see `heddle config` for the names"
): string => {
  const nearest = known
    .map((candidate) => ({ candidate, distance: distanceOf(name, candidate) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best), {
      candidate: "",
      distance: Infinity
    })
  if (nearest.distance <= Math.max(2, Math.floor(name.length / 4)))
    return `did you mean ${nearest.candidate}?`
  return known.length > 12 ? manual : `expected one of ${known.join(", ")}`
}

/** Edits between two names; a beginning of a name is as good as one edit. */
const distanceOf = (name: string, candidate: string): number =>
  name.length > 3 && candidate.toLowerCase().startsWith(name.toLowerCase())
    ? 1
    : levensteinDistance(name, candidate, CliConfig.defaultConfig)

/** A value as it appears in a message: one line, not too long. */
export const shown = (value: unknown): string => {
  const json = JSON.stringify(typeof value === "string" ? redactedUrl(value) : value) ?? String(value)
  return json.length > 80 ? `${json.slice(0, 77)}...` : json
}
