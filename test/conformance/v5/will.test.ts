/** The Will Message (5.0, sections 3.1.2.5 and 3.1.3.2): when it is published, when not, and how. */

import { describe, expect, test } from "bun:test"
import { concat, properties, type RawWill, raw, toHex } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, keepsSession, nextBytes } from "./client.ts"

const second = 1000
const delayed = (seconds: number): Buffer => properties.willDelayInterval(seconds)

const watch = async (broker: TestBroker): Promise<TestClient> => {
  const watcher = await join(broker, "watcher", { keepAlive: 0 })
  await watcher.subscribe(["will/#", 2 | 0x08])
  return watcher
}

const will = (more: RawWill = {}): RawWill => ({ topic: "will/c", payload: "gone", ...more })

describe("the Will is published", () => {
  test("[MQTT-3.1.2-7] [MQTT-3.1.2-8] when the connection breaks: stored with its QoS and payload", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", { will: will({ qos: 1 }) })
      await watcher.quiet()
      client.drop()
      const message = await expectMessage(watcher, "gone")
      expect([message.topic, message.qos]).toEqual(["will/c", 1])
    }))

  test("[MQTT-3.1.2-8] when the server closes the connection over a Protocol Error", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", { will: will() })
      await client.send(raw.subscribe({ version: 5, filters: [] }))
      await expectDisconnect(client, 0x82)
      await expectMessage(watcher, "gone")
    }))

  test("[MQTT-3.1.2-8] when the Keep Alive has passed", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      await join(broker, "c", { keepAlive: 10, will: will() })
      await broker.advance(16 * second)
      await expectMessage(watcher, "gone")
    }))

  test("[MQTT-3.1.2-8] on DISCONNECT 0x04, and on any code but 0x00", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      for (const reasonCode of [0x04, 0x80]) {
        const client = await join(broker, "c", { will: will() })
        await client.send(raw.disconnect({ reasonCode }))
        await expectMessage(watcher, "gone")
      }
    }))

  test("[MQTT-3.1.2-8] when another client takes over", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      await join(broker, "c", { will: will() })
      await join(broker, "c")
      await expectMessage(watcher, "gone")
    }))

  test("[MQTT-3.1.2-8] after the Will Delay Interval, not before", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", {
        properties: keepsSession,
        will: will({ properties: delayed(10) })
      })
      client.drop()
      await broker.settle()
      await broker.advance(9 * second)
      await watcher.quiet()
      await broker.advance(2 * second)
      await expectMessage(watcher, "gone")
    }))

  test("[MQTT-3.1.2-8] when the session ends before the delay has passed", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", {
        properties: properties.sessionExpiryInterval(5),
        will: will({ properties: delayed(60) })
      })
      client.drop()
      await broker.settle()
      await broker.advance(6 * second)
      await expectMessage(watcher, "gone")
      await broker.advance(60 * second)
      await watcher.quiet()
    }))

  test("[MQTT-3.1.2-8] at once when the session ends with the connection, whatever the delay", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", { will: will({ properties: delayed(60) }) })
      client.drop()
      await expectMessage(watcher, "gone")
    }))

  test("[MQTT-3.1.2-8] when a new connection with Clean Start 1 ends the session before the delay", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", {
        properties: keepsSession,
        will: will({ properties: delayed(60) })
      })
      client.drop()
      await broker.settle()
      await join(broker, "c", { clean: true })
      await expectMessage(watcher, "gone")
    }))
})

describe("the Will is not published", () => {
  test("[MQTT-3.14.4-3] [MQTT-3.1.2-8] [MQTT-3.1.2-10] after DISCONNECT 0x00", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      for (const packet of [raw.disconnect(), raw.disconnect({ reasonCode: 0 })]) {
        const client = await join(broker, "c", { will: will(), properties: keepsSession })
        await client.send(packet)
        await client.expectClosed()
        await watcher.quiet()
      }
      await broker.advance(2 * 3600 * second)
      await watcher.quiet()
    }))

  test("[MQTT-3.1.2-10] a second time by the next connection of its session", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", { properties: keepsSession, will: will() })
      client.drop()
      await expectMessage(watcher, "gone")
      const back = await join(broker, "c", { clean: false, properties: keepsSession })
      back.drop()
      await broker.settle()
      await watcher.quiet()
    }))

  test("[MQTT-3.1.3-9] when the session is resumed before the delay has passed", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const client = await join(broker, "c", {
        properties: keepsSession,
        will: will({ properties: delayed(10) })
      })
      client.drop()
      await broker.settle()
      await broker.advance(5 * second)
      await join(broker, "c", { clean: false, keepAlive: 0, properties: keepsSession })
      await broker.advance(60 * second)
      await watcher.quiet()
    }))

  test("[MQTT-3.1.3-9] when the session is taken over at once and the Will has a delay", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const terms = { clean: false, keepAlive: 0, properties: keepsSession }
      await join(broker, "c", { ...terms, will: will({ properties: delayed(10) }) })
      await join(broker, "c", terms)
      await broker.advance(60 * second)
      await watcher.quiet()
    }))

  test("[MQTT-3.1.3-9] in the place of the Will that the new connection brought", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const terms = { clean: false, keepAlive: 0, properties: keepsSession }
      const old = await join(broker, "c", {
        ...terms,
        will: will({ payload: "old", properties: delayed(10) })
      })
      old.drop()
      await broker.settle()
      const back = await join(broker, "c", { ...terms, will: will({ payload: "new" }) })
      back.drop()
      await expectMessage(watcher, "new")
      await broker.advance(60 * second)
      await watcher.quiet()
    }))
})

describe("the Will Message", () => {
  const cases = [
    { name: "[MQTT-3.1.2-14] Will Retain 0 is published as not retained", retain: false, stored: 0 },
    { name: "[MQTT-3.1.2-15] Will Retain 1 is published as retained", retain: true, stored: 1 }
  ]
  for (const { name, retain, stored } of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const watcher = await watch(broker)
        const client = await join(broker, "c", { will: will({ retain }) })
        client.drop()
        expect((await expectMessage(watcher, "gone")).retain).toBe(retain)
        expect(broker.broker.census().retainedMessages).toBe(stored)
        const late = await join(broker, "late")
        await late.subscribe("will/c")
        if (retain) await expectMessage(late, "gone")
        await late.quiet()
      })
    )
  }

  test("[MQTT-3.1.3-10] keeps its User Properties in their order, and its other properties", () =>
    withBroker({}, async (broker) => {
      const watcher = await watch(broker)
      const user = concat(
        properties.userProperty("b", "1"),
        properties.userProperty("a", "2"),
        properties.userProperty("b", "3")
      )
      const client = await join(broker, "c", {
        will: will({ properties: concat(properties.contentType("text/plain"), delayed(0), user) })
      })
      client.drop()
      const bytes = await nextBytes(watcher)
      expect(bytes).toInclude(toHex(user))
      expect(bytes).toInclude(toHex(properties.contentType("text/plain")))
      expect(bytes).not.toInclude(toHex(delayed(0)))
    }))
})
