/** Keep Alive and PINGREQ (5.0, sections 3.1.2.10, 3.2.2.3.14 and 3.12). */

import { describe, expect, test } from "bun:test"
import { raw } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, join } from "./client.ts"

const second = 1000

describe("Keep Alive", () => {
  test("[MQTT-3.1.2-22] [MQTT-3.2.2-22] a client that is silent for one and a half times is closed", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 10 })
      expect(client.connack?.properties?.serverKeepAlive).toBeUndefined()
      await broker.advance(14 * second)
      await client.quiet()
      await broker.advance(14 * second)
      await client.quiet()
      await broker.advance(16 * second)
      await expectDisconnect(client, 0x8d)
    }))

  test("[MQTT-3.1.2-22] any Control Packet counts, PINGREQ or not", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 10 })
      for (let round = 0; round < 5; round++) {
        await broker.advance(12 * second)
        await client.send(raw.publish({ version: 5, topic: "t" }))
        await broker.settle()
      }
      await client.quiet()
    }))

  test("[MQTT-3.1.2-22] bytes that do not complete a packet do not count", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 10 })
      const publish = raw.publish({ version: 5, topic: "topic", payload: "a long payload" })
      for (let at = 0; at < 4; at++) {
        await client.send(publish.subarray(at, at + 1))
        await broker.settle()
        await broker.advance(4 * second)
      }
      await expectDisconnect(client, 0x8d)
    }))

  test("[MQTT-3.1.2-22] what the server sends does not count", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 10 })
      await client.subscribe("t")
      const publisher = await join(broker, "p", { keepAlive: 0 })
      for (let round = 0; round < 4; round++) {
        await broker.advance(4 * second)
        await publisher.publish("t")
      }
      const packets = await client.untilClosed()
      expect(packets.at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x8d })
    }))

  test("[MQTT-3.2.2-22] Keep Alive 0: no silence is too long", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 0 })
      await broker.advance(7 * 24 * 3600 * second)
      await client.quiet()
    }))

  test("[MQTT-3.1.2-22] a Server Keep Alive takes the place of the client's", () =>
    withBroker({ settings: { keepAliveMax: 20 } }, async (broker) => {
      const client = await join(broker, "c", { keepAlive: 600 })
      expect(client.connack?.properties?.serverKeepAlive).toBe(20)
      await broker.advance(29 * second)
      await client.quiet()
      await broker.advance(31 * second)
      await expectDisconnect(client, 0x8d)
    }))
})

test("[MQTT-3.12.4-1] each PINGREQ is answered with a PINGRESP", () =>
  withBroker({}, async (broker) => {
    const client = await join(broker, "c")
    await client.send(raw.pingreq(), raw.pingreq(), raw.pingreq())
    for (let count = 0; count < 3; count++) await client.expect("pingresp")
    await client.quiet()
  }))
