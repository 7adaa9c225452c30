/** `heddle start`: a broker as its configuration describes it, until the process is told to end. */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { Authorizer } from "../auth/Authorizer.ts"
import type { AuthFileUnusable } from "../auth/WatchedFile.ts"
import { Broker } from "../Broker.ts"
import type { Config } from "../config/Config.ts"
import { EventSink } from "../events/EventSink.ts"
import { layerMemory } from "../storage/memory.ts"
import type { StorageError } from "../storage/StorageError.ts"
import { layerSqlite } from "../storage/sqlite.ts"
import { ClientBalancer } from "../tenant/ClientBalancer.ts"
import { TenantDirectory } from "../tenant/TenantDirectory.ts"
import { type ListenError, Transports } from "../transport/Transport.ts"
import { authenticatorLayer } from "./authentication.ts"
import { banner, inDatabase, inMemory } from "./banner.ts"
import { version } from "./Cli.ts"
import { type FileUnreadable, listenersOf } from "./listeners.ts"

/** Why a broker cannot start. */
type StartError = ListenError | FileUnreadable | StorageError | AuthFileUnusable

export const start = (config: Config): Effect.Effect<void, StartError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const { authentication } = config
    yield* Console.log(
      banner({ version, listening: broker.listening, storage: storagePlace(config), authentication })
    )
    yield* Effect.onInterrupt(Effect.never, () => {
      const { connections } = broker.census()
      return Console.log(`Heddle stops; ${connections} client${connections === 1 ? " is" : "s are"} told`)
    })
  }).pipe(Effect.provide(brokerLayer(config)), Effect.provide(logLayer(config.log)))

/** The broker of a configuration. */
export const brokerLayer = (config: Config): Layer.Layer<Broker, StartError, FileSystem.FileSystem> => {
  const { authentication, limits, session, shutdown } = config
  return Broker.layer({
    packetBytesMax: limits.packetBytesMax,
    connectBytesMax: limits.connectBytesMax,
    connectionsMax: limits.connectionsMax,
    handshakeTimeoutMs: Duration.toMillis(limits.handshakeTimeout),
    drainMs: Duration.toMillis(shutdown.drain)
  }).pipe(
    Layer.provide([
      authenticatorLayer(authentication),
      Authorizer.layerGranted,
      // Who authenticates says which tenant a client is of; without that there is only one.
      authentication.methods.length === 0
        ? TenantDirectory.layerSingle(session)
        : TenantDirectory.layerTable(() => session),
      ClientBalancer.layerStay,
      EventSink.layerLog,
      storageLayer(config),
      Layer.scoped(Transports, listenersOf(config))
    ])
  )
}

const storageLayer = ({ storage }: Config) =>
  storage.kind === "memory"
    ? layerMemory()
    : layerSqlite({ path: storage.path, ...(storage.bytesMax > 0 && { bytesMax: storage.bytesMax }) })

/** Where sessions and messages are kept, and what an acknowledgement means there. */
const storagePlace = ({ session, storage }: Config): string =>
  storage.kind === "memory" ? inMemory : inDatabase(storage.path, session.durability)

const logLayer = ({ format, level }: Config["log"]): Layer.Layer<never> => {
  const isPretty = format === "pretty" || (format === "auto" && process.stdout.isTTY === true)
  return Layer.merge(isPretty ? Logger.pretty : Logger.json, Logger.minimumLogLevel(levels[level]))
}

const levels: Readonly<Record<Config["log"]["level"], LogLevel.LogLevel>> = {
  trace: LogLevel.Trace,
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  fatal: LogLevel.Fatal,
  none: LogLevel.None
}
