/** Receive Maximum in both directions (5.0, sections 3.3.4 and 4.9). */

import { describe, expect, test } from "bun:test"
import { concat, properties, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, keepsSession, resume, subscribe5 } from "./client.ts"

const publish = (packetId: number, qos: number): Buffer =>
  raw.publish({ version: 5, topic: "t", payload: `${packetId}`, qos, packetId })

describe("the client's Receive Maximum", () => {
  const limited = async (broker: TestBroker, maximum: number, qos: number): Promise<TestClient> => {
    const subscriber = await join(broker, "s", { properties: properties.receiveMaximum(maximum) })
    await subscriber.subscribe(["t", qos])
    return subscriber
  }

  for (const maximum of [1, 2, 5]) {
    test(`[MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-3.3.4-9] ${maximum}: at most as many QoS 1 messages wait for PUBACK`, () =>
      withBroker({}, async (broker) => {
        const subscriber = await limited(broker, maximum, 1)
        const publisher = await join(broker, "p")
        for (let count = 1; count <= 10; count++) await publisher.publish("t", `${count}`)
        const waiting: Array<number> = []
        for (let count = 1; count <= maximum; count++) {
          waiting.push((await expectMessage(subscriber, `${count}`)).messageId ?? 0)
        }
        await subscriber.quiet()
        for (let count = maximum + 1; count <= 10; count++) {
          await subscriber.send(raw.puback({ packetId: waiting.shift() ?? 0 }))
          waiting.push((await expectMessage(subscriber, `${count}`)).messageId ?? 0)
          await subscriber.quiet()
        }
      }))
  }

  test("[MQTT-3.3.4-9] a QoS 2 message counts until PUBCOMP, not only until PUBREC", () =>
    withBroker({}, async (broker) => {
      const subscriber = await limited(broker, 1, 2)
      const publisher = await join(broker, "p")
      await publisher.send(publish(1, 2), publish(2, 2))
      const packetId = (await expectMessage(subscriber, "1")).messageId ?? 0
      await subscriber.quiet()
      await subscriber.send(raw.pubrec({ packetId }))
      await subscriber.expect("pubrel")
      await subscriber.quiet()
      await subscriber.send(raw.pubcomp({ packetId }))
      await expectMessage(subscriber, "2")
    }))

  test("[MQTT-3.3.4-9] a PUBREC of 0x80 or more frees its place", () =>
    withBroker({}, async (broker) => {
      const subscriber = await limited(broker, 1, 2)
      const publisher = await join(broker, "p")
      await publisher.send(publish(1, 2), publish(2, 2))
      const packetId = (await expectMessage(subscriber, "1")).messageId ?? 0
      await subscriber.send(raw.pubrec({ packetId, reasonCode: 0x80 }))
      await expectMessage(subscriber, "2")
    }))

  test("[MQTT-4.9.0-2] acknowledgements of nothing do not raise the quota", () =>
    withBroker({}, async (broker) => {
      const subscriber = await limited(broker, 1, 1)
      const publisher = await join(broker, "p")
      for (const payload of ["1", "2"]) await publisher.publish("t", payload)
      const packetId = (await expectMessage(subscriber, "1")).messageId ?? 0
      await subscriber.send(raw.puback({ packetId: packetId + 1 }), raw.puback({ packetId: 999 }))
      await subscriber.send(raw.pubcomp({ packetId }))
      await subscriber.quiet()
    }))

  test("[MQTT-4.9.0-2] QoS 0 messages are not held back", () =>
    withBroker({}, async (broker) => {
      const subscriber = await limited(broker, 1, 1)
      const publisher = await join(broker, "p")
      await publisher.publish("t", "holds the quota")
      await expectMessage(subscriber, "holds the quota")
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "QoS 0" }))
      await expectMessage(subscriber, "QoS 0")
    }))

  test("[MQTT-4.9.0-3] [MQTT-3.3.4-10] with the quota used up everything but PUBLISH goes on", () =>
    withBroker({}, async (broker) => {
      const client = await limited(broker, 1, 2)
      const publisher = await join(broker, "p")
      for (const payload of ["1", "2"]) await publisher.publish("t", payload)
      await expectMessage(client, "1")
      expect(await subscribe5(client, ["other"])).toEqual([0])
      await client.send(raw.unsubscribe({ version: 5, filters: ["other"] }))
      await client.expect("unsuback")
      await client.send(raw.publish({ version: 5, topic: "x", qos: 1, packetId: 3 }))
      await client.expect("puback")
      await client.send(raw.publish({ version: 5, topic: "x", qos: 2, packetId: 4 }))
      await client.expect("pubrec")
      await client.send(raw.pubrel({ packetId: 4 }))
      await client.expect("pubcomp")
      await client.quiet()
    }))

  test("[MQTT-4.9.0-1] each connection of a session begins with its own Receive Maximum", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      let subscriber = await resume(broker, "s")
      await subscriber.subscribe(["t", 1])
      for (let count = 1; count <= 6; count++) await publisher.publish("t", `${count}`)
      for (const maximum of [2, 5, 1]) {
        subscriber.drop()
        subscriber = await resume(broker, "s", {
          properties: concat(keepsSession, properties.receiveMaximum(maximum))
        })
        for (let count = 1; count <= maximum; count++) await expectMessage(subscriber, `${count}`)
        await subscriber.quiet()
      }
    }))
})

describe("the server's Receive Maximum", () => {
  test("[MQTT-3.3.4-7] is announced, and a QoS 2 message beyond it ends the connection with 0x93", () =>
    withBroker({ settings: { receiveMaximum: 3 } }, async (broker) => {
      const client = await join(broker, "c")
      expect(client.connack?.properties?.receiveMaximum).toBe(3)
      for (const packetId of [1, 2, 3]) {
        await client.send(publish(packetId, 2))
        await client.expect("pubrec")
      }
      // Sent again, which is no new one.
      await client.send(raw.publish({ version: 5, topic: "t", qos: 2, packetId: 2, dup: true }))
      await client.expect("pubrec")
      await client.send(raw.pubrel({ packetId: 1 }))
      await client.expect("pubcomp")
      await client.send(publish(4, 2))
      await client.expect("pubrec")
      await client.send(publish(5, 2))
      await expectDisconnect(client, 0x93)
    }))

  test("[MQTT-3.3.4-7] a QoS 1 message beyond it as well", () =>
    withBroker({ settings: { receiveMaximum: 2 } }, async (broker) => {
      const client = await join(broker, "c")
      for (const packetId of [1, 2]) {
        await client.send(publish(packetId, 2))
        await client.expect("pubrec")
      }
      await client.send(publish(3, 1))
      await expectDisconnect(client, 0x93)
    }))

  test("[MQTT-3.3.4-7] QoS 0 messages and those that were acknowledged do not count", () =>
    withBroker({ settings: { receiveMaximum: 1 } }, async (broker) => {
      const client = await join(broker, "c")
      for (let packetId = 1; packetId <= 20; packetId++) {
        await client.send(publish(packetId, 1))
        await client.expect("puback")
        await client.send(raw.publish({ version: 5, topic: "t" }))
      }
      await client.quiet()
    }))
})
