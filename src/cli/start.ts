/** `heddle start`: a broker as its configuration describes it, until the process is told to end. */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Broker } from "../Broker.ts"
import type { Config } from "../config/Config.ts"
import type { ControlUnavailable } from "../control/ControlServer.ts"
import { banner, inDatabase, inMemory } from "./banner.ts"
import { version } from "./Cli.ts"
import { openControl } from "./controlSocket.ts"
import { logLayer, logLevels } from "./log.ts"
import { type Configuration, reloadWhenAsked } from "./reload.ts"
import { Running, runningLayer, type StartError } from "./running.ts"
import { type Lookout, lookOut } from "./telemetry.ts"

export const start = (
  configuration: Configuration
): Effect.Effect<void, StartError | ControlUnavailable, FileSystem.FileSystem | Path.Path> => {
  const { config } = configuration
  const threshold = { level: logLevels[config.log.level] }
  const run = Effect.fnUntraced(function* ({ server, watch }: Lookout) {
    const broker = yield* Broker
    const { listening } = yield* Running
    const { authentication } = config
    yield* watch
    yield* openControl(configuration)
    yield* Console.log(
      banner({
        version,
        listening: listening(),
        storage: storagePlace(config),
        authentication,
        metrics: server && `${server.url}/metrics`
      })
    )
    yield* reloadWhenAsked(configuration)
    yield* Effect.onInterrupt(Effect.never, () => {
      const { connections } = broker.census()
      return Console.log(`Heddle stops; ${connections} client${connections === 1 ? " is" : "s are"} told`)
    })
  })
  return Effect.gen(function* () {
    // First to come and last to go: it says that the broker starts, and that it stops.
    const lookout = yield* lookOut(config, yield* Clock.currentTimeMillis)
    yield* run(lookout).pipe(Effect.scoped, Effect.provide(runningLayer(configuration, threshold)))
  }).pipe(Effect.scoped, Effect.provide(logLayer(config.log.format, threshold)))
}

/** Where sessions and messages are kept, and what an acknowledgement means there. */
const storagePlace = ({ session, storage }: Config): string =>
  storage.kind === "memory" ? inMemory : inDatabase(storage.path, session.durability)
