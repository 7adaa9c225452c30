/**
 * MQTT 3.1.1 sections 4.7 and 4.8: topic names, filters, and what happens to those who break the protocol.
 */

import { describe, expect, test } from "bun:test"
import { field, hex, raw, uint16 } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

describe.each(olderVersions)("MQTT %s", (_, version) => {
  const misplaced = ["#a", "a#", "a/#/b", "#/", "a/b#", "##", "a/+#"]
  test.each(misplaced)("[v3 MQTT-4.7.1-2] the filter %j is refused", (filter) => isRefused(filter))

  const partial = ["+a", "a+", "a/+b", "a/b+/c", "++", "+#"]
  test.each(partial)("[v3 MQTT-4.7.1-3] the filter %j is refused", (filter) => isRefused(filter))

  const isRefused = (filter: string) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.subscribe({ filters: [[filter, 1]] }))
      expect((await client.expect("suback")).granted).toEqual([0x80])
      await client.quiet()
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0 })
    })

  const matching: ReadonlyArray<
    readonly [id: string, filter: string, matches: ReadonlyArray<string>, others: ReadonlyArray<string>]
  > = [
    ["[v3 MQTT-4.7.1-1]", "a/b", ["a/b"], ["a", "a/", "a/b/", "/a/b", "A/b"]],
    ["[v3 MQTT-4.7.1-2]", "#", ["a", "/", "a/b/c", "//"], []],
    ["[v3 MQTT-4.7.1-2]", "a/#", ["a", "a/", "a/b", "a/b/c"], ["ab", "b", "/a"]],
    ["[v3 MQTT-4.7.1-3]", "+", ["a", " "], ["/", "a/b", "a/"]],
    ["[v3 MQTT-4.7.1-3]", "+/+", ["a/b", "/", "/a", "a/"], ["a", "a/b/c"]],
    ["[v3 MQTT-4.7.1-3]", "/+", ["/a", "/"], ["a", "a/b"]],
    ["[v3 MQTT-4.7.1-3]", "+/b/+", ["a/b/c", "/b/"], ["b", "a/b", "a/b/c/d"]],
    ["[v3 MQTT-4.7.1-3]", "a/+/#", ["a/b", "a/", "a/b/c/d"], ["a", "b/a"]],
    ["[v3 MQTT-4.7.2-1]", "#", ["a"], ["$a", "$SYSTEM/x"]],
    ["[v3 MQTT-4.7.2-1]", "+/x", ["a/x"], ["$a/x"]],
    ["[v3 MQTT-4.7.2-1]", "$a/#", ["$a", "$a/x"], ["a"]],
    ["[v3 MQTT-4.7.2-1]", "$a/+", ["$a/x"], ["$a", "$b/x"]],
    ["[v3 MQTT-4.7.3-4]", "a//b", ["a//b"], ["a/b", "a///b"]],
    ["[v3 MQTT-4.7.3-4]", "a/./b", ["a/./b"], ["a/b", "a/../b"]],
    ["[v3 MQTT-4.7.3-4]", " a", [" a"], ["a", "a "]],
    ["[v3 MQTT-4.7.3-4]", "\u00e9", ["\u00e9"], ["e\u0301"]],
    ["[v3 MQTT-4.7.3-4]", "%61", ["%61"], ["a"]],
    ["[v3 MQTT-4.7.3-4]", "\u{1f980}/+", ["\u{1f980}/\ufffd", "\u{1f980}/\u0001"], ["\ufffd/a"]]
  ]

  test.each(matching)("%s what the filter %j matches", (_id, filter, matches, others) =>
    withBroker({}, async (broker) => {
      const subscriber = await broker.connect({ version, clientId: "subscriber" })
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await subscriber.subscribe(filter)
      for (const topic of [...others, ...matches]) await publisher.publish(topic)
      for (const topic of matches) expect((await subscriber.expect("publish")).topic).toBe(topic)
      await subscriber.quiet()
      // Retained messages are matched the other way round, by filter over topics.
      for (const topic of [...others, ...matches]) await publisher.publish(topic, "kept", { retain: true })
      const late = await broker.connect({ version, clientId: "late" })
      await late.subscribe(filter)
      const retained: Array<string> = []
      for (const _topic of matches) retained.push((await late.expect("publish")).topic)
      await late.quiet()
      expect([...retained].sort()).toEqual([...matches].sort())
    })
  )

  test.each([
    ["the topic of PUBLISH", raw.packet(0x30, field(""))],
    ["a filter of SUBSCRIBE", raw.subscribe({ filters: [""] })],
    ["a filter of UNSUBSCRIBE", raw.unsubscribe({ filters: [""] })],
    ["a will topic", raw.connect({ version, will: { topic: "" } })]
  ])("[v3 MQTT-4.7.3-1] %s of no characters closes the connection", (_name, bytes) => isClosed(bytes))

  test.each([
    ["the topic of PUBLISH", raw.publish({ topic: "a\u0000" })],
    ["a filter of SUBSCRIBE", raw.subscribe({ filters: ["\u0000/a"] })],
    ["a filter of UNSUBSCRIBE", raw.unsubscribe({ filters: ["a/\u0000"] })]
  ])("[v3 MQTT-4.7.3-2] U+0000 in %s closes the connection", (_name, bytes) => isClosed(bytes))

  const isClosed = (bytes: Uint8Array) =>
    withBroker({}, async (broker) => {
      const client = bytes[0] === 0x10 ? broker.open(version) : await broker.connect({ version })
      await client.send(bytes)
      await client.expectClosed()
    })

  test("[3.1.1 4.7.3] topics and filters of 65,535 bytes work", () =>
    withBroker({}, async (broker) => {
      const topic = `${"x".repeat(65_533)}ü`
      const subscriber = await broker.connect({ version, clientId: "subscriber" })
      await subscriber.subscribe(topic)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish(topic)
      expect((await subscriber.expect("publish")).topic).toBe(topic)
    }))

  const violations: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["a packet that only a server sends", hex("d0 00")],
    ["a packet type that does not exist", hex("f0 00")],
    ["a Remaining Length of five bytes", hex("30 80 80 80 80 01")],
    ["a Remaining Length of more bytes than needed", hex("c0 80 00")],
    ["PINGREQ with a body", hex("c0 01 00")],
    ["DISCONNECT with a body", hex("e0 01 00")],
    ["PUBACK with more than an identifier", hex("40 03 00 01 00")],
    ["PUBACK without an identifier", hex("40 00")],
    ["a PUBLISH that ends in its topic", raw.packet(0x30, uint16(5), Buffer.from("abc"))],
    ["a PUBLISH at QoS 1 that ends before its identifier", raw.packet(0x32, field("a"))]
  ]

  test.each(violations)("[v3 MQTT-4.8.0-1] %s closes that connection, and no other", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const bystander = await broker.connect({ version, clientId: "bystander" })
      await bystander.subscribe("will")
      const client = await broker.connect({ version, clientId: "client", will: {} })
      await client.send(bytes, raw.publish({ topic: "will", payload: "not any more" }))
      await client.expectClosed()
      expect((await bystander.expect("publish")).payload.toString()).toBe("gone")
      await bystander.quiet()
    })
  )

  test("[3.1.1 4.8] a packet larger than the server takes closes the connection it came on", () =>
    withBroker({ options: { packetBytesMax: 1000 } }, async (broker) => {
      const bystander = await broker.connect({ version, clientId: "bystander" })
      const client = await broker.connect({ version, clientId: "client" })
      await client.send(raw.publish({ payload: "x".repeat(2000) }))
      await client.expectClosed()
      await bystander.quiet()
    }))
})
