/**
 * A server limited on purpose: what CONNACK announces and what it does about clients that go beyond (5.0,
 * section 3.2.2.3).
 */

import { describe, expect, test } from "bun:test"
import { type RawConnect, raw } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, expectRefused, join, subscribe5 } from "./client.ts"

describe("Maximum QoS", () => {
  const announced = [
    { name: "[MQTT-3.2.2-9] QoS 0 only: announced as 0", maximumQos: 0, expected: 0 },
    { name: "[MQTT-3.2.2-9] QoS 1: announced as 1", maximumQos: 1, expected: 1 },
    {
      name: "[MQTT-3.2.2-9] QoS 2: not announced, because 2 is no value of the property",
      maximumQos: 2,
      expected: undefined
    }
  ] as const
  for (const { expected, maximumQos, name } of announced) {
    test(name, () =>
      withBroker({ settings: { maximumQos } }, async (broker) => {
        const client = await join(broker, "c")
        expect(client.connack?.properties?.maximumQoS).toBe(expected)
      })
    )
  }

  test("[MQTT-3.2.2-10] a SUBSCRIBE at any QoS is granted, and served at what the server has", () =>
    withBroker({ settings: { maximumQos: 0 } }, async (broker) => {
      const client = await join(broker, "c")
      const granted = await subscribe5(client, [
        ["a", 0],
        ["b", 1],
        ["c", 2]
      ])
      for (const code of granted) expect(code).toBeLessThan(0x80)
      for (const topic of ["a", "b", "c"]) {
        await client.send(raw.publish({ version: 5, topic }))
        expect((await expectMessage(client, "payload")).qos).toBe(0)
      }
    }))

  const beyond = [
    { name: "[MQTT-3.2.2-11] QoS 1 where 0 is the most", maximumQos: 0, qos: 1 },
    { name: "[MQTT-3.2.2-11] QoS 2 where 0 is the most", maximumQos: 0, qos: 2 },
    { name: "[MQTT-3.2.2-11] QoS 2 where 1 is the most", maximumQos: 1, qos: 2 }
  ] as const
  for (const { maximumQos, name, qos } of beyond) {
    test(`${name}: DISCONNECT 0x9B, and the message goes nowhere`, () =>
      withBroker({ settings: { maximumQos } }, async (broker) => {
        const watcher = await join(broker, "watcher")
        await watcher.subscribe("t")
        const client = await join(broker, "c")
        await client.send(raw.publish({ version: 5, topic: "t", qos }))
        await expectDisconnect(client, 0x9b)
        await watcher.quiet()
      }))
  }

  test("[MQTT-3.2.2-12] a Will beyond it: CONNACK 0x9B and close", () =>
    withBroker({ settings: { maximumQos: 1 } }, async (broker) => {
      const connect = (qos: number): RawConnect => ({ version: 5, clientId: `c${qos}`, will: { qos } })
      await expectRefused(broker, raw.connect(connect(2)), 0x9b)
      await broker.connect(connect(1))
    }))
})

describe("Retain Available", () => {
  const settings = { retainAvailable: false }

  test("[MQTT-3.2.2-14] RETAIN 1 where it is 0: DISCONNECT 0x9A, and nothing is stored", () =>
    withBroker({ settings }, async (broker) => {
      const client = await join(broker, "c")
      expect(client.connack?.properties?.retainAvailable).toBe(false)
      await client.publish("t")
      await client.send(raw.publish({ version: 5, topic: "t", retain: true }))
      await expectDisconnect(client, 0x9a)
      expect(broker.broker.census().retainedMessages).toBe(0)
    }))

  test("[MQTT-3.2.2-13] Will Retain 1 where it is 0: CONNACK 0x9A and close", () =>
    withBroker({ settings }, async (broker) => {
      await expectRefused(broker, raw.connect({ version: 5, will: { retain: true } }), 0x9a)
      await broker.connect({ version: 5, will: { retain: false } })
    }))

  test("[MQTT-3.2.2-14] it is not announced where retained messages are served", () =>
    withBroker({}, async (broker) => {
      expect((await join(broker, "c")).connack?.properties?.retainAvailable).not.toBe(false)
    }))
})
