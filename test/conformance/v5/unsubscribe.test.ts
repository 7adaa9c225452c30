/** UNSUBSCRIBE and UNSUBACK (5.0, sections 3.10 and 3.11). */

import { describe, expect, test } from "bun:test"
import { field, hex, properties, raw, uint16 } from "../../support/raw.ts"
import { type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, resume, subscribe5 } from "./client.ts"

const unsubscribe = (more: Parameters<typeof raw.unsubscribe>[0] = {}): Buffer =>
  raw.unsubscribe({ version: 5, ...more })

/** The Reason Codes of the UNSUBACK that answers. */
const release = async (
  client: TestClient,
  ...filters: ReadonlyArray<string>
): Promise<ReadonlyArray<number>> => {
  await client.send(unsubscribe({ packetId: 77, filters }))
  const unsuback = await client.expect("unsuback")
  expect(unsuback.messageId).toBe(77)
  return [unsuback.granted].flat().map(Number)
}

describe("an UNSUBSCRIBE that breaks a rule ends the connection", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.10.1-1] flags 0 in the fixed header", unsubscribe({ firstByte: 0xa0 }), 0x81],
    ["[MQTT-3.10.1-1] flags 6 in the fixed header", unsubscribe({ firstByte: 0xa6 }), 0x81],
    ["[MQTT-2.2.1-3] Packet Identifier 0", unsubscribe({ packetId: 0 }), 0x82],
    ["[MQTT-3.10.3-1] a filter that is no UTF-8", unsubscribe({ filters: [hex("c0 80")] }), 0x81],
    ["[MQTT-3.10.3-2] no filter", unsubscribe({ filters: [] }), 0x82],
    ["[MQTT-2.2.2-1] no Property Length", raw.packet(0xa2, uint16(1), field("ab")), 0x81]
  ]
  for (const [name, bytes, reasonCode] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        await client.send(bytes)
        await expectDisconnect(client, reasonCode)
      })
    )
  }
})

describe("UNSUBSCRIBE", () => {
  test("[MQTT-3.10.4-1] deletes the subscription with exactly that filter, and no other", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.subscribe("a/+", "a/#", "a/b", "A/b", "$share/g/a/b")
      expect(await release(client, "a/b", "a/+/", "+/b", "A/B", "$share/h/a/b")).toEqual([
        0, 0x11, 0x11, 0x11, 0x11
      ])
      expect(broker.broker.census().subscriptions).toBe(4)
      expect(await release(client, "a/+")).toEqual([0])
      expect(await release(client, "$share/g/a/b")).toEqual([0])
      await client.quiet()
      const publisher = await join(broker, "p")
      await publisher.publish("a/b", "once, by a/#")
      await expectMessage(client, "once, by a/#")
      await client.quiet()
    }))

  test("[MQTT-3.10.4-2] ends the delivery of new messages", () =>
    withBroker({}, async (broker) => {
      const client = await resume(broker, "c")
      await client.subscribe(["t", 1])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "before")
      await expectMessage(client, "before")
      expect(await release(client, "t")).toEqual([0])
      await publisher.publish("t", "after")
      await client.quiet()
      client.drop()
      await publisher.publish("t", "while away")
      const back = await resume(broker, "c")
      await expectMessage(back, "before")
      await back.quiet()
    }))

  test("[MQTT-3.10.4-3] finishes the delivery of QoS 1 and 2 messages that was begun", () =>
    withBroker({}, async (broker) => {
      const client = await resume(broker, "c")
      await client.subscribe(["t", 2])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "one")
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "two", qos: 2 }))
      const one = await expectMessage(client, "one")
      const two = await expectMessage(client, "two")
      expect(await release(client, "t")).toEqual([0])
      client.drop()
      const back = await resume(broker, "c")
      expect(await expectMessage(back, "one")).toMatchObject({ messageId: one.messageId, dup: true })
      expect(await expectMessage(back, "two")).toMatchObject({ messageId: two.messageId, dup: true })
      await back.send(raw.pubrec({ packetId: two.messageId ?? 0 }))
      expect((await back.expect("pubrel")).messageId).toBe(two.messageId)
    }))

  test("[MQTT-3.10.4-4] [MQTT-2.2.1-6] each is answered with an UNSUBACK with its Packet Identifier", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      const packetIds = [3, 65_535, 258]
      await client.send(...packetIds.map((packetId) => unsubscribe({ packetId })))
      for (const packetId of packetIds) expect((await client.expect("unsuback")).messageId).toBe(packetId)
      await client.quiet()
    }))

  test("[MQTT-3.10.4-5] also when nothing was deleted", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      expect(await release(client, "never/subscribed")).toEqual([0x11])
    }))

  test("[MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] one UNSUBACK has a code for each filter, in order", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, ["a", "b", "c/#"])
      expect(await release(client, "x", "b", "a/#/b", "c/#", "b", "a")).toEqual([0x11, 0, 0x8f, 0, 0x11, 0])
      expect(broker.broker.census().subscriptions).toBe(0)
    }))

  test("[MQTT-3.10.4-4] User Properties in it change nothing", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(unsubscribe({ properties: properties.userProperty("a", "b") }))
      await client.expect("unsuback")
    }))
})
