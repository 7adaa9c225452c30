/**
 * A session as others hold it: the router as a subscriber and publisher, the wheel as a deadline, the tenant
 * by its name.
 *
 * Owns the actor and the bounds of its mailbox. What others say is put into that mailbox, what they may read
 * without asking is read from the state; nothing here steps the state.
 */

import { Actor, type ForkChild } from "../actor/Actor.ts"
import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { MailboxLimits } from "../actor/Mailbox.ts"
import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { DropReason } from "../events/Event.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import type { Router } from "../router/Router.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { DeliveryOptions, RetainedPage } from "../router/Subscriber.ts"
import type { Gate } from "../tenant/quota/Gate.ts"
import type { SharedFilter } from "../topic/TopicFilter.ts"
import type { Link } from "./Link.ts"
import type { Session } from "./Session.ts"
import type { SessionMessage } from "./SessionMessage.ts"
import type { SessionServices } from "./SessionServices.ts"
import type { SessionState } from "./SessionState.ts"

/**
 * Deliveries that may wait in the mailbox: QoS 0 up to the first number, QoS 1 and 2 up to the second. Their
 * bytes are shared with all who get the message; the router may hand out 64 MB of them in one turn.
 */
const MAIL_QOS0_MAX = 16_384
const MAIL_MAX = 65_536
const MAIL_BYTES_MAX = 128 * 1024 * 1024

export interface SessionOptions {
  readonly state: SessionState
  readonly runQueue: RunQueue
  readonly wheel: DeadlineWheel
  readonly fork: ForkChild
  readonly router: Router
  readonly services: SessionServices
}

export abstract class SessionHandle extends Deadline {
  protected readonly state: SessionState
  protected readonly actor: Actor<SessionMessage>
  protected readonly router: Router
  protected readonly services: SessionServices

  constructor(options: SessionOptions) {
    super()
    this.state = options.state
    this.router = options.router
    this.services = options.services
    this.actor = new Actor({
      runQueue: options.runQueue,
      fork: options.fork,
      behaviour: this.self(),
      limits
    })
  }

  /** The whole of it: the actor's behaviour, and what the link and the tenant get to hold. */
  protected abstract self(): Session

  get clientId(): string {
    return this.state.clientId
  }

  /** The principal that the session belongs to: nobody else may take it up. */
  get principal(): string {
    return this.state.identity.principal
  }

  /** Messages that wait for its client or for what acknowledges them, and subscriptions. */
  get holdings(): { readonly messages: number; readonly subscriptions: number } {
    const { backlog, queue, subscriptions } = this.state
    return { messages: (queue?.size ?? 0) + (backlog?.size ?? 0), subscriptions: subscriptions?.size ?? 0 }
  }

  /** What its client may do, by what is known now. */
  get permissions(): Permissions {
    return this.state.permissions
  }

  /** Of its last connection. */
  get epoch(): number {
    return this.state.epoch
  }

  /** Nobody is connected, and nobody is about to be: its mailbox is empty. */
  get isIdle(): boolean {
    return this.state.link === undefined && this.actor.mailLength === 0
  }

  /** Nothing is in its mailbox that could change it. */
  get isSettled(): boolean {
    return this.actor.mailLength === 0
  }

  get link(): Link | undefined {
    return this.state.link
  }

  /** Whose connection it is, or was last. */
  get identity(): Identity {
    return this.state.identity
  }

  get isConnected(): boolean {
    return this.state.link !== undefined
  }

  get isKeeping(): boolean {
    return this.state.keepsState
  }

  get inflight(): number {
    const { backlog, queue } = this.state
    return (queue?.size ?? 0) + (backlog?.size ?? 0) + this.actor.mailLength
  }

  /** It takes no messages any more. */
  get hasStopped(): boolean {
    return this.actor.stopped
  }

  /** Whether a client is there or on its way, and whether the session outlives its connection. */
  get presence(): { readonly isPresent: boolean; readonly isPersistent: boolean } {
    return this.state.account.presence
  }

  /** A client has been let in and its attachment is on its way. */
  expect(isPersistent: boolean): void {
    this.state.account.expect(this.state, isPersistent)
  }

  /** For lifecycle messages, whose number others bound. */
  signal(message: SessionMessage): void {
    this.actor.signal(message)
  }

  onDeadline(): void {
    this.actor.signal({ _tag: "Deadline" })
  }

  deliver(publication: Publication, options: DeliveryOptions): boolean {
    const isHeld = this.isKeeping && publication.qos > 0
    const isExpected = isHeld && publication.gathering !== undefined
    const isTaken =
      (publication.qos > 0 || this.actor.mailLength < MAIL_QOS0_MAX) &&
      this.actor.tell({ _tag: "Delivery", publication, options, isHeld, isExpected })
    if (!isTaken) this.dropped(publication.topic.name, "mailbox-full", publication.qos)
    else if (isHeld) {
      publication.hold()
      if (isExpected) publication.gathering?.expect()
    }
    return isTaken
  }

  published({ epoch, packetId, receivedAtMs }: Publication, reasonCode: ReasonCode): void {
    this.actor.signal({ _tag: "Published", packetId, epoch, receivedAtMs, reasonCode })
  }

  routerHasRoom(): void {
    this.actor.signal({ _tag: "RouterHasRoom" })
  }

  subscribed(token: number, hasRetained: boolean, refused: ReadonlyArray<SharedFilter>): void {
    this.actor.signal({ _tag: "Subscribed", token, answer: { hasRetained, refused } })
  }

  unsubscribed(token: number): void {
    this.actor.signal({ _tag: "Unsubscribed", token })
  }

  retainedPage(page: RetainedPage): void {
    this.actor.signal(page)
  }

  mayPass(gate: Gate): void {
    this.actor.signal({ _tag: "MayPass", gate })
  }

  reclaim(group: SharedGroup): void {
    this.actor.signal({ _tag: "Reclaim", group })
  }

  /** Tells that a message did not reach the client. */
  abstract dropped(topic: string, reason: DropReason, qos: number): void
}

const bytesOf = (message: SessionMessage): number =>
  message._tag === "Delivery" ? message.publication.bytes : 0

/** One object for all sessions. */
const limits: MailboxLimits<SessionMessage> = { countMax: MAIL_MAX, bytesMax: MAIL_BYTES_MAX, bytesOf }
