/** MQTT 3.1.1 sections 3.8 to 3.14: SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT. */

import { describe, expect, test } from "bun:test"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { field, hex, raw, uint16, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

const subscriberAnd = async (
  broker: TestBroker,
  version: Version
): Promise<readonly [subscriber: TestClient, publisher: TestClient]> => [
  await broker.connect({ version, clientId: "subscriber" }),
  await broker.connect({ version, clientId: "publisher" })
]

describe.each(olderVersions)("MQTT %s", (_, version) => {
  const closes = (bytes: Uint8Array) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(bytes)
      await client.expectClosed()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, sessions: 0 })
    })

  test.each([0x80, 0x81, 0x83, 0x86])("[v3 MQTT-3.8.1-1] SUBSCRIBE with first byte %d closes", (firstByte) =>
    closes(raw.subscribe({ firstByte }))
  )

  test.each([0xa0, 0xa1, 0xa3, 0xa6])(
    "[v3 MQTT-3.10.1-1] UNSUBSCRIBE with first byte %d closes",
    (firstByte) => closes(raw.unsubscribe({ firstByte }))
  )

  test.each([0xe1, 0xe2, 0xe4, 0xe8])(
    "[v3 MQTT-3.14.1-1] DISCONNECT with first byte %d closes",
    (firstByte) =>
      withBroker({}, async (broker) => {
        const watcher = await broker.connect({ version, clientId: "watcher" })
        await watcher.subscribe("will")
        const client = await broker.connect({ version, will: {} })
        await client.send(Uint8Array.of(firstByte, 0))
        await client.expectClosed()
        // It was no DISCONNECT, so the will stands.
        await watcher.expect("publish")
      })
  )

  test.each([
    ["[v3 MQTT-3.8.3-1]", "a filter that is not UTF-8", raw.subscribe({ filters: [[hex("c3 28"), 0]] })],
    ["[v3 MQTT-3.8.3-3]", "SUBSCRIBE without filters", raw.subscribe({ filters: [] })],
    ["[v3 MQTT-3.8.3-3]", "a filter without QoS", raw.packet(0x82, uint16(1), field("a"))],
    ["[v3 MQTT-3.8.3-4]", "QoS 3", raw.subscribe({ filters: [["a", 3]] })],
    ["[v3 MQTT-3.8.3-4]", "reserved bits", raw.subscribe({ filters: [["a", 0x04]] })],
    [
      "[v3 MQTT-3.8.3-4]",
      "reserved bits behind a good filter",
      raw.subscribe({ filters: ["a", ["b", 0x80]] })
    ],
    [
      "[v3 MQTT-3.10.3-1]",
      "a filter to unsubscribe that is not UTF-8",
      raw.unsubscribe({ filters: [hex("c3 28")] })
    ],
    [
      "[v3 MQTT-3.10.3-1]",
      "a filter that is cut off",
      raw.packet(0xa2, uint16(1), field("a"), hex("00 05 61"))
    ],
    ["[v3 MQTT-3.10.3-2]", "UNSUBSCRIBE without filters", raw.unsubscribe({ filters: [] })]
  ])("%s %s closes the connection", (_id, _name, bytes) => closes(bytes))

  test("[v3 MQTT-3.8.3-2] where wildcards are not supported they are refused, filter by filter", () =>
    withBroker({ settings: { wildcardSubscriptionAvailable: false } }, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.send(raw.subscribe({ filters: ["a/+", ["b", 1], "#"] }))
      expect((await client.expect("suback")).granted).toEqual([0x80, 1, 0x80])
      for (const topic of ["a/x", "b"]) await publisher.publish(topic)
      expect((await client.expect("publish")).topic).toBe("b")
      await client.quiet()
    }))

  test("[v3 MQTT-3.8.4-1] [v3 MQTT-3.8.4-2] every SUBSCRIBE is answered, with its Packet Identifier", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      for (const packetId of [1, 500, 65_535]) {
        await client.send(raw.subscribe({ packetId, filters: ["a"] }))
        expect((await client.expect("suback")).messageId).toBe(packetId)
      }
      await client.send(raw.subscribe({ packetId: 7, filters: ["a/#/b"] }))
      expect(await client.expect("suback")).toMatchObject({ messageId: 7, granted: [0x80] })
    }))

  test("[v3 MQTT-3.8.4-3] the same filter again replaces the subscription and sends retained messages again", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await publisher.publish("a", "kept", { retain: true })
      for (const qos of [0, 1] as const) {
        await client.subscribe(["a", qos])
        expect(await client.expect("publish")).toMatchObject({ retain: true, qos })
      }
      await publisher.publish("a", "once")
      expect(await client.expect("publish")).toMatchObject({ retain: false, qos: 1 })
      await client.quiet()
      expect(broker.broker.census().subscriptions).toBe(1)
    }))

  test("[v3 MQTT-3.8.4-3] a subscription that is replaced misses nothing", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.subscribe(["a", 0])
      const count = 100
      const publishing = (async () => {
        for (let n = 0; n < count; n++) await publisher.send(raw.publish({ topic: "a", payload: `${n}` }))
      })()
      for (let round = 0; round < 20; round++) {
        await client.send(raw.subscribe({ packetId: 1 + round, filters: [["a", round % 3]] }))
      }
      await publishing
      const payloads: Array<string> = []
      for (let subacks = 0; subacks < 20 || payloads.length < count; ) {
        const packet = await client.next()
        if (packet?.cmd === "suback") subacks++
        else if (packet?.cmd === "publish") payloads.push(packet.payload.toString())
        else break
      }
      expect(payloads).toEqual(Array.from({ length: count }, (_, n) => `${n}`))
    }))

  test("[v3 MQTT-3.8.4-4] [v3 MQTT-3.8.4-5] [v3 MQTT-3.9.3-1] several filters, one SUBACK, codes in their order", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.send(
        raw.subscribe({
          packetId: 9,
          filters: [
            ["a", 2],
            ["#bad", 1],
            ["b", 0],
            ["c/+", 1]
          ]
        })
      )
      expect(await client.expect("suback")).toMatchObject({ messageId: 9, granted: [2, 0x80, 0, 1] })
      for (const topic of ["a", "b", "c/x"]) await publisher.publish(topic)
      for (const [topic, qos] of [
        ["a", 1],
        ["b", 0],
        ["c/x", 1]
      ] as const) {
        expect(await client.expect("publish")).toMatchObject({ topic, qos })
      }
      await client.quiet()
    }))

  test("[v3 MQTT-3.8.4-4] the same filter twice in one SUBSCRIBE counts as two SUBSCRIBEs", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.send(
        raw.subscribe({
          filters: [
            ["a", 2],
            ["a", 0]
          ]
        })
      )
      expect((await client.expect("suback")).granted).toEqual([2, 0])
      await publisher.publish("a")
      expect((await client.expect("publish")).qos).toBe(0)
      await client.quiet()
    }))

  const downgrades = [0, 1, 2].flatMap((published) =>
    [0, 1, 2].map((granted) => [published, granted, Math.min(published, granted)] as const)
  )

  test.each(downgrades)(
    "[v3 MQTT-3.8.4-6] published at QoS %d, granted %d, delivered at %d",
    (published, granted, qos) =>
      withBroker({}, async (broker) => {
        const [client, publisher] = await subscriberAnd(broker, version)
        await client.subscribe(["a", granted])
        await publisher.send(raw.publish({ topic: "a", qos: published, packetId: 1 }))
        expect((await client.expect("publish")).qos).toBe(qos as 0 | 1 | 2)
      })
  )

  test("[v3 MQTT-3.9.3-2] SUBACK says 0, 1, 2 or 0x80, whatever the reason", () =>
    withBroker(
      {
        settings: { subscriptionsMax: 3, sharedSubscriptionAvailable: false, topicLevelsMax: 4 },
        authorizer: Authorizer.layerRules(() => [
          { permission: "deny", action: "subscribe", topicFilter: "secret" },
          { permission: "allow", action: "all", topicFilter: "#" }
        ])
      },
      async (broker) => {
        const client = await broker.connect({ version })
        const filters: ReadonlyArray<readonly [string, number]> = [
          ["a", 0],
          ["b", 1],
          ["secret", 1],
          ["a/#/b", 1],
          ["$share/g/a", 1],
          ["1/2/3/4/5", 1],
          ["c", 2],
          ["one too many", 1]
        ]
        await client.send(raw.subscribe({ filters }))
        expect((await client.expect("suback")).granted).toEqual([0, 1, 0x80, 0x80, 0x80, 0x80, 2, 0x80])
      }
    ))

  test("[v3 MQTT-3.10.4-1] filters to unsubscribe are compared character by character", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.subscribe("a/+", "a/b")
      await client.send(raw.unsubscribe({ filters: ["#", "a/#", "A/b", "a/b/", "a"] }))
      await client.expect("unsuback")
      expect(broker.broker.census().subscriptions).toBe(2)
      await client.send(raw.unsubscribe({ filters: ["a/+"] }))
      await client.expect("unsuback")
      await publisher.publish("a/x")
      await publisher.publish("a/b")
      expect((await client.expect("publish")).topic).toBe("a/b")
      await client.quiet()
    }))

  test("[v3 MQTT-3.10.4-2] after UNSUBACK nothing new comes", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.subscribe(["a", 1])
      await client.send(raw.unsubscribe({ filters: ["a"] }))
      await client.expect("unsuback")
      await publisher.publish("a")
      await client.quiet()
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0 })
    }))

  test("[v3 MQTT-3.10.4-3] what was begun before UNSUBSCRIBE is brought to its end", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version, clientId: "subscriber", clean: false })
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await client.subscribe(["a", 2])
      await publisher.send(raw.publish({ topic: "a", payload: "begun", qos: 2, packetId: 1 }))
      const { messageId: packetId = 0 } = await client.expect("publish")
      await client.send(raw.unsubscribe({ filters: ["a"] }))
      await client.expect("unsuback")
      client.drop()
      const again = await broker.connect({ version, clientId: "subscriber", clean: false })
      expect(await again.expect("publish")).toMatchObject({ dup: true, messageId: packetId, qos: 2 })
      await again.send(raw.pubrec({ packetId }))
      expect((await again.expect("pubrel")).messageId).toBe(packetId)
      await again.send(raw.pubcomp({ packetId }))
      await again.quiet()
    }))

  test("[v3 MQTT-3.10.4-4] [v3 MQTT-3.10.4-5] UNSUBACK comes also when there was nothing to remove", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      for (const packetId of [3, 65_535]) {
        await client.send(raw.unsubscribe({ packetId, filters: ["nothing", "a/#/b"] }))
        expect((await client.expect("unsuback")).messageId).toBe(packetId)
      }
    }))

  test("[v3 MQTT-3.10.4-6] several filters to unsubscribe, one UNSUBACK", () =>
    withBroker({}, async (broker) => {
      const [client, publisher] = await subscriberAnd(broker, version)
      await client.subscribe("a", "b", "c")
      await client.send(raw.unsubscribe({ packetId: 4, filters: ["a", "c"] }))
      expect((await client.expect("unsuback")).messageId).toBe(4)
      for (const topic of ["a", "b", "c"]) await publisher.publish(topic)
      expect((await client.expect("publish")).topic).toBe("b")
      await client.quiet()
    }))

  test("[v3 MQTT-3.12.4-1] every PINGREQ is answered with PINGRESP", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.pingreq(), raw.pingreq(), raw.pingreq())
      for (let count = 0; count < 3; count++) await client.expect("pingresp")
      await client.quiet()
    }))
})
