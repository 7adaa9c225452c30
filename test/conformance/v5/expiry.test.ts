/** Message Expiry Interval (5.0, section 3.3.2.3.3). */

import { describe, expect, test } from "bun:test"
import { properties, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectMessage, join, keepsSession, resume, takeMessage } from "./client.ts"

const second = 1000
const patient = { keepAlive: 0, properties: keepsSession }

const expiring = async (client: TestClient, payload: string, seconds: number, qos = 1): Promise<void> => {
  await client.send(
    raw.publish({
      version: 5,
      topic: "t",
      payload,
      qos,
      retain: false,
      properties: properties.messageExpiryInterval(seconds)
    })
  )
  await client.expect(qos === 1 ? "puback" : "pubrec")
}

const away = async (broker: TestBroker, qos: number): Promise<TestClient> => {
  const client = await resume(broker, "away", patient)
  await client.subscribe(["t", qos])
  client.drop()
  await broker.settle()
  return join(broker, "p", { keepAlive: 0 })
}

describe("Message Expiry Interval", () => {
  test("[MQTT-3.3.2-5] a message that has expired is not sent to a subscriber that comes back", () =>
    withBroker({}, async (broker) => {
      const publisher = await away(broker, 2)
      await expiring(publisher, "short", 10)
      await expiring(publisher, "long", 100)
      await publisher.publish("t", "for ever")
      await broker.advance(11 * second)
      const back = await resume(broker, "away", patient)
      await takeMessage(back, "long")
      await takeMessage(back, "for ever")
      await back.quiet()
    }))

  test("[MQTT-3.3.2-5] nor is one whose turn comes too late because the client's Receive Maximum is used up", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s", { keepAlive: 0, properties: properties.receiveMaximum(1) })
      await subscriber.subscribe(["t", 1])
      const publisher = await join(broker, "p", { keepAlive: 0 })
      await publisher.publish("t", "first")
      await expiring(publisher, "late", 10)
      const first = await expectMessage(subscriber, "first")
      await broker.advance(11 * second)
      await subscriber.send(raw.puback({ packetId: first.messageId ?? 0 }))
      await subscriber.quiet()
    }))

  test("[MQTT-3.3.2-5] nor is a retained one, which is removed", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p", { keepAlive: 0 })
      const bytes = raw.publish({
        version: 5,
        topic: "t",
        retain: true,
        properties: properties.messageExpiryInterval(10)
      })
      await publisher.send(bytes)
      await publisher.quiet()
      await broker.advance(11 * second)
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      await subscriber.quiet()
      expect(broker.broker.census().retainedMessages).toBe(0)
    }))

  test("[MQTT-3.3.2-6] is forwarded less the time that the message waited", () =>
    withBroker({}, async (broker) => {
      const publisher = await away(broker, 1)
      await expiring(publisher, "waits", 100)
      await broker.advance(30 * second)
      const back = await resume(broker, "away", patient)
      expect((await takeMessage(back, "waits")).properties?.messageExpiryInterval).toBe(70)
      await expiring(publisher, "does not wait", 100)
      expect((await takeMessage(back, "does not wait")).properties?.messageExpiryInterval).toBe(100)
      await publisher.publish("t", "has none")
      expect((await takeMessage(back, "has none")).properties?.messageExpiryInterval).toBeUndefined()
    }))

  test("[MQTT-3.3.2-6] of a retained message as well", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p", { keepAlive: 0 })
      const interval = properties.messageExpiryInterval(100)
      await publisher.send(raw.publish({ version: 5, topic: "t", retain: true, properties: interval }))
      await publisher.quiet()
      await broker.advance(40 * second)
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      expect((await expectMessage(subscriber, "payload")).properties?.messageExpiryInterval).toBe(60)
    }))

  test("[MQTT-4.3.3-7] does not apply once the PUBLISH was sent: the exchange is finished", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p", { keepAlive: 0 })
      const subscriber = await resume(broker, "s", patient)
      await subscriber.subscribe(["t", 2])
      await expiring(publisher, "sent", 10, 2)
      const sent = await expectMessage(subscriber, "sent")
      subscriber.drop()
      await broker.settle()
      await broker.advance(60 * second)
      const back = await resume(broker, "s", patient)
      const again = await takeMessage(back, "sent")
      expect([again.messageId, again.dup]).toEqual([sent.messageId, true])
      await back.quiet()
    }))

  test("[MQTT-4.3.3-13] the receiver finishes the QoS 2 exchange of a message that expired at once", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe(["t", 2])
      const publisher = await join(broker, "p", { keepAlive: 0 })
      await expiring(publisher, "now", 0, 2)
      await broker.advance(60 * second)
      await publisher.send(raw.pubrel({ packetId: 1 }))
      expect((await publisher.expect("pubcomp")).reasonCode ?? 0).toBe(0)
      await publisher.quiet()
    }))
})
