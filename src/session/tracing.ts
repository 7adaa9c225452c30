/**
 * The spans of a session's messages: a PUBLISH from its receipt until it is acknowledged, a delivery from the
 * socket until the client has acknowledged it.
 *
 * A message that is not sampled has no `traceContext`, and that is all that is looked at.
 */

import type { Publish, SubscriptionRequest, Topic } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { isFailure } from "../protocol/ReasonCode.ts"
import { type Publication, tracedCopy } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"
import { networkAttributes } from "../telemetry/tracing/networkAttributes.ts"
import type { Attributes, LiveSpan, Tracing } from "../telemetry/tracing/Tracing.ts"
import { withTraceContext } from "../telemetry/tracing/userProperties.ts"
import type { MessageContent } from "../tenant/policy/MessageChange.ts"
import type { PublishRefusal } from "./refusals.ts"
import type { PendingSuback, SessionState } from "./SessionState.ts"

/** (OpenTelemetry semantic conventions for messaging, 1.36) */
export const messagingAttributes = (
  { clientId, identity }: SessionState,
  operation: "publish" | "deliver" | "subscribe" | "will",
  topic: string
): Attributes => ({
  "messaging.system": "mqtt",
  "messaging.operation.name": operation,
  "messaging.operation.type": operationTypes[operation],
  "messaging.destination.name": topic,
  "messaging.client.id": clientId,
  "heddle.tenant": identity.tenant
})

/** A SUBSCRIBE is none of the types that there are. */
const operationTypes = { publish: "receive", deliver: "send", will: "send", subscribe: undefined } as const

/** Begins the trace of a PUBLISH, or goes on with its publisher's. Undefined when it is not sampled. */
export const traceReceived = (
  state: SessionState,
  packet: Publish,
  topic: Topic,
  nowMs: number,
  tracing: Tracing
): LiveSpan | undefined => {
  const { forwardedProperties } = packet
  if (tracing.sampler.passesOver(forwardedProperties.length)) return undefined
  const { clientId, identity } = state
  const candidate = { tenant: identity.tenant, clientId, topic: topic.name, forwardedProperties }
  const span = tracing.begin("publish", candidate, nowMs, { kind: "server" })
  span?.set({
    ...messagingAttributes(state, "publish", topic.name),
    "messaging.message.body.size": packet.payloadEnd - packet.payloadStart,
    "mqtt.qos": packet.qos,
    "mqtt.retain": packet.retain,
    ...networkAttributes(identity.peer)
  })
  return span
}

/** The PUBLISH that is being judged goes no further. */
export const traceRefused = (state: SessionState, { reason, reasonCode }: PublishRefusal): void => {
  const { traced } = state
  if (traced === undefined) return
  state.traced = undefined
  traced.set({ "mqtt.reason_code": reasonCode })
  traced.fail(reason, reasonCode)
}

/** A SUBACK that will not come. */
export const traceUnanswered = ({ traced }: PendingSuback): void => traced?.fail(GONE)

/** The message without what its publisher says of a trace. */
export const withoutTrace = <A extends Pick<MessageContent, "forwardedProperties">>(message: A): A => {
  const forwardedProperties = withTraceContext(message.forwardedProperties, undefined)
  return forwardedProperties === message.forwardedProperties ? message : { ...message, forwardedProperties }
}

/** The same of a will, when it goes out. */
export const traceWill = (
  state: SessionState,
  publication: Publication,
  nowMs: number,
  tracing: Tracing
): void => {
  const { clientId, identity } = state
  const { forwardedProperties, topic } = publication
  const candidate = { tenant: identity.tenant, clientId, topic: topic.name, forwardedProperties }
  const span = tracing.begin("will", candidate, nowMs, { kind: "server" })
  if (span === undefined) return
  span.set({ ...messagingAttributes(state, "will", topic.name), "mqtt.qos": publication.qos })
  publication.traced = span
  publication.traceContext = span.traceContext
}

/** A SUBSCRIBE that has been judged, until its SUBACK. */
export const traceSubscribe = (
  state: SessionState,
  requests: ReadonlyArray<SubscriptionRequest>,
  tracing: Tracing
): LiveSpan | undefined => {
  const { clientId, identity, lastPacketMs } = state
  const topic = requests[0]?.topicFilter ?? ""
  const candidate = { tenant: identity.tenant, clientId, topic, forwardedProperties: nothing }
  const span = tracing.begin("subscribe", candidate, lastPacketMs, { kind: "server" })
  span?.set({
    ...messagingAttributes(state, "subscribe", topic),
    "messaging.batch.message_count": requests.length
  })
  return span
}

const nothing = new Uint8Array(0)

export const tracedSuback = (span: LiveSpan, reasonCodes: ReadonlyArray<number>): void => {
  const refused = reasonCodes.filter(isFailure).length
  span.set({ "heddle.filters.refused": refused })
  if (refused > 0 && refused === reasonCodes.length) span.fail("no filter was granted")
  else span.end()
}

/** What is sent to a client of a message that is traced, and the span of that. */
export interface TracedDelivery {
  readonly publication: Publication
  readonly span: LiveSpan
}

/**
 * Begins the span of a delivery. A client of version 5 is told its place in the trace, so that what it does
 * with the message is a child of this delivery and no other.
 */
export const traceDelivery = (
  state: SessionState,
  publication: Publication,
  traceContext: string,
  { dup, qos }: PublishHeader,
  tracing: Tracing
): TracedDelivery | undefined => {
  const span = tracing.below(traceContext, "deliver", { kind: "producer" })
  if (span === undefined) return undefined
  span.set({
    ...messagingAttributes(state, "deliver", publication.topic.name),
    "messaging.message.body.size": publication.payloadBytes,
    "mqtt.qos": qos,
    "mqtt.dup": dup
  })
  if (!state.terms.isVersion5 || state.settings.tracePropagation !== "inject") return { publication, span }
  const properties = withTraceContext(publication.forwardedProperties, span.context)
  return { publication: tracedCopy(publication, properties), span }
}

/** It has been written: QoS 0 is done with that, the others when the client says so. */
export const tracedSent = (state: SessionState, { qos, packetId }: PublishHeader, span: LiveSpan): void => {
  if (qos === 0) return span.end()
  state.deliveries ??= new Map()
  state.deliveries.get(packetId)?.fail("sent again")
  state.deliveries.set(packetId, span)
}

export const tracedReceived = (state: SessionState, packetId: number): void =>
  state.deliveries?.get(packetId)?.event("received")

export const tracedDone = (state: SessionState, packetId: number): void => {
  const span = state.deliveries?.get(packetId)
  if (span === undefined) return
  state.deliveries?.delete(packetId)
  span.event("acknowledged")
  span.end()
}

/**
 * The connection has ended: what it was sent will be sent again, if at all, by another delivery; what it has
 * sent and the router has not is the client's to send again.
 */
export const tracedLost = (state: SessionState): void => {
  for (const span of state.deliveries?.values() ?? []) {
    span.fail("the connection ended before the client acknowledged it")
  }
  state.deliveries = undefined
  state.authorizing?.fail(GONE)
  state.authorizing = undefined
  state.traced?.fail(GONE)
  state.traced = undefined
  if (state.parked?._tag === "Room") state.parked.publication.traceFailed(GONE)
}

const GONE = "the connection ended before that"

/** It does not reach this client: the end of its way here. */
export const traceDropped = (
  state: SessionState,
  { topic, traceContext }: Publication,
  reason: string,
  tracing: Tracing | undefined
): void => {
  if (traceContext === undefined || tracing === undefined) return
  const span = tracing.below(traceContext, reason === "expired" ? "expire" : "drop", { kind: "internal" })
  span?.set({ ...messagingAttributes(state, "deliver", topic.name), "heddle.reason": reason })
  span?.end()
}

/** It waits for a client that is away, or that has not acknowledged what it was sent before. */
export const tracedQueued = (
  { clientId }: SessionState,
  { traced }: Publication,
  { group }: DeliveryOptions
): void => {
  traced?.event("queued", {
    "messaging.client.id": clientId,
    ...(group !== undefined && { "messaging.consumer.group.name": group.options.name })
  })
}
