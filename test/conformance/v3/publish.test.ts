/** MQTT 3.1.1 sections 3.3 to 3.7: PUBLISH, its flags and retained messages. */

import { describe, expect, test } from "bun:test"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { field, hex, raw, uint16, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

const connected = (broker: TestBroker, version: Version, clientId: string): Promise<TestClient> =>
  broker.connect({ version, clientId })

/** What a new subscriber of `filter` gets. */
const retainedFor = async (
  broker: TestBroker,
  version: Version,
  filter: string
): Promise<ReadonlyArray<string>> => {
  const client = await connected(broker, version, "reader")
  await client.subscribe([filter, 2])
  await client.send(raw.pingreq())
  const messages: Array<string> = []
  for (let packet = await client.next(); packet?.cmd === "publish"; packet = await client.next()) {
    messages.push(`${packet.topic} ${packet.payload.toString()} qos ${packet.qos} retain ${packet.retain}`)
  }
  return messages
}

describe.each(olderVersions)("MQTT %s", (_, version) => {
  test("[v3 MQTT-3.3.1-1] what is sent again after a resumption has DUP, what is new has not", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ version, clientId: "subscriber", clean: false })
      await first.subscribe(["a", 2])
      const publisher = await connected(broker, version, "publisher")
      await publisher.publish("a", "old")
      expect((await first.expect("publish")).dup).toBe(false)
      first.drop()
      await broker.settle()
      await publisher.publish("a", "new")
      const again = await broker.connect({ version, clientId: "subscriber", clean: false })
      for (const [payload, dup] of [
        ["old", true],
        ["new", false]
      ] as const) {
        const message = await again.expect("publish")
        expect([message.payload.toString(), message.dup]).toEqual([payload, dup])
      }
    }))

  test("[v3 MQTT-3.3.1-2] DUP at QoS 0 closes the connection", () =>
    withBroker({}, async (broker) => {
      const client = await connected(broker, version, "client")
      await client.send(raw.publish({ qos: 0, dup: true }))
      await client.expectClosed()
    }))

  test.each([1, 2])("[v3 MQTT-3.3.1-3] DUP of a PUBLISH at QoS %d is not passed on", (qos) =>
    withBroker({}, async (broker) => {
      const subscriber = await connected(broker, version, "subscriber")
      await subscriber.subscribe(["a", 2], ["b", 0])
      const publisher = await connected(broker, version, "publisher")
      await publisher.send(raw.publish({ topic: "a", qos, dup: true, packetId: 1 }))
      await publisher.send(raw.publish({ topic: "b", qos, dup: true, packetId: 2 }))
      expect(await subscriber.expect("publish")).toMatchObject({ topic: "a", dup: false })
      // [v3 MQTT-3.3.1-2]: nor may a message that goes out at QoS 0 have it
      expect(await subscriber.expect("publish")).toMatchObject({ topic: "b", qos: 0, dup: false })
    })
  )

  test.each([0x36, 0x37, 0x3e, 0x3f])(
    "[v3 MQTT-3.3.1-4] QoS 3 in first byte %d closes the connection",
    (firstByte) =>
      withBroker({}, async (broker) => {
        const client = await connected(broker, version, "client")
        await client.send(raw.packet(firstByte, field("a"), uint16(1)))
        await client.expectClosed()
      })
  )

  test.each([0, 1, 2])(
    "[v3 MQTT-3.3.1-5] [v3 MQTT-3.3.1-6] a retained message is stored with its QoS %d",
    (qos) =>
      withBroker({}, async (broker) => {
        const publisher = await connected(broker, version, "publisher")
        await publisher.send(raw.publish({ topic: "a/b", payload: "kept", qos, retain: true, packetId: 1 }))
        if (qos > 0) await publisher.next()
        await publisher.quiet()
        for (const filter of ["a/b", "a/+", "a/#", "#"]) {
          expect(await retainedFor(broker, version, filter)).toEqual([`a/b kept qos ${qos} retain true`])
        }
        expect(await retainedFor(broker, version, "a")).toEqual([])
      })
  )

  test("[v3 MQTT-3.3.1-6] only the last retained message of each topic is sent", () =>
    withBroker({}, async (broker) => {
      const publisher = await connected(broker, version, "publisher")
      for (const payload of ["1", "2", "3"]) {
        for (const topic of ["a", "b"]) await publisher.publish(topic, payload, { retain: true })
      }
      const messages = await retainedFor(broker, version, "+")
      expect([...messages].sort()).toEqual(["a 3 qos 1 retain true", "b 3 qos 1 retain true"])
    }))

  test("[v3 MQTT-3.3.1-7] a retained message of QoS 0 replaces the one before", () =>
    withBroker({}, async (broker) => {
      const publisher = await connected(broker, version, "publisher")
      await publisher.publish("a", "old", { retain: true })
      await publisher.send(raw.publish({ topic: "a", payload: "new", qos: 0, retain: true }))
      await publisher.publish("sync")
      expect(await retainedFor(broker, version, "a")).toEqual(["a new qos 0 retain true"])
    }))

  test("[v3 MQTT-3.3.1-8] [v3 MQTT-3.3.1-9] RETAIN is 1 for a new subscription and 0 for one that was there", () =>
    withBroker({}, async (broker) => {
      const before = await connected(broker, version, "before")
      await before.subscribe("a")
      const publisher = await connected(broker, version, "publisher")
      await publisher.publish("a", "kept", { retain: true })
      expect((await before.expect("publish")).retain).toBe(false)
      const after = await connected(broker, version, "after")
      await after.subscribe("a")
      expect((await after.expect("publish")).retain).toBe(true)
      await publisher.publish("a", "another", { retain: true })
      expect((await after.expect("publish")).retain).toBe(false)
    }))

  test("[v3 MQTT-3.3.1-10] [v3 MQTT-3.3.1-11] an empty retained message is forwarded, clears, and is not stored", () =>
    withBroker({}, async (broker) => {
      const subscriber = await connected(broker, version, "subscriber")
      await subscriber.subscribe("a")
      const publisher = await connected(broker, version, "publisher")
      await publisher.publish("a", "kept", { retain: true })
      await publisher.publish("a", "", { retain: true })
      expect((await subscriber.expect("publish")).payload.toString()).toBe("kept")
      expect(await subscriber.expect("publish")).toMatchObject({ topic: "a", retain: false })
      expect(await retainedFor(broker, version, "#")).toEqual([])
      await publisher.publish("b", "", { retain: true })
      expect(await retainedFor(broker, version, "#")).toEqual([])
      expect(broker.broker.census().retainedMessages).toBe(0)
    }))

  test("[v3 MQTT-3.3.1-12] a message without RETAIN neither is stored nor touches what is", () =>
    withBroker({}, async (broker) => {
      const publisher = await connected(broker, version, "publisher")
      await publisher.publish("a", "kept", { retain: true })
      await publisher.publish("a", "passing")
      await publisher.publish("a", "")
      await publisher.publish("b", "passing")
      expect(await retainedFor(broker, version, "#")).toEqual(["a kept qos 1 retain true"])
    }))

  test.each([
    ["no UTF-8", hex("c3 28")],
    ["cut off", hex("c3")]
  ])("[v3 MQTT-3.3.2-1] a topic that is %s closes the connection", (_name, topic) =>
    withBroker({}, async (broker) => {
      const client = await connected(broker, version, "client")
      await client.send(raw.publish({ topic }))
      await client.expectClosed()
    })
  )

  test("[v3 MQTT-3.3.2-1] the topic is the first field, and has to lie within the packet", () =>
    withBroker({}, async (broker) => {
      const subscriber = await connected(broker, version, "subscriber")
      await subscriber.subscribe("#")
      const client = await connected(broker, version, "client")
      await client.send(raw.packet(0x30, field("first"), Buffer.from("rest")))
      const message = await subscriber.expect("publish")
      expect([message.topic, message.payload.toString()]).toEqual(["first", "rest"])
      await client.send(raw.packet(0x30, uint16(9), Buffer.from("short")))
      await client.expectClosed()
    }))

  test.each(["#", "+", "a/+", "a/#", "a/+/b", "a+", "a#b"])(
    "[v3 MQTT-3.3.2-2] [v3 MQTT-4.7.1-1] the topic %j closes the connection",
    (topic) =>
      withBroker({}, async (broker) => {
        const client = await connected(broker, version, "client")
        await client.send(raw.publish({ topic }))
        await client.expectClosed()
      })
  )

  test("[v3 MQTT-3.3.2-3] a message comes with its own topic, to those whose filter matches it", () =>
    withBroker({}, async (broker) => {
      const subscriber = await connected(broker, version, "subscriber")
      await subscriber.subscribe("a/+/c", "x/#")
      const publisher = await connected(broker, version, "publisher")
      for (const topic of ["a/b/c", "a/c", "a/b/c/d", "x", "x/y/z", "y"]) await publisher.publish(topic)
      for (const topic of ["a/b/c", "x", "x/y/z"]) {
        expect((await subscriber.expect("publish")).topic).toBe(topic)
      }
      await subscriber.quiet()
    }))

  test("[v3 MQTT-3.3.4-1] QoS 0 is not answered, QoS 1 with PUBACK, QoS 2 with PUBREC", () =>
    withBroker({}, async (broker) => {
      const client = await connected(broker, version, "client")
      await client.send(raw.publish({ qos: 0 }))
      await client.quiet()
      await client.send(raw.publish({ qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).messageId).toBe(1)
      await client.quiet()
      await client.send(raw.publish({ qos: 2, packetId: 2 }))
      expect((await client.expect("pubrec")).messageId).toBe(2)
      await client.quiet()
    }))

  test("[v3 MQTT-3.3.5-1] overlapping subscriptions deliver at the highest of their QoS", () =>
    withBroker({}, async (broker) => {
      const subscriber = await connected(broker, version, "subscriber")
      await subscriber.subscribe(["a/b", 0], ["a/+", 2], ["#", 1])
      const publisher = await connected(broker, version, "publisher")
      await publisher.send(raw.publish({ topic: "a/b", qos: 2, packetId: 1 }))
      expect((await subscriber.expect("publish")).qos).toBe(2)
      await subscriber.quiet()
    }))

  test("[v3 MQTT-3.3.5-2] a PUBLISH that is not allowed is acknowledged like any other, and goes nowhere", () =>
    withBroker(
      {
        authorizer: Authorizer.layerRules(({ clientId }) => [
          { permission: "allow", action: "subscribe", topicFilter: "#" },
          ...(clientId === "subscriber"
            ? []
            : [{ permission: "allow", action: "publish", topicFilter: "allowed" } as const])
        ])
      },
      async (broker) => {
        const subscriber = await connected(broker, version, "subscriber")
        await subscriber.subscribe(["#", 2])
        const client = await connected(broker, version, "client")
        await client.send(raw.publish({ topic: "denied", qos: 0 }))
        await client.send(raw.publish({ topic: "denied", qos: 1, packetId: 1, retain: true }))
        expect((await client.expect("puback")).messageId).toBe(1)
        await client.send(raw.publish({ topic: "denied", qos: 2, packetId: 2 }))
        expect((await client.expect("pubrec")).messageId).toBe(2)
        await client.send(raw.pubrel({ packetId: 2 }))
        expect((await client.expect("pubcomp")).messageId).toBe(2)
        await client.send(raw.publish({ topic: "allowed", qos: 0 }))
        expect((await subscriber.expect("publish")).topic).toBe("allowed")
        await subscriber.quiet()
        expect(broker.broker.census().retainedMessages).toBe(0)
      }
    ))

  test.each(["60 02 00 01", "61 02 00 01", "63 02 00 01", "66 02 00 01"])(
    "[v3 MQTT-3.6.1-1] PUBREL as %s closes the connection",
    (bytes) =>
      withBroker({}, async (broker) => {
        const client = await connected(broker, version, "client")
        await client.send(raw.publish({ qos: 2, packetId: 1 }))
        await client.expect("pubrec")
        await client.send(hex(bytes))
        await client.expectClosed()
      })
  )

  test("[v3 MQTT-3.6.1-1] the server's PUBREL has the flags 0010", () =>
    withBroker({}, async (broker) => {
      const client = await connected(broker, version, "client")
      await client.send(raw.pubrec({ packetId: 77 }))
      expect(await client.wire.receive()).toEqual(new Uint8Array([0x62, 2, 0, 77]))
    }))
})
