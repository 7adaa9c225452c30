/**
 * How connections and sessions end: DISCONNECT, a lost connection, the will and its delay, Keep Alive,
 * session expiry.
 *
 * Everything that is due at an instant is one number of the state; `nextDueMs` is the earliest and the
 * actor's single deadline. A deadline that fires early because something was postponed since just asks again.
 */

import type { Disconnect } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { EndRecord, WillDoneRecord } from "../storage/DurableRecord.ts"
import { NEVER_EXPIRES } from "../tenant/TenantSettings.ts"
import { discardQueue, lastRecord, recordDetach, recordEnd, willRecord } from "./durability.ts"
import { dropSubscriptions, heldSubscriptions } from "./held.ts"
import { forgetReceived } from "./inbound.ts"
import { letGo } from "./refill.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { giveBack, sharedGroupsOf } from "./sharing.ts"
import { stallDueMs, tellStall } from "./stall.ts"
import { grantedExpiry, offlineTerms } from "./terms.ts"
import { throttledUntilMs } from "./throttle.ts"
import { stopSending } from "./throttleSending.ts"
import { tracedLost } from "./tracing.ts"

/** A DISCONNECT from the client. The connection then closes without another word. [MQTT-3.14.4-2] */
export const onDisconnect = (
  state: SessionState,
  packet: Disconnect,
  nowMs: number,
  out: SessionOutputs
): void => {
  const interval = packet.properties.sessionExpiryInterval
  if (interval !== undefined) {
    if (state.terms.expiryWasZero && interval !== 0) {
      // (5.0, section 3.14.2.2.2)
      return out.close({
        reasonCode: ReasonCode.ProtocolError,
        reason: "DISCONNECT may not raise a Session Expiry Interval of 0 [3.14.2.2.2]"
      })
    }
    state.expiryInterval = grantedExpiry(interval, state.settings)
  }
  // [MQTT-3.14.4-3] [v3 MQTT-3.14.4-3]
  if (packet.reasonCode === ReasonCode.NormalDisconnection) state.will = undefined
  const { link } = state
  connectionLost(state, { withWill: true, isTakenOver: false }, nowMs, out)
  link?.close({ reasonCode: ReasonCode.Success, reason: "the client disconnected" })
}

export interface Loss {
  /** False when the broker shuts down and is told to suppress wills. */
  readonly withWill: boolean
  /** Another connection goes on with the session at once: a delayed will is then not sent. */
  readonly isTakenOver: boolean
}

/** The session has no connection any more, for whatever reason. */
export const connectionLost = (state: SessionState, loss: Loss, nowMs: number, out: SessionOutputs): void => {
  const groups = sharedGroupsOf(state)
  if (out.tracing !== undefined) tracedLost(state)
  // It never reached the router: the client has no PUBREC and sends it again.
  if (state.parked?._tag === "Room") forgetReceived(state, state.parked.publication.packetId, out)
  state.link = undefined
  state.terms = offlineTerms
  state.parked = undefined
  state.departsAtMs = 0
  stopSending(state, nowMs, out)
  state.unacknowledged = 0
  state.isWithheld = false
  if (state.expiryInterval === 0) state.replays = undefined
  state.replayAsked = false
  state.ledger = undefined
  state.refusals = undefined
  state.owedPubacks = 0
  state.receivedUnderWay = 0
  // [MQTT-3.3.2-7]
  state.inboundAliases = undefined
  state.outboundAliases = undefined
  state.judgedTopic = undefined
  state.screenedTopic = undefined
  state.leavingTopic = undefined
  state.awaitedVerdicts = undefined
  state.isAuthenticating = false
  state.challenge = undefined
  const hadWill = armWill(state, loss, nowMs, out)
  if (state.expiryInterval !== NEVER_EXPIRES)
    state.endsAtMs = Math.max(1, nowMs + state.expiryInterval * 1000)
  recordDetach(state, hadWill ? nowMs : undefined, out)
  letGo(state)
  if (groups.length > 0 && state.expiryInterval > 0) out.memberAway(groups)
}

/** True when the will goes out at once. [MQTT-3.1.2-8] */
const armWill = (state: SessionState, loss: Loss, nowMs: number, out: SessionOutputs): boolean => {
  const { will } = state
  if (will === undefined) return false
  if (!loss.withWill) {
    state.will = undefined
    return false
  }
  const delay = Math.min(will.delayInterval, state.settings.willDelayIntervalMax)
  const endsNow = state.expiryInterval === 0
  if (delay > 0 && (!endsNow || loss.isTakenOver)) {
    state.willDueMs = nowMs + delay * 1000
    return false
  }
  fireWill(state, endsNow ? lastRecord(state) : willRecord(state), out)
  return true
}

/** The delay has passed, whoever noticed. [MQTT-3.1.3-9] */
export const fireDueWill = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  if (state.willDueMs !== 0 && nowMs >= state.willDueMs) fireWill(state, willRecord(state), out)
}

/** [MQTT-3.1.2-10] */
const fireWill = (
  state: SessionState,
  record: WillDoneRecord | EndRecord | undefined,
  out: SessionOutputs
): void => {
  const { will } = state
  state.will = undefined
  state.willDueMs = 0
  if (will !== undefined) out.publishWill(will, record)
}

/** The Session State is discarded: expired, replaced by a clean start, or purged. [MQTT-4.1.0-2] */
export const endSession = (state: SessionState, out: SessionOutputs): void => {
  if (state.subscriptions !== undefined) {
    const filters = heldSubscriptions(state).map((held) => held.filter)
    dropSubscriptions(state)
    if (filters.length > 0) {
      out.unsubscribe(filters, undefined)
      // [MQTT-3.1.2-4]: what the router sends before it reads this is not the next session's. Its answer
      // comes behind it.
      state.ghosts++
      out.subscribe([], { link: undefined, packetId: 0, reasonCodes: [], replays: [], requests: [] })
    }
  }
  for (const group of sharedGroupsOf(state)) giveBack(state, group, out)
  // The will of the ended session goes out now at the latest.
  if (state.will === undefined) recordEnd(state, out)
  else fireWill(state, lastRecord(state), out)
  state.isStored = false
  state.replays = undefined
  discardQueue(state)
  state.queuedQos0 = undefined
  state.queuedQos0Bytes = 0
  state.strictBefore = 0
  state.received = undefined
  state.ledger = undefined
  state.endsAtMs = 0
  state.expiryInterval = 0
}

/** The earliest instant at which `onDeadline` has something to do; 0 when there is none. */
export const nextDueMs = (state: SessionState): number => {
  if (state.link !== undefined) {
    const { silenceMaxMs } = state.terms
    // What is held back comes as packets when it is not any more.
    const mayBeSilent = silenceMaxMs > 0 && state.parked === undefined
    const due = earlier(mayBeSilent ? state.lastPacketMs + silenceMaxMs : 0, state.validUntilMs)
    const held = earlier(throttledUntilMs(state), earlier(state.sendsAtMs, state.departsAtMs))
    return earlier(earlier(due, stallDueMs(state)), held)
  }
  return earlier(state.willDueMs, state.endsAtMs)
}

/** The earlier of two instants of which each may be 0 for never. */
const earlier = (a: number, b: number): number => (a === 0 ? b : b === 0 ? a : Math.min(a, b))

/** True when the session has ended. */
export const onDeadline = (state: SessionState, nowMs: number, out: SessionOutputs): boolean => {
  if (state.link !== undefined) {
    tellStall(state, nowMs, out)
    if (state.validUntilMs !== 0 && nowMs >= state.validUntilMs) {
      // 3.14.2.1: "the maximum connection time authorized for this connection has been exceeded"
      out.close({ reasonCode: ReasonCode.MaximumConnectTime, reason: "the credentials have expired" })
      return false
    }
    const silentSince = state.lastPacketMs
    // A client whose packets we hold back is not silent.
    if (
      state.parked === undefined &&
      state.terms.silenceMaxMs > 0 &&
      nowMs >= silentSince + state.terms.silenceMaxMs
    ) {
      // [MQTT-3.1.2-22]
      out.close({
        reasonCode: ReasonCode.KeepAliveTimeout,
        reason: "no packet within one and a half Keep Alives"
      })
    }
    return false
  }
  if (state.endsAtMs === 0 || nowMs < state.endsAtMs) {
    fireDueWill(state, nowMs, out)
    return false
  }
  // It takes the will along, so that the session stays on record until that is out.
  endSession(state, out)
  return true
}
