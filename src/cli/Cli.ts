/**
 * The command line: `heddle`, `heddle start`, `heddle config`, `heddle check`, and the commands that look
 * after users and the database: `heddle passwd`, `heddle users`, `heddle backup`, `heddle restore`,
 * `heddle db check`, `heddle db stats` and `heddle usage`; and those that ask a broker that runs:
 * `heddle tenants`, `heddle clients`, `heddle explain` and others.
 *
 * It reads the configuration and prints; running a broker is the `start` that it is given. Whatever goes
 * wrong is told here, once: a mistake of the user's as its message, a defect with its cause. So the caller
 * runs the effect without reporting errors again, and a failure means exit code 1.
 */

import * as Args from "@effect/cli/Args"
import type * as CliApp from "@effect/cli/CliApp"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Span from "@effect/cli/HelpDoc/Span"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import type * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import manifest from "../../package.json" with { type: "json" }
import { loadConfig, resolveConfig } from "../config/Config.ts"
import { configurationYaml } from "../config/ConfigText.ts"
import { fileVariable } from "../config/Found.ts"
import { configurationJsonSchema } from "../config/JsonSchema.ts"
import type { Resolved } from "../config/Resolution.ts"
import { checkAuthentication } from "./authentication.ts"
import { checkAuthorization } from "./authorization.ts"
import { controlCommands } from "./controlCommands.ts"
import { databaseCommands } from "./database.ts"
import { checkFiles } from "./listeners.ts"
import { type LogLevelName, withLogLevel } from "./log.ts"
import { passwdCommand } from "./passwd.ts"
import type { Configuration } from "./reload.ts"
import { usageCommand } from "./usage.ts"
import { usersCommand } from "./users.ts"

export const version: string = manifest.version

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The program behind the command line, from the process's arguments (`process.argv`) to the effect to run.
 *
 * `start` runs a broker until it is interrupted or ends by itself.
 */
export const makeCli = <E, R>(
  start: (configuration: Configuration) => Effect.Effect<void, E, R>,
  env: Environment = process.env
): ((args: ReadonlyArray<string>) => Effect.Effect<void, unknown, R | CliApp.CliApp.Environment>) => {
  const command = rootCommand(start, env)
  const run = Command.run(command, { name: "Heddle", version, summary, footer })
  return (args) => Effect.tapErrorCause(run(args), report)
}

const summary = Span.text("a multi-tenant MQTT 3.1, 3.1.1 and 5.0 broker")

const configOption = Options.file("config").pipe(
  Options.withAlias("c"),
  Options.withDescription(
    `Configuration file: YAML, JSON or TOML by its extension. The variable ${fileVariable} names one as well`
  ),
  Options.optional
)

const schemaOption = Options.boolean("schema").pipe(
  Options.withDescription("Print the JSON Schema of the configuration file instead, for editors")
)

const fileArgument = Args.file({ name: "file" }).pipe(Args.withDescription("The configuration file"))

const footer = HelpDoc.blocks([
  HelpDoc.h1("CONFIGURATION"),
  HelpDoc.p(
    "Heddle runs without any: MQTT on port 1883, WebSocket on port 8083 at /mqtt, for clients on this " +
      "machine. Each key of the file is also an environment variable, which goes before the file: " +
      "limits.packetBytesMax is HEDDLE_LIMITS_PACKET_BYTES_MAX. `heddle config` shows every key."
  ),
  HelpDoc.h1("EXAMPLES"),
  HelpDoc.p("heddle                                   run with the defaults"),
  HelpDoc.p("heddle --config heddle.yaml              run as the file says"),
  HelpDoc.p("HEDDLE_LISTENERS_TCP_PORT=1884 heddle    run on another port"),
  HelpDoc.p("heddle config > heddle.yaml              begin a file with what is in force"),
  HelpDoc.p("heddle check heddle.yaml                 list everything that is wrong with a file"),
  HelpDoc.p("heddle passwd passwords ada              set a user's password"),
  HelpDoc.p("heddle users add ada --tenant acme       let somebody in by authentication method users"),
  HelpDoc.p("heddle acl check rules.acl               list every mistake in a file of access rules"),
  HelpDoc.p("heddle acl diff new.acl                  see who would lose what by other rules"),
  HelpDoc.p("heddle backup monday.db                  copy the database while the broker runs"),
  HelpDoc.p("heddle restore monday.db                 bring it back, with the broker stopped"),
  HelpDoc.p("heddle db stats                          see what the database holds"),
  HelpDoc.p("heddle usage --since 7d                  see what tenants have used"),
  HelpDoc.p("heddle tenants list                      see who is served"),
  HelpDoc.p("heddle ban add --address 192.0.2.0/24    let nobody in from there"),
  HelpDoc.p("heddle reload                            have the configuration read again"),
  HelpDoc.p("heddle trace --client c                  follow a client live"),
  HelpDoc.p("heddle explain --client c publish a/b    learn why a message is, or is not, let through"),
  HelpDoc.p("heddle trace --client c                  watch a client's packets, and what is decided"),
  HelpDoc.p("heddle log level debug                   see clients come and go in the log")
])

const rootCommand = <E, R>(
  start: (configuration: Configuration) => Effect.Effect<void, E, R>,
  env: Environment
) => {
  const chosen = (file: Option.Option<string>) =>
    Option.orElse(file, () => Option.fromNullable(env[fileVariable]))

  const runBroker = Effect.fnUntraced(function* (given: Option.Option<string>) {
    const file = chosen(given)
    const level = yield* FiberRef.get(FiberRef.currentMinimumLogLevel)
    const again = Effect.map(resolveConfig({ file, env }), (resolved) => withLogLevelOption(resolved, level))
    yield* start({ ...(yield* again), file, again })
  })

  const root = Command.make("heddle", { config: configOption }, ({ config }) => runBroker(config)).pipe(
    Command.withDescription("Run the broker (as `heddle start`).")
  )

  /** `--config` may stand before or after the subcommand. */
  const fileOf = (own: Option.Option<string>) =>
    Effect.map(root, (parent) => Option.orElse(own, () => parent.config))

  const startCommand = Command.make("start", { config: configOption }, ({ config }) =>
    Effect.flatMap(fileOf(config), runBroker)
  ).pipe(Command.withDescription("Run the broker until it is told to end by Ctrl-C or SIGTERM."))

  const configCommand = Command.make(
    "config",
    { config: configOption, schema: schemaOption },
    Effect.fnUntraced(function* ({ config, schema }) {
      if (schema) return yield* Console.log(JSON.stringify(configurationJsonSchema(), undefined, 2))
      const file = yield* fileOf(config)
      const { entries } = yield* resolveConfig({ file: chosen(file), env })
      yield* Console.log(configurationYaml(entries).trimEnd())
    })
  ).pipe(
    Command.withDescription(
      "Print the configuration in force, with where each value that is no default comes from."
    )
  )

  const checkCommand = Command.make(
    "check",
    { file: fileArgument },
    Effect.fnUntraced(function* ({ file }) {
      const { config } = yield* resolveConfig({ file: Option.some(file), env })
      yield* checkFiles(config)
      yield* checkAuthentication(config)
      yield* checkAuthorization(config)
      yield* Console.log(`${file}: ok`)
    })
  ).pipe(
    Command.withDescription(
      "Check a configuration file, print every problem, and end with code 1 if there is one."
    )
  )

  const databaseAccess = {
    option: configOption,
    load: (own: Option.Option<string>) =>
      Effect.flatMap(fileOf(own), (file) => loadConfig({ file: chosen(file), env }))
  }
  return Command.withSubcommands(root, [
    startCommand,
    configCommand,
    checkCommand,
    passwdCommand(),
    usersCommand(databaseAccess),
    ...databaseCommands(databaseAccess),
    usageCommand(databaseAccess),
    ...controlCommands(databaseAccess)
  ])
}

const logLevels: Readonly<Record<LogLevel.LogLevel["_tag"], LogLevelName>> = {
  All: "trace",
  Trace: "trace",
  Debug: "debug",
  Info: "info",
  Warning: "warning",
  Error: "error",
  Fatal: "fatal",
  None: "none"
}

/** The command line's own `--log-level`, which is the fiber's by now, goes before the configuration's. */
const withLogLevelOption = (resolved: Resolved, { _tag }: LogLevel.LogLevel): Resolved =>
  _tag === "Info" ? resolved : withLogLevel(resolved, logLevels[_tag], "--log-level")

/** Tells what went wrong. Mistakes in the arguments have been told by the parser. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  if (ValidationError.isValidationError(failure)) return Effect.void
  return failure instanceof Error ? Console.error(`heddle: ${failure.message}`) : Effect.logError(cause)
}
