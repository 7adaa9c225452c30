/**
 * A tenant's supervisor: owns the tenant's sessions, its router, its deadline wheel and its share of the
 * processor.
 *
 * In: clients that have passed their handshake, sessions that have ended, a session whose actor failed. Out:
 * an attachment in a session's mailbox. A client identifier's connections meet here, one after another, so
 * there is one session for it at any time, and only the principal that made a session may take it up.
 *
 * Its settings are one object, changed in place; its state says whether clients are let in and may stay.
 *
 * Its scope ends everything below it: sessions stop, the router stops, child fibers are interrupted.
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Actor, type Behaviour, type ForkChild } from "../actor/Actor.ts"
import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import type { ForwardedMessage } from "../cluster/BusFrame.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { Router } from "../router/Router.ts"
import type { RouteView } from "../router/RouterMessage.ts"
import type { RoutingCensus } from "../router/RoutingTable.ts"
import type { DeliveryOptions, RetainedRequest } from "../router/Subscriber.ts"
import type { Ending } from "../session/Link.ts"
import type { Session } from "../session/Session.ts"
import type { SessionHandle } from "../session/SessionHandle.ts"
import type { Attach } from "../session/SessionMessage.ts"
import type { StoredMessage } from "../storage/DurableRecord.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import type { TenantState } from "../storage/TenantStore.ts"
import { Counters } from "../telemetry/Counters.ts"
import { absentIdentity, absentPermissions } from "./absentClient.ts"
import { refusalOfConnect, wantsPersistence } from "./admission.ts"
import { ChildFibers } from "./ChildFibers.ts"
import { Drain } from "./Drain.ts"
import { ownPublication } from "./ownPublication.ts"
import type { Policy } from "./policy/TenantPolicy.ts"
import { makeQuota } from "./QuotaDeadline.ts"
import type { TenantQuota } from "./quota/TenantQuota.ts"
import { Reauthorization } from "./Reauthorization.ts"
import { RetainedPublishers } from "./RetainedPublishers.ts"
import { SessionTable } from "./SessionTable.ts"
import { moved, refusalOf, suspended } from "./standing.ts"
import { makeRouter, makeSessionServices, type TenantContext } from "./TenantContext.ts"
import type { Admit, AttachRefused, TenantMessage } from "./TenantMessage.ts"
import type { TenantSettings } from "./TenantSettings.ts"

export class Tenant implements Behaviour<TenantMessage> {
  readonly counters = new Counters()
  private readonly sessions: SessionTable
  private standing: TenantState = "active"
  private drain: Drain<Session> | undefined
  /** Its own, changed in place: those who read a setting when they need it see the change. */
  readonly settings: TenantSettings
  private actor: Actor<TenantMessage>
  private readonly runQueue: RunQueue
  private readonly wheel: DeadlineWheel
  private readonly router: Router
  readonly quota: TenantQuota
  private readonly reauthorization: Reauthorization
  private readonly publishers: RetainedPublishers
  /** What it says of its clients; undefined when it says nothing. */
  readonly policy: Policy | undefined

  private constructor(
    readonly id: string,
    settings: TenantSettings,
    private readonly context: TenantContext,
    private readonly fork: ForkChild
  ) {
    this.settings = { ...settings }
    this.policy = context.policy(id, this.counters)
    this.runQueue = context.dispatcher.runQueue(settings.weight)
    this.wheel = context.timekeeper.wheel()
    const durability = () => this.settings.durability
    this.quota = makeQuota(
      {
        tenant: id,
        settings: this.settings,
        counters: this.counters,
        report: context.report,
        nowMs: context.timekeeper.nowMs
      },
      this.wheel
    )
    this.router = makeRouter(context, {
      tenant: id,
      runQueue: this.runQueue,
      wheel: this.wheel,
      fork,
      settings: this.settings,
      counters: this.counters,
      quota: this.quota,
      durability,
      judgePublishers: (publications, then) => this.publishers.judge(publications, then),
      onDefect: (defect) => this.routerFailed(defect)
    })
    this.publishers = new RetainedPublishers({
      tenant: id,
      services: context.services,
      fork,
      sessionOf: (clientId) => this.sessions.find(clientId)
    })
    this.actor = this.makeActor()
    const services = makeSessionServices(context, {
      fork,
      durability,
      ended: (session, attaches) => this.actor.signal({ _tag: "Ended", session, attaches }),
      failed: (session) => this.actor.signal({ _tag: "Failed", session })
    })
    const { counters, policy, quota, router, runQueue, wheel } = this
    this.sessions = new SessionTable({
      settings: this.settings,
      counters,
      policy,
      quota,
      router,
      runQueue,
      wheel,
      fork,
      services
    })
    this.reauthorization = new Reauthorization({
      sessions: () => [...this.sessions.all()],
      permissions: services.permissions,
      fork
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
      const { fork } = yield* ChildFibers.make
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
    const session = this.sessions.add(identity, absentPermissions(identity, this.context.services))
    session.restore(stored)
    this.reauthorization.restored(session)
  }

  /** Its clients' permissions have changed: what they hold is judged again. */
  reauthorize(): void {
    this.publishers.forget()
    this.reauthorization.request()
  }

  /** Counts those changes; see `Attach.permissionsRevision`. */
  get permissionsRevision(): number {
    return this.reauthorization.revision
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
        routerHasRoom: () => {},
        // How many may get a message is judged on the node that it was published to.
        overLimit: () => {}
      }
    )
    if (this.router.takeForwarded(publication, group)) return true
    if (settled === undefined) this.counters.droppedMailboxFull++
    return false
  }

  /** Publishes texts of the broker's own: those that somebody here wants, as far as the router has room. */
  publishTexts(texts: () => ReadonlyArray<readonly [topic: string, text: string]>): void {
    const { router } = this
    if (!router.hasSystemFilters) return
    for (const [topic, text] of texts()) {
      if (router.wants(topic) && !router.publish(ownPublication(topic, text, "text"))) return
    }
  }

  /** Publishes JSON of the broker's own to the tenant's clients. False when the router has no room. */
  publishJson(topic: string, json: string): boolean {
    return this.router.publish(ownPublication(topic, json, "json"))
  }

  /** Ends a session and forgets all it holds, whoever is connected to it. */
  purge(clientId: string, withWill: boolean): void {
    this.actor.signal({ _tag: "Purge", clientId, withWill })
  }

  /** For what may be asked of it by message. */
  signal(message: Extract<TenantMessage, { readonly _tag: "Close" | "Inspect" | "Follow" }>): void {
    this.actor.signal(message)
  }

  /** Whom its sessions belong to, and how they are at a glance. Live: read, do not keep. */
  clients(): Iterable<SessionHandle> {
    return this.sessions.all()
  }

  /** Reads a page of what is retained, as a new subscriber would be given it. */
  readRetained(request: Omit<RetainedRequest, "_tag" | "options">): void {
    this.router.signal({ _tag: "RetainedRequest", ...request, options: readingRetained })
  }

  /** Asks the router who gets what is published to a topic. */
  inspectRoute(topic: string, reply: (view: RouteView) => void): void {
    this.router.signal({ _tag: "Inspect", topic, reply })
  }

  get state(): TenantState {
    return this.standing
  }

  /** Why it lets nobody in; undefined when it does. */
  get refusal(): AttachRefused | undefined {
    return refusalOf(this.standing)
  }

  /** What it is granted from now on. What CONNACK has told a client holds for that connection. */
  applySettings(settings: TenantSettings): void {
    Object.assign(this.settings, settings)
    this.runQueue.weight = settings.weight
    this.quota.settingsChanged(this.context.timekeeper.nowMs)
    for (const session of this.sessions.all()) {
      if (session.isConnected) session.signal({ _tag: "SettingsChanged" })
    }
  }

  /** From now on it is served, or not, as the state says. A drain sends `drainRate` clients a second away. */
  enterState(state: TenantState, drainRate: number): void {
    if (state === this.standing) return
    this.standing = state
    this.drain?.stop()
    this.drain = undefined
    if (state === "suspended") this.sessions.closeAll(suspended)
    if (state === "draining") this.drain = this.makeDrain(drainRate)
    if (state === "deleting") this.sessions.expel()
  }

  private makeDrain(rate: number): Drain<Session> {
    const { redirect, timekeeper } = this.context
    const { sessions } = this
    return new Drain({
      wheel: this.wheel,
      nowMs: () => timekeeper.nowMs,
      rate,
      clients: () => sessions.all(),
      isThere: (session) => !session.isIdle,
      send: (session) => {
        const { link } = session
        const close = (ending: Ending) => session.signal({ _tag: "Close", ending })
        if (link?.protocolVersion !== 5) return close(moved(undefined))
        this.fork(Effect.map(redirect(session.identity), (elsewhere) => close(moved(elsewhere))))
      }
    })
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
    this.sessions.closeAll({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the server failed to serve this tenant"
    })
  }

  private handle(message: TenantMessage): void {
    switch (message._tag) {
      case "Admit":
        return this.give(message)
      case "Ended":
        return this.sessions.ended(message.session, message.attaches)
      case "Failed":
        return this.sessions.remove(message.session)
      case "Purge": {
        const { clientId, withWill } = message
        return this.sessions.find(clientId)?.signal({ _tag: "Purge", withWill })
      }
      case "Close":
        return this.sessions.close(message)
      case "Inspect":
        return this.sessions.inspect(message)
      case "Follow":
        return this.sessions.find(message.clientId)?.signal({ _tag: "Follow", tap: message.tap })
    }
  }

  onDropped(message: TenantMessage): void {
    if (message._tag === "Admit") message.refuse(this.refusal ?? stopped)
    if (message._tag === "Inspect") message.reply(undefined)
  }

  private give(message: Admit): void {
    // It was let in when its handshake began to be judged; that may be a while ago.
    const { refusal } = this
    if (refusal !== undefined) return message.refuse(refusal)
    const { identity } = message.attach
    const known = this.sessions.find(identity.clientId)
    // One that has failed and has not been removed yet would take nobody.
    if (known?.hasStopped === true) this.sessions.remove(known)
    const refused = this.refusalOfConnect(message.attach)
    if (refused !== undefined) return message.refuse(refused)
    const { permissions } = message.attach
    const session = this.sessions.find(identity.clientId) ?? this.sessions.add(identity, permissions)
    if (session.principal !== identity.principal) {
      return message.refuse({
        reasonCode: ReasonCode.NotAuthorized,
        reason: "the client identifier's session belongs to another principal"
      })
    }
    session.expect(wantsPersistence(message.attach, this.settings))
    this.sessions.attach(session, message.attach)
    this.reauthorization.admitted(session, message.attach)
  }

  private refusalOfConnect(attach: Attach): AttachRefused | undefined {
    const { counters, quota, settings } = this
    const session = this.sessions.find(attach.identity.clientId)?.presence
    return refusalOfConnect({ attach, session }, { counters, quota, settings }, this.context.dispatcher.nowMs)
  }

  /**
   * The router has begun anew: sessions subscribe again, and clients come again with what was not
   * acknowledged.
   */
  private routerFailed(defect: unknown): void {
    this.context.report({ _tag: "ActorDefect", actor: "router", tenant: this.id, defect })
    for (const session of this.sessions.all()) session.signal({ _tag: "Resubscribe" })
    this.sessions.closeAll({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the server failed to route messages"
    })
  }

  private stop(): void {
    this.drain?.stop()
    this.sessions.abandon()
    this.router.stop()
    this.actor.stop()
    this.context.timekeeper.release(this.wheel)
  }
}

const readingRetained: DeliveryOptions = {
  qos: 0,
  retainAsPublished: true,
  subscriptionIdentifiers: [],
  group: undefined,
  isRetained: true
}

const stopped: AttachRefused = {
  reasonCode: ReasonCode.ServerUnavailable,
  reason: "the server shuts down"
}

export interface TenantCensus extends RoutingCensus {
  readonly sessions: number
  readonly deadlines: number
}
