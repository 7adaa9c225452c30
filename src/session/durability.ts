/**
 * What a session puts on record: the changes that must survive, as `storage/DurableRecord.ts` names them.
 *
 * A session that outlives its connection records everything. One that does not records only its will, if it
 * has one, because a will must fire even if the broker dies; any other leaves no trace. Each function here
 * stands beside the change that it records and does nothing for a session that keeps no records.
 */

import type { SubscriptionRequest } from "../protocol/Packet.ts"
import type { OutboundEntry } from "./OutboundQueue.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

const keyOf = (state: SessionState) => ({ tenant: state.identity.tenant, clientId: state.clientId })

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

export const recordDetach = (state: SessionState, out: SessionOutputs): void => {
  if (!state.isRecorded) return
  const { endsAtMs, expiryInterval, queue, willDueMs } = state
  const sentBefore = queue?.sentBefore ?? 0
  out.record({ _tag: "Detach", ...keyOf(state), expiryInterval, endsAtMs, willDueMs, sentBefore })
}

export const recordWillDone = (state: SessionState, out: SessionOutputs): void => {
  if (state.isRecorded) out.record({ _tag: "WillDone", ...keyOf(state) })
}

export const recordEnd = (state: SessionState, out: SessionOutputs): void => {
  if (state.isRecorded) out.record({ _tag: "End", ...keyOf(state) })
  state.isRecorded = false
  state.keepsState = false
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

export const recordEnqueue = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (!state.keepsState || entry.qos === 0) return
  const { options, position, publication, qos } = entry
  out.record({
    _tag: "Enqueue",
    ...keyOf(state),
    position,
    message: publication,
    qos,
    retain: options.isRetained || (options.retainAsPublished && publication.retain),
    subscriptionIdentifiers: options.subscriptionIdentifiers
  })
}

export const recordDequeue = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (state.keepsState) out.record({ _tag: "Dequeue", ...keyOf(state), position: entry.position })
}

export const recordRelease = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (state.keepsState) out.record({ _tag: "Release", ...keyOf(state), position: entry.position })
}

export const recordInbound = (
  state: SessionState,
  packetId: number,
  isReleased: boolean,
  out: SessionOutputs
): void => {
  if (state.keepsState) out.record({ _tag: "Inbound", ...keyOf(state), packetId, isReleased })
}
