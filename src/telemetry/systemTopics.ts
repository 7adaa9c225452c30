/**
 * `$SYS/broker/...`: numbers as messages, by the names that mosquitto made common. A tenant sees its own;
 * who runs the broker sees the whole. Pure: numbers in, topics with texts out.
 */

import type { Counters } from "./Counters.ts"

/** Numbers of one tenant, or the sums over all. */
export type SystemNumbers = {
  readonly [Name in SummedName]: number
}

type SummedName = (typeof summed)[number]

const summed = [
  "connections",
  "sessions",
  "persistentSessions",
  "transientSubscriptions",
  "persistentSubscriptions",
  "sharedSubscriptions",
  "retainedMessages",
  "retainedBytes",
  "queuedMessages",
  "queuedBytes",
  "messagesReceived",
  "bytesReceived",
  "messagesSent",
  "bytesSent",
  "connectsAccepted",
  "droppedQueueFull",
  "droppedSlowConsumer",
  "droppedMailboxFull",
  "droppedExpired",
  "droppedTooLarge",
  "droppedNotAuthorized",
  "droppedByPolicy",
  "droppedNoMembers",
  "droppedRetainedQuota",
  "droppedFanout",
  "droppedNotStored",
  "droppedQuota"
] as const satisfies ReadonlyArray<keyof Counters>

export const sumOf = (tenants: Iterable<Readonly<Counters>>): SystemNumbers => {
  const sum = Object.fromEntries(summed.map((name) => [name, 0])) as Record<SummedName, number>
  for (const counters of tenants) for (const name of summed) sum[name] += counters[name]
  return sum
}

export interface SystemFacts {
  readonly version: string
  readonly uptimeSeconds: number
}

/** In the order in which they are published. */
export const systemTopics = (
  numbers: SystemNumbers,
  { uptimeSeconds, version }: SystemFacts
): ReadonlyArray<readonly [topic: string, text: string]> => {
  const dropped = summed
    .filter((name) => name.startsWith("dropped"))
    .reduce((sum, name) => sum + numbers[name], 0)
  const subscriptions = numbers.transientSubscriptions + numbers.persistentSubscriptions
  const topics: ReadonlyArray<readonly [string, number | string]> = [
    ["version", `heddle ${version}`],
    ["uptime", `${uptimeSeconds} seconds`],
    ["clients/connected", numbers.connections],
    ["clients/disconnected", numbers.sessions - numbers.connections],
    ["clients/total", numbers.sessions],
    ["clients/persistent", numbers.persistentSessions],
    ["connects", numbers.connectsAccepted],
    ["subscriptions/count", subscriptions],
    ["shared_subscriptions/count", numbers.sharedSubscriptions],
    ["retained messages/count", numbers.retainedMessages],
    ["retained messages/bytes", numbers.retainedBytes],
    ["store/messages/count", numbers.queuedMessages],
    ["store/messages/bytes", numbers.queuedBytes],
    ["publish/messages/received", numbers.messagesReceived],
    ["publish/messages/sent", numbers.messagesSent],
    ["publish/messages/dropped", dropped],
    ["publish/bytes/received", numbers.bytesReceived],
    ["publish/bytes/sent", numbers.bytesSent]
  ]
  return topics.map(([name, value]) => [`$SYS/broker/${name}`, String(value)])
}
