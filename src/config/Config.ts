/**
 * The configuration of a broker: one file (YAML, JSON or TOML) and the environment.
 *
 * A value in the environment goes before one in the file, that before the default. Nothing is guessed: a key
 * or variable that does not exist and a value that is not allowed are errors, all reported at once. The
 * schema with every key is in `ConfigSchema.ts`.
 */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { ConfigError } from "./ConfigError.ts"
import type { Config } from "./ConfigSchema.ts"
import { withAbsolutePaths } from "./FilePaths.ts"
import { type Resolved, resolve } from "./Resolution.ts"

export { ConfigError } from "./ConfigError.ts"
export type { Config } from "./ConfigSchema.ts"

export interface ConfigSources {
  /** The configuration file's path. */
  readonly file: Option.Option<string>
  readonly env: Readonly<Record<string, string | undefined>>
}

/** What a broker does with no configuration at all. */
export const defaultConfig: Config = Either.getOrThrow(resolve({ env: {} })).config

/** The configuration that a file and the environment make. */
export const loadConfig = (sources: ConfigSources): Effect.Effect<Config, ConfigError> =>
  Effect.map(resolveConfig(sources), ({ config }) => config)

/** As `loadConfig`, with each key's value as written and where it came from. */
export const resolveConfig = Effect.fnUntraced(function* ({ file, env }: ConfigSources) {
  if (Option.isNone(file)) return yield* resolve({ env })
  const name = file.value
  const text = yield* Effect.tryPromise({
    try: () => Bun.file(name).text(),
    catch: (cause) => fileProblem(name, `cannot be read: ${messageOf(cause)}`)
  })
  const content = withAbsolutePaths(name, yield* parse(name, text))
  return yield* resolve({ file: { name, content }, env })
}) satisfies (sources: ConfigSources) => Effect.Effect<Resolved, ConfigError>

const parsers: ReadonlyMap<string, (text: string) => unknown> = new Map([
  ["yaml", Bun.YAML.parse],
  ["yml", Bun.YAML.parse],
  ["json", JSON.parse],
  ["toml", Bun.TOML.parse]
])

const parse = (name: string, text: string): Either.Either<unknown, ConfigError> => {
  const parser = parsers.get(name.slice(name.lastIndexOf(".") + 1).toLowerCase())
  if (parser === undefined) {
    return Either.left(
      fileProblem(name, `is not a configuration file; expected .${[...parsers.keys()].join(", .")}`)
    )
  }
  return Either.try({
    try: () => parser(text),
    catch: (cause) => fileProblem(name, `cannot be read: ${messageOf(cause)}`)
  })
}

const fileProblem = (file: string, message: string): ConfigError =>
  new ConfigError({ file, problems: [{ key: file, message }] })

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
