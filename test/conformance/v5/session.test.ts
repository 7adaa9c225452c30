/**
 * Session State (5.0, sections 3.1.2.4, 3.1.2.11.2, 4.1, 4.5): what is kept, for how long, and under which
 * key.
 */

import { describe, expect, test } from "bun:test"
import { concat, properties, raw } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, keepsSession, resume, takeMessage } from "./client.ts"

const second = 1000

describe("Clean Start", () => {
  test("[MQTT-3.1.2-4] [MQTT-3.1.4-4] 1 drops subscriptions and queued messages of the old session", () =>
    withBroker({}, async (broker) => {
      const old = await resume(broker, "c")
      await old.subscribe(["t", 1])
      old.drop()
      const publisher = await join(broker, "p")
      await publisher.publish("t", "queued")
      const fresh = await join(broker, "c", { clean: true, properties: keepsSession })
      expect(fresh.connack?.sessionPresent).toBe(false)
      await publisher.publish("t", "for nobody")
      await fresh.quiet()
    }))

  test("[MQTT-3.1.2-4] 1 drops what is in flight, in both directions", () =>
    withBroker({}, async (broker) => {
      const old = await resume(broker, "c")
      await old.subscribe(["t", 2])
      await old.send(raw.publish({ version: 5, topic: "u", qos: 2, packetId: 5 }))
      await old.expect("pubrec")
      const publisher = await join(broker, "p")
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "in flight", qos: 2 }))
      await expectMessage(old, "in flight")
      old.drop()
      const fresh = await join(broker, "c", { clean: true, properties: keepsSession })
      await fresh.quiet()
      await fresh.send(raw.pubrel({ packetId: 5 }))
      expect((await fresh.expect("pubcomp")).reasonCode).toBe(0x92)
    }))

  test("[MQTT-3.1.2-5] [MQTT-3.1.4-4] [MQTT-4.5.0-1] 0 resumes: subscriptions, and what came meanwhile", () =>
    withBroker({}, async (broker) => {
      const old = await resume(broker, "c")
      await old.subscribe(["t/+", 2])
      old.drop()
      const publisher = await join(broker, "p")
      await publisher.publish("t/1", "while away")
      const back = await resume(broker, "c")
      expect(back.connack?.sessionPresent).toBe(true)
      await takeMessage(back, "while away")
      await publisher.publish("t/2", "while here")
      await takeMessage(back, "while here")
    }))

  test("[MQTT-3.1.2-5] 0 resumes QoS 2 identifiers that were not released", () =>
    withBroker({}, async (broker) => {
      const old = await resume(broker, "c")
      await old.send(raw.publish({ version: 5, topic: "t", qos: 2, packetId: 5 }))
      await old.expect("pubrec")
      old.drop()
      const back = await resume(broker, "c")
      await back.send(raw.pubrel({ packetId: 5 }))
      expect((await back.expect("pubcomp")).reasonCode ?? 0).toBe(0)
    }))

  test("[MQTT-3.1.2-6] 0 without a session makes one", () =>
    withBroker({}, async (broker) => {
      const client = await resume(broker, "c")
      expect(client.connack?.sessionPresent).toBe(false)
      await client.subscribe(["t", 1])
      client.drop()
      expect((await resume(broker, "c")).connack?.sessionPresent).toBe(true)
    }))
})

describe("Session Expiry Interval", () => {
  test("[MQTT-3.1.2-23] above 0: the session outlives its connection", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { properties: properties.sessionExpiryInterval(10) })
      client.drop()
      await broker.advance(9 * second)
      expect((await resume(broker, "c")).connack?.sessionPresent).toBe(true)
    }))

  test("[MQTT-4.1.0-2] the session is discarded when it has passed", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { properties: properties.sessionExpiryInterval(10) })
      await client.subscribe("t")
      client.drop()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ sessions: 1, subscriptions: 1 })
      await broker.advance(11 * second)
      expect(broker.broker.census()).toMatchObject({ sessions: 0, subscriptions: 0, trieNodes: 0 })
      expect((await resume(broker, "c")).connack?.sessionPresent).toBe(false)
    }))

  test("[MQTT-4.1.0-2] a session of 0 seconds, also by default, ends with its connection", () =>
    withBroker({}, async (broker) => {
      for (const interval of [Buffer.alloc(0), properties.sessionExpiryInterval(0)]) {
        const client = await join(broker, "c", { clean: false, properties: interval })
        await client.subscribe(["t", 1])
        client.drop()
        await broker.settle()
        expect(broker.broker.census()).toMatchObject({ sessions: 0, subscriptions: 0 })
        const again = await join(broker, "c", { clean: false })
        expect(again.connack?.sessionPresent).toBe(false)
        again.drop()
      }
    }))

  test("[MQTT-4.1.0-2] an interval in DISCONNECT takes the place of the one in CONNECT", () =>
    withBroker({}, async (broker) => {
      const client = await resume(broker, "c")
      await client.send(raw.disconnect({ reasonCode: 0, properties: properties.sessionExpiryInterval(5) }))
      await client.expectClosed()
      await broker.advance(6 * second)
      expect(broker.broker.census().sessions).toBe(0)
    }))

  test("[MQTT-4.1.0-2] the time of each new connection counts from its own end", () =>
    withBroker({}, async (broker) => {
      const interval = properties.sessionExpiryInterval(10)
      for (let round = 0; round < 3; round++) {
        const client = await join(broker, "c", { clean: false, keepAlive: 0, properties: interval })
        expect(client.connack?.sessionPresent).toBe(round > 0)
        await broker.advance(8 * second)
        client.drop()
        await broker.settle()
        await broker.advance(8 * second)
      }
    }))

  test("[MQTT-4.1.0-1] Session State is not discarded while the connection is open, however long", () =>
    withBroker({}, async (broker) => {
      const interval = properties.sessionExpiryInterval(1)
      const client = await join(broker, "c", { keepAlive: 0, properties: interval })
      await client.subscribe(["t", 1])
      await broker.advance(24 * 3600 * second)
      const publisher = await join(broker, "p")
      await publisher.publish("t", "still here")
      await expectMessage(client, "still here")
    }))
})

describe("the key of a session", () => {
  test("[MQTT-3.1.3-2] is the ClientID: another one has another session", () =>
    withBroker({}, async (broker) => {
      const one = await resume(broker, "one")
      await one.subscribe(["t", 1])
      one.drop()
      expect((await resume(broker, "One")).connack?.sessionPresent).toBe(false)
      expect((await resume(broker, "one ")).connack?.sessionPresent).toBe(false)
      expect((await resume(broker, "one")).connack?.sessionPresent).toBe(true)
    }))

  test("[MQTT-1.5.4-3] U+FEFF belongs to a ClientID", () =>
    withBroker({}, async (broker) => {
      const plain = await resume(broker, "id")
      plain.drop()
      expect((await resume(broker, "\ufeffid")).connack?.sessionPresent).toBe(false)
    }))
})

describe("what ends with the connection", () => {
  test("[MQTT-3.3.2-7] the Topic Aliases of the client, though its session goes on", () =>
    withBroker({}, async (broker) => {
      const publish = (topic: string) =>
        raw.publish({ version: 5, topic, qos: 1, properties: properties.topicAlias(1) })
      const client = await resume(broker, "c")
      await client.send(publish("t"))
      await client.expect("puback")
      await client.send(publish(""))
      await client.expect("puback")
      client.drop()
      const back = await resume(broker, "c")
      await back.send(publish(""))
      await expectDisconnect(back, 0x82)
    }))

  test("[MQTT-3.3.2-7] and the Topic Aliases of the server: the next connection is told the topic again", () =>
    withBroker({}, async (broker) => {
      const options = { properties: concat(keepsSession, properties.topicAliasMaximum(5)) }
      const publisher = await join(broker, "p")
      const topics: Array<string> = []
      for (let round = 0; round < 2; round++) {
        const client = await resume(broker, "c", options)
        if (round === 0) await client.subscribe("t")
        await publisher.publish("t", "a")
        topics.push((await expectMessage(client, "a")).topic)
        await publisher.publish("t", "b")
        topics.push((await expectMessage(client, "b")).topic)
        client.drop()
        await broker.settle()
      }
      expect(topics).toEqual(["t", "", "t", ""])
    }))
})
