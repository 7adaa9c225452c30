/**
 * The session actor: one session's state machine behind a mailbox, and the effects that the machine asks for.
 *
 * In: the client's packets (pulled from its link when it has some), deliveries and answers of the router, an attachment
 * when a client comes, its loss, the deadline, answers of services. Out: packets to the link, publications and
 * subscriptions to the router, word to the tenant when the session has ended.
 *
 * The client's packets are pulled, not pushed: while one waits for a decision or for room in the router, the rest stay
 * undecoded in the link and the socket is not read. The order of what a client sends is therefore kept by itself.
 */

import * as Exit from "effect/Exit"
import { Actor, type Behaviour, type ForkChild } from "../actor/Actor.ts"
import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import type { AuthenticationStep } from "../auth/Authenticator.ts"
import type { Decision, Permissions } from "../auth/Authorizer.ts"
import type { DropReason, Event } from "../events/Event.ts"
import { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { AckTag, ClientPacket, ServerControlPacket, Will } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { Router } from "../router/Router.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { Delivery, DeliveryOptions, RetainedPage } from "../router/Subscriber.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import { type Attachment, attach } from "./attach.ts"
import { connectionLost, endSession, nextDueMs, onDeadline, onDisconnect } from "./expiry.ts"
import { onPublish, onPublishDecided, onPublished, onPubrel, refusalOfTopic } from "./inbound.ts"
import type { Ending, Link } from "./Link.ts"
import { deliver, giveBack, onAck, onRetainedPage, pump } from "./outbound.ts"
import { type AuthRequest, onAuth, onAuthenticated } from "./reauthentication.ts"
import type { SessionServices } from "./SessionServices.ts"
import type {
  HeldSubscription,
  PendingSuback,
  Refusal,
  Replay,
  SessionOutputs,
  SessionState
} from "./SessionState.ts"
import { onSubscribe, onSubscribeDecided, onSubscribed, onUnsubscribe } from "./subscriptions.ts"

/** A link as its session reads from it. */
export interface ClientLink extends Link {
  /** The next packet that has arrived; undefined when there is none or the link is closed. Throws `MalformedPacket`. */
  readonly nextPacket: () => ClientPacket | undefined
  /** The session has attached: from now on it hears `readable` when something arrives. */
  readonly attached: (session: Session) => void
  /** What had arrived was read: the socket may be read again. */
  readonly resumeReading: () => void
}

export interface Attach extends Attachment {
  readonly _tag: "Attach"
  readonly link: ClientLink
}

export type SessionMessage =
  | Delivery
  | Attach
  | RetainedPage
  | { readonly _tag: "Readable"; readonly link: Link }
  | { readonly _tag: "Drained"; readonly link: Link }
  | { readonly _tag: "Lost"; readonly link: Link; readonly withWill: boolean }
  | { readonly _tag: "Published"; readonly packetId: number; readonly reasonCode: ReasonCode }
  | { readonly _tag: "Subscribed"; readonly token: number; readonly hasRetained: boolean }
  | { readonly _tag: "RouterHasRoom" }
  | { readonly _tag: "Reclaim"; readonly group: SharedGroup }
  | { readonly _tag: "Decided"; readonly link: Link | undefined; readonly allowed: ReadonlyArray<boolean> }
  | { readonly _tag: "Authenticated"; readonly link: Link | undefined; readonly step: AuthenticationStep }
  | { readonly _tag: "Permitted"; readonly link: Link | undefined; readonly permissions: Permissions }
  | { readonly _tag: "Close"; readonly ending: Ending }
  | { readonly _tag: "Purge" }
  | { readonly _tag: "Resubscribe" }
  | { readonly _tag: "Deadline" }

/** Deliveries that may wait in the mailbox: QoS 0 up to the first number, QoS 1 and 2 up to the second. */
const MAIL_QOS0_MAX = 16_384
const MAIL_MAX = 65_536
const MAIL_BYTES_MAX = 32 * 1024 * 1024
const DROP_REPORT_MS = 1000

export interface SessionOptions {
  readonly state: SessionState
  readonly runQueue: RunQueue
  readonly wheel: DeadlineWheel
  readonly fork: ForkChild
  readonly router: Router
  readonly services: SessionServices
}

export class Session extends Deadline implements Behaviour<SessionMessage>, SessionOutputs {
  private readonly state: SessionState
  private readonly actor: Actor<SessionMessage>
  private readonly router: Router
  private readonly wheel: DeadlineWheel
  private readonly services: SessionServices
  /** SUBSCRIBEs that the router is working on, by token. */
  private pending: Map<number, PendingSuback> | undefined
  private nextToken = 1
  private attaches = 0

  constructor(options: SessionOptions) {
    super()
    this.state = options.state
    this.router = options.router
    this.wheel = options.wheel
    this.services = options.services
    this.actor = new Actor({
      runQueue: options.runQueue,
      fork: options.fork,
      behaviour: this,
      limits: { countMax: MAIL_MAX, bytesMax: MAIL_BYTES_MAX, bytesOf }
    })
  }

  get clientId(): string {
    return this.state.clientId
  }

  /** The principal that the session belongs to: nobody else may take it up. */
  get principal(): string {
    return this.state.identity.principal
  }

  get isConnected(): boolean {
    return this.state.link !== undefined
  }

  get inflight(): number {
    return (this.state.queue?.size ?? 0) + this.actor.mailLength
  }

  /** For lifecycle messages, whose number others bound. */
  signal(message: SessionMessage): void {
    this.actor.signal(message)
  }

  /** The tenant takes the session out; nothing runs after this. */
  stop(): void {
    this.wheel.cancel(this)
    this.router.forget(this)
    this.actor.stop()
  }

  // As the router sees it

  deliver(publication: Publication, options: DeliveryOptions): boolean {
    if (publication.qos === 0 && this.actor.mailLength >= MAIL_QOS0_MAX) return false
    return this.actor.tell({ _tag: "Delivery", publication, options })
  }

  published(packetId: number, reasonCode: ReasonCode): void {
    this.actor.signal({ _tag: "Published", packetId, reasonCode })
  }

  routerHasRoom(): void {
    this.actor.signal({ _tag: "RouterHasRoom" })
  }

  subscribed(token: number, hasRetained: boolean): void {
    this.actor.signal({ _tag: "Subscribed", token, hasRetained })
  }

  retainedPage(page: RetainedPage): void {
    this.actor.signal(page)
  }

  reclaim(group: SharedGroup): void {
    this.actor.signal({ _tag: "Reclaim", group })
  }

  // As the wheel sees it

  onDeadline(): void {
    this.actor.signal({ _tag: "Deadline" })
  }

  // As the dispatcher sees it

  turn(mail: Mailbox<SessionMessage>, budget: number): number {
    const nowMs = this.services.nowMs()
    let spent = 0
    while (spent < budget) {
      const message = mail.take()
      if (message === undefined) break
      spent += this.handle(message, nowMs, budget - spent)
    }
    this.arm()
    return Math.max(1, spent)
  }

  onDefect(defect: unknown): void {
    const { state } = this
    state.link?.close({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the server failed to handle this session"
    })
    if (state.subscriptions !== undefined) {
      this.unsubscribe([...state.subscriptions.values()].map((held) => held.filter))
    }
    this.wheel.cancel(this)
    this.services.report({
      _tag: "ActorDefect",
      actor: `session ${state.clientId}`,
      tenant: state.identity.tenant,
      defect
    })
    this.services.ended(this, this.attaches)
  }

  private handle(message: SessionMessage, nowMs: number, budget: number): number {
    const { state } = this
    switch (message._tag) {
      case "Delivery":
        deliver(state, message, nowMs, this)
        return 1
      case "Readable":
        return message.link === state.link ? this.read(nowMs, budget) : 1
      case "Published":
        onPublished(state, message, this)
        return this.read(nowMs, budget)
      case "Drained":
        if (message.link === state.link) pump(state, nowMs, this)
        return 1
      case "RetainedPage":
        onRetainedPage(state, message, nowMs, this)
        return 1 + message.publications.length
      case "Subscribed":
        this.acknowledgeSubscribe(message.token, message.hasRetained)
        return 1
      case "RouterHasRoom":
        if (state.parked?._tag === "Room" && this.router.publish(state.parked.publication))
          state.parked = undefined
        return this.read(nowMs, budget)
      case "Decided":
        if (message.link === state.link) this.proceed(message.allowed, nowMs)
        return this.read(nowMs, budget)
      default:
        return this.handleLifecycle(message, nowMs)
    }
  }

  private handleLifecycle(
    message: Exclude<
      SessionMessage,
      {
        _tag:
          | "Delivery"
          | "Readable"
          | "Published"
          | "Drained"
          | "RetainedPage"
          | "Subscribed"
          | "RouterHasRoom"
          | "Decided"
      }
    >,
    nowMs: number
  ): number {
    const { state } = this
    switch (message._tag) {
      case "Attach":
        this.attach(message, nowMs)
        break
      case "Lost":
        if (message.link === state.link) this.lose(message.withWill, nowMs)
        break
      case "Reclaim":
        if (!this.isConnected) giveBack(state, message.group, this)
        break
      case "Authenticated":
        if (message.link === state.link) onAuthenticated(state, message.step, this)
        break
      case "Permitted":
        if (message.link === state.link) state.permissions = message.permissions
        break
      case "Close":
        this.close(message.ending)
        break
      case "Purge":
        this.close({ reasonCode: ReasonCode.AdministrativeAction, reason: "the session was deleted" })
        this.lose(true, nowMs)
        endSession(state, this)
        this.end("purged")
        break
      case "Resubscribe":
        this.resubscribe()
        break
      case "Deadline":
        if (onDeadline(state, nowMs, this)) this.end("expired")
        break
    }
    return 1
  }

  /** Pulls packets from the link until there are none, one is parked, or the budget is spent. */
  private read(nowMs: number, budget: number): number {
    const { state } = this
    const link = state.link as ClientLink | undefined
    if (link === undefined) return 1
    let spent = 0
    try {
      while (state.parked === undefined && state.link === link) {
        if (spent >= budget) {
          this.actor.signal({ _tag: "Readable", link })
          return spent
        }
        const packet = link.nextPacket()
        if (packet === undefined) {
          link.resumeReading()
          break
        }
        spent++
        state.lastPacketMs = nowMs
        this.receive(packet, nowMs)
      }
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      // [MQTT-4.13.1-1] [v3 MQTT-4.8.0-1]
      this.close({ reasonCode: error.reasonCode, reason: error.message })
    }
    return Math.max(1, spent)
  }

  private receive(packet: ClientPacket, nowMs: number): void {
    const { state } = this
    switch (packet._tag) {
      case "Publish":
        return onPublish(state, packet, nowMs, this)
      case "Puback":
      case "Pubrec":
      case "Pubcomp":
        return onAck(state, packet, nowMs, this)
      case "Pubrel":
        return onPubrel(state, packet, this)
      case "Subscribe":
        return onSubscribe(state, packet, this)
      case "Unsubscribe":
        return onUnsubscribe(state, packet, this)
      case "Pingreq":
        // [MQTT-3.12.4-1]
        return this.send({ _tag: "Pingresp" })
      case "Disconnect":
        onDisconnect(state, packet, nowMs, this)
        if (!this.isConnected) this.left(packet.reasonCode, "the client disconnected", nowMs)
        return
      case "Auth":
        return onAuth(state, packet, this)
      case "Connect":
        // [MQTT-3.1.0-2]; the decoder refuses a second CONNECT, so this one cannot come
        return this.close({ reasonCode: ReasonCode.ProtocolError, reason: "a second CONNECT [MQTT-3.1.0-2]" })
    }
  }

  private attach(message: Attach, nowMs: number): void {
    const { identity, link } = message
    const { state } = this
    this.attaches++
    if (state.link !== undefined) {
      this.services.report({ _tag: "SessionTakenOver", tenant: identity.tenant, clientId: identity.clientId })
    }
    const { sessionPresent } = attach(state, message, nowMs, this)
    state.counters.connectsAccepted++
    this.services.report({
      _tag: "ClientConnected",
      tenant: identity.tenant,
      clientId: identity.clientId,
      transport: identity.peer.transport,
      address: identity.peer.address,
      sessionPresent
    })
    link.attached(this)
  }

  /** The connection is gone without a DISCONNECT from the client. */
  private lose(withWill: boolean, nowMs: number): void {
    connectionLost(this.state, { withWill, isTakenOver: false }, nowMs, this)
    this.left(ReasonCode.UnspecifiedError, "the connection ended", nowMs)
  }

  private left(reasonCode: number, reason: string, nowMs: number): void {
    const { clientId, identity } = this.state
    this.services.report({
      _tag: "ClientDisconnected",
      tenant: identity.tenant,
      clientId,
      reasonCode,
      reason
    })
    if (onDeadline(this.state, nowMs, this)) this.end("ended with its connection")
  }

  private end(reason: string): void {
    const { clientId, identity } = this.state
    this.services.report({ _tag: "SessionEnded", tenant: identity.tenant, clientId, reason })
    this.services.ended(this, this.attaches)
  }

  /** The router lost the subscriptions, and with them the SUBACKs that it owed: those clients are being closed. */
  private resubscribe(): void {
    this.pending = undefined
    const held = this.state.subscriptions
    if (held === undefined || held.size === 0) return
    this.router.signal({
      _tag: "Subscribe",
      subscriber: this,
      subscriptions: [...held.values()].map((each) => [each.filter, each.subscription] as const),
      token: 0
    })
  }

  private proceed(allowed: ReadonlyArray<boolean>, nowMs: number): void {
    const { state } = this
    const parked = state.parked
    state.parked = undefined
    if (parked?._tag === "Publish") onPublishDecided(state, parked, allowed[0] === true, nowMs, this)
    else if (parked?._tag === "Subscribe") onSubscribeDecided(state, parked.packet, allowed, this)
  }

  private acknowledgeSubscribe(token: number, hasRetained: boolean): void {
    const pending = this.pending?.get(token)
    if (pending === undefined) return
    this.pending?.delete(token)
    if (this.isConnected) onSubscribed(this.state, pending, hasRetained, this)
  }

  /** One deadline for all that the session waits for; one that comes early just looks again. */
  private arm(): void {
    const due = nextDueMs(this.state)
    if (due === 0) this.wheel.cancel(this)
    else if (!this.scheduled || this.atMs > due) this.wheel.schedule(this, due)
  }

  // What the state machine asks for

  sendPublish(publication: Publication, header: PublishHeader): boolean {
    return this.state.link?.sendPublish(publication, header) ?? true
  }

  sendAck(tag: AckTag, packetId: number, reasonCode: number, reason: string): void {
    this.state.link?.sendAck(tag, packetId, reasonCode, reason)
  }

  send(packet: ServerControlPacket): void {
    this.state.link?.send(packet)
  }

  close(ending: Ending): void {
    this.state.link?.close(ending)
  }

  route(publication: Publication): boolean {
    return this.router.publish(publication)
  }

  subscribe(subscriptions: ReadonlyArray<HeldSubscription>, pending: PendingSuback): void {
    const token = this.nextToken++
    this.pending ??= new Map()
    this.pending.set(token, pending)
    this.router.signal({
      _tag: "Subscribe",
      subscriber: this,
      subscriptions: subscriptions.map((held) => [held.filter, held.subscription] as const),
      token
    })
  }

  unsubscribe(filters: ReadonlyArray<PlainFilter | SharedFilter>): void {
    this.router.signal({ _tag: "Unsubscribe", subscriber: this, filters })
  }

  askRetained(replay: Replay, limit: number): void {
    this.router.signal({ _tag: "RetainedRequest", subscriber: this, limit, ...replay })
  }

  memberAway(groups: ReadonlyArray<SharedGroup>): void {
    this.router.signal({ _tag: "MemberAway", subscriber: this, groups })
  }

  redispatch(group: SharedGroup, publications: ReadonlyArray<Publication>): void {
    this.router.signal({ _tag: "Redispatch", group, publications })
  }

  /** [MQTT-3.1.2-8]; its topic is judged again now, because permissions may have changed since CONNECT. */
  publishWill(will: Will): void {
    const { state } = this
    const { identity } = state
    const publish = () => {
      state.counters.messagesReceived++
      this.services.report({
        _tag: "WillPublished",
        tenant: identity.tenant,
        clientId: identity.clientId,
        topic: will.topic
      })
      const receivedAtMs = this.services.nowMs()
      this.router.signal(Publication.fromWill(will, { publisher: this, packetId: 0, receivedAtMs }))
    }
    const refuse = () =>
      this.refused({
        _tag: "PublishRefused",
        topic: will.topic,
        reasonCode: ReasonCode.NotAuthorized,
        reason: "the will may not be published to this topic"
      })
    if (refusalOfTopic(will.topic, state.settings) !== undefined) return refuse()
    // The tenant's fiber, not the actor's: the will outlives the session that left it.
    this.services.decideLater(state.permissions.publish(will.topic), (allowed) =>
      allowed ? publish() : refuse()
    )
  }

  decide(decisions: ReadonlyArray<Decision>): void {
    const { link } = this.state
    this.actor.spawn(this.services.settle(decisions), (exit) => ({
      _tag: "Decided",
      link,
      allowed: Exit.isSuccess(exit) ? exit.value : decisions.map(() => false)
    }))
  }

  authenticate(request: AuthRequest): void {
    const { identity, link } = this.state
    this.actor.spawn(this.services.authenticate(identity, request), (exit) => ({
      _tag: "Authenticated",
      link,
      step: Exit.isSuccess(exit) ? exit.value : authenticatorFailed
    }))
  }

  renewPermissions(): void {
    const { identity, link, permissions } = this.state
    this.actor.spawn(this.services.permissions(identity), (exit) => ({
      _tag: "Permitted",
      link,
      permissions: Exit.isSuccess(exit) ? exit.value : { ...permissions, publish: never, subscribe: never }
    }))
  }

  dropped(topic: string, reason: DropReason): void {
    const { state } = this
    const nowMs = this.services.nowMs()
    if (nowMs - state.dropReportedMs < DROP_REPORT_MS) return
    state.dropReportedMs = nowMs
    const { clientId, identity } = state
    this.services.report({ _tag: "MessageDropped", tenant: identity.tenant, clientId, topic, reason })
  }

  refused(refusal: Refusal): void {
    const { clientId, identity } = this.state
    const { reason, reasonCode, topic } = refusal
    const of = { tenant: identity.tenant, clientId, reasonCode, reason }
    const event: Event =
      refusal._tag === "PublishRefused"
        ? { _tag: "PublishRefused", topic, ...of }
        : { _tag: "SubscribeRefused", topicFilter: topic, ...of }
    this.services.report(event)
  }
}

const never = (): boolean => false

const authenticatorFailed: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator failed"
}

const bytesOf = (message: SessionMessage): number =>
  message._tag === "Delivery" ? message.publication.bytes : 0
