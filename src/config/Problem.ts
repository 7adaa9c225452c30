/**
 * What is wrong with a configuration, told so that a person can mend it without another look at the manual.
 */

import { levensteinDistance } from "@effect/cli/AutoCorrect"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Data from "effect/Data"

export interface Problem {
  /** The key's path, the environment variable or the file. */
  readonly key: string
  /** What was found and what is allowed: reads on after the key. */
  readonly message: string
}

/**
 * The configuration cannot be used. The command line prints `message` and ends with exit code 1; the broker
 * does not start.
 */
export class ConfigError extends Data.TaggedError("ConfigError")<{
  /** The file that was read; undefined when there was none. */
  readonly file: string | undefined
  readonly problems: ReadonlyArray<Problem>
}> {
  override get message(): string {
    const count = this.problems.length === 1 ? "1 problem" : `${this.problems.length} problems`
    const where = this.file === undefined ? "the configuration" : `the configuration (${this.file})`
    return [`${count} in ${where}:`, ...this.problems.map(({ key, message }) => `  ${key}: ${message}`)].join(
      "\n"
    )
  }
}

/** Advice on a name that does not exist: the one that was likely meant, or else all that are known. */
export const suggest = (name: string, known: ReadonlyArray<string>): string => {
  const nearest = known
    .map((candidate) => ({ candidate, distance: distanceOf(name, candidate) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best), {
      candidate: "",
      distance: Infinity
    })
  if (nearest.distance <= Math.max(2, Math.floor(name.length / 4)))
    return `did you mean ${nearest.candidate}?`
  return known.length > 12 ? "see `heddle config` for the names" : `expected one of ${known.join(", ")}`
}

/** Edits between two names; a beginning of a name is as good as one edit. */
const distanceOf = (name: string, candidate: string): number =>
  name.length > 3 && candidate.toLowerCase().startsWith(name.toLowerCase())
    ? 1
    : levensteinDistance(name, candidate, CliConfig.defaultConfig)

/** A value as it appears in a message: one line, not too long. */
export const shown = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 80 ? `${json.slice(0, 77)}...` : json
}
