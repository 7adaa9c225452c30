/**
 * The log of `heddle start`: its form, and how much there is of it, which may change as the broker runs.
 *
 * Every line passes through here, whoever writes it: what it holds is shown as far as it may be seen.
 */

import * as Cause from "effect/Cause"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Config } from "../config/Config.ts"
import type { Resolved } from "../config/Resolution.ts"
import { loggable, loggableValue } from "../telemetry/redaction.ts"

/** The least severe message that is logged, from now on. */
export interface LogThreshold {
  level: LogLevel.LogLevel
}

export type LogLevelName = Config["log"]["level"]

export const logLevels: Readonly<Record<LogLevelName, LogLevel.LogLevel>> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  fatal: LogLevel.Fatal,
  none: LogLevel.None
}

/** From the loudest to the quietest. */
export const logLevelNames = Object.keys(logLevels) as ReadonlyArray<LogLevelName>

/** The same configuration with another level of the log, and where that comes from. */
export const withLogLevel = (
  { config, entries }: Resolved,
  level: LogLevelName,
  source: string
): Resolved => ({
  config: { ...config, log: { ...config.log, level } },
  entries: new Map(entries).set("log.level", { value: level, source })
})

/**
 * A fiber's own level is fixed when it is forked, and the broker's fibers are as old as the broker: so they
 * log everything, and what is not wanted is left out here.
 */
export const logLayer = (format: Config["log"]["format"], threshold: LogThreshold): Layer.Layer<never> => {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true)
  const logger = isPretty ? Logger.prettyLoggerDefault : Logger.withConsoleLog(Logger.jsonLogger)
  const wanted = Logger.make<unknown, void>((line) => {
    if (LogLevel.greaterThanEqual(line.logLevel, threshold.level)) logger.log(presentable(line))
  })
  return Layer.merge(Logger.replace(Logger.defaultLogger, wanted), Logger.minimumLogLevel(LogLevel.Trace))
}

/** An error that stands beside the message is a cause like any other. */
const presentable = (line: Logger.Logger.Options<unknown>): Logger.Logger.Options<unknown> => {
  const parts: ReadonlyArray<unknown> = Array.isArray(line.message) ? line.message : [line.message]
  const errors = parts.filter((part) => part instanceof Error)
  const cause = errors.reduce<Cause.Cause<unknown>>(
    (all, error) => (Cause.isEmpty(all) ? Cause.fail(error) : Cause.parallel(all, Cause.fail(error))),
    line.cause
  )
  return {
    ...line,
    message: parts.filter((part) => !(part instanceof Error)).map((part) => loggableValue(part)),
    annotations: HashMap.map(line.annotations, (value) => loggableValue(value)),
    cause: loggable(cause)
  }
}
