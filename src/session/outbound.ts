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
import type { DeliveryOptions, RetainedPage } from "../router/Subscriber.ts"
import { recordDequeue, recordEnqueue, recordRelease } from "./durability.ts"
import type { Link } from "./Link.ts"
import { type OutboundEntry, OutboundQueue, Phase } from "./OutboundQueue.ts"
import type { Replay, SessionOutputs, SessionState } from "./SessionState.ts"

/** Retained messages asked for at a time; the next page waits until the client has taken these. */
const REPLAY_PAGE = 32

/** A publication arrives from the router. */
export const deliver = (
  state: SessionState,
  delivery: { readonly publication: Publication; readonly options: DeliveryOptions },
  nowMs: number,
  out: SessionOutputs
): void => {
  const { options, publication } = delivery
  const { group } = options
  if (group !== undefined && isForOthers(state, group, out)) return out.redispatch(group, [publication])
  if (state.ghosts > 0) return
  if (!mayReceive(state, publication)) return
  // [MQTT-3.8.4-8]
  const qos = publication.qos < options.qos ? publication.qos : options.qos
  if (qos === 0) deliverQos0(state, publication, options, nowMs, out)
  else if (enqueue(state, publication, options, qos, out)) pump(state, nowMs, out)
}

/**
 * Given to a member that has left since: its session has ended, or its client is away and another one's is
 * not.
 */
const isForOthers = (state: SessionState, group: SharedGroup, out: SessionOutputs): boolean =>
  state.ghosts > 0 || (state.link === undefined && group.hasLiveMemberBeside(out))

/** Counts a message that may not be received. */
const mayReceive = (state: SessionState, publication: Publication): boolean => {
  const { deliver: isAllowed } = state.permissions
  if (isAllowed === undefined || isAllowed(publication.topic.name)) return true
  state.counters.droppedNotAuthorized++
  return false
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
  if (link === undefined || state.queuedQos0 !== undefined) {
    if (state.settings.queueQos0) keepQos0(state, publication, options, out)
    return
  }
  // A page of retained messages was asked for because there is room.
  if (link.backlogBytes > state.settings.outboundBytesMax && !options.isRetained) {
    state.counters.droppedSlowConsumer++
    out.dropped(publication.topic.name, "slow-consumer")
    return
  }
  if (publication.isExpired(nowMs)) {
    state.counters.droppedExpired++
    return
  }
  send(state, publication, headerOf(state, publication, options, nowMs), out)
}

const keepQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  out: SessionOutputs
): void => {
  const { queueBytesMax, queueMessagesMax } = state.settings
  const kept = (state.queuedQos0 ??= new Fifo())
  if (kept.length >= queueMessagesMax || state.queuedQos0Bytes + publication.bytes > queueBytesMax) {
    state.counters.droppedQueueFull++
    out.dropped(publication.topic.name, "queue-full")
    return
  }
  state.queuedQos0Bytes += publication.bytes
  kept.push([publication.keep(), options])
}

/** As fast as the client takes them: what was kept for it is not dropped now for being too much at once. */
const sendKeptQos0 = (state: SessionState, link: Link, nowMs: number, out: SessionOutputs): void => {
  const kept = state.queuedQos0
  while (kept !== undefined && link.backlogBytes <= state.settings.outboundBytesMax) {
    const next = kept.shift()
    if (next === undefined) {
      state.queuedQos0 = undefined
      return
    }
    const [publication, options] = next
    state.queuedQos0Bytes -= publication.bytes
    if (publication.isExpired(nowMs)) state.counters.droppedExpired++
    else if (mayReceive(state, publication))
      send(state, publication, headerOf(state, publication, options, nowMs), out)
  }
}

/** False when the message was not taken. */
const enqueue = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  qos: 1 | 2,
  out: SessionOutputs
): boolean => {
  const queue = (state.queue ??= new OutboundQueue())
  const { settings } = state
  // What leaves at once does not wait, so the limits of waiting do not concern it.
  const waits = queue.waiting > 0 || state.link === undefined || state.unacknowledged >= state.terms.sendQuota
  while (
    waits &&
    (queue.waiting >= settings.queueMessagesMax || queue.bytes + publication.bytes > settings.queueBytesMax)
  ) {
    if (!makeRoom(state, queue, publication, out)) return false
  }
  recordEnqueue(state, queue.push(publication.keep(), options, qos), out)
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
  const policy = state.settings.queuePolicy
  if (policy === "disconnect" && state.link !== undefined) {
    out.close({
      reasonCode: ReasonCode.QuotaExceeded,
      reason: "the queue of messages for this client is full"
    })
  }
  const oldest = policy === "drop-oldest" ? queue.oldestWaiting() : undefined
  if (oldest === undefined) {
    out.dropped(publication.topic.name, "queue-full")
    return false
  }
  take(state, oldest, out)
  out.dropped(oldest.publication.topic.name, "queue-full")
  return true
}

/**
 * Sends what is owed again and what waits, as far as the quota and the socket allow. [MQTT-3.3.4-9]
 * [MQTT-4.9.0-2]
 */
export const pump = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const { link, queue } = state
  if (link === undefined) return
  sendKeptQos0(state, link, nowMs, out)
  if (queue !== undefined) {
    while (mayPublish(state, link)) {
      const entry = queue.next()
      if (entry === undefined) break
      sendEntry(state, entry, nowMs, out)
    }
    // It gets that message again when it is back, and can go on when it has acknowledged it.
    if (queue.isStuck) {
      out.close({
        reasonCode: ReasonCode.ImplementationSpecificError,
        reason: `a message was left unacknowledged while all other identifiers were used`
      })
    }
  }
  continueReplay(state, out)
}

const mayPublish = (state: SessionState, link: Link): boolean =>
  state.unacknowledged < state.terms.sendQuota && link.backlogBytes <= state.settings.outboundBytesMax

const sendEntry = (state: SessionState, entry: OutboundEntry, nowMs: number, out: SessionOutputs): void => {
  const queue = state.queue
  if (queue === undefined) return
  const { publication } = entry
  const packetId = queue.packetIdOf(entry)
  // Its PUBREL went out when the session was resumed, or when its PUBREC came.
  if (entry.phase === Phase.Released) return queue.advance(entry)
  // [MQTT-3.3.2-5]; what was sent once is not given up any more [MQTT-4.3.3-7]
  if (!entry.wasSent && publication.isExpired(nowMs)) {
    state.counters.droppedExpired++
    take(state, entry, out)
    return
  }
  // Judged again: permissions may have changed while it waited.
  if (!entry.wasSent && !mayReceive(state, publication)) return take(state, entry, out)
  const header = headerOf(state, publication, entry.options, nowMs)
  header.qos = entry.qos
  header.packetId = packetId
  header.dup = entry.wasSent
  queue.advance(entry)
  if (!send(state, publication, header, out)) {
    // [MQTT-3.1.2-25]
    take(state, entry, out)
    return
  }
  state.unacknowledged++
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
  out: SessionOutputs
): boolean => {
  const aliases = state.outboundAliases
  if (aliases !== undefined) {
    const { alias, isNew } = aliases.use(publication.topic.name)
    header.topicAlias = alias
    header.sendTopic = isNew
  }
  if (out.sendPublish(publication, header)) {
    state.counters.messagesSent++
    state.counters.bytesSent += publication.payloadBytes
    return true
  }
  // The client never saw the alias that went down with the packet.
  if (header.topicAlias !== 0 && header.sendTopic) aliases?.forget(publication.topic.name)
  state.counters.droppedTooLarge++
  out.dropped(publication.topic.name, "too-large")
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
        entry.phase = Phase.Released
        recordRelease(state, entry, out)
        const { link } = state
        out.afterCommit(() => link?.sendAck("Pubrel", ack.packetId, ReasonCode.Success, ""))
      }
      break
    case "Pubcomp":
      if (entry !== undefined && entry.phase === Phase.Released) complete(state, entry, out)
      break
  }
  pump(state, nowMs, out)
}

/** Takes an entry out of the queue for good. */
const take = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  state.queue?.remove(entry)
  recordDequeue(state, entry, out)
}

const complete = (state: SessionState, entry: OutboundEntry, out: SessionOutputs): void => {
  if (isCounted(state, entry)) state.unacknowledged--
  take(state, entry, out)
}

/**
 * Whether it counts against the quota of this connection: a PUBLISH that only an earlier connection sent does
 * not.
 */
const isCounted = (state: SessionState, entry: OutboundEntry): boolean =>
  entry.phase === Phase.Released || state.queue?.isCurrent(entry) === true

/** A new connection has taken up the session: what is in flight is owed again, then what waited. */
export const resume = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  state.unacknowledged = 0
  resend(state, nowMs, out)
  pump(state, nowMs, out)
}

/**
 * What is in flight, in its order and as far as the quota goes; but every PUBREL, because the quota holds
 * back PUBLISHes alone. [MQTT-4.4.0-1] [MQTT-4.9.0-3] [MQTT-3.3.4-10]
 */
const resend = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  const { link, queue } = state
  if (link === undefined || queue === undefined) return
  queue.rewind()
  for (const entry of queue.entries()) if (entry.phase === Phase.Released) state.unacknowledged++
  for (let entry = queue.next(); entry !== undefined; entry = queue.next()) {
    if (entry.phase === Phase.Released) {
      queue.advance(entry)
      sendPubrel(queue, entry, out)
    } else if (mayPublish(state, link)) {
      sendEntry(state, entry, nowMs, out)
    } else {
      break
    }
  }
  for (const entry of queue.entries()) {
    if (entry.phase === Phase.Released && !queue.isCurrent(entry)) sendPubrel(queue, entry, out)
  }
}

const sendPubrel = (queue: OutboundQueue, entry: OutboundEntry, out: SessionOutputs): void =>
  out.sendAck("Pubrel", queue.packetIdOf(entry), ReasonCode.Success, "")

/**
 * The shared subscriptions that have something in the queue which another member could deliver.
 * [MQTT-4.8.2-4]
 */
export const sharedGroupsOf = (state: SessionState): ReadonlyArray<SharedGroup> => {
  const groups = new Set<SharedGroup>()
  if (state.queue !== undefined) {
    for (const entry of state.queue.entries()) {
      if (mayMove(entry)) groups.add(entry.options.group)
    }
  }
  return [...groups]
}

/** Takes the messages of a group out of the queue and hands them back to the group's other members. */
export const giveBack = (state: SessionState, group: SharedGroup, out: SessionOutputs): void => {
  const { queue } = state
  if (queue === undefined) return
  const entries = [...queue.entries()].filter((entry) => mayMove(entry) && entry.options.group === group)
  for (const entry of entries) take(state, entry, out)
  if (entries.length > 0) {
    out.redispatch(
      group,
      entries.map((entry) => entry.publication)
    )
  }
}

type SharedEntry = OutboundEntry & { readonly options: { readonly group: SharedGroup } }

/**
 * QoS 1 may go to another member at any time; QoS 2 only while this client has not seen it. [MQTT-4.8.2-4]
 * [MQTT-4.8.2-5]
 */
const mayMove = (entry: OutboundEntry): entry is SharedEntry =>
  entry.options.group !== undefined && (entry.qos === 1 || !entry.wasSent)

/** A retained message of a new subscription, in pages that the client's own pace calls for. */
export const startReplay = (state: SessionState, replay: Replay, out: SessionOutputs): void => {
  const replays = (state.replays ??= [])
  replays.push(replay)
  continueReplay(state, out)
}

/**
 * The filter is no longer subscribed: what is left of its retained messages does not come. [MQTT-3.10.4-2]
 */
export const stopReplay = (state: SessionState, topicFilter: string, out: SessionOutputs): void => {
  const { replays } = state
  if (replays === undefined) return
  // The page that was asked for, if it was for this one, is nobody's now.
  if (replays[0]?.topicFilter === topicFilter) state.replayAsked = false
  state.replays = replays.filter((replay) => replay.topicFilter !== topicFilter)
  continueReplay(state, out)
}

/** Asks for the next page when the client has taken most of the last one. */
export const continueReplay = (state: SessionState, out: SessionOutputs): void => {
  const { link, replays } = state
  if (replays === undefined || state.replayAsked || link === undefined) return
  const replay = replays[0]
  if (replay === undefined) {
    state.replays = undefined
    return
  }
  if (link.backlogBytes > state.settings.outboundBytesMax / 2) return
  if (state.queue !== undefined && state.queue.waiting > 0) return
  state.replayAsked = true
  out.askRetained(replay, REPLAY_PAGE)
}

/** A page of retained messages. */
export const onRetainedPage = (
  state: SessionState,
  page: RetainedPage,
  nowMs: number,
  out: SessionOutputs
): void => {
  const replay = state.replays?.[0]
  // Asked for twice, by two connections; or for one that is not there: the replay goes on when it is back.
  if (replay === undefined || replay.options !== page.request.options || replay.from !== page.request.from)
    return
  if (state.link === undefined) return
  for (const publication of page.publications) {
    // [MQTT-3.8.3-3]
    if (replay.noLocal && publication.publisherId === state.clientId) continue
    deliver(state, { publication, options: replay.options }, nowMs, out)
  }
  // Not before: a delivery pumps, and would ask for the same page again.
  state.replayAsked = false
  if (page.cursor === undefined) state.replays?.shift()
  else state.replays?.splice(0, 1, { ...replay, from: page.cursor })
  continueReplay(state, out)
}
