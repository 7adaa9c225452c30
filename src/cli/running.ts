/**
 * A broker as its configuration describes it, which takes up another configuration while it runs.
 *
 * A change comes into force as a whole or not at all: everything that can fail (files that are read, ports
 * that are bound) is made ready beside what is in force, and only when all of it is ready does it take the
 * place of that, in one go. Clients that are connected stay.
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { Authenticator } from "../auth/Authenticator.ts"
import { Authorizer } from "../auth/Authorizer.ts"
import { BanList } from "../auth/guard/BanList.ts"
import { directoryAuthorizer } from "../auth/users/directoryAuthorizer.ts"
import { makeUserDirectory, UserDirectory } from "../auth/users/UserDirectory.ts"
import type { AuthFileUnusable } from "../auth/WatchedFile.ts"
import { Broker, type BrokerOptions } from "../Broker.ts"
import type { Config } from "../config/Config.ts"
import { type Change, changesBetween, hasChanged, inForce } from "../config/changes.ts"
import type { Resolved } from "../config/Resolution.ts"
import { tenantTableOf } from "../config/tenants.ts"
import { BanAdmin } from "../control/BanAdmin.ts"
import { TenantAdmin } from "../control/TenantAdmin.ts"
import { layerUsersInForce, UserAdmin } from "../control/UserAdmin.ts"
import { EventSink } from "../events/EventSink.ts"
import { webhookLayer } from "../events/webhook.ts"
import { Explain } from "../explain/Explain.ts"
import type { AdministrationStores } from "../storage/administration.ts"
import type { Journal } from "../storage/Journal.ts"
import { layerMemory } from "../storage/memory.ts"
import type { RetainedStore } from "../storage/RetainedStore.ts"
import type { SessionStore } from "../storage/SessionStore.ts"
import type { StorageError } from "../storage/StorageError.ts"
import { layerSqlite } from "../storage/sqlite.ts"
import { UserStore } from "../storage/UserStore.ts"
import { ClientBalancer } from "../tenant/ClientBalancer.ts"
import { ConfiguredTenants } from "../tenant/ConfiguredTenants.ts"
import { layerStoredDirectory } from "../tenant/storedDirectory.ts"
import { type Listening, Transports } from "../transport/Transport.ts"
import { type Authentication, makeAuthentication } from "./authentication.ts"
import { type Authorization, makeAuthorization } from "./authorization.ts"
import { type ListenerError, type ListenerSet, makeListenerSet } from "./ListenerSet.ts"
import { type LogLevelName, type LogThreshold, logLevels, withLogLevel } from "./log.ts"
import { makeReplaceable, type Prepared, type Replaceable } from "./Replaceable.ts"
import { retrace, telemetryLayer } from "./telemetry.ts"

type Platform = FileSystem.FileSystem | Path.Path

/** Why a broker cannot start. */
export type StartError = ListenerError | StorageError | AuthFileUnusable

/**
 * A configuration cannot be put in force: the one before stays. Told by the log, or to who has asked for it.
 */
export class ReloadRefused extends Data.TaggedError("ReloadRefused")<{ readonly cause: Error }> {
  override get message(): string {
    return this.cause.message
  }
}

export class Running extends Context.Tag("heddle/cli/Running")<
  Running,
  {
    /** Where it listens now. */
    readonly listening: () => ReadonlyArray<Listening>
    /** Puts another configuration in force, and says what that changes. */
    readonly take: (next: Resolved) => Effect.Effect<ReadonlyArray<Change>, ReloadRefused>
    /** The least severe message that is logged. */
    readonly logLevel: () => LogLevelName
    /** Another one, until a configuration with another one is read. */
    readonly setLogLevel: (level: LogLevelName) => Effect.Effect<void, ReloadRefused>
  }
>() {}

/** Everything that a running broker offers to those who look after it. */
export type RunningServices =
  | Running
  | Broker
  | TenantAdmin
  | BanAdmin
  | Explain
  | UserAdmin
  | BanList
  | AdministrationStores

export const runningLayer = (
  first: Resolved,
  threshold: LogThreshold
): Layer.Layer<RunningServices, StartError, Platform> =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const { config } = first
      const bans = yield* Effect.map(Layer.build(BanList.layer), Context.get(BanList))
      // Before storage, which has spans of its own, and outlives it, so that the last of them are sent.
      const telemetry = Layer.succeedContext(yield* Layer.build(telemetryLayer(config)))
      const storage = yield* Layer.build(Layer.provide(storageLayer(config), telemetry))
      const users = yield* makeUserDirectory(Context.get(storage, UserStore))
      const authentication = yield* makeAuthentication(config.authentication, bans, users)
      const authorization = yield* makeAuthorization(config.authorization)
      const log = yield* makeReplaceable(logSink(config.log.level))
      const options = brokerOptions(config)
      const services = Layer.mergeAll(
        Layer.succeed(Authenticator, authentication.authenticator),
        Layer.succeed(BanList, bans),
        Layer.succeed(UserDirectory, users),
        Layer.succeed(Authorizer, directoryAuthorizer(authorization.authorizer, users)),
        Layer.provideMerge(layerStoredDirectory, ConfiguredTenants.layer(tenantTableOf(config))),
        ClientBalancer.layerStay,
        EventSink.layerAll(
          Layer.succeed(EventSink, { report: (event) => log.current().report(event) }),
          ...webhook(config)
        ),
        // Listeners come and go with the configuration: the set below opens them.
        Layer.succeed(Transports, [])
      ).pipe(Layer.provideMerge(Layer.succeedContext(storage)))
      return makeRunning(first, { authentication, authorization, log, threshold }).pipe(
        (running) => Layer.scoped(Running, running),
        Layer.provideMerge(Layer.mergeAll(administrators, layerUsersInForce)),
        Layer.provideMerge(Broker.layer(options)),
        Layer.provideMerge(services),
        Layer.provideMerge(telemetry)
      )
    })
  )

const administrators = Layer.mergeAll(TenantAdmin.layer, BanAdmin.layer, UserAdmin.layer, Explain.layer)

const brokerOptions = ({ control, limits, shutdown }: Config): BrokerOptions => ({
  packetBytesMax: limits.packetBytesMax,
  connectBytesMax: limits.connectBytesMax,
  connectionsMax: limits.connectionsMax,
  handshakeTimeoutMs: Duration.toMillis(limits.handshakeTimeout),
  drainMs: Duration.toMillis(shutdown.drain),
  drainRate: control.drainRate
})

const storageLayer = ({
  storage
}: Config): Layer.Layer<Journal | SessionStore | RetainedStore | AdministrationStores, StorageError> =>
  storage.kind === "memory"
    ? layerMemory()
    : layerSqlite({ path: storage.path, ...(storage.bytesMax > 0 && { bytesMax: storage.bytesMax }) })

/** The log of events. It looks at the level once, because a line that nobody reads costs a fiber. */
const logSink = (level: LogLevelName): Effect.Effect<EventSink["Type"], never, Scope.Scope> =>
  Effect.map(Layer.build(EventSink.layerLog), Context.get(EventSink)).pipe(
    Effect.provide(Logger.minimumLogLevel(logLevels[level]))
  )

const webhook = ({ events: { webhook: hook } }: Config): ReadonlyArray<Layer.Layer<EventSink>> =>
  hook.url === ""
    ? []
    : [
        webhookLayer({
          url: hook.url,
          authorization: hook.authorization,
          tags: hook.tags,
          tenants: hook.tenants,
          timeoutMs: Duration.toMillis(hook.timeout),
          batchMax: hook.batchMax,
          bufferMax: hook.bufferMax,
          bufferBytesMax: hook.bufferBytesMax,
          retryForMs: Duration.toMillis(hook.retryFor),
          failuresMax: hook.failures,
          restMs: Duration.toMillis(hook.rest)
        })
      ]

interface Parts {
  readonly authentication: Authentication
  readonly authorization: Authorization
  readonly log: Replaceable<EventSink["Type"]>
  readonly threshold: LogThreshold
}

const makeRunning = (
  first: Resolved,
  parts: Parts
): Effect.Effect<Running["Type"], ListenerError, Broker | TenantAdmin | Platform | Scope.Scope> =>
  Effect.gen(function* () {
    const { limit, listen } = yield* Broker
    const admin = yield* TenantAdmin
    const files = yield* Effect.context<Platform>()
    const turns = yield* Effect.makeSemaphore(1)
    let { config, entries } = first
    const listeners: ListenerSet = yield* makeListenerSet(first, { listen, limits: () => config.limits })

    /** In the order in which they come into force: listeners let somebody in when all the rest is new. */
    const steps = (next: Resolved): ReadonlyArray<Step> => {
      const isNew = (section: string) => hasChanged(entries, next.entries, section)
      const { authentication, authorization, log } = parts
      const chosen: ReadonlyArray<Step | undefined> = [
        isNew("authentication") ? authentication.prepare(next.config.authentication) : undefined,
        isNew("authorization") ? authorization.prepare(next.config.authorization) : undefined,
        isNew("log.level") ? log.prepare(logSink(next.config.log.level)) : undefined,
        Effect.succeed({ commit: enter(next), discard: Effect.void }),
        isNew("listeners") ? listeners.prepare(next) : undefined
      ]
      return chosen.filter((step) => step !== undefined)
    }
    const enter = (next: Resolved): Effect.Effect<void> =>
      Effect.suspend(() => {
        limit(brokerOptions(next.config))
        parts.threshold.level = logLevels[next.config.log.level]
        config = next.config
        entries = inForce(entries, next.entries)
        return Effect.zipRight(retrace(next.config), admin.reconfigure(tenantTableOf(next.config)))
      })
    const take = (next: Resolved) =>
      Effect.gen(function* () {
        const changes = changesBetween(entries, next.entries)
        if (changes.some(({ isLive }) => isLive)) yield* allOrNothing(steps(next))
        return changes
      }).pipe(Effect.provide(files))
    const inTurn = (next: () => Resolved) =>
      turns.withPermits(1)(
        Effect.mapError(
          Effect.suspend(() => take(next())),
          (cause) => new ReloadRefused({ cause })
        )
      )
    return {
      listening: listeners.listening,
      take: (next) => inTurn(() => next),
      logLevel: () => config.log.level,
      setLogLevel: (level) => inTurn(() => withLogLevel({ config, entries }, level, "heddle log level"))
    }
  })

type Step = Effect.Effect<Prepared, StartError, Platform>

/** Makes every step ready, then commits all of them; when one cannot be made ready, none is. */
const allOrNothing = (steps: ReadonlyArray<Step>): Effect.Effect<void, StartError, Platform> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const prepared: Array<Prepared> = []
      for (const step of steps) {
        const exit = yield* Effect.exit(restore(step))
        if (Exit.isFailure(exit)) {
          yield* Effect.forEach(prepared, ({ discard }) => discard, { discard: true })
          return yield* exit
        }
        prepared.push(exit.value)
      }
      yield* Effect.forEach(prepared, ({ commit }) => commit, { discard: true })
    })
  )
