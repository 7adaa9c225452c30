/**
 * From the client: PUBLISH at each QoS, PUBREL, and the acknowledgements we owe for them.
 *
 * A PUBLISH is judged in a fixed order - flow control, alias, limits, duplicate, permission - and then
 * routed. Refusing one differs by version: version 5 is told by a reason code; earlier versions have none, so
 * a message that may not be published is acknowledged and dropped ([v3 MQTT-3.3.5-2]), and what breaks the
 * protocol closes the connection.
 */

import type { Ack, Publish, Topic } from "../protocol/Packet.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { MessageContent } from "../tenant/policy/MessageChange.ts"
import { isAnswered, type PublishVerdict } from "../tenant/policy/Verdict.ts"
import { AckLedger } from "./AckLedger.ts"
import { inboundRecord, recordReleased } from "./durability.ts"
import { refusalOfWindow } from "./quota.ts"
import { notAuthorized, type PublishRefusal, refusalOfTopic } from "./refusals.ts"
import type { Published } from "./SessionMessage.ts"
import type { ReceivedPublish, SessionOutputs, SessionState } from "./SessionState.ts"
import { askAboutPublish, isRefusal, screened } from "./screening.ts"
import { traceReceived, traceRefused, withoutTrace } from "./tracing.ts"

export const onPublish = (state: SessionState, packet: Publish, nowMs: number, out: SessionOutputs): void => {
  countReceived(state.counters, packet)
  if (packet.qos > 0 && !admit(state, packet, out)) return
  const topic = resolveTopic(state, packet, out)
  if (topic === undefined) return
  const { settings, terms } = state
  if (packet.qos > terms.maximumQos) {
    // [MQTT-3.2.2-11]
    return out.close({ reasonCode: ReasonCode.QosNotSupported, reason: `QoS ${packet.qos} is not supported` })
  }
  if (packet.retain && !terms.retainAvailable) {
    // [MQTT-3.2.2-14]
    return out.close({
      reasonCode: ReasonCode.RetainNotSupported,
      reason: "retained messages are not supported"
    })
  }
  const received = packet.qos === 2 ? state.received?.get(packet.packetId) : undefined
  if (received !== undefined) {
    if (isTold(state, received.outcome)) return repeated(state, packet.packetId, received, out)
    // It was not stored while its client was away: it is taken now.
    forgetReceived(state, packet.packetId, out)
  }
  if (out.tracing !== undefined) state.traced = traceReceived(state, packet, topic, nowMs, out.tracing)
  if (state.quota?.limitsWindows === true) {
    const refusal = refusalOfWindow(state, packet, nowMs)
    if (refusal !== undefined) return refuseOver(state, packet, topic, refusal, out)
  }
  // The decoder repeats the Topic object of the last PUBLISH, so a publisher that stays on its topic is
  // judged once.
  if (topic !== state.judgedTopic) {
    const refusal = refusalOfTopic(topic.name, settings)
    if (refusal !== undefined) return refuse(state, packet, topic, refusal, out)
    state.judgedTopic = topic
  }
  const named = packet.topic === topic ? packet : { ...packet, topic }
  const message = settings.tracePropagation === "strip" ? withoutTrace(named) : named
  const answer = askAboutPublish(state, message)
  if (answer === undefined) judge(state, packet, message, nowMs, out)
  else if (isAnswered(answer)) onPublishScreened(state, { packet, message }, answer, nowMs, out)
  else {
    state.authorizing = state.traced?.child("policy", { kind: "internal" })
    state.parked = { _tag: "PublishPolicy", packet, message }
    out.askPolicy([answer])
  }
}

const countReceived = (counters: Counters, { payloadEnd, payloadStart, qos, retain }: Publish): void => {
  const bytes = payloadEnd - payloadStart
  counters.messagesReceived++
  counters.bytesReceived += bytes
  if (qos === 1) {
    counters.messagesReceivedQos1++
    counters.bytesReceivedQos1 += bytes
  } else if (qos === 2) {
    counters.messagesReceivedQos2++
    counters.bytesReceivedQos2 += bytes
  }
  if (!retain) return
  counters.retainedReceived++
  counters.retainedBytesReceived += bytes
}

/** A PUBLISH as the client sent it, and the message that is to be routed. */
interface Received {
  readonly packet: Publish
  readonly message: MessageContent
}

/** The policy has answered for a PUBLISH. */
export const onPublishScreened = (
  state: SessionState,
  { message, packet }: Received,
  verdict: PublishVerdict,
  nowMs: number,
  out: SessionOutputs
): void => {
  endAuthorizing(state)
  if (verdict._tag === "Allow") return judge(state, packet, message, nowMs, out)
  const { screenedTopic: known, settings } = state
  const { maximumQos, retainAvailable } = state.terms
  const result = screened(message, verdict, { settings, maximumQos, retainAvailable, known })
  if (isRefusal(result)) return refuse(state, packet, message.topic, result, out)
  if (result.topic !== message.topic) state.screenedTopic = result.topic
  judge(state, packet, result, nowMs, out)
}

const judge = (
  state: SessionState,
  packet: Publish,
  message: MessageContent,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { qos, retain, topic } = message
  const decision = state.permissions.publish(topic.name, qos, retain)
  if (decision === true) route(state, packet, message, nowMs, out)
  else if (decision === false) refuse(state, packet, topic, notAuthorized, out)
  else {
    state.authorizing = state.traced?.child("authorize", { kind: "internal" })
    state.parked = { _tag: "Publish", packet, message }
    out.decide([decision])
  }
}

const endAuthorizing = (state: SessionState): void => {
  state.authorizing?.end()
  state.authorizing = undefined
}

/** [MQTT-4.3.3-10]: acknowledged again, as soon as it is safe, and not delivered again. */
const repeated = (
  state: SessionState,
  packetId: number,
  received: ReceivedPublish,
  out: SessionOutputs
): void => {
  if (received.countsFor !== state.epoch) {
    received.countsFor = state.epoch
    state.receivedUnderWay++
  }
  if (received.outcome === undefined) ledgerOf(state).expectRepeated(packetId)
  else ledgerOf(state).expectSettled(2, packetId, received.outcome)
  releaseAcks(state, out)
}

/** The identifier is free: it was released, or its message was refused or lost. False when nothing had it. */
export const forgetReceived = (state: SessionState, packetId: number, out: SessionOutputs): boolean => {
  const received = state.received?.get(packetId)
  if (received === undefined) return false
  state.received?.delete(packetId)
  // One without an outcome has not been put on record.
  if (received.outcome !== undefined) recordReleased(state, packetId, out)
  if (received.countsFor === state.epoch && state.receivedUnderWay > 0) state.receivedUnderWay--
  return true
}

/** The router has lost its mail: what it had not confirmed is the client's to send again. */
export const forgetUnrouted = (state: SessionState, out: SessionOutputs): void => {
  if (state.received === undefined) return
  for (const [packetId, received] of state.received) {
    if (received.outcome === undefined) forgetReceived(state, packetId, out)
  }
}

/** An authorizer that had to ask has answered for the parked PUBLISH. */
export const onPublishDecided = (
  state: SessionState,
  { message, packet }: Received,
  allowed: boolean,
  nowMs: number,
  out: SessionOutputs
): void => {
  endAuthorizing(state)
  if (allowed) route(state, packet, message, nowMs, out)
  else refuse(state, packet, message.topic, notAuthorized, out)
}

/**
 * Whether the client may have one more QoS 1 or 2 message under way. False when the packet has been dealt
 * with.
 */
const admit = (state: SessionState, packet: Publish, out: SessionOutputs): boolean => {
  if (packet.qos === 2 && state.received?.get(packet.packetId)?.countsFor === state.epoch) return true
  // Receive Maximum begins anew with each connection. (5.0, section 4.9)
  const underWay = state.owedPubacks + state.receivedUnderWay
  if (underWay < state.terms.receiveMaximum || !state.terms.isVersion5) return true
  // [MQTT-3.3.4-7]
  out.close({
    reasonCode: ReasonCode.ReceiveMaximumExceeded,
    reason: `more than ${state.terms.receiveMaximum} unacknowledged messages [MQTT-3.3.4-7]`
  })
  return false
}

/** The topic that the packet names, itself or by alias. Undefined when the connection was closed over it. */
const resolveTopic = (state: SessionState, packet: Publish, out: SessionOutputs): Topic | undefined => {
  const { topic, topicAlias } = packet
  if (topicAlias === 0) return topic
  if (topicAlias > state.terms.topicAliasMaximum) {
    // [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-9]
    out.close({
      reasonCode: ReasonCode.TopicAliasInvalid,
      reason: `topic alias ${topicAlias} is above the maximum`
    })
    return undefined
  }
  const aliases = (state.inboundAliases ??= [])
  if (topic.name !== "") {
    aliases[topicAlias] = topic
    return topic
  }
  const known = aliases[topicAlias]
  if (known === undefined) {
    out.close({
      reasonCode: ReasonCode.ProtocolError,
      reason: `topic alias ${topicAlias} was never set [3.3.2.3.4]`
    })
  }
  return known
}

const refuse = (
  state: SessionState,
  packet: Publish,
  topic: Topic,
  refusal: PublishRefusal,
  out: SessionOutputs
): void => {
  out.refused({
    _tag: "PublishRefused",
    topic: topic.name,
    qos: packet.qos,
    retain: packet.retain,
    ...refusal
  })
  traceRefused(state, refusal)
  if (refusal.cause === "refused-by-policy") state.counters.droppedByPolicy++
  else state.counters.droppedNotAuthorized++
  acknowledgeRefused(state, packet, refusal, out)
}

/**
 * A window of the tenant is used up. Version 3 has no word for that, and an acknowledgement would be a lie:
 * the connection is closed, and the client still has its message.
 */
const refuseOver = (
  state: SessionState,
  packet: Publish,
  topic: Topic,
  refusal: PublishRefusal,
  out: SessionOutputs
): void => {
  const { qos, retain } = packet
  traceRefused(state, refusal)
  out.refused({ _tag: "PublishRefused", topic: topic.name, qos, retain, ...refusal })
  if (qos > 0 && !state.terms.isVersion5) out.close(refusal)
  else acknowledgeRefused(state, packet, refusal, out)
}

const acknowledgeRefused = (
  state: SessionState,
  { packetId, qos }: Publish,
  { reason, reasonCode }: PublishRefusal,
  out: SessionOutputs
): void => {
  if (qos === 0) return
  // [MQTT-4.3.3-9]: the identifier is free again
  if (qos === 1) state.owedPubacks++
  if (state.terms.isVersion5 && reason !== reasonOf(reasonCode))
    (state.refusals ??= new Map()).set(packetId, reason)
  ledgerOf(state).expectSettled(qos, packetId, reasonCode)
  releaseAcks(state, out)
}

const route = (
  state: SessionState,
  packet: Publish,
  message: MessageContent,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { packetId, qos } = packet
  const { epoch } = state
  if (qos === 2) {
    state.received ??= new Map()
    state.received.set(packetId, { epoch, outcome: undefined, countsFor: epoch })
    state.receivedUnderWay++
    ledgerOf(state).expect(2, packetId)
  } else if (qos === 1) {
    state.owedPubacks++
    ledgerOf(state).expect(1, packetId)
  }
  const origin = { publisher: out, packetId, epoch, receivedAtMs: nowMs }
  const publication = new Publication(message, message, origin)
  if (state.traced !== undefined) {
    publication.traced = state.traced
    publication.traceContext = state.traced.traceContext
    state.traced = undefined
  }
  // PUBREC says that the message and its identifier are both safe.
  if (qos === 2 && state.keepsState) out.gather(publication, inboundRecord(state, packetId), true)
  if (!out.route(publication)) state.parked = { _tag: "Room", publication }
  else if (state.owedPubacks >= state.terms.receiveMaximum && !state.terms.isVersion5) {
    // A version 3 client cannot be told a maximum: it is read no further until some of its messages are
    // acknowledged.
    state.parked = { _tag: "Acknowledgements" }
  }
}

/** The router is done with a QoS 1 or 2 message of ours. */
export const onPublished = (
  state: SessionState,
  outcome: Omit<Published, "_tag">,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { epoch, packetId, reasonCode, receivedAtMs } = outcome
  state.counters.latencies.publish.record((nowMs - receivedAtMs) / 1000)
  const received = state.received?.get(packetId)
  if (received?.epoch === epoch) received.outcome = reasonCode
  // A message of an earlier connection: only the PUBLISH that repeats it waits for this.
  else if (epoch !== state.epoch) return
  state.ledger?.settle(packetId, reasonCode)
  releaseAcks(state, out)
}

const releaseAcks = (state: SessionState, out: SessionOutputs): void => {
  state.ledger?.release((qos, packetId, reasonCode) => {
    const mayTell = isTold(state, reasonCode)
    if (qos === 1) {
      if (state.owedPubacks > 0) state.owedPubacks--
      if (mayTell) out.sendAck("Puback", packetId, reasonCode, takeReason(state, packetId, reasonCode))
    } else {
      if (isFailure(reasonCode)) forgetReceived(state, packetId, out)
      if (mayTell) out.sendAck("Pubrec", packetId, reasonCode, takeReason(state, packetId, reasonCode))
    }
    if (mayTell && state.settings.debugEvents) {
      out.tell({ _tag: "MessageAcknowledged", qos, packetId, reasonCode })
    }
  })
  if (state.parked?._tag === "Acknowledgements" && state.owedPubacks < state.terms.receiveMaximum) {
    state.parked = undefined
  }
}

/**
 * Earlier versions cannot be told that a message was not stored: it stays unacknowledged, and the client
 * sends it again.
 */
const isTold = (state: SessionState, outcome: number | undefined): boolean =>
  state.terms.isVersion5 || outcome !== ReasonCode.UnspecifiedError

/** What the Reason String says, once. */
const takeReason = (state: SessionState, packetId: number, reasonCode: number): string => {
  const { refusals } = state
  const reason = refusals !== undefined && isFailure(reasonCode) ? refusals.get(packetId) : undefined
  if (reason === undefined) return reasonOf(reasonCode)
  refusals?.delete(packetId)
  if (refusals?.size === 0) state.refusals = undefined
  return reason
}

const reasonOf = (reasonCode: number): string => {
  switch (reasonCode) {
    case ReasonCode.NotAuthorized:
      return notAuthorized.reason
    case ReasonCode.QuotaExceeded:
      return "a limit of retained messages, or of those who get one message, is reached"
    case ReasonCode.UnspecifiedError:
      return "the message could not be stored"
    case ReasonCode.TopicNameInvalid:
      return "the topic has too many levels, or bytes in one or all of them"
    default:
      return ""
  }
}

/** [MQTT-4.3.3-11] */
export const onPubrel = (state: SessionState, packet: Ack<"Pubrel">, out: SessionOutputs): void => {
  const { packetId } = packet
  const { link } = state
  const isKnown = forgetReceived(state, packetId, out)
  const reasonCode = isKnown ? ReasonCode.Success : ReasonCode.PacketIdentifierNotFound
  // Once the client has PUBCOMP it may use the identifier again: by then it must be free after a crash, too,
  // also when an earlier PUBREL has freed it.
  out.afterAllCommits(() => link?.sendAck("Pubcomp", packetId, reasonCode, ""))
}

const ledgerOf = (state: SessionState): AckLedger => (state.ledger ??= new AckLedger())
