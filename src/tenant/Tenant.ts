/**
 * A tenant's supervisor: owns the tenant's sessions, its router, its deadline wheel and its share of the
 * processor.
 *
 * In: clients that have passed their handshake, sessions that have ended, a session whose actor failed. Out:
 * an attachment in a session's mailbox. A client identifier's connections meet here, one after another, so
 * there is one session for it at any time, and only the principal that made a session may take it up.
 *
 * Its scope ends everything below it: sessions stop, the router stops, child fibers are interrupted.
 */

import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { Actor, type Behaviour, type ForkChild } from "../actor/Actor.ts"
import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { ForwardedMessage } from "../cluster/BusFrame.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { Router } from "../router/Router.ts"
import type { RoutingCensus } from "../router/RoutingTable.ts"
import type { Ending } from "../session/Link.ts"
import { Session } from "../session/Session.ts"
import type { SessionServices } from "../session/SessionServices.ts"
import { SessionState } from "../session/SessionState.ts"
import type { StoredMessage } from "../storage/DurableRecord.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import type { DurabilityLevel } from "../storage/Journal.ts"
import { Counters } from "../telemetry/Counters.ts"
import { absentIdentity, absentPermissions } from "./absentClient.ts"
import { makeRouter, makeSessionServices, type TenantContext } from "./TenantContext.ts"
import type { Admit, TenantMessage } from "./TenantMessage.ts"
import type { TenantSettings } from "./TenantSettings.ts"

interface Entry {
  readonly session: Session
  /** Attachments sent to the session: it has ended for good only when it has seen them all. */
  attaches: number
}

export class Tenant implements Behaviour<TenantMessage> {
  readonly counters = new Counters()
  private readonly sessions = new Map<string, Entry>()
  /**
   * The highest epoch of the sessions that have gone. Those that come begin above it: what a session has left
   * behind, a will that is yet to be allowed for instance, must not be taken for its successor's.
   */
  private lastEpoch = 0
  /** What an acknowledgement means from now on; may be changed at any time. */
  durability: DurabilityLevel
  private actor: Actor<TenantMessage>
  private readonly runQueue: RunQueue
  private readonly wheel: DeadlineWheel
  private readonly router: Router
  private readonly services: SessionServices

  private constructor(
    readonly id: string,
    readonly settings: TenantSettings,
    private readonly context: TenantContext,
    private readonly fork: ForkChild
  ) {
    this.durability = settings.durability
    this.runQueue = context.dispatcher.runQueue(settings.weight)
    this.wheel = context.timekeeper.wheel()
    const durability = () => this.durability
    this.router = makeRouter(context, {
      tenant: id,
      runQueue: this.runQueue,
      wheel: this.wheel,
      fork,
      settings,
      counters: this.counters,
      durability,
      onDefect: (defect) => this.routerFailed(defect)
    })
    this.actor = this.makeActor()
    this.services = makeSessionServices(context, {
      fork,
      durability,
      ended: (session, attaches) => this.actor.signal({ _tag: "Ended", session, attaches }),
      failed: (session) => this.actor.signal({ _tag: "Failed", session })
    })
  }

  private makeActor(): Actor<TenantMessage> {
    return new Actor({
      runQueue: this.runQueue,
      fork: this.fork,
      behaviour: this,
      limits: { countMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY, bytesOf: () => 0 }
    })
  }

  /** A tenant that lives as long as the caller's scope. */
  static readonly make = (
    id: string,
    settings: TenantSettings,
    context: TenantContext
  ): Effect.Effect<Tenant, never, Scope.Scope> =>
    Effect.gen(function* () {
      const run = yield* FiberSet.makeRuntime<never, unknown, unknown>()
      // Wherever the tenant is made: a child that could not be interrupted would outlive its actor, and every
      // time limit.
      const fork = ((effect) => run(Effect.interruptible(effect))) as ForkChild
      return yield* Effect.acquireRelease(
        Effect.sync(() => new Tenant(id, settings, context, fork)),
        (tenant) => Effect.sync(() => tenant.stop())
      )
    })

  /** A client at the end of its handshake asks for its session. */
  admit(message: Admit): void {
    this.actor.signal(message)
  }

  /** Takes up a stored session. Before the tenant serves anybody. */
  restore(stored: StoredSession): void {
    const identity = absentIdentity(this.id, stored)
    this.add(identity, absentPermissions(identity, this.context.services)).session.restore(stored)
  }

  /** Takes up a stored retained message. Before the tenant serves anybody. */
  restoreRetained(message: StoredMessage): void {
    this.router.restore(Publication.fromStored(message))
  }

  /**
   * Takes a message from another node. False when the router has no room; else `settled`, where there is one,
   * is told whether everybody who keeps it has stored it.
   */
  takeForwarded(
    { group, message }: ForwardedMessage,
    settled: ((isTaken: boolean) => void) | undefined
  ): boolean {
    const publication = Publication.fromStored(
      message,
      settled && {
        clientId: message.publisherId,
        published: (_, reasonCode) => settled(!isFailure(reasonCode)),
        // Its node does not wait for room: it was told to send again.
        routerHasRoom: () => {}
      }
    )
    if (this.router.takeForwarded(publication, group)) return true
    if (settled === undefined) this.counters.droppedMailboxFull++
    return false
  }

  /** Ends a session and forgets all it holds, whoever is connected to it. */
  purge(clientId: string): void {
    this.actor.signal({ _tag: "Purge", clientId })
  }

  /** Closes every connection of the tenant. */
  closeAll(ending: Ending): void {
    for (const { session } of this.sessions.values()) {
      if (session.isConnected) session.signal({ _tag: "Close", ending })
    }
  }

  /** What the tenant holds, for leak tests and metrics. */
  get census(): TenantCensus {
    return { sessions: this.sessions.size, deadlines: this.wheel.size, ...this.router.census }
  }

  turn(mail: Mailbox<TenantMessage>, budget: number): number {
    let spent = 0
    while (spent < budget) {
      const message = mail.take()
      if (message === undefined) break
      this.handle(message)
      spent++
    }
    return Math.max(1, spent)
  }

  /** The sessions live on; whoever was about to be admitted is closed by the deadline of its handshake. */
  onDefect(defect: unknown): void {
    this.actor = this.makeActor()
    this.context.report({ _tag: "ActorDefect", actor: "tenant", tenant: this.id, defect })
    this.closeAll({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the server failed to serve this tenant"
    })
  }

  private handle(message: TenantMessage): void {
    switch (message._tag) {
      case "Admit":
        return this.give(message)
      case "Ended": {
        const { attaches, session } = message
        const entry = this.sessions.get(session.clientId)
        if (entry?.attaches === attaches) this.remove(session)
        return
      }
      case "Failed":
        return this.remove(message.session)
      case "Purge":
        return this.sessions.get(message.clientId)?.session.signal({ _tag: "Purge" })
    }
  }

  private give(message: Admit): void {
    const { identity } = message.attach
    const known = this.sessions.get(identity.clientId)
    // One that has failed and has not been removed yet would take nobody.
    if (known?.session.hasStopped === true) this.remove(known.session)
    const entry = this.sessions.get(identity.clientId) ?? this.create(message)
    if (entry === undefined) return
    if (entry.session.principal !== identity.principal) {
      return message.refuse({
        reasonCode: ReasonCode.NotAuthorized,
        reason: "the client identifier's session belongs to another principal"
      })
    }
    entry.attaches++
    entry.session.signal(message.attach)
  }

  private create(message: Admit): Entry | undefined {
    const { identity, permissions } = message.attach
    if (this.sessions.size >= this.settings.sessionsMax) {
      message.refuse({
        reasonCode: ReasonCode.QuotaExceeded,
        reason: `the tenant may have ${this.settings.sessionsMax} sessions`
      })
      return undefined
    }
    return this.add(identity, permissions)
  }

  private add(identity: Identity, permissions: Permissions): Entry {
    const state = new SessionState(identity.clientId, this.settings, this.counters, identity, permissions)
    state.epoch = this.lastEpoch
    const session = new Session({
      state,
      runQueue: this.runQueue,
      wheel: this.wheel,
      fork: this.fork,
      router: this.router,
      services: this.services
    })
    const entry: Entry = { session, attaches: 0 }
    this.sessions.set(identity.clientId, entry)
    this.counters.sessions = this.sessions.size
    return entry
  }

  private remove(session: Session): void {
    if (this.sessions.get(session.clientId)?.session !== session) return
    this.sessions.delete(session.clientId)
    this.lastEpoch = Math.max(this.lastEpoch, session.epoch)
    this.counters.sessions = this.sessions.size
    session.stop()
  }

  /**
   * The router has begun anew: sessions subscribe again, and clients come again with what was not
   * acknowledged.
   */
  private routerFailed(defect: unknown): void {
    this.context.report({ _tag: "ActorDefect", actor: "router", tenant: this.id, defect })
    for (const { session } of this.sessions.values()) session.signal({ _tag: "Resubscribe" })
    this.closeAll({ reasonCode: ReasonCode.UnspecifiedError, reason: "the server failed to route messages" })
  }

  private stop(): void {
    for (const { session } of this.sessions.values()) session.abandon()
    this.sessions.clear()
    this.router.stop()
    this.actor.stop()
    this.context.timekeeper.release(this.wheel)
  }
}

export interface TenantCensus extends RoutingCensus {
  readonly sessions: number
  readonly deadlines: number
}
