/** Opens the control socket of a broker that is started from the command line. */

import { mkdirSync } from "node:fs"
import { dirname } from "node:path"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { refused } from "../control/AdministrationError.ts"
import { layerControl } from "../control/Control.ts"
import { ControlUnavailable } from "../control/ControlServer.ts"
import { logRoutes } from "../control/logRoutes.ts"
import { samplingRoutes } from "../control/samplingRoutes.ts"
import { UserAdmin } from "../control/UserAdmin.ts"
import { userRoutes } from "../control/userRoutes.ts"
import { Telemetry } from "../telemetry/Telemetry.ts"
import { controlPath } from "./control.ts"
import { type LogLevelName, logLevelNames } from "./log.ts"
import { type Configuration, reload, reloadText } from "./reload.ts"
import { Running, type RunningServices } from "./running.ts"

/**
 * For as long as the scope is open. Where nobody has asked for a socket in particular, a broker whose socket
 * cannot be opened runs without one, and says so.
 */
export const openControl = (
  configuration: Configuration
): Effect.Effect<void, ControlUnavailable, RunningServices | FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const { config } = configuration
    const path = controlPath(config)
    if (path === undefined) return
    const context = yield* Effect.context<RunningServices>()
    const reloading = reload(configuration).pipe(
      Effect.map((changes) => ({ text: reloadText(changes) })),
      Effect.mapError(({ message }) => refused("invalid", message)),
      Effect.provide(context)
    )
    const isRequired = config.control.path !== ""
    yield* Effect.try({
      try: () => mkdirSync(dirname(path), { recursive: true }),
      catch: (cause) => new ControlUnavailable({ path, reason: String(cause) })
    })
    const { tracing } = yield* Telemetry
    const { logLevel, setLogLevel } = yield* Running
    const log = {
      levels: logLevelNames,
      current: logLevel,
      change: (level: LogLevelName) =>
        Effect.mapError(setLogLevel(level), ({ message }) => refused("unavailable", message))
    }
    const routes = [...userRoutes(yield* UserAdmin), ...samplingRoutes(tracing?.sampler), ...logRoutes(log)]
    yield* Layer.build(layerControl({ path, isRequired, reload: reloading, routes }))
  })
