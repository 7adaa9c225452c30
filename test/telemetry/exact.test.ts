/** What is counted is what clients have counted themselves. */

import { expect, test } from "bun:test"
import { raw } from "../support/raw.ts"
import { type TestClient, withBroker } from "../support/testBroker.ts"

interface Tally {
  messages: number
  bytes: number
  readonly byQos: [number, number, number]
}

const tally = (): Tally => ({ messages: 0, bytes: 0, byQos: [0, 0, 0] })

const count = (into: Tally, qos: 0 | 1 | 2, bytes: number): void => {
  into.messages++
  into.bytes += bytes
  into.byQos[qos]++
}

/** Publishes and completes the exchange. */
const publish = async (client: TestClient, qos: 0 | 1 | 2, packetId: number, payload: string) => {
  await client.send(raw.publish({ version: 4, topic: "t", payload, qos, packetId: qos === 0 ? 0 : packetId }))
  if (qos === 1) await client.expect("puback")
  if (qos !== 2) return
  await client.expect("pubrec")
  await client.send(raw.pubrel({ packetId }))
  await client.expect("pubcomp")
}

/** Takes one message and completes the exchange. */
const take = async (client: TestClient, into: Tally) => {
  const { messageId: packetId = 0, payload, qos } = await client.expect("publish")
  count(into, qos, payload.length)
  if (qos === 1) await client.send(raw.puback({ packetId }))
  if (qos !== 2) return
  await client.send(raw.pubrec({ packetId }))
  await client.expect("pubrel")
  await client.send(raw.pubcomp({ packetId }))
}

test("counters are exact: received, sent, by QoS, in bytes, dropped and unmatched", () =>
  withBroker({}, async (broker) => {
    const [received, sent] = [tally(), tally()]
    const subscribers = await Promise.all(
      ([0, 1, 2] as const).map(async (qos) => {
        const client = await broker.connect({ clientId: `s${qos}` })
        await client.subscribe(["t", qos])
        return client
      })
    )
    const publisher = await broker.connect({ clientId: "p" })
    for (let round = 1; round <= 30; round++) {
      const qos = (round % 3) as 0 | 1 | 2
      const payload = "x".repeat(round)
      await publish(publisher, qos, round, payload)
      count(received, qos, payload.length)
      for (const subscriber of subscribers) await take(subscriber, sent)
    }
    await publisher.publish("nobody")
    count(received, 1, "payload".length)
    for (const subscriber of subscribers) await subscriber.quiet()
    const counters = broker.broker.counters("default")
    expect(counters).toMatchObject({
      connections: 4,
      connectsAccepted: 4,
      subscribed: 3,
      messagesReceived: received.messages,
      bytesReceived: received.bytes,
      messagesReceivedQos1: received.byQos[1],
      messagesReceivedQos2: received.byQos[2],
      messagesSent: sent.messages,
      bytesSent: sent.bytes,
      messagesSentQos1: sent.byQos[1],
      messagesSentQos2: sent.byQos[2],
      messagesUnmatched: 1,
      messagesResent: 0,
      queuedMessages: 0
    })
    const acknowledged = sent.byQos[1] + sent.byQos[2]
    expect(counters?.latencies.acknowledge.count).toBe(acknowledged)
    expect(counters?.latencies.deliver.count).toBe(sent.messages)
    expect(counters?.latencies.publish.count).toBe(received.byQos[1] + received.byQos[2])
    publisher.drop()
    await broker.settle()
    expect(broker.broker.counters("default")).toMatchObject({ connections: 3, disconnects: 1 })
  }))
