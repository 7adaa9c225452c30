/**
 * What a session puts on record: the changes that must survive, as `storage/DurableRecord.ts` names them.
 *
 * A session that outlives its connection records everything. One that does not records only its will, if it
 * has one, because a will must fire even if the broker dies; any other leaves no trace. Each function here
 * stands beside the change that it records and does nothing for a session that keeps no records.
 */

import type { SubscriptionRequest } from "../protocol/Packet.ts"
import {
  type DequeueRecord,
  type EndRecord,
  type InboundRecord,
  Recorded,
  type WillDoneRecord
} from "../storage/DurableRecord.ts"
import { type OutboundEntry, Phase } from "./OutboundEntry.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

const keyOf = (state: SessionState) => ({
  tenant: state.identity.tenant,
  clientId: state.clientId,
  epoch: state.epoch
})

/** A client has taken up the session under these terms. */
export const recordConnect = (state: SessionState, sessionPresent: boolean, out: SessionOutputs): void => {
  const { expiryInterval, identity, will } = state
  state.keepsState = expiryInterval > 0 || (state.isRecorded && sessionPresent && state.keepsState)
  if (!state.keepsState && will === undefined) return
  state.isRecorded = true
  out.record({
    _tag: "Connect",
    ...keyOf(state),
    principal: identity.principal,
    isCleanStart: !sessionPresent,
    expiryInterval,
    will
  })
}

/**
 * The connection is gone. A will that goes out now, at `willAtMs`, is due until it is on record that it has:
 * a broker that dies before leaves that to the next.
 */
export const recordDetach = (
  state: SessionState,
  willAtMs: number | undefined,
  out: SessionOutputs
): void => {
  if (!state.isRecorded) return
  const { endsAtMs, expiryInterval, queue, will } = state
  const sentBefore = queue?.sentBefore ?? 0
  const hasWill = will !== undefined || willAtMs !== undefined
  const willDueMs = willAtMs ?? state.willDueMs
  out.record({ _tag: "Detach", ...keyOf(state), expiryInterval, endsAtMs, hasWill, willDueMs, sentBefore })
}

/** What is put on record when the will has gone out, in one unit with the copies of those who get it. */
export const willRecord = (state: SessionState): WillDoneRecord | undefined =>
  state.isRecorded ? { _tag: "WillDone", ...keyOf(state) } : undefined

/** The same of a session that ends: until its will is out, it stays on record. */
export const lastRecord = (state: SessionState): EndRecord | undefined => {
  const record = state.isRecorded ? ({ _tag: "End", ...keyOf(state) } as const) : undefined
  forget(state)
  return record
}

const forget = (state: SessionState): void => {
  state.isRecorded = false
  state.keepsState = false
}

export const recordEnd = (state: SessionState, out: SessionOutputs): void => {
  if (state.isRecorded) out.record({ _tag: "End", ...keyOf(state) })
  forget(state)
}

export const recordSubscribe = (
  state: SessionState,
  request: SubscriptionRequest,
  subscriptionIdentifier: number,
  out: SessionOutputs
): void => {
  if (state.keepsState) out.record({ _tag: "Subscribe", ...keyOf(state), request, subscriptionIdentifier })
}

export const recordUnsubscribe = (state: SessionState, topicFilter: string, out: SessionOutputs): void => {
  if (state.keepsState) out.record({ _tag: "Unsubscribe", ...keyOf(state), topicFilter })
}

/** A message has taken its place in the queue. */
export const recordEnqueue = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (!state.keepsState) entry.isStored = true
  else if (entry.publication.gathering !== undefined) entry.publication.gathering.addCopy(entry, out)
  else out.keep(entry)
}

/** A message is acknowledged, dropped or handed on. What was not written by now is not written at all. */
export const recordDone = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  entry.release(true)
  if (entry.recorded === Recorded.Pending) entry.recorded = Recorded.Elided
  else if (entry.recorded === Recorded.Written) recordGone(state, entry.position, out)
}

export const isOnRecord = (entry: OutboundEntry): boolean => entry.recorded === Recorded.Written

/** That a message is not this session's any more. */
export const goneRecord = (state: SessionState, { position }: OutboundEntry): DequeueRecord => ({
  _tag: "Dequeue",
  ...keyOf(state),
  position
})

/**
 * A message is somebody else's; that it is gone here, if it was on record, goes on record with their copy.
 */
export const recordHandedOn = (entry: OutboundEntry): void => {
  entry.release(true)
  if (entry.recorded === Recorded.Pending) entry.recorded = Recorded.Elided
}

/** Everything that the session holds is discarded. */
export const discardQueue = (state: SessionState): void => {
  const { backlog, queue } = state
  for (const entry of [...(queue?.entries() ?? []), ...(backlog?.entries() ?? [])]) {
    recordHandedOn(entry)
    entry.phase = Phase.Gone
  }
  state.queue = undefined
  state.backlog = undefined
}

/** A message on record is needed no more. */
export const recordGone = (state: SessionState, position: number, out: SessionOutputs): void => {
  if (!state.keepsState) return
  const { backlog, queue } = state
  const before = queue?.lowest(backlog?.first ?? queue.nextPosition) ?? 0
  if (position < before) out.advance(before)
  else out.record({ _tag: "Dequeue", ...keyOf(state), position })
}

/** Nothing below that position is held any more. */
export const recordAdvance = (
  state: SessionState,
  advance: { readonly epoch: number; readonly before: number },
  out: Pick<SessionOutputs, "record">
): void => {
  if (state.keepsState) out.record({ _tag: "Advance", ...keyOf(state), ...advance })
}

/** PUBREC came. One that is yet to be written is written so. */
export const recordRelease = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (!state.keepsState || entry.recorded !== Recorded.Written) return
  out.record({ _tag: "Release", ...keyOf(state), position: entry.position })
}

/** A QoS 2 message was received; it is on record together with the copies of those who get it. */
export const inboundRecord = (state: SessionState, packetId: number): InboundRecord => ({
  _tag: "Inbound",
  ...keyOf(state),
  packetId,
  isReleased: false
})

/** Its identifier is free. */
export const recordReleased = (state: SessionState, packetId: number, out: SessionOutputs): void => {
  if (state.keepsState) out.record({ ...inboundRecord(state, packetId), isReleased: true })
}
