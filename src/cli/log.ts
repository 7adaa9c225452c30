/** The log of `heddle start`: its form, and how much there is of it, which may change as the broker runs. */

import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Config } from "../config/Config.ts"

/** The least severe message that is logged, from now on. */
export interface LogThreshold {
  level: LogLevel.LogLevel
}

export const logLevels: Readonly<Record<Config["log"]["level"], LogLevel.LogLevel>> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  fatal: LogLevel.Fatal,
  none: LogLevel.None
}

/**
 * A fiber's own level is fixed when it is forked, and the broker's fibers are as old as the broker: so they
 * log everything, and what is not wanted is left out here.
 */
export const logLayer = (format: Config["log"]["format"], threshold: LogThreshold): Layer.Layer<never> => {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true)
  const logger = isPretty ? Logger.prettyLoggerDefault : Logger.withConsoleLog(Logger.jsonLogger)
  const wanted = Logger.make<unknown, void>((message) => {
    if (LogLevel.greaterThanEqual(message.logLevel, threshold.level)) logger.log(message)
  })
  return Layer.merge(Logger.replace(Logger.defaultLogger, wanted), Logger.minimumLogLevel(LogLevel.Trace))
}
