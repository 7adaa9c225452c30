/** Room in a session's queue: its limits, the tenant's, and what gives way when they are reached. */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import { tellDropped } from "./dropped.ts"
import { recordDone, recordGone } from "./durability.ts"
import type { OutboundEntry } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** Takes an entry out of the queue for good. */
export const take = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  state.queue?.remove(entry)
  recordDone(state, entry, out)
}

/** Whether a message may wait; makes room for it if that is the tenant's policy. */
export const hasRoom = (
  state: SessionState,
  queue: OutboundQueue,
  publication: Publication,
  out: SessionOutputs
): boolean => {
  const { backlog, counters, settings } = state
  // What leaves at once does not wait, so the limits of waiting do not concern it.
  const isFirst = queue.waiting === 0 && backlog === undefined
  if (isFirst && state.link !== undefined && state.unacknowledged < state.terms.sendQuota) return true
  if (counters.queuedBytes + publication.bytes > settings.tenantQueueBytesMax) {
    counters.droppedQueueFull++
    tellDropped(state, publication, "tenant-queue-full", out)
    return false
  }
  // What is in flight does not wait: it makes no room, so it takes none.
  while (
    queue.waiting + (backlog?.waiting ?? 0) >= settings.queueMessagesMax ||
    queue.waitingBytes + (backlog?.waitingBytes ?? 0) + publication.bytes > settings.queueBytesMax
  ) {
    if (!makeRoom(state, queue, publication, out)) return false
  }
  return true
}

/** The queue is full: what gives way is the tenant's policy. False when it is the new message. */
const makeRoom = (
  state: SessionState,
  queue: OutboundQueue,
  publication: Publication,
  out: SessionOutputs
): boolean => {
  state.counters.droppedQueueFull++
  const { queueBytesMax, queuePolicy: policy } = state.settings
  if (policy === "disconnect" && state.link !== undefined) {
    out.close({
      reasonCode: ReasonCode.QuotaExceeded,
      reason: "the queue of messages for this client is full"
    })
  }
  // For one that would not fit alone nobody gives way.
  const mayDisplace = policy === "drop-oldest" && publication.bytes <= queueBytesMax
  const dropped = mayDisplace ? dropOldest(state, queue, out) : undefined
  if (dropped === "on record") out.dropped("", "queue-full", publication.qos)
  else tellDropped(state, dropped ?? publication, "queue-full", out, publication.qos)
  return dropped !== undefined
}

/** The dropped message, unless it is on record alone; undefined when none waits. */
const dropOldest = (
  state: SessionState,
  queue: OutboundQueue,
  out: SessionOutputs
): Publication | "on record" | undefined => {
  const { backlog } = state
  const oldest = queue.oldestWaiting()
  if (oldest !== undefined) {
    take(state, oldest, out)
    return oldest.publication
  }
  const position = backlog?.dropOldest()
  if (position !== undefined) {
    recordGone(state, position, out)
    return "on record"
  }
  const last = backlog?.oldestInTail()
  if (last === undefined) return undefined
  backlog?.remove(last)
  recordDone(state, last, out)
  return last.publication
}
