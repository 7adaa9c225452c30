import { describe, expect, test } from "bun:test"
import { DurableState } from "../../src/storage/DurableState.ts"
import { RecordLog } from "../support/RecordLog.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

/**
 * Runs a broker, kills it (what it does while it stops is not kept), and runs another on what was on record.
 */
const kill = async (
  before: (broker: TestBroker) => Promise<void>,
  after: (broker: TestBroker) => Promise<void>,
  downMs = 0
): Promise<void> => {
  const stored = new RecordLog()
  const first = await TestBroker.start({ stored })
  await before(first)
  await first.settle()
  const survived = stored.replayed()
  const nowMs = first.clock.unsafeCurrentTimeMillis() + downMs
  await first.stop()
  await withBroker({ stored: survived, nowMs }, after)
}

const persistent = (clientId: string): RawConnect => ({
  clientId,
  version: 5,
  clean: false,
  properties: properties.sessionExpiryInterval(60)
})

const resumed = async (broker: TestBroker, clientId: string): Promise<TestClient> => {
  const client = await broker.connect(persistent(clientId))
  expect(client.connack?.sessionPresent).toBe(true)
  return client
}

describe("after a broker was killed, the next one", () => {
  test("delivers what waited for an absent client, in order and under the same identifiers", () =>
    kill(
      async (broker) => {
        const absent = await broker.connect(persistent("absent"))
        await absent.subscribe(["t/#", 1])
        await absent.send(raw.disconnect({ reasonCode: 0 }))
        await absent.expectClosed()
        const publisher = await broker.connect({ clientId: "p" })
        for (const payload of ["1", "2", "3"]) await publisher.publish("t/x", payload)
      },
      async (broker) => {
        const client = await resumed(broker, "absent")
        for (const [index, payload] of ["1", "2", "3"].entries()) {
          const message = await client.expect("publish")
          expect([message.payload.toString(), message.messageId, message.dup]).toEqual([
            payload,
            index + 1,
            false
          ])
        }
        const publisher = await broker.connect({ clientId: "p" })
        await publisher.publish("t/y", "4")
        expect((await client.expect("publish")).messageId).toBe(4)
      }
    ))

  test("sends again, with DUP, what a connected client had not acknowledged", () =>
    kill(
      async (broker) => {
        const client = await broker.connect(persistent("c"))
        await client.subscribe(["t", 2])
        const publisher = await broker.connect({ clientId: "p" })
        for (const payload of ["1", "2"]) await publisher.publish("t", payload)
        await client.expect("publish")
        const second = await client.expect("publish")
        await client.send(raw.puback({ packetId: second.messageId ?? 0 }))
        await client.quiet()
      },
      async (broker) => {
        const client = await resumed(broker, "c")
        const message = await client.expect("publish")
        expect([message.payload.toString(), message.dup, message.messageId]).toEqual(["1", true, 1])
        await client.quiet()
      }
    ))

  test("[MQTT-4.3.3-10] knows the QoS 2 messages that it has received and does not deliver them again", () =>
    kill(
      async (broker) => {
        const subscriber = await broker.connect(persistent("s"))
        await subscriber.subscribe(["t", 1])
        await subscriber.send(raw.disconnect({ reasonCode: 0 }))
        const publisher = await broker.connect(persistent("p"))
        await publisher.send(raw.publish({ version: 5, topic: "t", payload: "once", qos: 2, packetId: 7 }))
        await publisher.expect("pubrec")
      },
      async (broker) => {
        const publisher = await resumed(broker, "p")
        await publisher.send(
          raw.publish({ version: 5, topic: "t", payload: "once", qos: 2, packetId: 7, dup: true })
        )
        await publisher.expect("pubrec")
        await publisher.send(raw.pubrel({ packetId: 7 }))
        expect((await publisher.expect("pubcomp")).reasonCode ?? 0).toBe(0)
        const subscriber = await resumed(broker, "s")
        expect((await subscriber.expect("publish")).payload.toString()).toBe("once")
        await subscriber.quiet()
      }
    ))

  test("[MQTT-4.8.2-4] gives what one member of a group had to another", () =>
    kill(
      async (broker) => {
        const member = await broker.connect(persistent("a"))
        await member.subscribe(["$share/g/t", 1])
        const publisher = await broker.connect({ clientId: "p" })
        await publisher.publish("t", "for the group")
        await member.expect("publish")
      },
      async (broker) => {
        const first = await resumed(broker, "a")
        expect((await first.expect("publish")).payload.toString()).toBe("for the group")
        const second = await broker.connect(persistent("b"))
        await second.subscribe(["$share/g/t", 1])
        first.drop()
        expect((await second.expect("publish")).payload.toString()).toBe("for the group")
      }
    ))

  test("[MQTT-4.4.0-1] sends the PUBREL that it owes, and not the PUBLISH", () =>
    kill(
      async (broker) => {
        const client = await broker.connect(persistent("c"))
        await client.subscribe(["t", 2])
        const publisher = await broker.connect({ clientId: "p" })
        await publisher.send(raw.publish({ topic: "t", qos: 2, packetId: 1 }), raw.pubrel({ packetId: 1 }))
        const message = await client.expect("publish")
        await client.send(raw.pubrec({ packetId: message.messageId ?? 0 }))
        await client.expect("pubrel")
      },
      async (broker) => {
        const client = await resumed(broker, "c")
        expect((await client.expect("pubrel")).messageId).toBe(1)
        await client.send(raw.pubcomp({ packetId: 1 }))
        await client.quiet()
      }
    ))

  test("has the retained messages, with their properties", () =>
    kill(
      async (broker) => {
        const publisher = await broker.connect({ clientId: "p", version: 5 })
        const contentType = properties.contentType("text/plain")
        await publisher.send(
          raw.publish({
            version: 5,
            topic: "kept",
            payload: "1",
            qos: 1,
            retain: true,
            properties: contentType
          })
        )
        await publisher.expect("puback")
        await publisher.publish("gone", "1", { retain: true })
        await publisher.publish("gone", "", { retain: true })
      },
      async (broker) => {
        const client = await broker.connect({ clientId: "c", version: 5 })
        await client.subscribe("#")
        const message = await client.expect("publish")
        expect([message.topic, message.retain, message.properties?.contentType]).toEqual([
          "kept",
          true,
          "text/plain"
        ])
        await client.quiet()
      }
    ))

  for (const [when, downMs] of [
    ["while it ran", 0],
    ["between two runs", 5000]
  ] as const) {
    test(`[MQTT-3.3.2-5] does not keep on record what expired ${when}`, async () => {
      const stored = new DurableState()
      const first = await TestBroker.start({ stored })
      const publisher = await first.connect({ clientId: "p", version: 5 })
      const expiry = properties.messageExpiryInterval(3)
      const message = { version: 5, topic: "t", payload: "1", qos: 1, retain: true } as const
      await publisher.send(raw.publish({ ...message, properties: expiry }))
      await publisher.expect("puback")
      expect([...stored.retained()].length).toBe(1)
      if (downMs === 0) await first.advance(5000)
      const nowMs = first.clock.unsafeCurrentTimeMillis() + downMs
      await first.stop()
      if (downMs > 0) await withBroker({ stored, nowMs }, (second) => second.advance(1000))
      expect([...stored.retained()]).toEqual([])
    })
  }

  test("publishes the wills of those who were connected, also of sessions that end with them", () =>
    kill(
      async (broker) => {
        const watcher = await broker.connect(persistent("w"))
        await watcher.subscribe(["wills/#", 1])
        await watcher.send(raw.disconnect({ reasonCode: 0 }))
        await broker.connect({ ...persistent("a"), will: { topic: "wills/a", qos: 1 } })
        await broker.connect({ clientId: "b", version: 5, will: { topic: "wills/b", qos: 1 } })
        const left = await broker.connect({ clientId: "c", version: 5, will: { topic: "wills/c", qos: 1 } })
        await left.send(raw.disconnect({ reasonCode: 0 }))
        await left.expectClosed()
      },
      async (broker) => {
        await broker.settle()
        const watcher = await resumed(broker, "w")
        const topics = [(await watcher.expect("publish")).topic, (await watcher.expect("publish")).topic]
        expect(topics.sort()).toEqual(["wills/a", "wills/b"])
        await watcher.quiet()
      }
    ))

  test("keeps a delayed will until it is due, or its client is back", () =>
    kill(
      async (broker) => {
        const will = { topic: "wills/late", properties: properties.willDelayInterval(30) }
        for (const clientId of ["back", "away"]) await broker.connect({ ...persistent(clientId), will })
      },
      async (broker) => {
        const watcher = await broker.connect({ clientId: "w", version: 5 })
        await watcher.subscribe("wills/#")
        await broker.settle()
        await resumed(broker, "back")
        await broker.advance(31_000)
        expect((await watcher.expect("publish")).topic).toBe("wills/late")
        await watcher.quiet()
      }
    ))

  test("ends sessions whose time ran out while no broker ran", () =>
    kill(
      async (broker) => {
        const client = await broker.connect(persistent("c"))
        await client.subscribe(["t", 1])
        await client.send(raw.disconnect({ reasonCode: 0 }))
        await client.expectClosed()
      },
      async (broker) => {
        await broker.advance(100)
        expect(broker.broker.census()).toMatchObject({
          sessions: 0,
          subscriptions: 0,
          trieNodes: 0,
          deadlines: 0
        })
        const client = await broker.connect(persistent("c"))
        expect(client.connack?.sessionPresent).toBe(false)
      },
      61_000
    ))

  test("knows nothing of sessions that ended with their connection, or were replaced by a clean start", () =>
    kill(
      async (broker) => {
        const transient = await broker.connect({ clientId: "t", version: 5 })
        await transient.subscribe(["x", 1])
        await broker.connect(persistent("c"))
        await broker.connect({ clientId: "c", version: 5 })
      },
      async (broker) => {
        expect(broker.broker.census()).toMatchObject({ sessions: 0, subscriptions: 0 })
      }
    ))
})
