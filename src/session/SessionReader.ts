/**
 * What a session reads from its client.
 *
 * The client's packets are pulled, not pushed: while one waits for a decision or for room in the router, the
 * rest stay undecoded in the link and the socket is not read. The order of what a client sends is therefore
 * kept by itself. So is its place before the end: what arrived before a connection closed is read first.
 */

import { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { ClientPacket } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { PublishVerdict, SubscribeVerdict, UnsubscribeVerdict } from "../tenant/policy/Verdict.ts"
import { onDisconnect } from "./expiry.ts"
import { onPublish, onPublishDecided, onPublishScreened, onPubrel } from "./inbound.ts"
import { onAck, pump } from "./outbound.ts"
import { onAuth } from "./reauthentication.ts"
import { SessionLife } from "./SessionLife.ts"
import type { ClientLink, Lost } from "./SessionMessage.ts"
import { screenedSubscribe, screenedUnsubscribe } from "./screenedFilters.ts"
import { noteProgress } from "./stall.ts"
import {
  onSubscribe,
  onSubscribeDecided,
  onSubscribeScreened,
  onUnsubscribe,
  onUnsubscribeScreened
} from "./subscriptions.ts"
import { isRated, mayTake, takeThrottled } from "./throttle.ts"

/**
 * Messages stop at `outboundBytesMax` of backlog; only what answers a client can bring it to this many times
 * that.
 */
const BACKLOG_FACTOR = 2

/**
 * Filters of SUBSCRIBE and UNSUBSCRIBE that a session may have on their way through the router, give or take
 * a packet: they are not refused there, so a client that loops over the two would fill its mailbox.
 */
const FILTERS_UNDER_WAY = 256

export abstract class SessionReader extends SessionLife {
  /** The connection has closed; that is dealt with when what it said before has been. */
  protected departure: Lost | undefined
  /** A client that sends and does not receive is read no further: what we answer would grow without limit. */
  private isHeldBack = false
  /** There is more to be read, in another turn. */
  protected hasYielded = false

  /**
   * Pulls packets from the link until there are none, one is parked, the answers pile up, or the budget is
   * spent.
   */
  protected read(nowMs: number, budget: number): number {
    const { state } = this
    const link = state.link as ClientLink | undefined
    if (link === undefined) return 1
    const most = state.quota?.isFanoutTight(nowMs) === true ? 1 : budget
    let spent = 0
    this.waitForStorage()
    try {
      while (state.parked === undefined && state.link === link) {
        if (this.filtersUnderWay >= FILTERS_UNDER_WAY) {
          state.parked = { _tag: "Filters" }
          break
        }
        if (spent >= most) {
          this.hasYielded = true
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
      this.close({ reasonCode: error.reasonCode, reason: error.message, clause: error.clause })
    }
    this.depart(nowMs)
    return Math.max(1, spent)
  }

  /** The router has taken filters in or out: what the client sent behind them can be read again. */
  protected readBehindFilters(nowMs: number, budget: number): number {
    const { state } = this
    if (state.parked?._tag !== "Filters" || this.filtersUnderWay >= FILTERS_UNDER_WAY) return 1
    state.parked = undefined
    // It could not show that it is there while we did not read.
    state.lastPacketMs = nowMs
    return this.read(nowMs, budget)
  }

  /** The client has taken bytes: there is room to send, and perhaps to read again. */
  protected drained(nowMs: number, budget: number): number {
    noteProgress(this.state, nowMs)
    pump(this.state, nowMs, this)
    if (!this.isHeldBack) return 1
    // It could not show that it is there while we did not read.
    this.isHeldBack = false
    this.state.lastPacketMs = nowMs
    return this.read(nowMs, budget)
  }

  /** Nobody is read while more waits to be stored than should: what comes in would only add to it. */
  private waitForStorage(): void {
    const { state } = this
    const { journal } = this.services
    const { tenant } = state.identity
    if (state.parked !== undefined || journal.status(tenant) !== "congested") return
    state.parked = { _tag: "Storage" }
    journal.whenRelieved(() => this.actor.signal({ _tag: "StorageRelieved" }), tenant)
  }

  /** A DISCONNECT among the last packets ends the connection in order; else it was lost. */
  private depart(nowMs: number): void {
    if (this.departure !== undefined && this.state.parked === undefined) this.departNow(nowMs)
  }

  /** The same whatever is left to be read. */
  protected departNow(nowMs: number): void {
    const { departure, state } = this
    this.departure = undefined
    state.departsAtMs = 0
    if (departure === undefined) return
    if (departure.link === state.link) this.lose(departure.isShutdown, nowMs)
  }

  private receive(packet: ClientPacket, nowMs: number): void {
    const { state } = this
    if (state.quota?.limitsInbound === true && isRated(packet) && !mayTake(state, packet, nowMs, this)) return
    this.dealWith(packet, nowMs)
  }

  /** The packet that waited for its rates is taken, if it may be. */
  protected takeThrottled(nowMs: number): void {
    const packet = takeThrottled(this.state, nowMs, this)
    if (packet === undefined) return
    // It could not show that it is there while we did not read.
    this.state.lastPacketMs = nowMs
    this.dealWith(packet, nowMs)
  }

  private dealWith(packet: ClientPacket, nowMs: number): void {
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
        if (state.settings.debugEvents) this.tell({ _tag: "PingReceived" })
        // [MQTT-3.12.4-1]
        return this.send({ _tag: "Pingresp" })
      case "Disconnect":
        onDisconnect(state, packet, nowMs, this)
        if (!this.isConnected)
          this.left("client-disconnected", packet.reasonCode, "the client disconnected", nowMs)
        return
      case "Auth":
        return onAuth(state, packet, this)
      case "Connect":
        // [MQTT-3.1.0-2]; the decoder refuses a second CONNECT, so this one cannot come
        return this.close({ reasonCode: ReasonCode.ProtocolError, reason: "a second CONNECT [MQTT-3.1.0-2]" })
    }
  }

  /** The packet that was parked for decisions goes on with them. */
  protected proceed(allowed: ReadonlyArray<boolean>, nowMs: number): void {
    const { state } = this
    const parked = state.parked
    state.parked = undefined
    if (parked?._tag === "Publish") onPublishDecided(state, parked, allowed[0] === true, nowMs, this)
    else if (parked?._tag === "Subscribe") onSubscribeDecided(state, parked.packet, allowed, this)
  }

  /** The packet that was parked for the policy goes on with what that says. */
  protected proceedScreened(verdicts: ReadonlyArray<PublishVerdict | SubscribeVerdict>, nowMs: number): void {
    const { state } = this
    const { parked } = state
    state.parked = undefined
    switch (parked?._tag) {
      case "PublishPolicy": {
        const verdict = verdicts[0] as PublishVerdict
        return onPublishScreened(state, parked, verdict, nowMs, this)
      }
      case "SubscribePolicy": {
        const screened = screenedSubscribe(state, parked.packet, verdicts as ReadonlyArray<SubscribeVerdict>)
        return onSubscribeScreened(state, screened, this)
      }
      case "UnsubscribePolicy": {
        const screened = screenedUnsubscribe(parked.packet, verdicts as ReadonlyArray<UnsubscribeVerdict>)
        return onUnsubscribeScreened(state, screened, this)
      }
    }
  }
}
