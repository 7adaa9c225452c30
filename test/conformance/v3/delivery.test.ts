/** MQTT 3.1.1 sections 4.3 to 4.6: QoS flows, what is sent again, and order. */

import { describe, expect, test } from "bun:test"
import { concat, raw, toHex, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

interface Pair {
  readonly subscriber: TestClient
  readonly publisher: TestClient
}

const pair = async (broker: TestBroker, version: Version, qos = 2): Promise<Pair> => {
  const subscriber = await broker.connect({ version, clientId: "subscriber", clean: false })
  await subscriber.subscribe(["#", qos])
  return { subscriber, publisher: await broker.connect({ version, clientId: "publisher" }) }
}

const comeBack = (broker: TestBroker, version: Version): Promise<TestClient> =>
  broker.connect({ version, clientId: "subscriber", clean: false })

/** The next PUBLISH, as the parts that these rules are about. */
const message = async (client: TestClient) => {
  const { dup, messageId = 0, payload, qos } = await client.expect("publish")
  return { payload: payload.toString(), packetId: messageId, qos, dup }
}

describe.each(olderVersions)("MQTT %s", (_, version) => {
  test("[v3 MQTT-4.3.1-1] a QoS 0 message is sent once, with QoS 0 and DUP 0", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      await publisher.send(raw.publish({ topic: "a", payload: "0", qos: 0 }))
      expect(toHex((await subscriber.wire.receive()) ?? Buffer.alloc(0))).toBe("30040001" + "61" + "30")
      await subscriber.quiet()
    }))

  test("[v3 MQTT-4.3.2-1] a QoS 1 message is held until PUBACK, with an identifier of its own and DUP 0", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      await publisher.publish("a", "first")
      await publisher.publish("a", "second")
      const first = await message(subscriber)
      const second = await message(subscriber)
      expect(first).toMatchObject({ payload: "first", qos: 1, dup: false })
      expect(second).toMatchObject({ payload: "second", qos: 1, dup: false })
      expect(second.packetId).not.toBe(first.packetId)
      await subscriber.send(raw.puback({ packetId: first.packetId }))
      await subscriber.quiet()
      subscriber.drop()
      const again = await comeBack(broker, version)
      expect(await message(again)).toEqual({ ...second, dup: true })
      await again.quiet()
    }))

  test("[v3 MQTT-4.3.2-2] after PUBACK the same identifier is a new message, DUP or not", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      for (const dup of [false, true, false]) {
        await publisher.send(raw.publish({ topic: "a", qos: 1, packetId: 7, dup }))
        expect((await publisher.expect("puback")).messageId).toBe(7)
        await message(subscriber)
      }
    }))

  test("[v3 MQTT-4.3.3-1] a QoS 2 message is held until PUBREC, its PUBREL until PUBCOMP", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      await publisher.send(raw.publish({ topic: "a", payload: "twice", qos: 2, packetId: 1 }))
      const sent = await message(subscriber)
      expect(sent).toMatchObject({ payload: "twice", qos: 2, dup: false })
      subscriber.drop()
      const second = await comeBack(broker, version)
      expect(await message(second)).toEqual({ ...sent, dup: true })
      const { packetId } = sent
      await second.send(raw.pubrec({ packetId }))
      expect((await second.expect("pubrel")).messageId).toBe(packetId)
      second.drop()
      const third = await comeBack(broker, version)
      // Never the PUBLISH any more.
      expect((await third.expect("pubrel")).messageId).toBe(packetId)
      await third.send(raw.pubcomp({ packetId }))
      await third.quiet()
      third.drop()
      await (await comeBack(broker, version)).quiet()
    }))

  test("[v3 MQTT-4.3.3-1] PUBREC that is repeated is answered with PUBREL again", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      await publisher.send(raw.publish({ topic: "a", qos: 2, packetId: 1 }))
      const { packetId } = await message(subscriber)
      for (let count = 0; count < 3; count++) {
        await subscriber.send(raw.pubrec({ packetId }))
        expect((await subscriber.expect("pubrel")).messageId).toBe(packetId)
      }
      await subscriber.send(raw.pubcomp({ packetId }))
      await subscriber.quiet()
    }))

  test("[v3 MQTT-4.3.3-2] until PUBREL repeats are answered with PUBREC and delivered once", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      for (const dup of [false, true, false, true]) {
        await publisher.send(raw.publish({ topic: "a", qos: 2, packetId: 9, dup }))
        expect((await publisher.expect("pubrec")).messageId).toBe(9)
      }
      await message(subscriber)
      await subscriber.quiet()
      await publisher.send(raw.pubrel({ packetId: 9 }))
      expect((await publisher.expect("pubcomp")).messageId).toBe(9)
      await publisher.send(raw.publish({ topic: "a", payload: "new", qos: 2, packetId: 9 }))
      await publisher.expect("pubrec")
      expect((await message(subscriber)).payload).toBe("new")
    }))

  test("[v3 MQTT-4.3.3-2] the identifiers of QoS 2 outlive the connection", () =>
    withBroker({}, async (broker) => {
      const { subscriber } = await pair(broker, version)
      const options = { version, clientId: "sender", clean: false } as const
      const first = await broker.connect(options)
      await first.send(raw.publish({ topic: "a", qos: 2, packetId: 9 }))
      await first.expect("pubrec")
      first.drop()
      const second = await broker.connect(options)
      await second.send(raw.publish({ topic: "a", qos: 2, packetId: 9, dup: true }))
      await second.expect("pubrec")
      await message(subscriber)
      await subscriber.quiet()
      await second.send(raw.pubrel({ packetId: 9 }))
      expect((await second.expect("pubcomp")).messageId).toBe(9)
    }))

  test("[v3 MQTT-4.4.0-1] everything unacknowledged is sent again with its identifier", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      for (const qos of [1, 2, 1, 2]) {
        await publisher.send(raw.publish({ topic: "a", payload: `${qos}`, qos, packetId: 10 }))
        await publisher.expect(qos === 1 ? "puback" : "pubrec")
        if (qos === 2) await publisher.send(raw.pubrel({ packetId: 10 }))
        if (qos === 2) await publisher.expect("pubcomp")
      }
      const sent = [
        await message(subscriber),
        await message(subscriber),
        await message(subscriber),
        await message(subscriber)
      ]
      await subscriber.send(raw.pubrec({ packetId: sent[1]?.packetId ?? 0 }))
      await subscriber.expect("pubrel")
      subscriber.drop()
      const again = await comeBack(broker, version)
      expect(await message(again)).toEqual({ ...sent[0]!, dup: true })
      expect((await again.expect("pubrel")).messageId).toBe(sent[1]!.packetId)
      expect(await message(again)).toEqual({ ...sent[2]!, dup: true })
      expect(await message(again)).toEqual({ ...sent[3]!, dup: true })
      await again.quiet()
    }))

  test("[v3 MQTT-4.6.0-1] what is sent again comes in its original order, before what is new", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      for (let n = 0; n < 20; n++) await publisher.publish("a", `${n}`)
      for (let n = 0; n < 20; n++) await message(subscriber)
      subscriber.drop()
      await broker.settle()
      for (let n = 20; n < 30; n++) await publisher.publish("a", `${n}`)
      const again = await comeBack(broker, version)
      for (let n = 0; n < 30; n++) {
        expect(await message(again)).toMatchObject({ payload: `${n}`, dup: n < 20 })
      }
    }))

  test("[v3 MQTT-4.6.0-2] [v3 MQTT-4.6.0-3] PUBACKs and PUBRECs come in the order of their PUBLISHes", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      const identifiers = Array.from({ length: 60 }, (_, n) => 1 + ((n * 37) % 60))
      const qosOf = (packetId: number) => (packetId % 3 === 0 ? 2 : 1)
      await client.send(
        concat(...identifiers.map((packetId) => raw.publish({ topic: "a", qos: qosOf(packetId), packetId })))
      )
      for (const packetId of identifiers) {
        const answer = await client.expect(qosOf(packetId) === 1 ? "puback" : "pubrec")
        expect(answer.messageId).toBe(packetId)
      }
    }))

  test("[v3 MQTT-4.6.0-4] PUBRELs come in the order of the PUBRECs", () =>
    withBroker({}, async (broker) => {
      const { publisher, subscriber } = await pair(broker, version)
      const identifiers: Array<number> = []
      for (let n = 0; n < 10; n++) {
        await publisher.send(raw.publish({ topic: "a", qos: 2, packetId: 1 + n }))
        identifiers.push((await message(subscriber)).packetId)
      }
      await subscriber.send(concat(...identifiers.map((packetId) => raw.pubrec({ packetId }))))
      for (const packetId of identifiers) {
        expect((await subscriber.expect("pubrel")).messageId).toBe(packetId)
      }
    }))

  test.each([0, 1, 2])(
    "[v3 MQTT-4.6.0-5] [v3 MQTT-4.6.0-6] messages of QoS %d keep their publisher's order",
    (qos) =>
      withBroker({}, async (broker) => {
        const { publisher, subscriber } = await pair(broker, version)
        const messages = Array.from({ length: 200 }, (_, n) =>
          raw.publish({ topic: "a", payload: `${n}`, qos, packetId: 1 + n })
        )
        await publisher.send(concat(...messages))
        for (let n = 0; n < 200; n++) {
          const { packetId, payload } = await message(subscriber)
          expect(payload).toBe(`${n}`)
          // Acknowledged out of order, which must not matter.
          if (qos === 1 && n % 2 === 1) await subscriber.send(raw.puback({ packetId }))
        }
      })
  )
})
