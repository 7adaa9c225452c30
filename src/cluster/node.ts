/**
 * What a broker does because it may be one of several: owns its cell, sends to the other nodes and receives
 * from them, and says what it is ready for.
 */

import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Dispatcher } from "../actor/Dispatcher.ts"
import type { Timekeeper } from "../actor/Timekeeper.ts"
import { Bus } from "./Bus.ts"
import { type Destination, nodeDestination } from "./Destination.ts"
import { Forwarder } from "./Forwarder.ts"
import { type LeaseHeld, Leases } from "./Leases.ts"
import { type ClusterUnavailable, Membership } from "./Membership.ts"
import { RouteTable } from "./RouteTable.ts"
import { receive, type Take } from "./receive.ts"

/** Before anything of the cell is read, and until everything of it is written. */
export const ownCell = (
  cell: Destination
): Effect.Effect<void, LeaseHeld | ClusterUnavailable, Leases | Scope.Scope> =>
  Effect.gen(function* () {
    const { acquire } = yield* Leases
    const { lost } = yield* acquire(cell)
    // What must not be written twice is the journal's to refuse; somebody should know why it does.
    yield* lost.pipe(
      Effect.zipRight(Effect.logError(`the lease of ${cell} was taken away: another node may write it now`)),
      Effect.interruptible,
      Effect.forkScoped
    )
  })

/** The way to the other nodes. */
export const makeForwarder = (
  dispatcher: Dispatcher,
  timekeeper: Timekeeper
): Effect.Effect<Forwarder, never, Membership | Bus | RouteTable> =>
  Effect.gen(function* () {
    const { self } = yield* Membership
    return new Forwarder({
      self,
      bus: yield* Bus,
      table: yield* RouteTable,
      wheel: timekeeper.wheel(),
      nowMs: () => timekeeper.nowMs,
      flushLater: (flushable) => dispatcher.flushLater(flushable)
    })
  })

/** Takes what the other nodes send to this one. */
export const serveNodes = (
  take: Take
): Effect.Effect<void, ClusterUnavailable, Membership | Bus | Scope.Scope> =>
  Effect.gen(function* () {
    const { members, self } = yield* Membership
    const { serve } = yield* Bus
    const fork = Runtime.runFork(yield* Effect.runtime<never>())
    const report = (reason: string) => {
      fork(Effect.logWarning(reason))
    }
    yield* serve(nodeDestination(self.id), receive({ members, take, report }))
  })

/** Logs which of the other nodes come and go. */
export const watchMembers: Effect.Effect<void, never, Membership | Scope.Scope> = Effect.gen(function* () {
  const { changes, self } = yield* Membership
  yield* changes.pipe(
    Stream.filter(({ member }) => member.id !== self.id),
    Stream.runForEach(({ _tag, member }) =>
      Effect.logInfo(_tag === "Down" ? `node ${member.id} is gone` : `node ${member.id} is ${member.state}`)
    ),
    Effect.interruptible,
    Effect.forkScoped
  )
})

/** Clients are taken here from now on. */
export const announceUp: Effect.Effect<void, ClusterUnavailable, Membership> = Effect.flatMap(
  Membership,
  ({ setState }) => setState("up")
)

/** What tells the others that no more clients are taken here, if they can be told. */
export const makeFarewell: Effect.Effect<Effect.Effect<void>, never, Membership> = Effect.map(
  Membership,
  ({ setState }) =>
    Effect.catchAll(setState("draining"), ({ message }) =>
      Effect.logWarning(`the other nodes were not told that this one ends: ${message}`)
    )
)
