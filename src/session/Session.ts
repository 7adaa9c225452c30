/**
 * The session actor: one session's state machine behind a mailbox, and the effects that the machine asks for.
 *
 * In: the client's packets (pulled from its link when it has some), deliveries and answers of the router, an
 * attachment when a client comes, its loss, the deadline, answers of services. Out: packets to the link,
 * publications and subscriptions to the router, word to the tenant when the session has ended.
 *
 * Here are its turns: what each message of the mailbox leads to. The classes below it, each on top of the
 * next: `SessionReader` (the client's packets), `SessionLife` (from attachment to end), `SessionOutlet` (the
 * machine's effects), `SessionRecorder` (what goes on record), `SessionReporter` (what becomes an event),
 * `SessionHandle` (what others hold).
 */

import type { Behaviour } from "../actor/Actor.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import type { Delivery } from "../router/Subscriber.ts"
import type { Gate } from "../tenant/quota/Gate.ts"
import { onDeadline } from "./expiry.ts"
import { onPublished } from "./inbound.ts"
import { Phase } from "./OutboundEntry.ts"
import { type Delivered, deliver, dropUnstored, pump } from "./outbound.ts"
import { onAuthenticated } from "./reauthentication.ts"
import { letGo, onBacklogPage } from "./refill.ts"
import { onJudged, onPermissions } from "./rejudge.ts"
import { onRetainedPage } from "./replay.ts"
import { resume } from "./resume.ts"
import type { ClientLink, LifecycleMessage, Lost, SessionMessage } from "./SessionMessage.ts"
import { SessionReader } from "./SessionReader.ts"
import { onDeliveryVerdict } from "./screenedDelivery.ts"
import { giveBack } from "./sharing.ts"
import { watchStall } from "./stall.ts"
import { surveyOf } from "./survey.ts"
import { throttledUntilMs } from "./throttle.ts"
import { viewOf } from "./view.ts"

/** What is read when a rate allows it; the rest has a turn of its own. */
const READ_AT_DEADLINE = 64
/**
 * How long what a client sent before it left may wait for rates. What is left then has not been acknowledged;
 * its will does not wait for longer.
 */
const DEPARTURE_MS = 60_000

export class Session extends SessionReader implements Behaviour<SessionMessage> {
  protected self(): Session {
    return this
  }

  turn(mail: Mailbox<SessionMessage>, budget: number): number {
    const nowMs = this.services.nowMs()
    const { counters } = this.state
    const sentBefore = counters.messagesSent
    let spent = 0
    this.hasYielded = false
    while (spent < budget && !this.hasYielded) {
      const message = mail.take()
      if (message === undefined) break
      spent += this.handle(message, nowMs, budget - spent)
    }
    this.commit()
    this.account()
    this.tellDrops(false)
    watchStall(this.state, nowMs)
    this.arm()
    // One word of a client that there is room, or that it is back, may send a thousand messages off.
    return Math.max(1, spent, counters.messagesSent - sentBefore)
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
        onPublished(state, message, nowMs, this)
        return this.read(nowMs, budget)
      case "Drained":
        return message.link === state.link ? this.drained(nowMs, budget) : 1
      case "RetainedPage":
        this.payReplay(message, nowMs)
        onRetainedPage(state, message, nowMs, this)
        return 1 + message.publications.length
      case "Subscribed":
        this.acknowledgeSubscribe(message.token, message.answer)
        return this.readBehindFilters(nowMs, budget)
      case "Unsubscribed":
        this.acknowledgeUnsubscribe(message.token)
        return this.readBehindFilters(nowMs, budget)
      case "RouterHasRoom":
        if (state.parked?._tag === "Room" && this.router.publish(state.parked.publication))
          state.parked = undefined
        return this.read(nowMs, budget)
      case "Decided":
        if (message.link === state.link) this.proceed(message.allowed, nowMs)
        return this.read(nowMs, budget)
      case "PolicyAnswered":
        if (message.link === state.link) this.proceedScreened(message.verdicts, nowMs)
        return this.read(nowMs, budget)
      case "DeliveryJudged":
        if (message.link === state.link) onDeliveryVerdict(state, message, () => pump(state, nowMs, this))
        return 1
      case "MayPass":
        return this.pass(message.gate, nowMs, budget)
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
        return message.link === state.link ? this.lost(message, nowMs, budget) : 1
      case "BacklogPage":
        onBacklogPage(state, message, nowMs, this)
        return 1 + (message.deliveries?.length ?? 0)
      case "StorageRelieved":
        if (state.parked?._tag !== "Storage") break
        state.parked = undefined
        // It could not show that it is there while we did not read.
        state.lastPacketMs = nowMs
        return this.read(nowMs, budget)
      case "Greeted":
        if (message.link !== state.link || state.parked?._tag !== "Connack") break
        state.parked = undefined
        state.lastPacketMs = nowMs
        resume(state, nowMs, this)
        return this.read(nowMs, budget)
      case "Reclaim":
        if (!this.isConnected) giveBack(state, message.group, this)
        break
      case "Authenticated":
        if (message.link === state.link) onAuthenticated(state, message.step, this)
        break
      case "Permitted":
        // Who has connected since was asked about anew.
        if (message.identity === state.identity) onPermissions(state, message.permissions, nowMs, this)
        break
      case "Judged":
        onJudged(state, message, nowMs, this)
        break
      case "Close":
        if (message.covers?.(state.identity) !== false) this.close(message.ending)
        break
      case "Purge":
        this.purge(message.withWill, nowMs)
        break
      case "Inspect":
        message.reply(viewOf(state, message.inquiry, this.actor.mailLength))
        break
      case "Survey":
        message.reply(surveyOf(state))
        break
      case "Follow":
        ;(state.link as ClientLink | undefined)?.follow(message.tap)
        break
      case "Orphaned":
        // The broker ended without its clients having left: they are lost now, wills and all.
        if (!this.isConnected) this.lose(false, nowMs)
        break
      case "SettingsChanged":
        // It passed the limits of before.
        state.judgedTopic = undefined
        state.screenedTopic = undefined
        break
      case "Resubscribe":
        this.resubscribe()
        break
      case "Deadline":
        this.goOn(nowMs)
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

  private lost(message: Lost, nowMs: number, budget: number): number {
    if (message.isByPeer) {
      this.departure = message
      this.state.departsAtMs = nowMs + DEPARTURE_MS
      return this.read(nowMs, budget)
    }
    this.ending ??= message.ending
    this.lose(message.isShutdown, nowMs)
    return 1
  }

  /** It is the session's turn at a gate of its tenant: for a packet, or for something to be sent. */
  private pass(gate: Gate, nowMs: number, budget: number): number {
    const { quota } = this.state
    if (gate === quota?.replaying) this.askDelayed(gate, nowMs)
    else if (gate === quota?.sending) {
      pump(this.state, nowMs, this)
      gate.release(this, nowMs)
    } else {
      this.takeThrottled(nowMs)
      gate.release(this, nowMs)
      return this.read(nowMs, budget)
    }
    return 1
  }

  /** What waited for the connection's own rates goes on, if it is time. */
  private goOn(nowMs: number): void {
    const { state } = this
    const untilMs = throttledUntilMs(state)
    if (untilMs !== 0 && untilMs <= nowMs) {
      this.takeThrottled(nowMs)
      this.read(nowMs, READ_AT_DEADLINE)
    }
    if (state.sendsAtMs !== 0 && state.sendsAtMs <= nowMs) {
      pump(state, nowMs, this)
      // Nothing waits any more, or there is no rate.
      if (state.sendsAtMs < nowMs) state.sendsAtMs = 0
    }
    if (state.departsAtMs !== 0 && state.departsAtMs <= nowMs) this.departNow(nowMs)
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
}
