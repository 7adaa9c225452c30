/**
 * The life of a session: taken up from a store, attached to, lost, left, deleted, failed, and taken out in
 * the end; with the deadline that brings it about when nobody else does.
 *
 * What the state makes of each is in `attach.ts` and `expiry.ts`. Here it is told to others: events, the
 * router, the wheel, and the tenant, who alone takes a session out.
 */

import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { Cause } from "../events/Cause.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import { attach } from "./attach.ts"
import { discardQueue, recordEnd } from "./durability.ts"
import { connectionLost, endSession, nextDueMs, onDeadline } from "./expiry.ts"
import { heldSubscriptions } from "./held.ts"
import { forgetUnrouted } from "./inbound.ts"
import type { Ending } from "./Link.ts"
import { restoreState } from "./restore.ts"
import type { SessionOptions } from "./SessionHandle.ts"
import type { Attach, SessionMessage } from "./SessionMessage.ts"
import { SessionOutlet } from "./SessionOutlet.ts"
import { tracedLost } from "./tracing.ts"

export abstract class SessionLife extends SessionOutlet {
  private readonly wheel: DeadlineWheel
  private attaches = 0
  private isAbandoned = false

  constructor(options: SessionOptions) {
    super(options)
    this.wheel = options.wheel
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

  protected attach(message: Attach, nowMs: number): void {
    const { identity, link } = message
    const { state } = this
    this.attaches++
    state.account.arrived()
    const hadSession = state.isStored
    if (state.link !== undefined) {
      link.traced?.event("took over")
      const { clientId, peer, tenant } = identity
      this.services.report({ _tag: "SessionTakenOver", tenant, clientId, byAddress: peer.address })
    }
    const { sessionPresent } = attach(state, message, nowMs, this)
    state.counters.connectsAccepted++
    if (hadSession && !sessionPresent) this.tellEnded("discarded by a clean start, or expired")
    this.tellConnected(message, sessionPresent)
    // What ended the connection that was taken over is told by the event above.
    this.ending = undefined
    link.attached(this.self())
  }

  /** The connection is gone without a DISCONNECT from the client. */
  protected lose(isShutdown: boolean, nowMs: number): void {
    const withWill = !isShutdown || this.state.settings.willsAtShutdown === "publish"
    connectionLost(this.state, { withWill, isTakenOver: false }, nowMs, this)
    this.left("connection-lost", ReasonCode.UnspecifiedError, "the connection ended", nowMs)
  }

  /** Unless we have closed it, the client has left: for that cause. */
  protected left(cause: Cause, reasonCode: number, reason: string, nowMs: number): void {
    const { ending } = this
    this.ending = undefined
    this.tellDrops(true)
    if (ending === undefined) this.tellLeft(cause, reasonCode, reason)
    else this.tellClosed(ending)
    if (onDeadline(this.state, nowMs, this)) this.end("ended with its connection")
  }

  /** The session is deleted, whoever is connected to it. */
  protected purge(withWill: boolean, nowMs: number): void {
    const { state } = this
    if (!withWill) state.will = undefined
    if (this.isConnected) {
      const ending = { reasonCode: ReasonCode.AdministrativeAction, reason: "the session was deleted" }
      this.close(ending)
      connectionLost(state, { withWill: true, isTakenOver: false }, nowMs, this)
      this.tellClosed(ending)
    }
    endSession(state, this)
    this.end("purged")
  }

  protected end(reason: string): void {
    this.tellEnded(reason)
    this.services.ended(this.self(), this.attaches)
  }

  /**
   * The router lost the subscriptions, and with them the SUBACKs that it owed: those clients are being
   * closed.
   */
  protected resubscribe(): void {
    this.forgetAwaited()
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

  /** The broker stops: what the session keeps is on record, and another broker goes on with it. */
  abandon(): void {
    this.isAbandoned = true
    this.stop()
  }

  /** The same for one of which nothing is to be left: its client is told, and its will is not published. */
  expel(ending: Ending): void {
    const { link } = this.state
    this.abandon()
    if (link === undefined) return
    link.close(ending)
    this.tellClosed(ending)
  }

  /** The tenant takes the session out; nothing runs after this. */
  stop(): void {
    this.wheel.cancel(this)
    this.router.forget(this)
    this.state.quota?.forget(this, this.services.nowMs())
    this.state.account.close()
    if (this.tracing !== undefined) this.endTraces()
    this.actor.stop()
  }

  /** Nothing more comes of what was under way. */
  private endTraces(): void {
    tracedLost(this.state)
    this.forgetAwaited()
  }

  /** One deadline for all that the session waits for; one that comes early just looks again. */
  protected arm(): void {
    const due = nextDueMs(this.state)
    if (due === 0) this.wheel.cancel(this)
    else if (!this.scheduled || this.atMs > due) this.wheel.schedule(this, due)
  }

  onDefect(defect: unknown): void {
    const { state } = this
    state.link?.close({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the server failed to handle this session"
    })
    if (state.subscriptions !== undefined) {
      const filters = heldSubscriptions(state).map((held) => held.filter)
      this.router.signal({ _tag: "Unsubscribe", subscriber: this, filters, token: 0 })
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
    if (this.tracing !== undefined) this.endTraces()
    this.services.failed(this.self())
  }

  onDropped(message: SessionMessage): void {
    if (message._tag === "Attach") {
      message.link.close({
        reasonCode: ReasonCode.UnspecifiedError,
        reason: "the server failed to handle this session"
      })
    }
    if (message._tag === "Inspect" || message._tag === "Survey") return message.reply(undefined)
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
}
