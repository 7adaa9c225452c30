/**
 * The broker: the whole graph of actors and services assembled once, as a layer.
 *
 * Acquired in this order and released in the opposite one: the lease of its cell, dispatcher and timekeeper,
 * tenants (with their sessions and routers), what other nodes send, connections, listeners. Shutting down
 * therefore means: stop accepting, tell every client (DISCONNECT 0x8B) and the other nodes, wait for the
 * connections to go, end the sessions, stop the clocks, let another node have the cell.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import manifest from "../package.json" with { type: "json" }
import { Dispatcher } from "./actor/Dispatcher.ts"
import { Timekeeper } from "./actor/Timekeeper.ts"
import { type Liveness, Watchdog } from "./actor/Watchdog.ts"
import { Authenticator } from "./auth/Authenticator.ts"
import { Authorizer, settleDecisions } from "./auth/Authorizer.ts"
import { banLookup, makeTenantContext } from "./BrokerContext.ts"
import { type BrokerParts, serviceOf } from "./BrokerService.ts"
import type { Destination } from "./cluster/Destination.ts"
import type { LeaseHeld } from "./cluster/Leases.ts"
import { type ClusterUnavailable, Membership } from "./cluster/Membership.ts"
import { announceUp, makeFarewell, ownCell, serveNodes, watchMembers } from "./cluster/node.ts"
import { type ClusterServices, layerSingleNode } from "./cluster/singleNode.ts"
import { Connection } from "./connection/Connection.ts"
import type { ConnectionContext } from "./connection/ConnectionContext.ts"
import { turnedAway } from "./connection/Refusal.ts"
import {
  refuseMalformed,
  reportAborted,
  reportTimeout,
  type ServeContext,
  serve
} from "./connection/serve.ts"
import { EventSink } from "./events/EventSink.ts"
import { type Events, makeEvents } from "./events/Events.ts"
import { PagePool } from "./protocol/ByteSink.ts"
import { makeDecoders } from "./protocol/Decoder.ts"
import { ReasonCode } from "./protocol/ReasonCode.ts"
import { type DurabilityLevel, Journal } from "./storage/Journal.ts"
import { layerMemory } from "./storage/memory.ts"
import type { RetainedStore } from "./storage/RetainedStore.ts"
import type { SessionStore } from "./storage/SessionStore.ts"
import type { StorageCounters } from "./storage/StorageCounters.ts"
import type { StorageError } from "./storage/StorageError.ts"
import { UsageStore } from "./storage/UsageStore.ts"
import type { Counters } from "./telemetry/Counters.ts"
import { Followers } from "./telemetry/follow/Followers.ts"
import { Histogram } from "./telemetry/metrics/Histogram.ts"
import type { MetricFamily } from "./telemetry/metrics/Metric.ts"
import { Telemetry } from "./telemetry/Telemetry.ts"
import type { Administration } from "./tenant/administration.ts"
import { ClientBalancer } from "./tenant/ClientBalancer.ts"
import { keepUsageLedger } from "./tenant/quota/UsageLedger.ts"
import { restoreTenants } from "./tenant/restoreTenants.ts"
import { publishSystemTopics } from "./tenant/SystemTopics.ts"
import { TenantDirectory } from "./tenant/TenantDirectory.ts"
import { makeTenants, type Tenants } from "./tenant/Tenants.ts"
import {
  type Acceptor,
  type ListenError,
  type Listener,
  type Listening,
  Transports
} from "./transport/Transport.ts"

export interface BrokerOptions {
  /** Largest packet that a client may send, in bytes, announced to version 5 clients. */
  readonly packetBytesMax: number
  /** Largest packet before the client is authenticated: CONNECT with its will, and AUTH. */
  readonly connectBytesMax: number
  /** From accept to the last step of authentication. */
  readonly handshakeTimeoutMs: number
  /** Connections at a time, handshakes included; one more is closed at once. */
  readonly connectionsMax: number
  /** How long a shutdown waits for clients to take their last bytes. */
  readonly drainMs: number
  /** Clients a second that a tenant sends away when it is drained. */
  readonly drainRate: number
}

export const defaultBrokerOptions: BrokerOptions = {
  packetBytesMax: 1024 * 1024,
  connectBytesMax: 128 * 1024,
  handshakeTimeoutMs: 10_000,
  connectionsMax: 1_000_000,
  drainMs: 10_000,
  drainRate: 100
}

/**
 * What a broker holds at a moment. All zero but `retainedMessages` when the last client and the last session
 * have gone.
 */
export interface Census {
  readonly connections: number
  readonly sessions: number
  readonly subscriptions: number
  readonly trieNodes: number
  readonly groups: number
  readonly deadlines: number
  /** Of output that sockets have not taken. */
  readonly bufferBytes: number
  readonly retainedMessages: number
}

export interface Readiness {
  readonly isReady: boolean
  readonly reasons: ReadonlyArray<string>
}

/** The services that a broker is composed of. */
export type BrokerServices =
  | Transports
  | Authenticator
  | Authorizer
  | TenantDirectory
  | ClientBalancer
  | EventSink
  | Journal
  | SessionStore
  | RetainedStore

export class Broker extends Context.Tag("heddle/Broker")<
  Broker,
  {
    /** Where it listens since it began. */
    readonly listening: ReadonlyArray<Listening>
    /** Listens there as well, as long as the scope is open. Clients that came by it stay. */
    readonly listen: (listener: Listener) => Effect.Effect<Listening, ListenError, Scope.Scope>
    /** Limits that hold from now on, for connections that come; what they leave out stays. */
    readonly limit: (options: Partial<BrokerOptions>) => void
    readonly census: () => Census
    /** A tenant's counters; undefined when no client of it has come yet. Live: read, do not keep. */
    readonly counters: (tenant: string) => Readonly<Counters> | undefined
    /** Whether it can do all that it is for; the reasons when it cannot. */
    readonly readiness: () => Readiness
    /** Whether it works at all; a broker that does not is to be started again. */
    readonly liveness: () => Liveness
    /** What went wrong lately, and how many events there were. */
    readonly events: Pick<Events, "recent" | "counts">
    /** Everything that is measured, at this moment; tenants beyond the busiest so many together. */
    readonly measure: (tenantsMax: number) => ReadonlyArray<MetricFamily>
    /** What storage has written, how long that took, how far fsyncs were shared. Live: read, do not keep. */
    readonly storage: () => Readonly<StorageCounters> | undefined
    /**
     * Changes what acknowledgements to a tenant's clients mean from now on. False when the tenant is unknown.
     */
    readonly setDurability: (tenant: string, level: DurabilityLevel) => boolean
    /**
     * Asks the authorizer again what the clients of a tenant (or of all of them) may do, and judges what they
     * hold by that: for an authorizer that does not tell of its changes.
     */
    readonly reauthorize: (tenant?: string) => void
    /**
     * Ends a session, connected or not, and forgets all that it holds; its will goes out unless it is
     * suppressed. False when its tenant is unknown.
     */
    readonly purge: (
      tenant: string,
      clientId: string,
      options?: { readonly will: "publish" | "suppress" }
    ) => boolean
    /** Closes a client's connection; its session stays. False when its tenant is unknown. */
    readonly disconnect: (tenant: string, clientId: string, reason?: string) => boolean
    /** What administers the broker sees of it, and asks of it. */
    readonly administration: Administration
  }
>() {
  /**
   * A broker over the services in the context: give others to change who may connect, what is allowed, where
   * it listens.
   */
  static readonly layer = (
    options: Partial<BrokerOptions> = {}
  ): Layer.Layer<Broker, ListenError | StorageError, BrokerServices> =>
    Broker.layerNode(options).pipe(
      Layer.provide(layerSingleNode),
      // Nobody else is there who could hold the cell or fail to answer.
      Layer.catchAll((error) =>
        error._tag === "LeaseHeld" || error._tag === "ClusterUnavailable"
          ? Layer.die(error)
          : Layer.fail(error)
      )
    )

  /** A broker that is one node of several: what connects them comes from the context as well. */
  static readonly layerNode = (
    options: Partial<BrokerOptions> = {}
  ): Layer.Layer<
    Broker,
    ListenError | StorageError | LeaseHeld | ClusterUnavailable,
    BrokerServices | ClusterServices
  > => Layer.scoped(Broker, make({ ...defaultBrokerOptions, ...options }))

  /**
   * The services of an unconfigured broker, but for its listeners: everybody on this machine may do
   * everything, in one tenant.
   */
  static readonly layerDefaultServices = Layer.mergeAll(
    Authenticator.layerAnonymous("loopback"),
    Authorizer.layerAllowAll,
    TenantDirectory.layerSingle(),
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory()
  )
}

/** The part of the durable state that the broker writes: all of it, as long as it is not split. */
const CELL: Destination = "cell/0"

/** `options` is the broker's own: `limit` changes it, and each is read where it is used. */
const make = (
  options: BrokerOptions
): Effect.Effect<
  Broker["Type"],
  ListenError | StorageError | LeaseHeld | ClusterUnavailable,
  BrokerServices | ClusterServices | Scope.Scope
> =>
  Effect.gen(function* () {
    yield* ownCell(CELL)
    const events = yield* makeEvents
    const { report } = events
    const authenticator = yield* Authenticator
    const authorizer = yield* Authorizer
    const journal = yield* Journal
    const dispatcher = yield* Dispatcher.make()
    const timekeeper = yield* Timekeeper.make()
    const balancer = yield* ClientBalancer
    const usage = Option.getOrUndefined(yield* Effect.serviceOption(UsageStore))
    const telemetry = yield* Telemetry
    const { tracing } = telemetry
    const { loopLag, watchdog } = watchLoop(dispatcher, timekeeper)
    const context = yield* makeTenantContext({ dispatcher, timekeeper, report, usage })
    const tenants = yield* makeTenants(context, options)
    const flushUsage = yield* meterTenants(tenants, usage)
    events.publishTo((tenant) => tenants.find(tenant))
    const followers = new Followers()
    events.watchBy((event, atMs) => followers.happened(event, atMs))
    yield* publishSystemTopics(tenants, manifest.version)
    yield* restoreTenants(tenants)
    yield* serveNodes(
      (forwarded, settled) => tenants.find(forwarded.tenant)?.takeForwarded(forwarded, settled) === true
    )
    yield* watchMembers
    const connections = yield* makeConnections(options, {
      dispatcher,
      timekeeper,
      serve: {
        banOf: yield* banLookup,
        authenticator,
        authorizer,
        balancer,
        tenants,
        settle: settleDecisions,
        tracing,
        followers,
        nowMs: () => timekeeper.nowMs,
        report,
        packetBytesMax: () => options.packetBytesMax,
        newClientId: () => `heddle-${crypto.randomUUID()}`
      }
    })
    const listeners = yield* Transports
    const listening = yield* Effect.forEach(listeners, (listener) => listener.listen(connections.acceptor))
    yield* announceUp
    const parts: BrokerParts = {
      options,
      listening,
      connections,
      tenants,
      journal,
      events,
      dispatcher,
      timekeeper,
      loopLag,
      watchdog,
      telemetry,
      followers,
      flushUsage,
      reauthorize: (id) => {
        authorizer.forget?.()
        for (const tenant of tenants.all()) if (id === undefined || tenant.id === id) tenant.reauthorize()
      }
    }
    yield* followChanges(authorizer, parts.reauthorize)
    return serviceOf(parts)
  })

/** How late the event loop is, and whether it still turns. */
const watchLoop = (
  dispatcher: Dispatcher,
  timekeeper: Timekeeper
): Pick<BrokerParts, "loopLag" | "watchdog"> => {
  const loopLag = new Histogram()
  const watchdog = new Watchdog(dispatcher, timekeeper.nowMs)
  timekeeper.onTick = (lateMs) => {
    loopLag.record(lateMs / 1000)
    watchdog.beat(timekeeper.nowMs)
  }
  return { loopLag, watchdog }
}

/** Keeps the ledger of what tenants use, where there is a store for it, as long as there are connections. */
const meterTenants = (
  tenants: Tenants,
  store: UsageStore["Type"] | undefined
): Effect.Effect<Effect.Effect<void>, never, Membership | Scope.Scope> =>
  Effect.gen(function* () {
    if (store === undefined) return Effect.void
    const { self } = yield* Membership
    // No life of a node writes the rows of another, whatever the clock says.
    const writer = `${self.id}/${crypto.randomUUID()}`
    return yield* keepUsageLedger({ store, tenants: () => tenants.all(), writer })
  })

/** Has permissions asked for again whenever the authorizer says that they have changed. */
const followChanges = (
  { changes = Stream.empty }: Authorizer["Type"],
  reauthorize: (tenant?: string) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Stream.runForEach(changes, ({ tenant }) => Effect.sync(() => reauthorize(tenant))).pipe(
    Effect.disconnect,
    Effect.catchAllCause((cause) =>
      Effect.logError("the authorizer does not tell of its changes any more", cause)
    ),
    Effect.forkScoped,
    Effect.asVoid
  )

export interface Connections {
  readonly acceptor: Acceptor
  readonly size: () => number
  readonly bufferBytes: () => number
}

/** Accepts wires and serves each in a fiber of its own; its finalizer drains them. */
const makeConnections = (
  options: BrokerOptions,
  parts: { readonly dispatcher: Dispatcher; readonly timekeeper: Timekeeper; readonly serve: ServeContext }
): Effect.Effect<Connections, never, Membership | Scope.Scope> =>
  Effect.gen(function* () {
    const { dispatcher, timekeeper } = parts
    const live = new Set<Connection>()
    const decoders = makeDecoders()
    const deadlines = timekeeper.wheel()
    const fork = Runtime.runFork(yield* Effect.runtime<never>())
    const farewell = yield* makeFarewell
    const tellFull = turnedAway(parts.serve.report, () => timekeeper.nowMs)
    let isDraining = false
    let onEmpty: (() => void) | undefined
    const context: ConnectionContext = {
      dispatcher,
      nowMs: () => timekeeper.nowMs,
      deadlines,
      pages: new PagePool(),
      followers: parts.serve.followers,
      decoder: () => decoders({ packetBytesMax: options.connectBytesMax }),
      serve: (connection, connect) => fork(serve(connection, connect, parts.serve)),
      refuse: (connection, error) => refuseMalformed(connection, error, parts.serve),
      gone: (connection) => {
        live.delete(connection)
        if (live.size === 0) onEmpty?.()
      },
      timedOut: (connection) => reportTimeout(connection, parts.serve),
      aborted: (connection) => reportAborted(connection, parts.serve),
      isDraining: () => isDraining
    }
    const acceptor: Acceptor = (wire) => {
      if (isDraining) return undefined
      if (live.size >= options.connectionsMax) {
        tellFull(wire)
        return undefined
      }
      const connection = new Connection(wire, context)
      deadlines.schedule(connection, (wire.acceptedAtMs ?? timekeeper.nowMs) + options.handshakeTimeoutMs)
      live.add(connection)
      return connection
    }
    yield* Effect.addFinalizer(() => {
      isDraining = true
      for (const connection of live) {
        connection.close({ reasonCode: ReasonCode.ServerShuttingDown, reason: "the server shuts down" })
      }
      const empty = Effect.async<void>((resume) => {
        if (live.size === 0) resume(Effect.void)
        else onEmpty = () => resume(Effect.void)
      })
      // The sessions hear of their losses before they are stopped: wills are published, or not, as told.
      const drained = Effect.zip(farewell, Effect.zipRight(empty, dispatcher.untilIdle), { concurrent: true })
      // A finalizer cannot be interrupted, and a wait that cannot be interrupted would outlast its limit.
      return Effect.zipRight(
        Effect.timeoutOption(Effect.interruptible(drained), options.drainMs),
        Effect.suspend(() => endRest(live))
      )
    })
    return { acceptor, size: () => live.size, bufferBytes: () => context.pages.lentBytes }
  })

/** Those whose time to drain is over, and whatever their handshakes have started. */
const endRest = (live: ReadonlySet<Connection>): Effect.Effect<void> => {
  const fibers = [...live].flatMap(({ fiber }) => (fiber === undefined ? [] : [fiber]))
  for (const connection of live) connection.wire.destroy()
  return Fiber.interruptAll(fibers)
}
