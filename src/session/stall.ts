/**
 * Clients that take nothing: their socket is full, or they leave what they were sent unacknowledged. Nothing
 * is done about it, because a resend on a live connection is forbidden [MQTT-4.4.0-1]; it is told, once for
 * each time that a client stops, so that an operator need not guess why its queue grows.
 */

import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** At the end of a turn: whether the client owes us something, and since when. */
export const watchStall = (state: SessionState, nowMs: number): void => {
  const { link } = state
  if (link === undefined || (state.unacknowledged === 0 && link.backlogBytes === 0)) {
    state.owedSinceMs = 0
    state.isStallTold = false
  } else if (state.owedSinceMs === 0) state.owedSinceMs = nowMs
}

/** The client has acknowledged something, or its socket has taken something. */
export const noteProgress = (state: SessionState, nowMs: number): void => {
  state.owedSinceMs = nowMs
  state.isStallTold = false
}

/** When it is time to tell; 0 when it is not going to be. */
export const stallDueMs = ({ isStallTold, owedSinceMs, settings }: SessionState): number =>
  owedSinceMs === 0 || isStallTold || settings.stalledAfter === 0
    ? 0
    : owedSinceMs + settings.stalledAfter * 1000

export const tellStall = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const due = stallDueMs(state)
  if (due === 0 || nowMs < due) return
  state.isStallTold = true
  out.stalled(nowMs - state.owedSinceMs)
}
