/** Attacks on delivery: rows 23 to 25 of the attack table. */

import { describe, expect, test } from "bun:test"
import { concat, properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

const kept = (version: Version, clientId: string): RawConnect => ({
  version,
  clientId,
  clean: false,
  ...(version === 5 && { properties: properties.sessionExpiryInterval(3600) })
})

const qos2 = (version: Version, packetId: number, payload = "payload") =>
  raw.publish({ version, topic: "a", payload, qos: 2, packetId })

/** How many messages have come to a subscriber that acknowledges none. */
const received = async (subscriber: TestClient): Promise<number> => {
  await subscriber.send(raw.pingreq())
  let messages = 0
  while ((await subscriber.next())?.cmd === "publish") messages++
  return messages
}

const subscribed = async (broker: TestBroker): Promise<TestClient> => {
  const subscriber = await broker.connect({ clientId: "subscriber" })
  await subscriber.subscribe("#")
  return subscriber
}

describe.each(versions)("attack 23: inbound QoS 2, version %d", (version) => {
  test("attack 23: the same PUBLISH a hundred times is answered each time and delivered once", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const client = await broker.connect({ version })
      await client.send(concat(...Array.from({ length: 100 }, () => qos2(version, 7))))
      for (let count = 0; count < 100; count++) expect((await client.expect("pubrec")).messageId).toBe(7)
      expect(await received(subscriber)).toBe(1)
    }))

  test("attack 23: another message under an identifier that was not released is not delivered", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const client = await broker.connect({ version })
      await client.send(qos2(version, 7, "first"), qos2(version, 7, "second"))
      for (let count = 0; count < 2; count++) await client.expect("pubrec")
      expect((await subscriber.expect("publish")).payload.toString()).toBe("first")
      await subscriber.quiet()
      await client.send(raw.pubrel({ packetId: 7 }), qos2(version, 7, "third"))
      await client.expect("pubcomp")
      await client.expect("pubrec")
      expect((await subscriber.expect("publish")).payload.toString()).toBe("third")
    }))

  test("attack 23: PUBREL of an identifier that is not known is answered", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.pubrel({ packetId: 9 }))
      expect(await client.expect("pubcomp")).toMatchObject({
        messageId: 9,
        ...(version === 5 && { reasonCode: 0x92 })
      })
      await client.send(qos2(version, 9))
      await client.expect("pubrec")
      for (const reasonCode of [0, 0x92]) {
        await client.send(raw.pubrel({ packetId: 9 }))
        expect(await client.expect("pubcomp")).toMatchObject({ ...(version === 5 && { reasonCode }) })
      }
    }))

  test("attack 23: identifiers survive a reconnection, and a clean start clears them", () =>
    withBroker({}, async (broker) => {
      const subscriber = await subscribed(broker)
      const first = await broker.connect(kept(version, "sender"))
      await first.send(qos2(version, 7))
      await first.expect("pubrec")
      first.drop()
      const second = await broker.connect(kept(version, "sender"))
      await second.send(qos2(version, 7))
      await second.expect("pubrec")
      expect(await received(subscriber)).toBe(1)
      second.drop()
      const third = await broker.connect({ ...kept(version, "sender"), clean: true })
      await third.send(qos2(version, 7))
      await third.expect("pubrec")
      expect(await received(subscriber)).toBe(1)
    }))
})

describe("attack 23: identifiers that are never released", () => {
  test("attack 23: version 5 is disconnected with 0x93 at its Receive Maximum", () =>
    withBroker({ settings: { receiveMaximum: 20 } }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      expect(client.connack?.properties?.receiveMaximum).toBe(20)
      for (let packetId = 1; packetId <= 20; packetId++) {
        await client.send(qos2(5, packetId))
        await client.expect("pubrec")
      }
      // A repeat of one that is under way takes no more.
      await client.send(qos2(5, 20))
      await client.expect("pubrec")
      await client.send(qos2(5, 21))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x93)
      await client.expectClosed()
    }))

  test("attack 23: version 3.1.1 can hold all 65,535 and harms nobody", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "hoarder" })
      const bystander = await broker.connect({ clientId: "bystander" })
      for (let from = 1; from <= 65_535; from += 1000) {
        const count = Math.min(1000, 65_536 - from)
        const batch = Array.from({ length: count }, (_, n) => qos2(4, from + n, ""))
        await client.send(concat(...batch))
        for (let n = 0; n < count; n++) await client.expect("pubrec")
      }
      await bystander.publish("b")
      await client.quiet()
      client.drop()
      await broker.settle()
      expect(broker.broker.census().sessions).toBe(1)
    }))
})

describe.each(versions)("attack 24: outbound QoS 2, version %d", (version) => {
  test("attack 24: an owed PUBREL comes again with the same identifier, however often the client leaves", () =>
    withBroker({}, async (broker) => {
      let client = await broker.connect(kept(version, "subscriber"))
      await client.subscribe(["#", 2])
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.send(qos2(4, 1))
      const { messageId: packetId = 0 } = await client.expect("publish")
      await client.send(raw.pubrec({ packetId }))
      for (let round = 0; round < 5; round++) {
        expect((await client.expect("pubrel")).messageId).toBe(packetId)
        client.drop()
        await broker.settle()
        client = await broker.connect(kept(version, "subscriber"))
      }
      await client.expect("pubrel")
      await client.send(raw.pubcomp({ packetId }))
      await client.quiet()
    }))

  test("attack 24: an identifier in flight is not given to another message", () =>
    withBroker({ settings: { inflightMax: 50 } }, async (broker) => {
      const client = await broker.connect(kept(version, "subscriber"))
      await client.subscribe(["#", 1])
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.publish("a", "held")
      const { messageId: held = 0 } = await client.expect("publish")
      for (let n = 0; n < 500; n++) {
        await publisher.send(raw.publish({ topic: "a", qos: 1, packetId: 1 + n }))
        const { messageId = 0 } = await client.expect("publish")
        expect(messageId).not.toBe(held)
        await client.send(raw.puback({ packetId: messageId }))
      }
      client.drop()
      const again = await broker.connect(kept(version, "subscriber"))
      const message = await again.expect("publish")
      expect([message.messageId, message.payload.toString(), message.dup]).toEqual([held, "held", true])
      await again.quiet()
    }))
})

describe("attack 24: expiry", () => {
  test("attack 24: a message that expires after its PUBREC is still brought to its end", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect(kept(5, "subscriber"))
      await client.subscribe(["#", 2])
      const publisher = await broker.connect({ version: 5, clientId: "publisher" })
      const expiring = properties.messageExpiryInterval(10)
      await publisher.send(raw.publish({ version: 5, topic: "a", qos: 2, packetId: 1, properties: expiring }))
      const { messageId: packetId = 0 } = await client.expect("publish")
      await client.send(raw.pubrec({ packetId }))
      await client.expect("pubrel")
      client.drop()
      await broker.settle()
      await broker.advance(60_000)
      const again = await broker.connect(kept(5, "subscriber"))
      expect((await again.expect("pubrel")).messageId).toBe(packetId)
      await again.send(raw.pubcomp({ packetId }))
      await again.quiet()
    }))
})

describe("attack 25: maxima", () => {
  test("attack 25: the server never has more unacknowledged than the client's Receive Maximum", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({
        version: 5,
        clientId: "subscriber",
        properties: properties.receiveMaximum(3)
      })
      await client.subscribe(["#", 2])
      const publisher = await broker.connect({ clientId: "publisher" })
      for (let n = 0; n < 10; n++) await publisher.publish("a", `${n}`)
      const identifiers: Array<number> = []
      for (let n = 0; n < 3; n++) identifiers.push((await client.expect("publish")).messageId ?? 0)
      await client.quiet()
      for (let n = 3; n < 10; n++) {
        await client.send(raw.puback({ packetId: identifiers.shift() ?? 0 }))
        const message = await client.expect("publish")
        expect(message.payload.toString()).toBe(`${n}`)
        identifiers.push(message.messageId ?? 0)
        await client.quiet()
      }
    }))

  test("attack 25: QoS 0 is not counted against the Receive Maximum", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({
        version: 5,
        clientId: "subscriber",
        properties: properties.receiveMaximum(1)
      })
      await client.subscribe(["a", 1], ["b", 0])
      const publisher = await broker.connect({ clientId: "publisher" })
      for (const topic of ["a", "a", "b", "b"]) await publisher.publish(topic)
      for (const topic of ["a", "b", "b"]) expect((await client.expect("publish")).topic).toBe(topic)
      await client.quiet()
    }))

  test("attack 25: what is larger than the client takes is dropped and counted, and the rest comes", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({
        version: 5,
        clientId: "subscriber",
        properties: concat(properties.maximumPacketSize(100), properties.receiveMaximum(1))
      })
      await client.subscribe(["#", 1])
      const publisher = await broker.connect({ clientId: "publisher" })
      for (const qos of [0, 1, 2]) {
        await publisher.send(raw.publish({ topic: "a", payload: "x".repeat(200), qos, packetId: 1 + qos }))
      }
      await publisher.publish("a", "small")
      expect((await client.expect("publish")).payload.toString()).toBe("small")
      await client.quiet()
      expect(broker.broker.counters("default")?.droppedTooLarge).toBe(3)
      expect(broker.eventsOf("MessageDropped")[0]).toMatchObject({
        reason: "too-large",
        clientId: "subscriber"
      })
    }))

  test("attack 25: a Reason String gives way to the client's Maximum Packet Size", () =>
    withBroker({ settings: { topicLevelsMax: 2 } }, async (broker) => {
      for (const [maximum, isExplained] of [
        [1000, true],
        [40, false]
      ] as const) {
        const client = await broker.connect({
          version: 5,
          clientId: `client ${maximum}`,
          properties: properties.maximumPacketSize(maximum)
        })
        await client.send(raw.publish({ version: 5, topic: "a/b/c", qos: 1, packetId: 1 }))
        const puback = await client.expect("puback")
        expect(puback.reasonCode).toBe(0x90)
        expect(puback.properties?.reasonString !== undefined).toBe(isExplained)
      }
    }))
})
