/**
 * From a stored session to the state of a live one without a connection.
 *
 * Identity and permissions are those of no connection: what the will may do is asked when it fires, and what
 * waits in the queue is judged by the permissions of the client that comes for it.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import { Backlog } from "./Backlog.ts"
import { grantedOf, heldFilter, holdSubscription } from "./held.ts"
import { OutboundQueue } from "./OutboundQueue.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

export const restoreState = (state: SessionState, stored: StoredSession, out: SessionOutputs): void => {
  state.isStored = true
  state.isRecorded = true
  state.keepsState = stored.expiryInterval > 0
  state.expiryInterval = stored.expiryInterval
  state.will = stored.will
  state.willDueMs = stored.willDueMs
  state.endsAtMs = stored.endsAtMs
  if (stored.inbound.size > 0) {
    // On record together with their messages: the router had them.
    const received = { epoch: 0, outcome: ReasonCode.Success, countsFor: 0 }
    state.received = new Map([...stored.inbound].map((packetId) => [packetId, { ...received }]))
  }
  takeSubscriptions(state, stored, out)
  restoreQueue(state, stored)
}

const takeSubscriptions = (state: SessionState, stored: StoredSession, out: SessionOutputs): void => {
  for (const [topicFilter, { request, subscriptionIdentifier }] of stored.subscriptions) {
    if (heldFilter(topicFilter) === undefined) continue
    holdSubscription(state, topicFilter, grantedOf(state, request, subscriptionIdentifier, out))
  }
}

/** The messages stay on record until their client comes. */
const restoreQueue = (state: SessionState, stored: StoredSession): void => {
  const { nextPosition, queue } = stored
  // A client that was connected when the broker died has been sent what its window could hold, at most.
  const sentBefore = Math.min(stored.sentBefore, queue.positions[state.settings.inflightMax] ?? nextPosition)
  state.epoch = stored.epoch
  state.queue = new OutboundQueue()
  state.queue.goOn(nextPosition, sentBefore, queue.positions[0])
  if (queue.positions.length > 0) state.backlog = Backlog.of(queue, sentBefore)
}
