/** Attacks on memory: rows 26 and 27 of the attack table. */

import { describe, expect, test } from "bun:test"
import { concat, properties, raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const versions: ReadonlyArray<Version> = [4, 5]
const kilobyte = "x".repeat(1000)

/** A wire that holds four kilobytes, and a broker that lets 16 more wait for it. */
const narrow = { wireBytesMax: 4096, settings: { outboundBytesMax: 16 * 1024 } }

/** Subscribes and then reads nothing any more. */
const deaf = async (broker: TestBroker, qos: number): Promise<TestClient> => {
  const client = await broker.connect({ clientId: "deaf", keepAlive: 0 })
  await client.subscribe(["a", qos])
  return client
}

/** A thousand messages of a kilobyte, each acknowledged before the next: nothing waits for the deaf one. */
const flood = async (broker: TestBroker, count = 1000): Promise<void> => {
  const publisher = await broker.connect({ clientId: "publisher" })
  for (let n = 0; n < count; n++) await publisher.publish("a", `${n} ${kilobyte}`)
}

const numberOf = (payload: string | Uint8Array): number => Number.parseInt(payload.toString(), 10)

describe("attack 26: a subscriber that does not read", () => {
  test("attack 26: QoS 0 is dropped beyond the bound, counted and reported, and others get everything", () =>
    withBroker(narrow, async (broker) => {
      const client = await deaf(broker, 0)
      const reader = await broker.connect({ clientId: "reader" })
      await reader.subscribe("a")
      let read = 0
      const reading = (async () => {
        for (; read < 1000; read++) expect(numberOf((await reader.expect("publish")).payload)).toBe(read)
      })()
      await flood(broker)
      await reading
      const dropped = broker.broker.counters("default")?.droppedSlowConsumer ?? 0
      expect(dropped).toBeGreaterThan(950)
      expect(broker.eventsOf("MessageDropped")[0]).toMatchObject({
        clientId: "deaf",
        reason: "slow-consumer"
      })
      // Once a second is enough for an event.
      expect(broker.eventsOf("MessageDropped")).toHaveLength(1)
      // What was not dropped comes in order when the client reads again, and the connection lives.
      let last = -1
      for (let n = dropped; n < 1000; n++) {
        const next = numberOf((await client.expect("publish")).payload)
        expect(next).toBeGreaterThan(last)
        last = next
      }
      await client.quiet()
    }))

  test("attack 26: QoS 1 waits in the session's queue, bounded, and comes in order", () =>
    withBroker({ ...narrow, settings: { ...narrow.settings, queueMessagesMax: 100 } }, async (broker) => {
      const client = await deaf(broker, 1)
      await flood(broker)
      const dropped = broker.broker.counters("default")?.droppedQueueFull ?? 0
      expect(dropped).toBeGreaterThan(850)
      expect(dropped).toBeLessThan(900)
      let last = -1
      for (let n = dropped; n < 1000; n++) {
        const message = await client.expect("publish")
        expect(numberOf(message.payload)).toBeGreaterThan(last)
        last = numberOf(message.payload)
        await client.send(raw.puback({ packetId: message.messageId ?? 0 }))
      }
      expect(last).toBe(999)
      await client.quiet()
    }))

  test("attack 26: a queue is bounded in bytes as well", () =>
    withBroker({ ...narrow, settings: { ...narrow.settings, queueBytesMax: 50_000 } }, async (broker) => {
      await deaf(broker, 1)
      await flood(broker, 300)
      expect(broker.broker.counters("default")?.droppedQueueFull).toBeGreaterThan(200)
    }))

  test("attack 26: the policy `disconnect` ends the connection, and the census is right", () =>
    withBroker(
      { ...narrow, settings: { ...narrow.settings, queueMessagesMax: 10, queuePolicy: "disconnect" } },
      async (broker) => {
        await deaf(broker, 1)
        await flood(broker, 100)
        await broker.advance(10_000)
        expect(broker.broker.census()).toMatchObject({ connections: 1, sessions: 1, subscriptions: 0 })
      }
    ))

  test("attack 26: the policy `drop-newest` keeps what came first", () =>
    withBroker(
      { settings: { queueMessagesMax: 10, inflightMax: 1, queuePolicy: "drop-newest" } },
      async (broker) => {
        const client = await deaf(broker, 1)
        await flood(broker, 50)
        for (let n = 0; n < 11; n++) {
          const message = await client.expect("publish")
          expect(numberOf(message.payload)).toBe(n)
          await client.send(raw.puback({ packetId: message.messageId ?? 0 }))
        }
        await client.quiet()
      }
    ))

  test("attack 26: a replay of many retained messages is paced by the client", () =>
    withBroker(narrow, async (broker) => {
      const publisher = await broker.connect({ clientId: "publisher" })
      const count = 1000
      for (let n = 0; n < count; n++) await publisher.publish(`r/${n}`, kilobyte, { retain: true })
      const client = await broker.connect({ clientId: "deaf", keepAlive: 0 })
      await client.subscribe("r/#")
      await broker.settle()
      // A page or two and no more: the rest is still where it was.
      const sent = broker.broker.counters("default")?.messagesSent ?? 0
      expect(sent).toBeGreaterThan(0)
      expect(sent).toBeLessThan(120)
      await publisher.publish("somewhere", "else")
      const topics = new Set<string>()
      for (let n = 0; n < count; n++) topics.add((await client.expect("publish")).topic)
      expect(topics.size).toBe(count)
      await client.quiet()
    }))

  test("attack 26: a client that sends and does not read stops itself alone", () =>
    withBroker(narrow, async (broker) => {
      const client = await broker.connect({ clientId: "deaf" })
      const ping = concat(...Array.from({ length: 1000 }, () => raw.pingreq()))
      let taken = 0
      for (let round = 0; round < 1000; round++) {
        taken += Math.max(0, client.wire.write(ping))
        if (round % 10 === 0) await broker.settle()
      }
      const bystander = await broker.connect({ clientId: "bystander" })
      await bystander.quiet()
      // Two megabytes were offered. Taken is what may wait unread, and what was answered into the full wire.
      expect(taken).toBeLessThan(400_000)
      // When it reads, it gets every answer.
      for (let count = 0; count < Math.floor(taken / 2); count++) await client.expect("pingresp")
    }))
})

describe.each(versions)("attack 27: limits, version %d", (version) => {
  const refused = (reasonCode: number) => (version === 5 ? reasonCode : 0x80)

  test("attack 27: subscriptions of a session", () =>
    withBroker({ settings: { subscriptionsMax: 3 } }, async (broker) => {
      const client = await broker.connect({ version })
      const granted = async (...filters: ReadonlyArray<string>) => {
        await client.send(raw.subscribe({ version, filters }))
        return (await client.expect("suback")).granted
      }
      expect(await granted("a", "b", "$share/g/c", "d")).toEqual([0, 0, 0, refused(0x97)])
      // What is there may be replaced.
      expect(await granted("a")).toEqual([0])
      await client.send(raw.unsubscribe({ version, filters: ["a"] }))
      await client.expect("unsuback")
      expect(await granted("d", "e")).toEqual([0, refused(0x97)])
      expect(broker.broker.census().subscriptions).toBe(3)
    }))

  test("attack 27: retained messages, by number", () =>
    withBroker({ settings: { retainedMessagesMax: 2 } }, async (broker) => {
      const client = await broker.connect({ version })
      const retain = async (topic: string, payload = "kept") => {
        await client.send(raw.publish({ version, topic, payload, qos: 1, retain: true }))
        return (await client.expect("puback")).reasonCode ?? 0
      }
      const success = version === 5 ? 0x10 : 0
      expect(await retain("a")).toBe(success)
      expect(await retain("b")).toBe(success)
      expect(await retain("c")).toBe(version === 5 ? 0x97 : 0)
      expect(await retain("a", "replaced")).toBe(success)
      expect(await retain("b", "")).toBe(success)
      expect(await retain("c")).toBe(success)
      expect(broker.broker.census().retainedMessages).toBe(2)
      expect(broker.broker.counters("default")?.droppedRetainedQuota).toBe(1)
    }))

  test("attack 27: retained messages, by bytes", () =>
    withBroker({ settings: { retainedBytesMax: 5000 } }, async (broker) => {
      const client = await broker.connect({ version })
      for (let n = 0; n < 50; n++) await client.publish(`topic ${n}`, kilobyte, { retain: true })
      expect(broker.broker.census().retainedMessages).toBe(4)
      expect(broker.broker.counters("default")?.retainedBytes).toBeLessThanOrEqual(5000)
    }))

  test("attack 27: sessions of a tenant, by client identifiers that change", () =>
    withBroker({ settings: { sessionsMax: 10 } }, async (broker) => {
      let refusals = 0
      for (let n = 0; n < 30; n++) {
        const client = broker.open(version)
        const hour = properties.sessionExpiryInterval(3600)
        await client.send(
          raw.connect({ version, clientId: `${n}`, clean: false, ...(version === 5 && { properties: hour }) })
        )
        const connack = await client.expect("connack")
        const code = version === 5 ? connack.reasonCode : connack.returnCode
        if (code === 0) client.drop()
        else {
          expect(code).toBe(version === 5 ? 0x97 : 3)
          refusals++
          await client.expectClosed()
        }
      }
      expect(refusals).toBe(20)
      expect(broker.broker.census().sessions).toBe(10)
      // Those that are known come in all the same.
      const known = await broker.connect({ version, clientId: "3", clean: false })
      await known.quiet()
    }))

  test("attack 27: messages that wait for an absent client", () =>
    withBroker({ settings: { queueMessagesMax: 5 } }, async (broker) => {
      const options = {
        version,
        clientId: "absent",
        clean: false,
        ...(version === 5 && { properties: properties.sessionExpiryInterval(3600) })
      }
      const client = await broker.connect(options)
      await client.subscribe(["a", 1])
      client.drop()
      await broker.settle()
      await flood(broker, 20)
      const again = await broker.connect(options)
      for (let n = 15; n < 20; n++) expect(numberOf((await again.expect("publish")).payload)).toBe(n)
      await again.quiet()
      expect(broker.broker.counters("default")?.droppedQueueFull).toBe(15)
      expect(broker.eventsOf("MessageDropped")[0]).toMatchObject({ reason: "queue-full", clientId: "absent" })
    }))
})

describe("attack 27: limits of version 5", () => {
  test("attack 27: a Session Expiry Interval is cut to the tenant's, and CONNACK says so", () =>
    withBroker({ settings: { sessionExpiryIntervalMax: 60 } }, async (broker) => {
      const client = await broker.connect({
        version: 5,
        clientId: "client",
        properties: properties.sessionExpiryInterval(0xffff_ffff)
      })
      expect(client.connack?.properties?.sessionExpiryInterval).toBe(60)
      // Nor may it be raised on the way out.
      const longer = properties.sessionExpiryInterval(3600)
      await client.send(raw.disconnect({ reasonCode: 0, properties: longer }))
      await client.expectClosed()
      await broker.advance(59_000)
      expect(broker.broker.census().sessions).toBe(1)
      await broker.advance(1100)
      expect(broker.broker.census()).toMatchObject({ sessions: 0, deadlines: 0 })
    }))

  test("attack 27: a session of version 3.1.1 is cut to the tenant's expiry too", () =>
    withBroker({ settings: { sessionExpiryIntervalMax: 60 } }, async (broker) => {
      const client = await broker.connect({ clientId: "client", clean: false })
      client.drop()
      await broker.settle()
      await broker.advance(60_100)
      expect(broker.broker.census()).toMatchObject({ sessions: 0, deadlines: 0 })
    }))

  test("attack 27: aliases that a client sets, and those that it offers to take", () =>
    withBroker({ settings: { topicAliasMaximum: 2, topicAliasMaximumOutbound: 2 } }, async (broker) => {
      const client = await broker.connect({
        version: 5,
        clientId: "client",
        properties: properties.topicAliasMaximum(65_535)
      })
      expect(client.connack?.properties?.topicAliasMaximum).toBe(2)
      await client.subscribe("#")
      const publisher = await broker.connect({ clientId: "publisher" })
      for (let n = 0; n < 50; n++) await publisher.publish(`${n % 7}`)
      for (let n = 0; n < 50; n++) {
        expect((await client.expect("publish")).properties?.topicAlias ?? 0).toBeLessThanOrEqual(2)
      }
      await client.send(raw.publish({ version: 5, properties: properties.topicAlias(3) }))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x94)
    }))
})
