/**
 * The session actor: one session's state machine behind a mailbox, and the effects that the machine asks for.
 *
 * In: the client's packets (pulled from its link when it has some), deliveries and answers of the router, an
 * attachment when a client comes, its loss, the deadline, answers of services. Out: packets to the link,
 * publications and subscriptions to the router, word to the tenant when the session has ended.
 *
 * The client's packets are pulled, not pushed: while one waits for a decision or for room in the router, the
 * rest stay undecoded in the link and the socket is not read. The order of what a client sends is therefore
 * kept by itself.
 */

import type { Behaviour } from "../actor/Actor.ts"
import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { ClientPacket } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Delivery } from "../router/Subscriber.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import { attach } from "./attach.ts"
import { discardQueue, recordEnd } from "./durability.ts"
import { connectionLost, endSession, nextDueMs, onDeadline, onDisconnect } from "./expiry.ts"
import { heldSubscriptions } from "./held.ts"
import { forgetUnrouted, onPublish, onPublishDecided, onPublished, onPubrel } from "./inbound.ts"
import { Phase } from "./OutboundEntry.ts"
import { type Delivered, deliver, dropUnstored, onAck, pump } from "./outbound.ts"
import { onAuth, onAuthenticated } from "./reauthentication.ts"
import { letGo, onBacklogPage } from "./refill.ts"
import { onRetainedPage } from "./replay.ts"
import { restoreState } from "./restore.ts"
import type { Attach, ClientLink, LifecycleMessage, Lost, SessionMessage } from "./SessionMessage.ts"
import { type SessionOptions, SessionOutlet } from "./SessionOutlet.ts"
import { giveBack } from "./sharing.ts"
import { onSubscribe, onSubscribeDecided, onSubscribed, onUnsubscribe } from "./subscriptions.ts"

/**
 * Messages stop at `outboundBytesMax` of backlog; only what answers a client can bring it to this many times
 * that.
 */
const BACKLOG_FACTOR = 2

export class Session extends SessionOutlet implements Behaviour<SessionMessage> {
  private readonly wheel: DeadlineWheel
  private attaches = 0
  /** The connection has closed; that is dealt with when what it said before has been. */
  private departure: Lost | undefined
  /** A client that sends and does not receive is read no further: what we answer would grow without limit. */
  private isHeldBack = false
  private isAbandoned = false

  constructor(options: SessionOptions) {
    super(options)
    this.wheel = options.wheel
  }

  protected behaviour(): Behaviour<SessionMessage> {
    return this
  }

  /** It takes no messages any more. */
  get hasStopped(): boolean {
    return this.actor.stopped
  }

  /** The principal that the session belongs to: nobody else may take it up. */
  get principal(): string {
    return this.state.identity.principal
  }

  /** Of its last connection. */
  get epoch(): number {
    return this.state.epoch
  }

  /** For lifecycle messages, whose number others bound. */
  signal(message: SessionMessage): void {
    this.actor.signal(message)
  }

  /** The broker stops: what the session keeps is on record, and another broker goes on with it. */
  abandon(): void {
    this.isAbandoned = true
    this.stop()
  }

  /** The tenant takes the session out; nothing runs after this. */
  stop(): void {
    this.wheel.cancel(this)
    this.router.forget(this)
    this.unaccount()
    this.actor.stop()
  }

  turn(mail: Mailbox<SessionMessage>, budget: number): number {
    const nowMs = this.services.nowMs()
    let spent = 0
    while (spent < budget) {
      const message = mail.take()
      if (message === undefined) break
      spent += this.handle(message, nowMs, budget - spent)
    }
    this.commit()
    this.account()
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
      this.unsubscribe(heldSubscriptions(state).map((held) => held.filter))
    }
    this.wheel.cancel(this)
    recordEnd(state, this)
    discardQueue(state)
    this.commit()
    this.account()
    this.services.report({
      _tag: "ActorDefect",
      actor: `session ${state.clientId}`,
      tenant: state.identity.tenant,
      defect
    })
    this.services.failed(this)
  }

  onDropped(message: SessionMessage): void {
    if (message._tag === "Attach") {
      message.link.close({
        reasonCode: ReasonCode.UnspecifiedError,
        reason: "the server failed to handle this session"
      })
    }
    if (message._tag !== "Delivery") return
    const { isHeld, options, publication } = message
    if (this.isAbandoned) {
      // Its copy is not made, so nothing of the message may count as stored.
      if (isHeld) publication.settle(false)
      return
    }
    // Others of the group may still be there.
    if (options.group !== undefined) this.redispatch(options.group, [publication])
    if (message.isExpected) publication.contributed()
    // The copy of a session that has ended need not be stored.
    if (isHeld) publication.settle(true)
  }

  /** Takes up what a store has kept. Called once, before anything else happens to the session. */
  restore(stored: StoredSession): void {
    const { state } = this
    restoreState(state, stored, this)
    this.account()
    this.resubscribe()
    if (stored.isConnected) this.actor.signal({ _tag: "Orphaned" })
    this.arm()
  }

  private handle(message: SessionMessage, nowMs: number, budget: number): number {
    const { state } = this
    switch (message._tag) {
      case "Delivery":
        this.take(message, nowMs)
        return 1
      case "Readable":
        return message.link === state.link ? this.read(nowMs, budget) : 1
      case "Published":
        onPublished(state, message, this)
        return this.read(nowMs, budget)
      case "Drained":
        return message.link === state.link ? this.drained(nowMs, budget) : 1
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
      case "Stored":
        this.settleStored(nowMs)
        return 1
      default:
        return this.handleLifecycle(message, nowMs, budget)
    }
  }

  private handleLifecycle(message: LifecycleMessage, nowMs: number, budget: number): number {
    const { state } = this
    switch (message._tag) {
      case "Attach":
        this.attach(message, nowMs)
        break
      case "Lost":
        if (message.link !== state.link) break
        if (message.isByPeer) {
          this.departure = message
          return this.read(nowMs, budget)
        }
        this.lose(message.withWill, nowMs)
        break
      case "BacklogPage":
        onBacklogPage(state, message, nowMs, this)
        return 1 + (message.deliveries?.length ?? 0)
      case "StorageRelieved":
        if (state.parked?._tag !== "Storage") break
        state.parked = undefined
        // It could not show that it is there while we did not read.
        state.lastPacketMs = nowMs
        return this.read(nowMs, budget)
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
        this.purge(nowMs)
        break
      case "Orphaned":
        // The broker ended without its clients having left: they are lost now, wills and all.
        if (!this.isConnected) this.lose(true, nowMs)
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

  private take(delivery: Delivery, nowMs: number): void {
    const { isExpected, isHeld, publication } = delivery
    const { state } = this
    const position = state.queue?.nextPosition ?? 0
    let delivered: Delivered | undefined
    try {
      delivered = deliver(state, delivery, nowMs, this)
    } finally {
      // Also by one that fails: units of later messages wait for this one's, and its publisher for its word.
      if (isExpected) publication.contributed()
      const isQueued = (state.queue?.nextPosition ?? 0) > position
      if (delivered === undefined && isHeld && !isQueued) publication.settle(true)
    }
    // What the queue has taken is settled when that is stored or acknowledged.
    if (!isHeld || delivered === "kept") return
    if (delivered === "done") this.settleAfterCommit(publication)
    else publication.settle(false)
  }

  /** Messages have come onto the record: QoS 2 may be sent, and what is not to be sent now let go. */
  private settleStored(nowMs: number): void {
    const { state } = this
    for (const entry of this.takeUnstored()) {
      if (entry.phase !== Phase.Gone) dropUnstored(state, entry, this)
    }
    letGo(state)
    pump(state, nowMs, this)
  }

  /** The client has taken bytes: there is room to send, and perhaps to read again. */
  private drained(nowMs: number, budget: number): number {
    pump(this.state, nowMs, this)
    if (!this.isHeldBack) return 1
    // It could not show that it is there while we did not read.
    this.isHeldBack = false
    this.state.lastPacketMs = nowMs
    return this.read(nowMs, budget)
  }

  /**
   * Pulls packets from the link until there are none, one is parked, the answers pile up, or the budget is
   * spent.
   */
  private read(nowMs: number, budget: number): number {
    const { state } = this
    const link = state.link as ClientLink | undefined
    if (link === undefined) return 1
    let spent = 0
    this.waitForStorage()
    try {
      while (state.parked === undefined && state.link === link) {
        if (spent >= budget) {
          this.actor.signal({ _tag: "Readable", link })
          return spent
        }
        if (link.backlogBytes > BACKLOG_FACTOR * state.settings.outboundBytesMax) {
          this.isHeldBack = true
          break
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
    this.depart(nowMs)
    return Math.max(1, spent)
  }

  /** Nobody is read while more waits to be stored than should: what comes in would only add to it. */
  private waitForStorage(): void {
    const { state } = this
    const { journal } = this.services
    if (state.parked !== undefined || journal.status() !== "congested") return
    state.parked = { _tag: "Storage" }
    journal.whenRelieved(() => this.actor.signal({ _tag: "StorageRelieved" }))
  }

  /** A DISCONNECT among the last packets ends the connection in order; else it was lost. */
  private depart(nowMs: number): void {
    const { departure, state } = this
    if (departure === undefined || state.parked !== undefined) return
    this.departure = undefined
    if (departure.link === state.link) this.lose(departure.withWill, nowMs)
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
    // What ended the connection that was taken over is told by the event above.
    this.ending = undefined
    link.attached(this)
  }

  /** The connection is gone without a DISCONNECT from the client. */
  private lose(withWill: boolean, nowMs: number): void {
    connectionLost(this.state, { withWill, isTakenOver: false }, nowMs, this)
    this.left(ReasonCode.UnspecifiedError, "the connection ended", nowMs)
  }

  /** Its will goes out, as of any session that ends. */
  private purge(nowMs: number): void {
    const { state } = this
    const reason = "the session was deleted"
    const { clientId, identity } = state
    if (this.isConnected) {
      this.close({ reasonCode: ReasonCode.AdministrativeAction, reason })
      connectionLost(state, { withWill: true, isTakenOver: false }, nowMs, this)
      const reasonCode = ReasonCode.AdministrativeAction
      this.services.report({
        _tag: "ClientDisconnected",
        tenant: identity.tenant,
        clientId,
        by: "server",
        reasonCode,
        reason
      })
    }
    endSession(state, this)
    this.end("purged")
  }

  private left(reasonCode: number, reason: string, nowMs: number): void {
    const { ending } = this
    const { clientId, identity } = this.state
    this.ending = undefined
    this.services.report({
      _tag: "ClientDisconnected",
      tenant: identity.tenant,
      clientId,
      by: ending === undefined ? "client" : "server",
      reasonCode: ending?.reasonCode ?? reasonCode,
      reason: ending?.reason ?? reason
    })
    if (onDeadline(this.state, nowMs, this)) this.end("ended with its connection")
  }

  private end(reason: string): void {
    const { clientId, identity } = this.state
    this.services.report({ _tag: "SessionEnded", tenant: identity.tenant, clientId, reason })
    this.services.ended(this, this.attaches)
  }

  /**
   * The router lost the subscriptions, and with them the SUBACKs that it owed: those clients are being
   * closed.
   */
  private resubscribe(): void {
    this.pending = undefined
    this.state.ghosts = 0
    forgetUnrouted(this.state, this)
    const held = heldSubscriptions(this.state)
    if (held.length === 0) return
    this.router.signal({
      _tag: "Subscribe",
      subscriber: this,
      subscriptions: held.map((each) => [each.filter, each.subscription] as const),
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
    const awaited = this.pending?.get(token)
    if (awaited === undefined) return
    if (!awaited.isStored) {
      awaited.hasRetained = hasRetained
      return
    }
    this.pending?.delete(token)
    onSubscribed(this.state, awaited.pending, hasRetained, this)
  }

  /** One deadline for all that the session waits for; one that comes early just looks again. */
  private arm(): void {
    const due = nextDueMs(this.state)
    if (due === 0) this.wheel.cancel(this)
    else if (!this.scheduled || this.atMs > due) this.wheel.schedule(this, due)
  }
}
