/**
 * One PUBLISH to the client: its header, its topic alias, its trace, and what is counted of it. Whether it is
 * sent is decided elsewhere.
 */

import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"
import type { Counters } from "../telemetry/Counters.ts"
import { sentEvent } from "./debugEvents.ts"
import { tellDropped } from "./dropped.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { maySend, paySent } from "./throttleSending.ts"
import { traceDelivery, tracedSent } from "./tracing.ts"

export const hasExpired = (
  state: SessionState,
  publication: Publication,
  nowMs: number,
  out: SessionOutputs
): boolean => {
  if (!publication.isExpired(nowMs)) return false
  state.counters.droppedExpired++
  tellDropped(state, publication, "expired", out)
  return true
}

/** Whether a message has to wait for the rates of what the client is sent. */
export const isOverRate = (state: SessionState, nowMs: number, out: SessionOutputs): boolean =>
  state.quota?.limitsSending === true && !maySend(state, nowMs, out)

/** Counts how long it took from its publisher to the socket. */
export const delivered = ({ counters }: SessionState, { receivedAtMs }: Publication, nowMs: number): void => {
  if (receivedAtMs !== 0) counters.latencies.deliver.record((nowMs - receivedAtMs) / 1000)
}

type MutableHeader = { -readonly [K in keyof PublishHeader]: PublishHeader[K] }

export const headerOf = (
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
export const send = (
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
  const isSent =
    (traced !== undefined && out.sendPublish(traced.publication, header)) ||
    // It may be that only the place in the trace makes it larger than the client takes.
    ((traced === undefined || traced.publication !== publication) && out.sendPublish(publication, header))
  if (isSent) {
    if (traced !== undefined) tracedSent(state, header, traced.span)
    countSent(state.counters, publication.payloadBytes, header)
    if (state.quota?.limitsSending === true) paySent(state, publication, nowMs, out)
    if (state.settings.debugEvents) out.tell(sentEvent(publication, header))
    return true
  }
  // The client never saw the alias that went down with the packet.
  if (header.topicAlias !== 0 && header.sendTopic) aliases?.forget(publication.topic.name)
  traced?.span.fail("larger than the client takes", ReasonCode.PacketTooLarge)
  state.counters.droppedTooLarge++
  out.dropped(publication.topic.name, "too-large", header.qos)
  return false
}

const countSent = (counters: Counters, bytes: number, { dup, qos }: PublishHeader): void => {
  counters.messagesSent++
  counters.bytesSent += bytes
  if (qos === 0) return
  if (qos === 1) {
    counters.messagesSentQos1++
    counters.bytesSentQos1 += bytes
  } else {
    counters.messagesSentQos2++
    counters.bytesSentQos2 += bytes
  }
  if (!dup) return
  counters.messagesResent++
  counters.bytesResent += bytes
}
