/**
 * The rates of what a client is sent. QoS 1 and 2 messages wait in the session's queue until the buckets are
 * out of debt, QoS 0 messages wait as they do for a slow socket: in memory, up to `outboundBytesMax`, and
 * beyond that they are dropped.
 *
 * The connection waits for its own bucket by itself, and for the tenant's in a line with those who have
 * something to be sent, one message each.
 */

import type { Publication } from "../router/Publication.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { lookAgainAtMs, ratesOf } from "./throttle.ts"

/** Whether a message may be sent now; else the session hears when. Asked only where something limits. */
export const maySend = (state: SessionState, nowMs: number, out: SessionOutputs): boolean => {
  const { quota } = state
  if (quota === undefined) return true
  const { bytesOut } = ratesOf(state, quota)
  if (bytesOut.isInDebt(nowMs)) {
    if (state.sendsAtMs === 0) hold(state, "outboundBytesRate", nowMs)
    state.sendsAtMs = lookAgainAtMs(bytesOut, nowMs)
    return false
  }
  state.sendsAtMs = 0
  const { sending } = quota
  if (sending.isOpen(nowMs) || sending.enter(out, nowMs)) return true
  if (!state.isInSendingLine) hold(state, "tenantOutboundBytesRate", nowMs)
  state.isInSendingLine = true
  return false
}

const hold = (
  { clientId, counters, quota }: SessionState,
  resource: "outboundBytesRate" | "tenantOutboundBytesRate",
  nowMs: number
): void => {
  counters.throttledDeliveries++
  quota?.reached(resource, clientId, "delayed", nowMs)
}

/** The client has gone: nothing is sent, and nothing waits that was not to outlive the connection. */
export const stopSending = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const { quota } = state
  if (quota === undefined) return
  state.sendsAtMs = 0
  state.isInSendingLine = false
  quota.forget(out, nowMs)
  if (state.settings.queueQos0 || state.queuedQos0 === undefined) return
  state.counters.droppedSlowConsumer += state.queuedQos0.length
  state.queuedQos0 = undefined
  state.queuedQos0Bytes = 0
}

/** A message has been sent. */
export const paySent = (
  state: SessionState,
  { bytes }: Publication,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { quota } = state
  if (quota === undefined) return
  ratesOf(state, quota).bytesOut.take(bytes, nowMs)
  state.isInSendingLine = false
  if (!quota.sending.isLimited) return
  quota.sending.pay(1, bytes, nowMs)
  quota.sending.release(out, nowMs)
}
