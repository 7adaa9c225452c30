/** MQTT 3.1.1 chapters 1 and 2: strings, fixed headers, Packet Identifiers. */

import { describe, expect, test } from "bun:test"
import { concat, field, hex, raw, toHex, uint16, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

/** Where a client puts strings: each writes the one given into that field of an otherwise good packet. */
const stringFields: ReadonlyArray<
  readonly [name: string, build: (text: Uint8Array, version: Version) => Uint8Array]
> = [
  ["a client identifier", (text, version) => raw.connect({ version, clientId: text })],
  ["a will topic", (text, version) => raw.connect({ version, will: { topic: text } })],
  ["a user name", (text, version) => raw.connect({ version, username: text })],
  ["the topic of PUBLISH", (text) => raw.publish({ topic: text })],
  ["a filter of SUBSCRIBE", (text) => raw.subscribe({ filters: [[text, 0]] })],
  ["a filter of UNSUBSCRIBE", (text) => raw.unsubscribe({ filters: [text] })]
]

const illFormed: ReadonlyArray<readonly [name: string, bytes: string]> = [
  ["a continuation byte missing", "61 c3 28"],
  ["a continuation byte alone", "80"],
  ["an overlong form", "c0 af"],
  ["a high surrogate", "ed a0 80"],
  ["a low surrogate", "ed bf bf"],
  ["more than U+10FFFF", "f4 90 80 80"],
  ["a byte that UTF-8 does not have", "ff"]
]

const sendsAndIsClosed = async (broker: TestBroker, version: Version, bytes: Uint8Array): Promise<void> => {
  const client = bytes[0] === 0x10 ? broker.open(version) : await broker.connect({ version })
  await client.send(bytes)
  await client.expectClosed()
}

describe.each(olderVersions)("MQTT %s", (_, version) => {
  test("[v3 MQTT-1.5.3-1] ill-formed UTF-8 closes the connection, in every field and of every kind", () =>
    withBroker({}, async (broker) => {
      for (const [, build] of stringFields) {
        for (const [, bytes] of illFormed) await sendsAndIsClosed(broker, version, build(hex(bytes), version))
      }
      expect(broker.broker.census().sessions).toBe(0)
    }))

  test.each(stringFields)("[v3 MQTT-1.5.3-2] U+0000 in %s closes the connection", (_name, build) =>
    withBroker({}, (broker) => sendsAndIsClosed(broker, version, build(Buffer.from("a\u0000b"), version)))
  )

  test("[v3 MQTT-1.5.3-3] EF BB BF is a character of the topic like any other", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.subscribe("\ufeffa", "b")
      await client.send(raw.publish({ topic: "a" }), raw.publish({ topic: "\ufeffb" }))
      await client.send(raw.publish({ topic: "\ufeffa" }))
      const chunk = await client.wire.receive()
      expect(toHex(chunk ?? hex(""))).toBe(toHex(raw.publish({ topic: hex("ef bb bf 61") })))
    }))

  test("[v3 MQTT-1.5.3-3] EF BB BF is a character of the client identifier like any other", () =>
    withBroker({}, async (broker) => {
      const plain = await broker.connect({ version, clientId: "a" })
      await broker.connect({ version, clientId: "\ufeffa" })
      await plain.quiet()
      expect(broker.broker.census().sessions).toBe(2)
    }))

  const wrongFlags: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["PUBACK", hex("41 02 00 01")],
    ["PUBREC", hex("52 02 00 01")],
    ["PUBREL", hex("60 02 00 01")],
    ["PUBREL", hex("63 02 00 01")],
    ["PUBCOMP", hex("71 02 00 01")],
    ["SUBSCRIBE", raw.subscribe({ firstByte: 0x80 })],
    ["SUBSCRIBE", raw.subscribe({ firstByte: 0x83 })],
    ["UNSUBSCRIBE", raw.unsubscribe({ firstByte: 0xa0 })],
    ["UNSUBSCRIBE", raw.unsubscribe({ firstByte: 0xa6 })],
    ["PINGREQ", hex("c1 00")],
    ["DISCONNECT", hex("e8 00")],
    ["CONNECT", concat(hex("12"), raw.connect({ version }).subarray(1))]
  ]

  test.each(wrongFlags)("[v3 MQTT-2.2.2-2] wrong reserved flags of %s close the connection", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const isFirst = (bytes[0] ?? 0) >> 4 === 1
      const client = isFirst ? broker.open(version) : await broker.connect({ version })
      await client.send(bytes)
      await client.expectClosed()
    })
  )

  test("[v3 MQTT-2.2.2-1] the server's own packets have the flags of table 2.2", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(version)
      const firstBytes = await firstBytesOfAnswers(client, [
        raw.connect({ version }),
        raw.subscribe({ filters: [["a", 2]] }),
        raw.publish({ topic: "b", qos: 1, packetId: 1 }),
        raw.publish({ topic: "b", qos: 2, packetId: 2 }),
        raw.pubrel({ packetId: 2 }),
        raw.pubrec({ packetId: 9 }),
        raw.unsubscribe({ filters: ["a"] }),
        raw.pingreq()
      ])
      expect(firstBytes).toEqual([0x20, 0x90, 0x40, 0x50, 0x70, 0x62, 0xb0, 0xd0])
    }))

  const withoutIdentifier: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["SUBSCRIBE", raw.subscribe({ packetId: 0 })],
    ["UNSUBSCRIBE", raw.unsubscribe({ packetId: 0 })],
    ["PUBLISH at QoS 1", raw.publish({ qos: 1, packetId: 0 })],
    ["PUBLISH at QoS 2", raw.publish({ qos: 2, packetId: 0 })]
  ]

  test.each(withoutIdentifier)(
    "[v3 MQTT-2.3.1-1] Packet Identifier 0 of %s closes the connection",
    (_name, bytes) => withBroker({}, (broker) => sendsAndIsClosed(broker, version, bytes))
  )

  test("[v3 MQTT-2.3.1-1] every other Packet Identifier is good, 1 and 65535 included", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      for (const packetId of [1, 255, 256, 65_535]) {
        await client.send(raw.subscribe({ packetId }), raw.publish({ topic: "b", qos: 1, packetId }))
        expect((await client.expect("suback")).messageId).toBe(packetId)
        expect((await client.expect("puback")).messageId).toBe(packetId)
      }
    }))

  test("[v3 MQTT-2.3.1-4] the server's Packet Identifiers are not 0 and not in use", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version, clientId: "subscriber" })
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await client.subscribe(["#", 2])
      const inUse = new Set<number>()
      for (let round = 0; round < 30; round++) {
        const qos = 1 + (round % 2)
        await publisher.send(raw.publish({ topic: "a", qos, packetId: 100 + round }))
        const { messageId = 0 } = await client.expect("publish")
        expect(messageId).toBeGreaterThan(0)
        expect(inUse.has(messageId)).toBe(false)
        inUse.add(messageId)
        // Some are acknowledged, so that identifiers are given back out of order.
        if (round % 4 !== 0) continue
        await client.send(raw.puback({ packetId: messageId }))
        inUse.delete(messageId)
      }
    }))

  test("[v3 MQTT-2.3.1-5] a PUBLISH at QoS 0 has no Packet Identifier, in neither direction", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.subscribe(["a", 2])
      await client.send(raw.packet(0x30, field("a"), uint16(0x4142)))
      const chunk = await client.wire.receive()
      expect(toHex(chunk ?? hex(""))).toBe(toHex(raw.packet(0x30, field("a"), Buffer.from("AB"))))
    }))

  test("[v3 MQTT-2.3.1-6] PUBACK, PUBREC, PUBREL and PUBCOMP have the Packet Identifier of the PUBLISH", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.publish({ qos: 1, packetId: 0x1234 }), raw.publish({ qos: 2, packetId: 0x4321 }))
      expect((await client.expect("puback")).messageId).toBe(0x1234)
      expect((await client.expect("pubrec")).messageId).toBe(0x4321)
      await client.send(raw.pubrel({ packetId: 0x4321 }))
      expect((await client.expect("pubcomp")).messageId).toBe(0x4321)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await client.subscribe(["back", 2])
      await publisher.send(raw.publish({ topic: "back", qos: 2, packetId: 7 }))
      const { messageId = 0 } = await client.expect("publish")
      await client.send(raw.pubrec({ packetId: messageId }))
      expect((await client.expect("pubrel")).messageId).toBe(messageId)
    }))

  const acks = [
    ["PUBACK", raw.puback],
    ["PUBREC", raw.pubrec],
    ["PUBREL", raw.pubrel],
    ["PUBCOMP", raw.pubcomp]
  ] as const

  test.each(acks)("[v3 MQTT-2.3.1-6] %s of Packet Identifier 0 closes the connection", (_name, build) =>
    withBroker({}, (broker) => sendsAndIsClosed(broker, version, build({ packetId: 0 })))
  )

  test("[v3 MQTT-2.3.1-7] SUBACK and UNSUBACK have the Packet Identifier of what they answer", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.subscribe({ packetId: 258 }))
      expect((await client.expect("suback")).messageId).toBe(258)
      await client.send(raw.unsubscribe({ packetId: 772 }))
      expect((await client.expect("unsuback")).messageId).toBe(772)
    }))
})

/** Sends one packet after the other and returns the first byte of each answer. */
const firstBytesOfAnswers = async (
  client: TestClient,
  packets: ReadonlyArray<Uint8Array>
): Promise<ReadonlyArray<number>> => {
  const firstBytes: Array<number> = []
  for (const packet of packets) {
    await client.send(packet)
    firstBytes.push((await client.wire.receive())?.[0] ?? -1)
  }
  return firstBytes
}
