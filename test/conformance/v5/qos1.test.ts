/** QoS 1 in both directions (5.0, sections 4.3.2 and 4.4). */

import { describe, expect, test } from "bun:test"
import { raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectMessage, join, resume } from "./client.ts"

const subscribed = async (broker: TestBroker): Promise<TestClient> => {
  const client = await resume(broker, "s")
  await client.subscribe(["t", 1])
  return client
}

describe("the server as the sender", () => {
  test("[MQTT-4.3.2-1] [MQTT-2.2.1-4] [MQTT-4.3.2-2] each message has an unused Packet Identifier, QoS 1, DUP 0", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      const used = new Set<number>()
      for (let count = 0; count < 50; count++) {
        await publisher.publish("t", `${count}`)
        const message = await expectMessage(subscriber, `${count}`)
        const packetId = message.messageId ?? 0
        expect([message.qos, message.dup, packetId > 0, used.has(packetId)]).toEqual([1, false, true, false])
        // Every third stays unacknowledged, so that its identifier must not come again.
        if (count % 3 === 0) used.add(packetId)
        else await subscriber.send(raw.puback({ packetId }))
      }
    }))

  test(
    "[MQTT-2.2.1-4] the identifiers begin again at 1, not at 0, and none in use is given twice",
    () =>
      withBroker({ settings: { queueMessagesMax: 65_535 } }, async (broker) => {
        const subscriber = await subscribed(broker)
        const publisher = await join(broker, "p")
        const message = raw.publish({ version: 5, topic: "t", payload: "", qos: 1 })
        const batch = Buffer.concat(Array.from({ length: 600 }, () => message))
        let last = 0
        for (let sent = 0; sent < 66_000; sent += 600) {
          await publisher.send(batch)
          const acks: Array<Buffer> = []
          for (let count = 0; count < 600; count++) {
            const packetId = (await subscriber.expect("publish")).messageId ?? 0
            if (packetId !== (last % 65_535) + 1) throw new RangeError(`${packetId} after ${last}`)
            last = packetId
            acks.push(raw.puback({ packetId }))
          }
          await subscriber.send(Buffer.concat(acks))
          for (let count = 0; count < 600; count++) await publisher.expect("puback")
        }
        expect(last).toBeLessThan(1000)
      }),
    60_000
  )

  test("[MQTT-4.3.2-3] [MQTT-3.3.1-1] [MQTT-4.4.0-1] what was not acknowledged comes again on reconnect, with DUP", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      const identifiers: Array<number | undefined> = []
      for (const payload of ["a", "b", "c"]) {
        await publisher.publish("t", payload)
        identifiers.push((await expectMessage(subscriber, payload)).messageId)
      }
      await subscriber.send(raw.puback({ packetId: identifiers[1] ?? 0 }))
      await subscriber.quiet()
      subscriber.drop()
      for (let round = 0; round < 2; round++) {
        const back = await resume(broker, "s")
        expect(await expectMessage(back, "a")).toMatchObject({ messageId: identifiers[0], dup: true, qos: 1 })
        expect(await expectMessage(back, "c")).toMatchObject({ messageId: identifiers[2], dup: true, qos: 1 })
        await back.quiet()
        back.drop()
      }
    }))

  test("[MQTT-4.4.0-1] nothing is sent again at any other time", () =>
    withBroker({}, async (broker) => {
      const subscriber = await resume(broker, "s", { keepAlive: 0 })
      await subscriber.subscribe(["t", 2])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "once")
      await expectMessage(subscriber, "once")
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "twice", qos: 2 }))
      const second = await expectMessage(subscriber, "twice")
      await subscriber.send(raw.pubrec({ packetId: second.messageId ?? 0 }))
      await subscriber.expect("pubrel")
      await broker.advance(24 * 3600 * 1000)
      await subscriber.quiet()
    }))

  test("[MQTT-4.4.0-1] messages that wait are not sent a first time with DUP", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      subscriber.drop()
      const publisher = await join(broker, "p")
      await publisher.publish("t", "waited")
      const back = await resume(broker, "s")
      expect((await expectMessage(back, "waited")).dup).toBe(false)
    }))

  for (const reasonCode of [0x80, 0x97, 0x99]) {
    test(`[MQTT-4.4.0-2] PUBACK 0x${reasonCode.toString(16)} acknowledges as well: nothing comes again`, () =>
      withBroker({}, async (broker) => {
        const subscriber = await subscribed(broker)
        const publisher = await join(broker, "p")
        await publisher.publish("t", "refused")
        const { messageId } = await expectMessage(subscriber, "refused")
        await subscriber.send(raw.puback({ packetId: messageId ?? 0, reasonCode }))
        await subscriber.quiet()
        subscriber.drop()
        const back = await resume(broker, "s")
        await back.quiet()
      }))
  }

  test("[MQTT-4.6.0-5] [MQTT-4.6.0-6] messages come in the order in which they were published, also when resent", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      const payloads = Array.from({ length: 60 }, (_, index) => `${index}`)
      for (const payload of payloads.slice(0, 30)) await publisher.publish("t", payload)
      for (const payload of payloads.slice(0, 10)) await expectMessage(subscriber, payload)
      subscriber.drop()
      for (const payload of payloads.slice(30)) await publisher.publish("t", payload)
      const back = await resume(broker, "s")
      for (const payload of payloads) await expectMessage(back, payload)
      await back.quiet()
    }))

  for (const qos of [0, 1, 2]) {
    test(`[MQTT-4.6.0-5] QoS ${qos}: the messages of a publisher keep their order through wildcards and fan-out`, () =>
      withBroker({}, async (broker) => {
        const subscribers = [await join(broker, "s1"), await join(broker, "s2")]
        for (const [index, client] of subscribers.entries())
          await client.subscribe([index === 0 ? "t/#" : "t/+", qos])
        const publisher = await join(broker, "p")
        const packets = Array.from({ length: 200 }, (_, index) =>
          raw.publish({ version: 5, topic: `t/${index % 3}`, payload: `${index}`, qos, packetId: index + 1 })
        )
        await publisher.send(Buffer.concat(packets))
        for (const client of subscribers) {
          for (let index = 0; index < packets.length; index++) await expectMessage(client, `${index}`)
        }
      }))
  }
})

describe("the server as the receiver", () => {
  test("[MQTT-4.3.2-4] answers with PUBACK and the Packet Identifier, in the order of the PUBLISHes", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      const packetIds = [9, 65_535, 1, 700]
      await publisher.send(
        Buffer.concat(packetIds.map((packetId) => raw.publish({ version: 5, topic: "t", qos: 1, packetId })))
      )
      for (const packetId of packetIds) expect((await publisher.expect("puback")).messageId).toBe(packetId)
      await publisher.quiet()
    }))

  test("[MQTT-4.3.2-4] [MQTT-4.5.0-1] owns what it acknowledged: a persistent subscriber gets it later", () =>
    withBroker({}, async (broker) => {
      const subscribers = ["s1", "s2"]
      for (const clientId of subscribers) {
        const client = await resume(broker, clientId)
        await client.subscribe(["t", 1])
        client.drop()
      }
      const publisher = await join(broker, "p")
      await publisher.publish("t", "owned")
      publisher.drop()
      for (const clientId of subscribers) await expectMessage(await resume(broker, clientId), "owned")
    }))

  test("[MQTT-4.3.2-5] a PUBLISH with the same identifier after its PUBACK is new, whatever its DUP", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      const publisher = await join(broker, "p")
      for (const dup of [false, true, true]) {
        await publisher.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 5, dup }))
        expect((await publisher.expect("puback")).messageId).toBe(5)
        await expectMessage(subscriber, "payload")
      }
      await subscriber.quiet()
    }))
})
