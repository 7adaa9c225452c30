/** What is measured of each tenant: which counter is shown by which name. `TenantMetrics` reads them. */

import type { Counters } from "../Counters.ts"
import type { Latencies } from "../Latencies.ts"
import type { Labels, Metric } from "./Metric.ts"

/** A number of `Counters`. */
export type CounterName = {
  [Name in keyof Counters]: Counters[Name] extends number ? Name : never
}[keyof Counters]

interface Row {
  readonly metric: Metric & { readonly kind: "counter" | "gauge" }
  /** Which counter, and what tells it from the others of the metric. */
  readonly series: ReadonlyArray<readonly [CounterName, Labels]>
}

type Series = Row["series"][number]

const gauge = (name: string, unit: string, help: string, ...series: ReadonlyArray<Series>): Row => ({
  metric: { name: `heddle.${name}`, kind: "gauge", unit, help },
  series
})

const counter = (name: string, unit: string, help: string, ...series: ReadonlyArray<Series>): Row => ({
  metric: { name: `heddle.${name}`, kind: "counter", unit, help },
  series
})

const because = (reason: string): Labels => ({ reason })

/** In the order in which they are shown. Every counter stands in one of them, or in `unshown`. */
export const tenantRows: ReadonlyArray<Row> = [
  gauge("connections", "{connection}", "Clients connected now", ["connections", {}]),
  gauge("sessions", "{session}", "Sessions, connected or kept for absent clients", ["sessions", {}]),
  gauge("sessions.persistent", "{session}", "Sessions that outlive their connections", [
    "persistentSessions",
    {}
  ]),
  gauge(
    "subscriptions",
    "{subscription}",
    "Subscriptions of sessions that end with their connection, and of those that do not",
    ["transientSubscriptions", { session: "transient" }],
    ["persistentSubscriptions", { session: "persistent" }]
  ),
  gauge("subscriptions.shared", "{subscription}", "Memberships in shared subscriptions", [
    "sharedSubscriptions",
    {}
  ]),
  gauge("queued.messages", "{message}", "QoS 1 and 2 messages that wait for clients or their answers", [
    "queuedMessages",
    {}
  ]),
  gauge(
    "queued.size",
    "By",
    "What those weigh: all of it, what is on record, and what is in memory",
    ["queuedBytes", { where: "all" }],
    ["persistentBytes", { where: "record" }],
    ["queuedMemoryBytes", { where: "memory" }]
  ),
  gauge("retained.messages", "{message}", "Retained messages", ["retainedMessages", {}]),
  gauge("retained.size", "By", "What those weigh", ["retainedBytes", {}]),
  counter("connects", "{connect}", "CONNECTs that were accepted", ["connectsAccepted", {}]),
  counter("disconnects", "{connection}", "Connections that have ended", ["disconnects", {}]),
  counter(
    "filters",
    "{filter}",
    "Filters that were granted, and that were given up",
    ["subscribed", { request: "subscribe" }],
    ["unsubscribed", { request: "unsubscribe" }]
  ),
  counter("clients.stalled", "{client}", "Clients that did not acknowledge for too long", [
    "clientsStalled",
    {}
  ]),
  counter("messages.received", "{message}", "PUBLISHes from clients", ["messagesReceived", {}]),
  counter(
    "messages.received.acknowledged",
    "{message}",
    "Those of QoS 1 and 2",
    ["messagesReceivedQos1", { qos: "1" }],
    ["messagesReceivedQos2", { qos: "2" }]
  ),
  counter("received", "By", "Payload from clients", ["bytesReceived", {}]),
  counter(
    "received.acknowledged",
    "By",
    "That of QoS 1 and 2",
    ["bytesReceivedQos1", { qos: "1" }],
    ["bytesReceivedQos2", { qos: "2" }]
  ),
  counter("messages.sent", "{message}", "PUBLISHes to clients", ["messagesSent", {}]),
  counter(
    "messages.sent.acknowledged",
    "{message}",
    "Those of QoS 1 and 2",
    ["messagesSentQos1", { qos: "1" }],
    ["messagesSentQos2", { qos: "2" }]
  ),
  counter("sent", "By", "Payload to clients", ["bytesSent", {}]),
  counter(
    "sent.acknowledged",
    "By",
    "That of QoS 1 and 2",
    ["bytesSentQos1", { qos: "1" }],
    ["bytesSentQos2", { qos: "2" }]
  ),
  counter("messages.resent", "{message}", "Messages that were sent again, with DUP", ["messagesResent", {}]),
  counter("resent", "By", "Payload of those", ["bytesResent", {}]),
  counter("retained.received", "{message}", "Messages that came with RETAIN", ["retainedReceived", {}]),
  counter("retained.received.payload", "By", "Payload of those", ["retainedBytesReceived", {}]),
  counter("retained.sent", "{message}", "Retained messages that a subscription brought", [
    "retainedSent",
    {}
  ]),
  counter("retained.sent.payload", "By", "Payload of those", ["retainedBytesSent", {}]),
  counter("messages.unmatched", "{message}", "Messages that nobody subscribed to", ["messagesUnmatched", {}]),
  counter(
    "messages.dropped",
    "{message}",
    "Messages that did not reach somebody, and why",
    ["droppedQueueFull", because("queue-full")],
    ["droppedSlowConsumer", because("slow-consumer")],
    ["droppedMailboxFull", because("mailbox-full")],
    ["droppedExpired", because("expired")],
    ["droppedTooLarge", because("too-large")],
    ["droppedNotAuthorized", because("not-authorized")],
    ["droppedNoMembers", because("no-members")],
    ["droppedRetainedQuota", because("retained-quota")],
    ["droppedNotStored", because("not-stored")],
    ["droppedQuota", because("quota")],
    ["droppedByPolicy", because("policy")],
    ["droppedFanout", because("fan-out")]
  ),
  counter("policy.failures", "{call}", "Policies that threw, took too long or answered nonsense", [
    "policyFailures",
    {}
  ]),
  counter("dropped.quota", "By", "Payload that was refused because a window was used up", [
    "bytesDroppedQuota",
    {}
  ]),
  counter(
    "refused.quota",
    "{request}",
    "What was refused because of a limit of the tenant",
    ["connectsRefusedQuota", { request: "connect" }],
    ["subscribesRefusedQuota", { request: "subscribe" }]
  ),
  counter(
    "throttled",
    "{request}",
    "How often somebody had to wait for a rate",
    ["throttledPublishes", { request: "publish" }],
    ["throttledSubscribes", { request: "subscribe" }],
    ["throttledDeliveries", { request: "deliver" }],
    ["throttledReplays", { request: "retained" }]
  )
]

/** Counters that others keep for themselves, or that are sums of what is shown. */
export const unshown: ReadonlyArray<CounterName> = ["subscriptions", "connectionsPeak", "sessionsPeak"]

const duration = (name: keyof Latencies, help: string) => ({
  name,
  metric: { name: `heddle.${name}.duration`, kind: "histogram", unit: "s", help } as const
})

export const latencyRows = [
  duration("publish", "From PUBLISH to its PUBACK or PUBREC"),
  duration("deliver", "From PUBLISH to the socket of a connected subscriber"),
  duration("acknowledge", "From there to the subscriber's PUBACK or PUBCOMP")
]
