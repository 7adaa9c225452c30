/** DISCONNECT (5.0, section 3.14) and the handling of errors (4.13). */

import { describe, expect, test } from "bun:test"
import { concat, hex, properties, raw } from "../../support/raw.ts"
import { type ServerPacket, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, join, keepsSession } from "./client.ts"

/** The Reason Codes of table 3.14.2.1 that a server may send. */
const serverDisconnectCodes = [
  ...[0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97],
  ...[0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2]
]

describe("a DISCONNECT of the client", () => {
  for (const bytes of [
    raw.disconnect(),
    raw.disconnect({ reasonCode: 0 }),
    raw.disconnect({ reasonCode: 4 })
  ]) {
    test(`[MQTT-3.14.4-2] ${bytes.toString("hex")} closes the connection without an answer`, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        await client.send(bytes)
        await client.expectClosed()
      }))
  }

  test("[MQTT-3.14.4-1] nothing that follows it is processed", () =>
    withBroker({}, async (broker) => {
      const watcher = await join(broker, "watcher")
      await watcher.subscribe("t")
      const client = await join(broker, "c")
      const late = raw.publish({ version: 5, topic: "t", payload: "late", qos: 1 })
      await client.send(concat(raw.disconnect({ reasonCode: 0 }), late, raw.pingreq()))
      await client.expectClosed()
      await watcher.quiet()
    }))

  const malformed: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.14.1-1] with flag 1", hex("e1 00"), 0x81],
    ["[MQTT-3.14.1-1] with flag 8", hex("e8 00"), 0x81],
    ["[MQTT-3.14.2-1] 0x01, which there is not", raw.disconnect({ reasonCode: 1 }), 0x82],
    ["[MQTT-3.14.2-1] 0x8E, which only a server sends", raw.disconnect({ reasonCode: 0x8e }), 0x82]
  ]
  for (const [name, bytes, reasonCode] of malformed) {
    test(`${name} is answered with DISCONNECT, and does not count as one: the Will is published`, () =>
      withBroker({}, async (broker) => {
        const watcher = await join(broker, "watcher")
        await watcher.subscribe("will")
        const client = await join(broker, "c", { will: {} })
        await client.send(bytes)
        await expectDisconnect(client, reasonCode)
        await watcher.expect("publish")
      }))
  }
})

describe("a DISCONNECT of the server", () => {
  /** Situations in which the server closes, with what it says. */
  const situations: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["a Malformed Packet", hex("00 00"), 0x81],
    ["a packet type that only servers send", hex("d0 00"), 0x82],
    ["a Topic Name with a wildcard", raw.publish({ version: 5, topic: "#" }), 0x90],
    [
      "a Topic Alias of 0",
      raw.publish({ version: 5, topic: "t", properties: properties.topicAlias(0) }),
      0x94
    ],
    ["a packet that is too large", hex("30 ff ff ff 7f"), 0x95],
    [
      "a payload that is not the UTF-8 it claims to be",
      raw.publish({
        version: 5,
        topic: "t",
        payload: hex("ff"),
        properties: properties.payloadFormatIndicator(1)
      }),
      0x99
    ]
  ]
  for (const [name, bytes, reasonCode] of situations) {
    test(`[MQTT-4.13.1-1] [MQTT-3.14.2-1] [MQTT-3.14.4-2] ${name}: its Reason Code, then the close`, () =>
      withBroker({}, async (broker) => {
        expect(serverDisconnectCodes).toContain(reasonCode)
        const client = await join(broker, "c")
        await client.send(bytes)
        await expectDisconnect(client, reasonCode)
      }))

    test(`[MQTT-4.13.2-1] [MQTT-3.14.4-1] ${name}: what came before is answered, what comes after is not`, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        await client.send(concat(raw.pingreq(), bytes, raw.pingreq(), raw.publish({ version: 5, qos: 1 })))
        const packets = await client.untilClosed()
        expect(packets.map(({ cmd }) => cmd)).toEqual(["pingresp", "disconnect"])
      }))
  }

  test("[MQTT-4.13.2-1] a client that does not read its DISCONNECT is closed all the same", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(raw.publish({ version: 5, topic: "#" }))
      await broker.settle()
      await broker.advance(10_000)
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0 })
    }))

  test("[MQTT-3.14.2-2] [MQTT-3.14.2-1] never has a Session Expiry Interval, whyever it is sent", () =>
    withBroker({}, async (broker) => {
      const found: Array<ServerPacket | undefined> = []
      const stored = { properties: keepsSession, clean: false }
      const first = await join(broker, "c", stored)
      const second = await join(broker, "c", stored)
      found.push(await first.next())
      await second.send(raw.subscribe({ version: 5, filters: [] }))
      found.push(await second.next())
      const silent = await join(broker, "silent", { ...stored, keepAlive: 1 })
      await broker.advance(2000)
      found.push(await silent.next())
      const last = await join(broker, "last", { ...stored, keepAlive: 0 })
      await broker.stop()
      found.push(await last.next())
      expect(found).toMatchObject(
        [0x8e, 0x82, 0x8d, 0x8b].map((reasonCode) => ({ cmd: "disconnect", reasonCode }))
      )
      for (const packet of found) {
        if (packet?.cmd !== "disconnect") continue
        expect(serverDisconnectCodes).toContain(packet.reasonCode ?? 0)
        expect(packet.properties?.sessionExpiryInterval).toBeUndefined()
      }
    }))
})
