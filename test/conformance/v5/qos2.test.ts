/** QoS 2 in both directions (5.0, sections 3.5 to 3.7, 4.3.3 and 4.4). */

import { describe, expect, test } from "bun:test"
import { concat, properties, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, keepsSession, resume, takeMessage } from "./client.ts"

const publish2 = (packetId: number, payload = "payload", dup = false): Buffer =>
  raw.publish({ version: 5, topic: "t", payload, qos: 2, packetId, dup })

const subscribed = async (broker: TestBroker): Promise<TestClient> => {
  const client = await resume(broker, "s")
  await client.subscribe(["t", 2])
  return client
}

/** Publishes at QoS 2 to the end. */
const publishWhole = async (client: TestClient, payload: string): Promise<void> => {
  await client.send(publish2(1, payload))
  await client.expect("pubrec")
  await client.send(raw.pubrel({ packetId: 1 }))
  await client.expect("pubcomp")
}

describe("the server as the sender", () => {
  test("[MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-4] PUBLISH with an unused identifier, QoS 2, DUP 0; then PUBREL", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      const inUse = new Set<number>()
      for (let count = 0; count < 20; count++) {
        await publishWhole(publisher, `${count}`)
        const message = await expectMessage(subscriber, `${count}`)
        const packetId = message.messageId ?? 0
        expect([message.qos, message.dup, packetId > 0, inUse.has(packetId)]).toEqual([2, false, true, false])
        inUse.add(packetId)
        if (count % 2 === 0) continue
        await subscriber.send(raw.pubrec({ packetId }))
        expect(await subscriber.expect("pubrel")).toMatchObject({ messageId: packetId })
        if (count % 4 !== 1) continue
        await subscriber.send(raw.pubcomp({ packetId }))
        inUse.delete(packetId)
      }
    }))

  test("[MQTT-4.3.3-3] [MQTT-4.4.0-1] [MQTT-3.3.1-1] a PUBLISH without PUBREC comes again, with DUP and its identifier", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      await publishWhole(publisher, "a")
      const { messageId } = await expectMessage(subscriber, "a")
      subscriber.drop()
      for (let round = 0; round < 2; round++) {
        const back = await resume(broker, "s")
        expect(await expectMessage(back, "a")).toMatchObject({ messageId, dup: true, qos: 2 })
        await back.quiet()
        back.drop()
      }
    }))

  test("[MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1] a PUBREL without PUBCOMP comes again; the PUBLISH does not", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      await publishWhole(publisher, "a")
      const packetId = (await expectMessage(subscriber, "a")).messageId ?? 0
      await subscriber.send(raw.pubrec({ packetId }))
      await subscriber.expect("pubrel")
      subscriber.drop()
      for (let round = 0; round < 2; round++) {
        const back = await resume(broker, "s")
        expect((await back.expect("pubrel")).messageId).toBe(packetId)
        await back.quiet()
        if (round === 1) {
          await back.send(raw.pubcomp({ packetId }))
          await back.quiet()
        }
        back.drop()
      }
      const last = await resume(broker, "s")
      await last.quiet()
    }))

  test("[MQTT-4.3.3-6] a second PUBREC is answered with PUBREL, not with the PUBLISH", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      await publishWhole(publisher, "a")
      const packetId = (await expectMessage(subscriber, "a")).messageId ?? 0
      await subscriber.send(raw.pubrec({ packetId }), raw.pubrec({ packetId }))
      await subscriber.expect("pubrel")
      await subscriber.expect("pubrel")
      await subscriber.quiet()
    }))

  for (const reasonCode of [0x80, 0x97]) {
    test(`[MQTT-4.4.0-2] PUBREC 0x${reasonCode.toString(16)} ends the delivery: no PUBREL, and nothing comes again`, () =>
      withBroker({}, async (broker) => {
        const subscriber = await subscribed(broker)
        const publisher = await join(broker, "p")
        await publishWhole(publisher, "a")
        const packetId = (await expectMessage(subscriber, "a")).messageId ?? 0
        await subscriber.send(raw.pubrec({ packetId, reasonCode }))
        await subscriber.quiet()
        subscriber.drop()
        const back = await resume(broker, "s")
        await back.quiet()
      }))
  }

  test("[MQTT-3.6.2-1] PUBREL for an identifier that the server does not know says 0x92", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(raw.pubrec({ packetId: 77 }))
      expect(await client.expect("pubrel")).toMatchObject({ messageId: 77, reasonCode: 0x92 })
    }))
})

describe("the server as the receiver", () => {
  test("[MQTT-4.3.3-8] [MQTT-4.3.3-11] answers PUBREC, and PUBCOMP to PUBREL, with the identifier", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      await publisher.send(concat(publish2(65_535, "a"), publish2(3, "b")))
      expect((await publisher.expect("pubrec")).messageId).toBe(65_535)
      expect((await publisher.expect("pubrec")).messageId).toBe(3)
      await publisher.send(concat(raw.pubrel({ packetId: 65_535 }), raw.pubrel({ packetId: 3 })))
      expect(await publisher.expect("pubcomp")).toMatchObject({ messageId: 65_535 })
      expect(await publisher.expect("pubcomp")).toMatchObject({ messageId: 3 })
      await expectMessage(subscriber, "a")
      await expectMessage(subscriber, "b")
    }))

  test("[MQTT-4.3.3-8] owns what it acknowledged: a persistent subscriber gets it, PUBREL or not", () =>
    withBroker({}, async (broker) => {
      const away = await subscribed(broker)
      away.drop()
      const publisher = await join(broker, "p")
      await publisher.send(publish2(1, "owned"))
      await publisher.expect("pubrec")
      publisher.drop()
      await broker.settle()
      await takeMessage(await resume(broker, "s"), "owned")
    }))

  test("[MQTT-4.3.3-9] after a PUBREC of 0x80 or more the identifier is free: the next PUBLISH is new", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      await publisher.send(raw.publish({ version: 5, topic: "$SYS/mine", qos: 2, packetId: 4 }))
      expect((await publisher.expect("pubrec")).reasonCode).toBe(0x87)
      await publisher.send(publish2(4, "new", true))
      expect((await publisher.expect("pubrec")).reasonCode ?? 0).toBe(0)
      await takeMessage(subscriber, "new")
    }))

  test("[MQTT-4.3.3-10] a PUBLISH again before PUBREL is acknowledged again and not delivered again", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      for (const dup of [false, true, false]) {
        await publisher.send(publish2(6, "once", dup))
        expect(await publisher.expect("pubrec")).toMatchObject({ messageId: 6 })
      }
      await takeMessage(subscriber, "once")
      await subscriber.quiet()
    }))

  test("[MQTT-4.3.3-10] also on the next connection of the session", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await resume(broker, "p")
      await publisher.send(publish2(6, "once"))
      await publisher.expect("pubrec")
      publisher.drop()
      const again = await resume(broker, "p")
      await again.send(publish2(6, "once", true))
      await again.expect("pubrec")
      await again.send(raw.pubrel({ packetId: 6 }))
      expect((await again.expect("pubcomp")).reasonCode ?? 0).toBe(0)
      await takeMessage(subscriber, "once")
      await subscriber.quiet()
    }))

  test("[MQTT-4.3.3-12] after PUBCOMP a PUBLISH with the identifier is new, whatever its DUP", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      for (const dup of [false, true]) {
        await publisher.send(publish2(6, "each", dup))
        await publisher.expect("pubrec")
        await publisher.send(raw.pubrel({ packetId: 6 }))
        await publisher.expect("pubcomp")
        await takeMessage(subscriber, "each")
      }
    }))

  test("[MQTT-3.7.2-1] PUBCOMP says Success, or 0x92 for an identifier that was not received", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(publish2(6))
      await client.expect("pubrec")
      await client.send(concat(raw.pubrel({ packetId: 6 }), raw.pubrel({ packetId: 6 })))
      expect((await client.expect("pubcomp")).reasonCode ?? 0).toBe(0)
      expect((await client.expect("pubcomp")).reasonCode).toBe(0x92)
    }))
})

describe("an acknowledgement that breaks a rule ends the connection", () => {
  const ack = (firstByte: number): Buffer => raw.packet(firstByte, Buffer.from([0, 1]))
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.6.1-1] PUBREL with flags 0", ack(0x60), 0x81],
    ["[MQTT-3.6.1-1] PUBREL with flags 6", ack(0x66), 0x81],
    ["[MQTT-2.1.3-1] PUBACK with flags", ack(0x42), 0x81],
    ["[MQTT-2.1.3-1] PUBREC with flags", ack(0x52), 0x81],
    ["[MQTT-2.1.3-1] PUBCOMP with flags", ack(0x78), 0x81],
    ["[MQTT-2.1.3-1] PINGREQ with flags", Buffer.from([0xc1, 0]), 0x81],
    ["[MQTT-2.2.1-5] PUBACK for Packet Identifier 0", raw.puback({ packetId: 0 }), 0x82],
    ["[MQTT-3.4.2-1] PUBACK 0x92, which it does not have", raw.puback({ reasonCode: 0x92 }), 0x82],
    ["[MQTT-3.5.2-1] PUBREC 0x92, which it does not have", raw.pubrec({ reasonCode: 0x92 }), 0x82],
    ["[MQTT-3.6.2-1] PUBREL 0x80, which it does not have", raw.pubrel({ reasonCode: 0x80 }), 0x82],
    ["[MQTT-3.7.2-1] PUBCOMP 0x10, which it does not have", raw.pubcomp({ reasonCode: 0x10 }), 0x82]
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

describe("on a connection with a small Receive Maximum", () => {
  test("[MQTT-4.9.0-3] [MQTT-3.3.4-10] every PUBREL of the session comes, however many", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const publisher = await join(broker, "p")
      const packetIds: Array<number> = []
      for (const payload of ["a", "b", "c", "d"]) {
        await publishWhole(publisher, payload)
        const packetId = (await expectMessage(subscriber, payload)).messageId ?? 0
        packetIds.push(packetId)
        // The first stays a PUBLISH without PUBREC, in front of the others.
        if (payload === "a") continue
        await subscriber.send(raw.pubrec({ packetId }))
        await subscriber.expect("pubrel")
      }
      subscriber.drop()
      const back = await resume(broker, "s", {
        properties: concat(keepsSession, properties.receiveMaximum(1))
      })
      const released: Array<number> = []
      let published = 0
      await back.send(raw.pingreq())
      for (let packet = await back.next(); packet?.cmd !== "pingresp"; packet = await back.next()) {
        if (packet?.cmd === "pubrel") released.push(packet.messageId ?? 0)
        if (packet?.cmd === "publish") published++
      }
      expect(released).toEqual(packetIds.slice(1))
      expect(published).toBeLessThanOrEqual(1)
      // Three deliveries are under way, so the PUBLISH waits until they are done.
      for (const packetId of released) await back.send(raw.pubcomp({ packetId }))
      if (published === 0) expect((await expectMessage(back, "a")).messageId).toBe(packetIds[0])
      await back.quiet()
    }))
})
