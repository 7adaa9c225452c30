/**
 * Maximum Packet Size and Request Problem Information (5.0, sections 3.1.2.11.4, 3.1.2.11.7 and the Reason
 * Strings).
 */

import { describe, expect, test } from "bun:test"
import { writeExplainedAck } from "../../../src/protocol/AckWriter.ts"
import { ByteSink, PagePool } from "../../../src/protocol/ByteSink.ts"
import { encodeControl } from "../../../src/protocol/ControlWriter.ts"
import type { AckTag, Properties, ServerControlPacket } from "../../../src/protocol/Packet.ts"
import { concat, properties, raw, readServer } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, resume, takeMessage } from "./client.ts"

describe("the client's Maximum Packet Size", () => {
  test("[MQTT-3.1.2-24] a PUBLISH of exactly that size comes, a larger one does not", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s", { properties: properties.maximumPacketSize(100) })
      await subscriber.subscribe("t", ["u", 1])
      const publisher = await join(broker, "p")
      const size = (payload: number, qos: number): number =>
        raw.publish({ version: 5, topic: "t", payload: "x".repeat(payload), qos }).length
      expect([size(94, 0), size(92, 1)]).toEqual([100, 100])
      for (const length of [95, 94]) await publisher.publish("t", "x".repeat(length))
      for (const length of [93, 92]) await publisher.publish("u", "y".repeat(length))
      await expectMessage(subscriber, "x".repeat(94))
      await expectMessage(subscriber, "y".repeat(92))
      await subscriber.quiet()
    }))

  test("[MQTT-3.1.2-24] properties that the server adds count as well", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s", { properties: properties.maximumPacketSize(100) })
      await subscriber.send(
        raw.subscribe({ version: 5, filters: ["t"], properties: properties.subscriptionIdentifier(200) })
      )
      await subscriber.expect("suback")
      const publisher = await join(broker, "p")
      await publisher.publish("t", "x".repeat(94))
      await publisher.publish("t", "x".repeat(91))
      expect((await subscriber.expect("publish")).payload).toHaveLength(91)
      await subscriber.quiet()
    }))

  test("[MQTT-3.1.2-25] a message that is too large counts as delivered: others follow, and none waits", () =>
    withBroker({}, async (broker) => {
      const limits = concat(properties.maximumPacketSize(100), properties.receiveMaximum(1))
      const keeps = concat(limits, properties.sessionExpiryInterval(60))
      const subscriber = await resume(broker, "s", { properties: keeps })
      await subscriber.subscribe(["t", 2])
      const publisher = await join(broker, "p")
      const huge = "x".repeat(500)
      for (const payload of [huge, "a", huge, "b"]) {
        await publisher.send(raw.publish({ version: 5, topic: "t", payload, qos: 2 }))
        expect((await publisher.expect("pubrec")).reasonCode ?? 0).toBe(0)
        await publisher.send(raw.pubrel({ packetId: 1 }))
        await publisher.expect("pubcomp")
      }
      await takeMessage(subscriber, "a")
      await takeMessage(subscriber, "b")
      await subscriber.quiet()
      subscriber.drop()
      const wide = await resume(broker, "s", { properties: properties.sessionExpiryInterval(60) })
      await wide.quiet()
    }))

  test("[MQTT-3.1.2-25] other subscribers get what is too large for one", () =>
    withBroker({}, async (broker) => {
      const tight = await join(broker, "tight", { properties: properties.maximumPacketSize(50) })
      const wide = await join(broker, "wide")
      for (const client of [tight, wide]) await client.subscribe(["t", 1])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "x".repeat(60))
      await expectMessage(wide, "x".repeat(60))
      await tight.quiet()
    }))

  test("[MQTT-3.1.2-24] a SUBACK that would be larger closes the connection instead", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "s", { properties: properties.maximumPacketSize(40) })
      await client.send(
        raw.subscribe({ version: 5, filters: Array.from({ length: 60 }, (_, at) => `t/${at}`) })
      )
      for (const packet of await client.untilClosed()) expect(packet.cmd).toBe("disconnect")
    }))
})

describe("the server's Maximum Packet Size", () => {
  test("[MQTT-3.2.2-15] a packet of exactly that size is taken, a larger one ends the connection", () =>
    withBroker({ options: { packetBytesMax: 1000 } }, async (broker) => {
      const client = await join(broker, "c")
      expect(client.connack?.properties?.maximumPacketSize).toBe(1000)
      const exact = raw.publish({ version: 5, topic: "t", payload: "x".repeat(991), qos: 1 })
      expect(exact.length).toBe(1000)
      await client.send(exact)
      await client.expect("puback")
      await client.send(raw.publish({ version: 5, topic: "t", payload: "x".repeat(992), qos: 1 }))
      await expectDisconnect(client, 0x95)
    }))
})

describe("Reason Strings towards a client", () => {
  const refused = raw.publish({ version: 5, topic: "$SYS/mine", qos: 1 })

  test("[MQTT-3.4.2-2] PUBACK has one, unless it would exceed the client's Maximum Packet Size", () =>
    withBroker({}, async (broker) => {
      const wide = await join(broker, "wide")
      await wide.send(refused)
      const explained = await wide.expect("puback")
      expect([explained.reasonCode, explained.properties?.reasonString === undefined]).toEqual([0x87, false])
      const tight = await join(broker, "tight", { properties: properties.maximumPacketSize(40) })
      await tight.send(refused)
      const silent = await tight.expect("puback")
      expect([silent.reasonCode, silent.properties?.reasonString]).toEqual([0x87, undefined])
    }))

  test("[MQTT-3.14.2-3] DISCONNECT has one, unless it would exceed the client's Maximum Packet Size", () =>
    withBroker({}, async (broker) => {
      const wide = await join(broker, "wide")
      await wide.send(raw.publish({ version: 5, topic: "a/#" }))
      expect((await expectDisconnect(wide, 0x90)).properties?.reasonString).toBeString()
      const tight = await join(broker, "tight", { properties: properties.maximumPacketSize(30) })
      await tight.send(raw.publish({ version: 5, topic: "a/#" }))
      expect((await expectDisconnect(tight, 0x90)).properties?.reasonString).toBeUndefined()
    }))

  test("[MQTT-3.1.2-29] Request Problem Information 0: none but on CONNACK and DISCONNECT", () =>
    withBroker({}, async (broker) => {
      const silent = properties.requestProblemInformation(0)
      const client = await join(broker, "c", { properties: silent })
      await client.send(refused)
      expect((await client.expect("puback")).properties?.reasonString).toBeUndefined()
      await client.send(raw.publish({ version: 5, topic: "$SYS/mine", qos: 2, packetId: 2 }))
      expect((await client.expect("pubrec")).properties?.reasonString).toBeUndefined()
      await client.send(raw.subscribe({ version: 5, filters: ["a/#/b"] }))
      expect((await client.expect("suback")).properties?.reasonString).toBeUndefined()
      await client.send(
        raw.publish({ version: 5, topic: "t", properties: properties.userProperty("a", "b") })
      )
      await client.send(raw.publish({ version: 5, topic: "a/#" }))
      expect((await expectDisconnect(client, 0x90)).properties?.reasonString).toBeString()
    }))

  test("[MQTT-3.1.2-29] Request Problem Information 0: PUBLISH keeps its User Properties", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c", { properties: properties.requestProblemInformation(0) })
      await client.subscribe("t")
      await client.send(
        raw.publish({ version: 5, topic: "t", properties: properties.userProperty("a", "b") })
      )
      expect((await expectMessage(client, "payload")).properties?.userProperties).toEqual({ a: "b" })
    }))
})

/**
 * What the writers make of a packet with both, at sizes that have room for all, for the User Property
 * alone, for neither.
 */
describe("the writers leave out what has no room", () => {
  const explained: Properties = { reasonString: "r".repeat(50), userProperties: [["name", "value"]] }
  const encode = (packet: ServerControlPacket, packetBytesMax: number): Uint8Array =>
    encodeControl(packet, 5, { packetBytesMax, requestProblemInformation: true }) ?? new Uint8Array()
  const control = (packet: ServerControlPacket) => (packetBytesMax: number) => encode(packet, packetBytesMax)
  const ack = (tag: AckTag) => (packetBytesMax: number) => {
    const sink = new ByteSink(new PagePool())
    writeExplainedAck(sink, {
      tag,
      packetId: 1,
      reasonCode: tag === "Puback" || tag === "Pubrec" ? 0x80 : 0x92,
      reasonString: "r".repeat(50),
      userProperties: [["name", "value"]],
      packetBytesMax
    })
    return sink.bytes.subarray(0, sink.length)
  }
  const reasonCodes = [0x80]
  const cases: ReadonlyArray<readonly [name: string, write: (packetBytesMax: number) => Uint8Array]> = [
    [
      "[MQTT-3.2.2-19] [MQTT-3.2.2-20] CONNACK",
      control({ _tag: "Connack", sessionPresent: false, reasonCode: 0x87, properties: explained })
    ],
    ["[MQTT-3.4.2-2] [MQTT-3.4.2-3] PUBACK", ack("Puback")],
    ["[MQTT-3.5.2-2] [MQTT-3.5.2-3] PUBREC", ack("Pubrec")],
    ["[MQTT-3.6.2-2] [MQTT-3.6.2-3] PUBREL", ack("Pubrel")],
    ["[MQTT-3.7.2-2] [MQTT-3.7.2-3] PUBCOMP", ack("Pubcomp")],
    [
      "[MQTT-3.9.2-1] [MQTT-3.9.2-2] SUBACK",
      control({ _tag: "Suback", packetId: 1, reasonCodes, properties: explained })
    ],
    [
      "[MQTT-3.11.2-1] [MQTT-3.11.2-2] UNSUBACK",
      control({ _tag: "Unsuback", packetId: 1, reasonCodes, properties: explained })
    ],
    [
      "[MQTT-3.14.2-3] [MQTT-3.14.2-4] DISCONNECT",
      control({ _tag: "Disconnect", reasonCode: 0x81, properties: explained })
    ],
    [
      "[MQTT-3.15.2-2] [MQTT-3.15.2-3] AUTH",
      control({ _tag: "Auth", reasonCode: 0x18, properties: { ...explained, authenticationMethod: "m" } })
    ]
  ]
  for (const [name, write] of cases) {
    test(name, () => {
      const found = (packetBytesMax: number) => {
        const bytes = write(packetBytesMax)
        expect(bytes.length).toBeLessThanOrEqual(packetBytesMax)
        const [packet] = readServer(bytes, 5)
        const read = { ...(packet !== undefined && "properties" in packet && packet.properties) }
        return { reason: "reasonString" in read, user: "userProperties" in read }
      }
      const whole = write(1000).length
      expect(found(whole)).toEqual({ reason: true, user: true })
      expect(found(whole - 1)).toEqual({ reason: false, user: true })
      const withoutReason = write(whole - 1).length
      expect(found(withoutReason)).toEqual({ reason: false, user: true })
      expect(found(withoutReason - 1)).toEqual({ reason: false, user: false })
    })
  }
})
