/**
 * A connection that goes on with a session: what is in flight is owed again.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Link } from "./Link.ts"
import { type OutboundEntry, Phase } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"
import { mayPublish, pump, sendEntry } from "./outbound.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { isOverRate } from "./sending.ts"

/** A new connection has taken up the session: what is in flight is owed again, then what waited. */
export const resume = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  if (state.isWithheld) return
  state.unacknowledged = 0
  resend(state, nowMs, out)
  pump(state, nowMs, out)
}

const resend = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const { queue } = state
  if (queue === undefined) return
  queue.rewind()
  sendOwed(state, queue, [...queue.entries()].filter(isReleased), nowMs, out)
}

const isReleased = (entry: OutboundEntry): boolean => entry.phase === Phase.Released

/**
 * What is owed again, in its order and as far as the quota goes; but every PUBREL, because the quota holds
 * back PUBLISHes alone. `released` are those that are newly owed. [MQTT-4.4.0-1] [MQTT-4.9.0-3]
 * [MQTT-3.3.4-10]
 */
export const sendOwed = (
  state: SessionState,
  queue: OutboundQueue,
  released: ReadonlyArray<OutboundEntry>,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { link } = state
  if (link === undefined || state.isWithheld) return
  state.unacknowledged += released.length
  const owed = new Set(released)
  for (let entry = queue.next(); entry !== undefined; entry = queue.next()) {
    if (entry.phase === Phase.Released) {
      queue.advance(entry)
      if (owed.delete(entry)) sendPubrel(link, queue, entry, out)
    } else if (mayPublish(state, link) && !isOverRate(state, nowMs, out)) {
      sendEntry(state, entry, nowMs, out)
    } else {
      break
    }
  }
  for (const entry of owed) sendPubrel(link, queue, entry, out)
}

/**
 * PUBREL lets the client forget the message: that PUBREC came must be on record by then. If it is not yet, it
 * is committed before what this turn records of the connection. [MQTT-4.3.3-12]
 */
const sendPubrel = (link: Link, queue: OutboundQueue, entry: OutboundEntry, out: SessionOutputs): void => {
  const send = () => link.sendAck("Pubrel", queue.packetIdOf(entry), ReasonCode.Success, "")
  if (entry.isReleaseStored) send()
  else out.afterCommit(send)
}
