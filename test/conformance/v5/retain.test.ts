/** Retained messages (5.0, section 3.3.1.3) and what subscriptions make of them. */

import { describe, expect, test } from "bun:test"
import { raw } from "../../support/raw.ts"
import { type TestClient, withBroker } from "../../support/testBroker.ts"
import {
  expectMessage,
  join,
  NO_LOCAL,
  RETAIN_AS_PUBLISHED,
  RETAIN_IF_NEW,
  RETAIN_NEVER,
  resume,
  subscribe5,
  textOf
} from "./client.ts"

const retained = (client: TestClient, topic: string, payload: string): Promise<void> =>
  client.publish(topic, payload, { retain: true })

describe("a PUBLISH from a client", () => {
  test("[MQTT-3.3.1-5] RETAIN 1 replaces the retained message of its topic, whatever the QoS", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "first")
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "second", retain: true }))
      await retained(publisher, "u", "other")
      const subscriber = await join(broker, "s")
      await subscriber.subscribe(["t", 1])
      expect(await expectMessage(subscriber, "second")).toMatchObject({ retain: true, qos: 0 })
      await subscriber.quiet()
      expect(broker.broker.census().retainedMessages).toBe(2)
    }))

  test("[MQTT-3.3.1-6] an empty payload with RETAIN 1 removes it, and is delivered like any message", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "stored")
      const present = await join(broker, "present")
      await present.subscribe("t")
      await expectMessage(present, "stored")
      await retained(publisher, "t", "")
      expect(await expectMessage(present, "")).toMatchObject({ retain: false })
      const late = await join(broker, "late")
      await late.subscribe("t")
      await late.quiet()
    }))

  test("[MQTT-3.3.1-7] an empty payload is never stored", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "")
      expect(broker.broker.census().retainedMessages).toBe(0)
      await publisher.subscribe("t")
      await publisher.quiet()
    }))

  test("[MQTT-3.3.1-8] RETAIN 0 stores, replaces and removes nothing", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "stored")
      await publisher.publish("t", "passing")
      await publisher.publish("t", "")
      await publisher.publish("u", "passing")
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t", "u")
      await expectMessage(subscriber, "stored")
      await subscriber.quiet()
    }))
})

describe("Retain Handling", () => {
  test("[MQTT-3.3.1-9] 0 sends the retained messages that match, after SUBACK, each time", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      for (const topic of ["a/1", "a/2", "b/1", "a"]) await retained(publisher, topic, topic)
      const subscriber = await join(broker, "s")
      for (let round = 0; round < 2; round++) {
        await subscribe5(subscriber, [["a/+", 1]])
        const topics = [await subscriber.expect("publish"), await subscriber.expect("publish")]
        expect(topics.map(({ topic, retain }) => [topic, retain]).sort()).toEqual([
          ["a/1", true],
          ["a/2", true]
        ])
        await subscriber.quiet()
      }
    }))

  test("[MQTT-3.3.1-9] many retained messages come all, once each", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      const topics = Array.from({ length: 200 }, (_, index) => `many/${index}`)
      for (const topic of topics) {
        await publisher.send(raw.publish({ version: 5, topic, payload: topic, retain: true }))
      }
      await publisher.publish("done")
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("many/#")
      const received: Array<string> = []
      for (let count = 0; count < topics.length; count++)
        received.push((await subscriber.expect("publish")).topic)
      expect(received.sort()).toEqual(topics.sort())
      await subscriber.quiet()
    }))

  test("[MQTT-3.3.1-9] every filter of a SUBSCRIBE gets its own, at QoS 1 and in pages as well", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      for (const topic of ["a", "b"]) {
        for (let index = 0; index < 40; index++) await retained(publisher, `${topic}/${index}`, topic)
      }
      const subscriber = await join(broker, "s")
      await subscribe5(subscriber, [
        ["a/+", 1],
        ["b/+", 2],
        ["b/7", 0]
      ])
      const count = { a: 0, b: 0 }
      for (let index = 0; index < 81; index++) {
        const message = await subscriber.expect("publish")
        count[textOf(message) === "a" ? "a" : "b"]++
      }
      expect(count).toEqual({ a: 40, b: 41 })
      await subscriber.quiet()
    }))

  test("[MQTT-3.10.4-2] an UNSUBSCRIBE stops the retained messages that have not been sent", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      for (let index = 0; index < 100; index++) await retained(publisher, `a/${index}`, "a")
      const subscriber = await join(broker, "s")
      await subscriber.send(
        raw.subscribe({ version: 5, filters: [["a/+", 1]] }),
        raw.unsubscribe({ version: 5, packetId: 2, filters: ["a/+"] }),
        raw.subscribe({ version: 5, packetId: 3, filters: [["a/5", 1]] })
      )
      const commands: Array<string> = []
      for (let index = 0; index < 4; index++) commands.push((await subscriber.next())?.cmd ?? "closed")
      expect(commands.sort()).toEqual(["publish", "suback", "suback", "unsuback"])
      await subscriber.quiet()
    }))

  test("[MQTT-3.3.1-10] 1 sends them when the subscription is new, and not when it existed", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "stored")
      const subscriber = await join(broker, "s")
      await subscribe5(subscriber, [["t", RETAIN_IF_NEW]])
      await expectMessage(subscriber, "stored")
      await subscribe5(subscriber, [["t", 1 | RETAIN_IF_NEW]])
      await subscriber.quiet()
      await subscriber.send(raw.unsubscribe({ version: 5, filters: ["t"] }))
      await subscriber.expect("unsuback")
      await subscribe5(subscriber, [["t", RETAIN_IF_NEW]])
      await expectMessage(subscriber, "stored")
    }))

  test("[MQTT-3.3.1-11] 2 never sends them", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "t", "stored")
      const subscriber = await join(broker, "s")
      await subscribe5(subscriber, [["t", RETAIN_NEVER]])
      await subscriber.quiet()
      await publisher.publish("t", "live")
      await expectMessage(subscriber, "live")
    }))

  test("[MQTT-3.3.1-9] [MQTT-3.3.1-11] each filter of a SUBSCRIBE by its own", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await retained(publisher, "a", "a")
      await retained(publisher, "b", "b")
      const subscriber = await join(broker, "s")
      await subscribe5(subscriber, [
        ["a", RETAIN_NEVER],
        ["b", 0]
      ])
      await expectMessage(subscriber, "b")
      await subscriber.quiet()
    }))
})

describe("Retain As Published", () => {
  const cases = [
    {
      name: "[MQTT-3.3.1-12] 0: a retained message comes with RETAIN 0",
      options: 0,
      retain: true,
      expected: false
    },
    { name: "[MQTT-3.3.1-12] 0: another one too", options: 0, retain: false, expected: false },
    {
      name: "[MQTT-3.3.1-13] 1: a retained message comes with RETAIN 1",
      options: RETAIN_AS_PUBLISHED,
      retain: true,
      expected: true
    },
    {
      name: "[MQTT-3.3.1-13] 1: another one with RETAIN 0",
      options: RETAIN_AS_PUBLISHED,
      retain: false,
      expected: false
    }
  ]
  for (const { expected, name, options, retain } of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const publisher = await join(broker, "p")
        // One receiver and several take different ways through the writer.
        const receivers = [await join(broker, "s1"), await join(broker, "s2")]
        for (const [index, receiver] of receivers.entries()) {
          await subscribe5(receiver, [["t", index + options]])
          await publisher.publish("t", "live", { retain })
          for (const each of receivers.slice(0, index + 1)) {
            expect((await expectMessage(each, "live")).retain).toBe(expected)
          }
          await publisher.publish("t", "", { retain: true })
          for (const each of receivers.slice(0, index + 1)) await expectMessage(each, "")
        }
      })
    )
  }

  test("[MQTT-3.3.1-13] a message that waited for an absent subscriber keeps its RETAIN", () =>
    withBroker({}, async (broker) => {
      const away = await resume(broker, "s")
      await subscribe5(away, [
        ["kept", 1 | RETAIN_AS_PUBLISHED],
        ["plain", 1]
      ])
      away.drop()
      const publisher = await join(broker, "p")
      await retained(publisher, "kept", "1")
      await retained(publisher, "plain", "2")
      const back = await resume(broker, "s")
      expect((await expectMessage(back, "1")).retain).toBe(true)
      expect((await expectMessage(back, "2")).retain).toBe(false)
    }))
})

test("[MQTT-3.8.3-3] No Local holds for the client's own retained messages too", () =>
  withBroker({}, async (broker) => {
    const client = await join(broker, "c")
    await retained(client, "t/own", "own")
    const other = await join(broker, "other")
    await retained(other, "t/other", "other")
    await subscribe5(client, [["t/+", NO_LOCAL]])
    await expectMessage(client, "other")
    await client.quiet()
  }))
