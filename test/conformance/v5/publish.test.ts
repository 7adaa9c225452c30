/** PUBLISH (5.0, section 3.3): its fields, its properties, and how it is answered. */

import { describe, expect, test } from "bun:test"
import { concat, field, hex, properties, raw, toHex, uint16 } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import {
  bytesUntilPong,
  expectDisconnect,
  expectMessage,
  join,
  nextBytes,
  RETAIN_AS_PUBLISHED,
  resume,
  subscribe5
} from "./client.ts"

const publish = (more: Parameters<typeof raw.publish>[0] = {}): Buffer =>
  raw.publish({ version: 5, topic: "t", ...more })

describe("a PUBLISH that breaks a rule ends the connection", () => {
  const withProperties = (bytes: Uint8Array): Buffer => publish({ properties: bytes })
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.3.1-4] QoS 3", publish({ qos: 3 }), 0x81],
    ["[MQTT-3.3.1-2] DUP 1 with QoS 0", publish({ dup: true }), 0x81],
    ["[MQTT-2.2.1-3] Packet Identifier 0 with QoS 1", publish({ qos: 1, packetId: 0 }), 0x82],
    ["[MQTT-2.2.1-3] Packet Identifier 0 with QoS 2", publish({ qos: 2, packetId: 0 }), 0x82],
    // The identifier is read as the Property Length (0) and a property without a name (7).
    [
      "[MQTT-2.2.1-2] a Packet Identifier with QoS 0",
      raw.packet(0x30, field("t"), uint16(0x0107), hex("00")),
      0x81
    ],
    ["[MQTT-3.3.2-1] a Topic Name that is no UTF-8", publish({ topic: hex("c3 28") }), 0x81],
    ["[MQTT-3.3.2-1] no Topic Name at all", raw.packet(0x30), 0x81],
    ["[MQTT-3.3.2-2] a wildcard in the Topic Name", publish({ topic: "a/+" }), 0x90],
    ["[MQTT-3.3.2-2] another wildcard in the Topic Name", publish({ topic: "a/#" }), 0x90],
    ["[MQTT-4.7.0-1] a wildcard inside a level of the Topic Name", publish({ topic: "a#b" }), 0x90],
    ["[MQTT-1.5.4-2] U+0000 in the Topic Name", publish({ topic: "a\u0000" }), 0x81],
    ["[MQTT-4.7.3-2] U+0000 at the end of the Topic Name", publish({ topic: "abc/\u0000" }), 0x81],
    ["[MQTT-4.7.3-1] an empty Topic Name without Topic Alias", publish({ topic: "" }), 0x82],
    [
      "[MQTT-3.3.2-13] a Response Topic that is no UTF-8",
      withProperties(properties.responseTopic(hex("ff"))),
      0x81
    ],
    [
      "[MQTT-3.3.2-14] a wildcard in the Response Topic",
      withProperties(properties.responseTopic("a/+")),
      0x90
    ],
    [
      "[MQTT-3.3.2-19] a Content Type that is no UTF-8",
      withProperties(properties.contentType(hex("ed a0 80"))),
      0x81
    ],
    ["[MQTT-3.3.4-6] a Subscription Identifier", withProperties(properties.subscriptionIdentifier(1)), 0x82],
    ["[MQTT-1.5.5-1] a Remaining Length of more bytes than it needs", hex("30 84 00 00 01 74 00"), 0x81],
    [
      "[MQTT-1.5.5-1] a Property Length of more bytes than it needs",
      raw.packet(0x30, field("t"), hex("80 00")),
      0x81
    ],
    ["[MQTT-2.2.2-1] no Property Length", raw.packet(0x30, field("t")), 0x81]
  ]
  for (const [name, bytes, reasonCode] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const watcher = await join(broker, "watcher")
        await watcher.subscribe("#")
        const client = await join(broker, "c")
        await client.send(bytes)
        await expectDisconnect(client, reasonCode)
        await watcher.quiet()
      })
    )
  }
})

describe("the answer to a PUBLISH", () => {
  test("[MQTT-3.3.4-1] QoS 0 none, QoS 1 PUBACK, QoS 2 PUBREC; [MQTT-2.2.1-5] with its Packet Identifier", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(publish())
      await client.quiet()
      await client.send(publish({ qos: 1, packetId: 65_535 }))
      expect((await client.expect("puback")).messageId).toBe(65_535)
      await client.send(publish({ qos: 2, packetId: 258 }))
      expect((await client.expect("pubrec")).messageId).toBe(258)
      await client.send(raw.pubrel({ packetId: 258 }))
      expect((await client.expect("pubcomp")).messageId).toBe(258)
      await client.quiet()
    }))

  test("[MQTT-3.4.2-1] PUBACK says Success, or that nobody subscribes", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(publish({ topic: "nobody", qos: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x10)
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      await client.send(publish({ qos: 1 }))
      expect((await client.expect("puback")).reasonCode ?? 0).toBe(0)
    }))

  test("[MQTT-3.5.2-1] PUBREC says Success, that nobody subscribes, or why it is refused", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(publish({ topic: "nobody", qos: 2 }))
      expect((await client.expect("pubrec")).reasonCode).toBe(0x10)
      await client.send(publish({ topic: "$SYS/mine", qos: 2, packetId: 2 }))
      expect((await client.expect("pubrec")).reasonCode).toBe(0x87)
    }))
})

describe("a PUBLISH to a subscriber", () => {
  test("[MQTT-3.3.2-3] has a Topic Name that its filter matches", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("a/+/c", "x/#")
      const publisher = await join(broker, "p")
      for (const topic of ["a/b", "a/b/c", "a/b/c/d", "a//c", "x", "x/y/z", "y"])
        await publisher.publish(topic)
      for (const topic of ["a/b/c", "a//c", "x", "x/y/z"]) {
        expect((await subscriber.expect("publish")).topic).toBe(topic)
      }
      await subscriber.quiet()
    }))

  const userProperties = concat(
    properties.userProperty("z", "1"),
    properties.userProperty("a", "2"),
    properties.userProperty("z", "1"),
    properties.userProperty("", "")
  )
  const forwarded: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["[MQTT-3.3.2-4] Payload Format Indicator", properties.payloadFormatIndicator(1)],
    ["[MQTT-3.3.2-4] Payload Format Indicator 0", properties.payloadFormatIndicator(0)],
    ["[MQTT-3.3.2-15] Response Topic", properties.responseTopic("reply/\ufeffto")],
    ["[MQTT-3.3.2-16] Correlation Data", properties.correlationData(hex("00 ff c3 28 00"))],
    ["[MQTT-3.3.2-17] [MQTT-3.3.2-18] User Properties, all and in order", userProperties],
    ["[MQTT-3.3.2-20] Content Type", properties.contentType("text/plain; charset=utf-8")]
  ]
  for (const [name, bytes] of forwarded) {
    test(`${name} reaches every subscriber unaltered, live, queued and retained`, () =>
      withBroker({}, async (broker) => {
        const away = await resume(broker, "away")
        await away.subscribe(["t", 1])
        away.drop()
        const live = [await join(broker, "s0"), await join(broker, "s1")]
        for (const [qos, client] of live.entries()) await client.subscribe(["t", qos])
        const publisher = await join(broker, "p")
        await publisher.send(publish({ payload: "x", qos: 1, retain: true, properties: bytes }))
        await publisher.expect("puback")
        // mqtt-packet does not keep the order of User Properties, so the bytes themselves are looked at.
        const section = toHex(raw.section(5, bytes))
        for (const client of live) {
          expect(await nextBytes(client)).toInclude(section)
        }
        const late = await join(broker, "late")
        await late.send(raw.subscribe({ version: 5, filters: ["t"] }))
        await broker.settle()
        expect(await bytesUntilPong(late)).toInclude(section)
        const back = broker.open(5)
        await back.send(raw.connect({ version: 5, clientId: "away", clean: false }))
        expect(await bytesUntilPong(back)).toInclude(section)
      }))
  }

  test("[MQTT-3.3.1-3] has DUP 0, though it came with DUP 1", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe(["t", 2])
      const publisher = await join(broker, "p")
      for (const qos of [1, 2]) {
        await publisher.send(publish({ payload: `${qos}`, qos, packetId: qos, dup: true }))
        expect((await expectMessage(subscriber, `${qos}`)).dup).toBe(false)
      }
    }))

  test("[MQTT-3.3.1-2] [MQTT-4.3.1-1] at QoS 0 has DUP 0, QoS 0 and no Packet Identifier, whatever came", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      const publisher = await join(broker, "p")
      await publisher.send(publish({ payload: "x", qos: 1, dup: true }))
      const message = await expectMessage(subscriber, "x")
      expect([message.dup, message.qos, message.messageId]).toEqual([false, 0, undefined])
    }))

  test("[MQTT-2.2.1-2] at QoS 0 is topic, properties and payload, byte for byte", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("t")
      const publisher = await join(broker, "p")
      await publisher.send(publish({ payload: "x", qos: 1 }))
      // [MQTT-3.3.2-1] the topic first; [MQTT-2.2.2-1] a Property Length of 0
      expect(await nextBytes(subscriber)).toBe(toHex(publish({ payload: "x" })))
    }))

  test("[MQTT-1.5.4-3] keeps U+FEFF in its topic and properties", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("\ufefft")
      const publisher = await join(broker, "p")
      const marked = publish({ topic: "\ufefft", properties: properties.contentType("\ufeff") })
      await publisher.send(publish({ topic: "t" }), marked)
      expect(await nextBytes(subscriber)).toBe(toHex(marked))
    }))

  test("[MQTT-3.3.2-1] an empty payload is a message", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s")
      await subscribe5(subscriber, [["t", RETAIN_AS_PUBLISHED]])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "")
      await expectMessage(subscriber, "")
    }))
})
