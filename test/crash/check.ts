/**
 * The checker: from what the clients saw alone, what was promised and did not happen.
 *
 * For a persistent subscriber, from its first SUBACK on: no message is lost whose publisher heard an
 * acknowledgement; at QoS 2 none comes twice; the messages of one publisher and topic come in their order,
 * repetitions aside. Members of a shared subscription get the messages among them. A will goes out once. The
 * retained message of a topic is the last one that was acknowledged, or one after it.
 */

import type { Log, Receipt, SentMessage, SubscriberLog, WillLog } from "./Log.ts"

/** Reads the retained messages at the end: topic to message. */
export type RetainedTopics = ReadonlyMap<string, string>

export const check = (log: Log, retained: RetainedTopics): void => {
  const byGroup = new Map<string, Array<SubscriberLog>>()
  for (const subscriber of log.subscribers) {
    const { group } = subscriber
    checkReceipts(log, subscriber)
    if (!subscriber.isPersistent) continue
    if (group === undefined) {
      checkOrder(log, subscriber)
      checkComplete(log, [subscriber])
    } else {
      const members = byGroup.get(group) ?? []
      byGroup.set(group, members)
      members.push(subscriber)
    }
  }
  for (const members of byGroup.values()) checkComplete(log, members)
  for (const will of log.wills) checkWill(log, will)
  checkRetained(log, retained)
}

const checkReceipts = (log: Log, { clientId, receipts, topicFilter }: SubscriberLog): void => {
  const wills = new Set(log.wills.map((will) => will.id))
  for (const { id, topic } of receipts) {
    const message = log.messages.get(id)
    if (message === undefined && !wills.has(id)) log.violate(`${clientId} gets ${id}, which nobody sent`, id)
    else if (message !== undefined && message.topic !== topic)
      log.violate(`${clientId} gets ${id} on ${topic}`, id)
    if (!matches(topicFilter, topic)) log.violate(`${clientId} gets ${id}, not for ${topicFilter}`, id)
  }
}

const checkOrder = (log: Log, { clientId, receipts, subscribedAtMs = 0 }: SubscriberLog): void => {
  const last = new Map<string, SentMessage>()
  const seen = new Set<string>()
  for (const { id } of receipts) {
    const message = log.messages.get(id)
    // One that was sent before there was a subscription comes when it is sent again, after later ones.
    if (message === undefined || message.sentAtMs < subscribedAtMs || seen.has(id)) continue
    seen.add(id)
    const lane = `${message.publisher} ${message.topic}`
    const previous = last.get(lane)
    if (previous !== undefined && previous.sequence > message.sequence)
      log.violate(`${clientId} gets ${id} after ${previous.id}`, id, previous.id)
    else last.set(lane, message)
  }
}

/** All of them together got everything, and nothing twice that comes once. */
const checkComplete = (log: Log, members: ReadonlyArray<SubscriberLog>): void => {
  const [first] = members
  if (first === undefined) return
  const name = first.group ?? first.clientId
  const since = Math.min(...members.map((each) => each.subscribedAtMs ?? Number.POSITIVE_INFINITY))
  const counts = countReceipts(members.flatMap((each) => each.receipts))
  for (const message of log.messages.values()) {
    const { acknowledgedAtMs, id, qos, sentAtMs, topic } = message
    if (!matches(first.topicFilter, topic)) continue
    const count = counts.get(id) ?? 0
    if (acknowledgedAtMs !== undefined && sentAtMs > since && count === 0)
      log.violate(`${name} never gets ${id}, which was acknowledged`, id, name)
    if (qos === 2 && first.qos === 2 && count > 1) log.violate(`${name} gets ${id} ${count} times`, id, name)
  }
}

const countReceipts = (receipts: ReadonlyArray<Receipt>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { id } of receipts) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

const checkWill = (log: Log, { fate, id, isArmed, qos, sinceMs, topic }: WillLog): void => {
  for (const subscriber of log.subscribers) {
    const { clientId, isPersistent, receipts, topicFilter } = subscriber
    if (!isPersistent || subscriber.subscribedAtMs === undefined || !matches(topicFilter, topic)) continue
    const count = countReceipts(receipts).get(id) ?? 0
    const isOwed = fate === "fires" && isArmed && subscriber.subscribedAtMs < sinceMs
    if (isOwed && count === 0) log.violate(`${clientId} never gets the will ${id}`, id)
    if (fate === "silent" && count > 0) log.violate(`${clientId} gets the will ${id} of one that left`, id)
    if (qos === 2 && subscriber.qos === 2 && count > 1)
      log.violate(`${clientId} gets the will ${id} ${count} times`, id)
  }
}

const checkRetained = (log: Log, retained: RetainedTopics): void => {
  const acknowledged = new Map<string, SentMessage>()
  for (const message of log.messages.values()) {
    const { acknowledgedAtMs, sequence, topic } = message
    if (!topic.startsWith("retained/") || acknowledgedAtMs === undefined) continue
    if (sequence >= (acknowledged.get(topic)?.sequence ?? 0)) acknowledged.set(topic, message)
  }
  for (const [topic, { id, sequence }] of acknowledged) {
    const found = retained.get(topic) ?? "nothing"
    const message = log.messages.get(found)
    if (message?.topic !== topic || message.sequence < sequence)
      log.violate(`${topic} has retained ${found}, and ${id} was acknowledged`, id, found)
  }
}

/** Of a filter with `#` at its end, or a shared one. */
export const matches = (topicFilter: string, topic: string): boolean => {
  const plain = topicFilter.startsWith("$share/") ? topicFilter.split("/").slice(2).join("/") : topicFilter
  return plain.endsWith("#") ? topic.startsWith(plain.slice(0, -1)) : plain === topic
}
