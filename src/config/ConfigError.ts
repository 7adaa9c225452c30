/** What is wrong with a configuration, all of it at once. */

import * as Data from "effect/Data"
import type { Problem } from "../values/Problem.ts"

/**
 * The configuration cannot be used. The command line prints `message` and ends with exit code 1; the broker
 * does not start. One that runs keeps the configuration that it has.
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
