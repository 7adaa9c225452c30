/**
 * Towards the client: deliveries, the window of unacknowledged messages, the client's acknowledgements, and
 * what a resumed session sends again.
 *
 * QoS 1 and 2 always pass through the queue, even when they are sent at once: its position is their Packet
 * Identifier. `pump` sends as long as the client's quota and the socket allow. QoS 0 is in `outboundQos0.ts`.
 */

import type { Ack } from "../protocol/Packet.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { Delivery } from "../router/Subscriber.ts"
import { Recorded } from "../storage/DurableRecord.ts"
import { Backlog } from "./Backlog.ts"
import { confirmedEvent } from "./debugEvents.ts"
import { tellDropped } from "./dropped.ts"
import { recordEnqueue, recordRelease } from "./durability.ts"
import { isMember, mayReceive } from "./judging.ts"
import type { Link } from "./Link.ts"
import { OutboundEntry, Phase } from "./OutboundEntry.ts"
import { OutboundQueue } from "./OutboundQueue.ts"
import { deliverQos0, sendKeptQos0 } from "./outboundQos0.ts"
import { refill } from "./refill.ts"
import { continueReplay } from "./replay.ts"
import { hasRoom, take } from "./room.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { isHeldUp, outgoing } from "./screenedDelivery.ts"
import { delivered, hasExpired, headerOf, isOverRate, send } from "./sending.ts"
import { handOn } from "./sharing.ts"
import { noteProgress } from "./stall.ts"
import { tracedDone, tracedQueued, tracedReceived } from "./tracing.ts"

/** QoS 1 and 2 messages of a connected client that wait in memory; those behind them wait on record. */
const HOT_MAX = 1000

/**
 * What became of a delivery: `kept`, its entry holds the publication until it is stored; `done`, nothing of
 * it has to be stored; `unstorable`, it cannot be.
 */
export type Delivered = "kept" | "done" | "unstorable"

type Arriving = Pick<Delivery, "publication" | "options" | "isHeld">

/** A publication arrives from the router. */
export const deliver = (
  state: SessionState,
  delivery: Arriving,
  nowMs: number,
  out: SessionOutputs
): Delivered => {
  const { options, publication } = delivery
  const { group } = options
  if (group !== undefined && isForOthers(state, group, out)) out.redispatch(group, [publication])
  else if (state.ghosts === 0 && mayReceive(state, delivery, out)) {
    // [MQTT-3.8.4-8]
    const qos = publication.qos < options.qos ? publication.qos : options.qos
    if (qos !== 0) return enqueue(state, delivery, qos, nowMs, out)
    deliverQos0(state, publication, options, nowMs, out)
  }
  return "done"
}

/**
 * Given to a member that has left since: its session has ended, or its client is away and another one's is
 * not.
 */
const isForOthers = (state: SessionState, group: SharedGroup, out: SessionOutputs): boolean =>
  state.ghosts > 0 ||
  (state.link === undefined && group.hasLiveMemberBeside(out)) ||
  (state.strictBefore > 0 && !isMember(state, group))

/**
 * A QoS 1 or 2 message takes its place, on record as well if the session keeps one, and is sent if it can be.
 */
const enqueue = (
  state: SessionState,
  delivery: Arriving,
  qos: 1 | 2,
  nowMs: number,
  out: SessionOutputs
): Delivered => {
  const { isHeld, options, publication } = delivery
  // What nobody can be told of is kept until it can be stored.
  if (state.keepsState && out.isStorageFailing && publication.gathering?.isRefusable !== false) {
    state.counters.droppedNotStored++
    tellDropped(state, publication, "not-stored", out, qos)
    return "unstorable"
  }
  const queue = (state.queue ??= new OutboundQueue())
  if (!hasRoom(state, queue, publication, out)) return "done"
  const entry = new OutboundEntry(state, publication.keep(), options, qos, queue.takePosition())
  entry.isHolding = isHeld
  const { backlog } = state
  if (backlog !== undefined) backlog.push(entry)
  else if (state.keepsState && queue.waiting >= HOT_MAX) (state.backlog = new Backlog()).push(entry)
  else queue.push(entry)
  recordEnqueue(state, entry, out)
  pump(state, nowMs, out)
  if (publication.traced !== undefined && !entry.wasSent) tracedQueued(state, publication, options)
  return "kept"
}

/**
 * Sends what is owed again and what waits, as far as the quota and the socket allow. [MQTT-3.3.4-9]
 * [MQTT-4.9.0-2]
 */
export const pump = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const { link, queue } = state
  if (link === undefined || state.isWithheld) return
  // Where a rate makes both wait, those that must not be lost go first.
  const isLimited = state.quota?.limitsSending === true
  if (!isLimited) sendKeptQos0(state, link, nowMs, out)
  if (queue !== undefined) {
    do {
      while (mayPublish(state, link)) {
        const entry = queue.next()
        if (entry === undefined || isOverRate(state, nowMs, out)) break
        sendEntry(state, entry, nowMs, out)
      }
    } while (refill(state, queue, out))
    // It gets that message again when it is back, and can go on when it has acknowledged it.
    if (queue.isStuck) {
      out.close({
        reasonCode: ReasonCode.ImplementationSpecificError,
        reason: `a message was left unacknowledged while all other identifiers were used`
      })
    }
  }
  if (isLimited) sendKeptQos0(state, link, nowMs, out)
  continueReplay(state, out)
}

export const mayPublish = (state: SessionState, link: Link): boolean =>
  state.unacknowledged < state.terms.sendQuota &&
  link.backlogBytes <= state.settings.outboundBytesMax &&
  !isHeldUp(state, "queue")

export const sendEntry = (
  state: SessionState,
  entry: OutboundEntry,
  nowMs: number,
  out: SessionOutputs
): void => {
  const queue = state.queue
  if (queue === undefined) return
  const { publication } = entry
  const packetId = queue.packetIdOf(entry)
  // Its PUBREL went out when the session was resumed, or when its PUBREC came.
  if (entry.phase === Phase.Released) return queue.advance(entry)
  // [MQTT-3.3.2-5]; what was sent once is not given up any more [MQTT-4.3.3-7]
  if (!entry.wasSent && hasExpired(state, publication, nowMs, out)) return take(state, entry, out)
  // Judged again: permissions may have changed while it waited.
  if (!mayReceive(state, entry, out)) return giveUp(state, queue, entry, out)
  const leaving = outgoing(state, publication, "queue", nowMs, out)
  if (leaving === "awaited") return
  if (leaving === "withheld") return giveUp(state, queue, entry, out)
  const header = headerOf(state, publication, entry.options, nowMs)
  header.qos = entry.qos
  header.packetId = packetId
  header.dup = entry.wasSent
  queue.advance(entry)
  if (!send(state, leaving, header, nowMs, out)) {
    // [MQTT-3.1.2-25]
    take(state, entry, out)
    return
  }
  state.unacknowledged++
  entry.sentAtMs = nowMs
  // What waited for an absent client says nothing about the broker.
  if (!header.dup && entry.epoch === state.epoch && !entry.options.isRetained) {
    delivered(state, publication, nowMs)
  }
}

/**
 * It may not be received any more. One that the client may have got on an earlier connection ends as if its
 * PUBREC had come: else the identifier would never be free at the client's end, which answers with PUBCOMP
 * whether it knows it or not. [MQTT-4.3.3-12] (5.0, section 3.7.2.1)
 */
const giveUp = (
  state: SessionState,
  queue: OutboundQueue,
  entry: OutboundEntry,
  out: SessionOutputs
): void => {
  const { group } = entry.options
  if (entry.wasSent && entry.qos === 2) {
    queue.advance(entry)
    state.unacknowledged++
    return releaseEntry(state, entry, queue.packetIdOf(entry), out)
  }
  if (group === undefined || entry.wasSent || isMember(state, group)) return take(state, entry, out)
  handOn(state, queue, [entry], out)
}

/** PUBACK, PUBREC or PUBCOMP from the client. */
export const onAck = (
  state: SessionState,
  ack: Ack<"Puback"> | Ack<"Pubrec"> | Ack<"Pubcomp">,
  nowMs: number,
  out: SessionOutputs
): void => {
  const queue = state.queue
  const entry = queue?.find(ack.packetId)
  if (entry !== undefined) noteProgress(state, nowMs)
  if (entry !== undefined && state.settings.debugEvents) out.tell(confirmedEvent(ack, entry))
  switch (ack._tag) {
    case "Puback":
      if (entry !== undefined && entry.qos === 1) complete(state, entry, nowMs, out)
      break
    case "Pubrec":
      if (entry === undefined || entry.qos !== 2) {
        // Unknown to us: the client may be finishing what an earlier session of ours forgot. (5.0, section
        // 3.6.2.1)
        if (!isFailure(ack.reasonCode)) {
          out.sendAck("Pubrel", ack.packetId, ReasonCode.PacketIdentifierNotFound, "")
        }
      } else if (isFailure(ack.reasonCode)) {
        // [MQTT-4.4.0-2] [MQTT-4.8.2-6]
        complete(state, entry, nowMs, out)
      } else {
        if (!isCounted(state, entry)) state.unacknowledged++
        releaseEntry(state, entry, ack.packetId, out)
      }
      break
    case "Pubcomp":
      if (entry !== undefined && entry.phase === Phase.Released) complete(state, entry, nowMs, out)
      break
  }
  pump(state, nowMs, out)
}

/** From now on only PUBREL is owed for it; it leaves when that is on record. [MQTT-4.3.3-6] */
const releaseEntry = (
  state: SessionState,
  entry: OutboundEntry,
  packetId: number,
  out: SessionOutputs
): void => {
  entry.phase = Phase.Released
  if (state.deliveries !== undefined) tracedReceived(state, packetId)
  recordRelease(state, entry, out)
  const { link } = state
  out.afterCommit(() => {
    entry.isReleaseStored = true
    link?.sendAck("Pubrel", packetId, ReasonCode.Success, "")
  })
}

const complete = (state: SessionState, entry: OutboundEntry, nowMs: number, out: SessionOutputs): void => {
  if (entry.sentAtMs !== 0) state.counters.latencies.acknowledge.record((nowMs - entry.sentAtMs) / 1000)
  if (isCounted(state, entry)) state.unacknowledged--
  if (state.deliveries !== undefined && state.queue !== undefined)
    tracedDone(state, state.queue.packetIdOf(entry))
  take(state, entry, out)
}

/**
 * Whether it counts against the quota of this connection: a PUBLISH that only an earlier connection sent does
 * not.
 */
const isCounted = (state: SessionState, entry: OutboundEntry): boolean =>
  entry.phase === Phase.Released || state.queue?.isCurrent(entry) === true

/** It could not be put on record: it is not sent, unless it has been, and its publisher sends it again. */
export const dropUnstored = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  entry.recorded = Recorded.Elided
  if (entry.phase !== Phase.Waiting) return
  const { backlog, queue } = state
  const oldest = backlog?.oldestInTail()
  if (oldest !== undefined && oldest.position <= entry.position) backlog?.remove(entry)
  else queue?.remove(entry)
  state.counters.droppedNotStored++
  tellDropped(state, entry.publication, "not-stored", out, entry.qos)
}
