/**
 * Between the queue and its backlog: what a client that is away or slow need not be kept in memory for, and
 * what is read back when it takes messages again.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import { Recorded } from "../storage/DurableRecord.ts"
import type { StoredDelivery } from "../storage/DurableState.ts"
import { Backlog } from "./Backlog.ts"
import { OutboundEntry, Phase } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"
import { pump } from "./outbound.ts"
import { sendOwed } from "./resume.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** The next page is read while the client takes the last messages of the one before. */
const REFILL_AT = 64

/** Part of a backlog as it was read. */
export interface BacklogPage {
  readonly _tag: "BacklogPage"
  readonly backlog: Backlog
  readonly from: number
  /** Undefined when they could not be read. */
  readonly deliveries: ReadonlyArray<StoredDelivery> | undefined
}

/** Brings the messages behind the queue into it. True when some have come. */
export const refill = (state: SessionState, queue: OutboundQueue, out: SessionOutputs): boolean => {
  const { backlog } = state
  if (backlog === undefined || backlog.isAsked || queue.waiting > REFILL_AT) return false
  if (backlog.onRecord > 0) {
    backlog.isAsked = true
    backlog.askedTo = backlog.lastOnRecord
    out.readBacklog(backlog, backlog.first ?? 0)
    return false
  }
  state.backlog = undefined
  backlog.moveInto(queue)
  return queue.waiting > 0
}

/** What has come onto the record need not be in memory, unless the client is just about to get it. */
export const letGo = (state: SessionState): void => {
  const { link, queue } = state
  if (!state.keepsState || queue === undefined) return
  if (link === undefined) {
    if (queue.size === 0 && state.backlog === undefined) return
    state.backlog ??= new Backlog()
    state.backlog.absorb(queue)
  }
  state.backlog?.letGo()
}

export const onBacklogPage = (
  state: SessionState,
  page: BacklogPage,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { backlog, link, queue } = state
  if (backlog === undefined || backlog !== page.backlog || queue === undefined) return
  backlog.isAsked = false
  if (link === undefined) return
  if (page.deliveries === undefined) {
    return out.close({
      reasonCode: ReasonCode.UnspecifiedError,
      reason: "the messages that wait for the client cannot be read"
    })
  }
  // The client has been away meanwhile, and what it was sent before is older than the page.
  if ((backlog.first ?? 0) >= page.from) {
    sendOwed(state, queue, takeUp(state, queue, backlog, page.deliveries, out), nowMs, out)
  }
  pump(state, nowMs, out)
}

/** Those among them of which PUBREL is owed. */
const takeUp = (
  state: SessionState,
  queue: OutboundQueue,
  backlog: Backlog,
  deliveries: ReadonlyArray<StoredDelivery>,
  out: SessionOutputs
): ReadonlyArray<OutboundEntry> => {
  const released: Array<OutboundEntry> = []
  // What came onto the record since the page was asked for may be missing among later ones that it shows: it
  // is not passed over, and what of that is still in memory not taken twice.
  const certain = deliveries.filter(({ position }) => position <= backlog.askedTo)
  for (const delivery of certain) {
    state.counters.droppedExpired += backlog.skipTo(delivery.position)
    if (backlog.first !== delivery.position) continue
    backlog.shift()
    const entry = entryOf(state, delivery, out)
    // PUBREC says that it was sent, also where what may be in flight was more in the broker's last life.
    if (delivery.position >= queue.sentBefore && !delivery.isReleased) {
      queue.push(entry)
      continue
    }
    entry.wasSent = true
    entry.phase = delivery.isReleased ? Phase.Released : Phase.Published
    entry.isReleaseStored = delivery.isReleased
    queue.owe(entry)
    if (delivery.isReleased) released.push(entry)
  }
  // The store has swept the rest.
  if (deliveries.length === 0 || certain.length < deliveries.length)
    state.counters.droppedExpired += backlog.skipTo(backlog.askedTo + 1)
  return released
}

const entryOf = (state: SessionState, delivery: StoredDelivery, out: SessionOutputs): OutboundEntry => {
  const { group, message, position, qos, retain, subscriptionIdentifiers } = delivery
  const options = {
    qos,
    retainAsPublished: false,
    subscriptionIdentifiers,
    group: group === undefined ? undefined : out.groupOf(group),
    isRetained: retain
  }
  const entry = new OutboundEntry(state, Publication.fromStored(message), options, qos, position)
  entry.recorded = Recorded.Written
  entry.isStored = true
  return entry
}
