/**
 * Towards the client: deliveries, the window of unacknowledged messages, the client's acknowledgements, and
 * what a resumed session sends again.
 *
 * QoS 0 is written or dropped. QoS 1 and 2 always pass through the queue, even when they are sent at once:
 * its position is their Packet Identifier. `pump` sends as long as the client's quota and the socket allow.
 */

import { Fifo } from "../actor/Fifo.ts"
import type { Ack } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { Delivery, DeliveryOptions } from "../router/Subscriber.ts"
import { Recorded } from "../storage/DurableRecord.ts"
import { Backlog } from "./Backlog.ts"
import { confirmedEvent, sentEvent } from "./debugEvents.ts"
import { recordDone, recordEnqueue, recordGone, recordRelease } from "./durability.ts"
import { isMember, mayReceive, WAITED } from "./judging.ts"
import type { Link } from "./Link.ts"
import { OutboundEntry, Phase } from "./OutboundEntry.ts"
import { OutboundQueue } from "./OutboundQueue.ts"
import { refill } from "./refill.ts"
import { continueReplay } from "./replay.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { isHeldUp, outgoing } from "./screenedDelivery.ts"
import { handOn } from "./sharing.ts"
import { noteProgress } from "./stall.ts"
import { maySend, paySent } from "./throttleSending.ts"
import {
  traceDelivery,
  tracedDone,
  tracedQueued,
  tracedReceived,
  tracedSent,
  traceExpired
} from "./tracing.ts"

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

const hasExpired = (
  state: SessionState,
  publication: Publication,
  nowMs: number,
  out: SessionOutputs
): boolean => {
  if (!publication.isExpired(nowMs)) return false
  state.counters.droppedExpired++
  traceExpired(state, publication, out.tracing)
  out.dropped(publication.topic.name, "expired", publication.qos)
  return true
}

const deliverQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { link } = state
  // [MQTT-4.6.0-6]: also for a client that is back, as long as older ones wait.
  if (link === undefined || state.queuedQos0 !== undefined || state.isWithheld) {
    if (state.settings.queueQos0) keepQos0(state, publication, options, out)
    else if (link !== undefined) delayQos0(state, publication, options, out)
    return
  }
  // A page of retained messages was asked for because there is room.
  if (link.backlogBytes > state.settings.outboundBytesMax && !options.isRetained) {
    state.counters.droppedSlowConsumer++
    out.dropped(publication.topic.name, "slow-consumer", 0)
    return
  }
  if (hasExpired(state, publication, nowMs, out)) return
  if (isOverRate(state, nowMs, out)) return delayQos0(state, publication, options, out)
  const leaving = outgoing(state, publication, { line: "qos0", nowMs }, out)
  if (leaving === "awaited") delayQos0(state, publication, options, out)
  else if (leaving !== "withheld")
    send(state, leaving, headerOf(state, publication, options, nowMs), nowMs, out)
}

/** Whether a message has to wait for the rates of what the client is sent. */
export const isOverRate = (state: SessionState, nowMs: number, out: SessionOutputs): boolean =>
  state.quota?.limitsSending === true && !maySend(state, nowMs, out)

/** Waits for the client's rate, or for the policy, as it would for its socket. */
const delayQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  out: SessionOutputs
): void => {
  // A page of retained messages was asked for because there was room.
  if (state.queuedQos0Bytes + publication.bytes > state.settings.outboundBytesMax && !options.isRetained) {
    state.counters.droppedSlowConsumer++
    out.dropped(publication.topic.name, "slow-consumer", 0)
    return
  }
  state.queuedQos0Bytes += publication.bytes
  ;(state.queuedQos0 ??= new Fifo()).push([publication.keep(), options])
}

const keepQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  out: SessionOutputs
): void => {
  const { queueBytesMax, queueMessagesMax } = state.settings
  const kept = (state.queuedQos0 ??= new Fifo())
  if (state.settings.qos0DropOldest) makeRoomForQos0(state, kept, publication, out)
  if (kept.length >= queueMessagesMax || state.queuedQos0Bytes + publication.bytes > queueBytesMax) {
    state.counters.droppedQueueFull++
    out.dropped(publication.topic.name, "queue-full", 0)
    return
  }
  state.queuedQos0Bytes += publication.bytes
  kept.push([publication.keep(), options])
}

/** The oldest give way, but to none that would not fit alone. */
const makeRoomForQos0 = (
  state: SessionState,
  kept: Fifo<readonly [Publication, DeliveryOptions]>,
  { bytes }: Publication,
  out: SessionOutputs
): void => {
  const { queueBytesMax, queueMessagesMax } = state.settings
  if (bytes > queueBytesMax || queueMessagesMax === 0) return
  while (kept.length >= queueMessagesMax || state.queuedQos0Bytes + bytes > queueBytesMax) {
    const oldest = kept.shift()
    if (oldest === undefined) return
    state.queuedQos0Bytes -= oldest[0].bytes
    state.counters.droppedQueueFull++
    out.dropped(oldest[0].topic.name, "queue-full", 0)
  }
}

/** As fast as the client takes them: what was kept for it is not dropped now for being too much at once. */
const sendKeptQos0 = (state: SessionState, link: Link, nowMs: number, out: SessionOutputs): void => {
  const kept = state.queuedQos0
  while (kept !== undefined && link.backlogBytes <= state.settings.outboundBytesMax) {
    if (kept.length > 0 && isOverRate(state, nowMs, out)) return
    const next = kept.peek()
    if (next === undefined) {
      state.queuedQos0 = undefined
      return
    }
    const [publication, options] = next
    const waiting = { publication, options, position: WAITED }
    const isWanted = !hasExpired(state, publication, nowMs, out) && mayReceive(state, waiting, out)
    const leaving = isWanted ? outgoing(state, publication, { line: "qos0", nowMs }, out) : "withheld"
    if (leaving === "awaited") return
    kept.shift()
    state.queuedQos0Bytes -= publication.bytes
    if (leaving !== "withheld") send(state, leaving, headerOf(state, publication, options, nowMs), nowMs, out)
  }
}

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
    out.dropped(publication.topic.name, "not-stored", qos)
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

/** Whether a message may wait; makes room for it if that is the tenant's policy. */
const hasRoom = (
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
    out.dropped(publication.topic.name, "tenant-queue-full", publication.qos)
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
  out.dropped(dropped ?? publication.topic.name, "queue-full", publication.qos)
  return dropped !== undefined
}

/** The topic of the dropped message, "" for one that is on record alone; undefined when none waits. */
const dropOldest = (state: SessionState, queue: OutboundQueue, out: SessionOutputs): string | undefined => {
  const { backlog } = state
  const oldest = queue.oldestWaiting()
  if (oldest !== undefined) {
    take(state, oldest, out)
    return oldest.publication.topic.name
  }
  const position = backlog?.dropOldest()
  if (position !== undefined) {
    recordGone(state, position, out)
    return ""
  }
  const last = backlog?.oldestInTail()
  if (last === undefined) return undefined
  backlog?.remove(last)
  recordDone(state, last, out)
  return last.publication.topic.name
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
  const leaving = outgoing(state, publication, { line: "queue", nowMs }, out)
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

type MutableHeader = { -readonly [K in keyof PublishHeader]: PublishHeader[K] }

const headerOf = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  nowMs: number
): MutableHeader => ({
  qos: 0,
  dup: false,
  // [MQTT-3.3.1-8] [MQTT-3.3.1-9] [MQTT-3.3.1-12] [MQTT-3.3.1-13]
  retain: options.isRetained || (options.retainAsPublished && publication.retain),
  packetId: 0,
  topicAlias: 0,
  sendTopic: true,
  messageExpiryInterval: state.terms.isVersion5 ? publication.remainingExpiry(nowMs) : -1,
  subscriptionIdentifiers: options.subscriptionIdentifiers
})

/** False when it is larger than the client takes; it then counts as delivered. */
const send = (
  state: SessionState,
  publication: Publication,
  header: MutableHeader,
  nowMs: number,
  out: SessionOutputs
): boolean => {
  const aliases = state.outboundAliases
  if (aliases !== undefined) {
    const { alias, isNew } = aliases.use(publication.topic.name)
    header.topicAlias = alias
    header.sendTopic = isNew
  }
  const traced =
    publication.traceContext === undefined || out.tracing === undefined
      ? undefined
      : traceDelivery(state, publication, publication.traceContext, header, out.tracing)
  if (out.sendPublish(traced?.publication ?? publication, header)) {
    if (traced !== undefined) tracedSent(state, header, traced.span)
    state.counters.messagesSent++
    state.counters.bytesSent += publication.payloadBytes
    if (state.quota?.limitsSending === true) paySent(state, publication, nowMs, out)
    if (state.settings.debugEvents) out.tell(sentEvent(publication, header))
    return true
  }
  // The client never saw the alias that went down with the packet.
  if (header.topicAlias !== 0 && header.sendTopic) aliases?.forget(publication.topic.name)
  traced?.span.fail("larger than the client takes")
  state.counters.droppedTooLarge++
  out.dropped(publication.topic.name, "too-large", header.qos)
  return false
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
      if (entry !== undefined && entry.qos === 1) complete(state, entry, out)
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
        complete(state, entry, out)
      } else {
        if (!isCounted(state, entry)) state.unacknowledged++
        releaseEntry(state, entry, ack.packetId, out)
      }
      break
    case "Pubcomp":
      if (entry !== undefined && entry.phase === Phase.Released) complete(state, entry, out)
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

/** Takes an entry out of the queue for good. */
export const take = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  state.queue?.remove(entry)
  recordDone(state, entry, out)
}

const complete = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
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
  out.dropped(entry.publication.topic.name, "not-stored", entry.qos)
}
