/** Attacks by names: rows 10, 12 and 15 of the attack table. */

import { describe, expect, test } from "bun:test"
import { raw, type Version } from "../support/raw.ts"
import { type TestBroker, withBroker } from "../support/testBroker.ts"
import { authenticator, everyTenant, password } from "./identities.ts"

describe("attack 10: strange topics", () => {
  test.each(["/", "//", "a//b", "/a", "a/", " ", "$", "$x", "$x/y", "$SYSTEM", "a/$b", "\u{1f980}"])(
    "attack 10: %j is a topic like any other",
    (topic) =>
      withBroker({}, async (broker) => {
        const subscriber = await broker.connect({ clientId: "subscriber" })
        await subscriber.subscribe([topic, 1])
        const publisher = await broker.connect({ clientId: "publisher" })
        await publisher.publish(topic, "kept", { retain: true })
        expect(await subscriber.expect("publish")).toMatchObject({ topic, retain: false })
        const late = await broker.connect({ clientId: "late" })
        await late.subscribe(topic)
        expect(await late.expect("publish")).toMatchObject({ topic, retain: true })
      })
  )

  test("attack 10: too many levels are refused with 0x90 and 0x8F, and the connection lives", () =>
    withBroker({ settings: { topicLevelsMax: 128 } }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      const levels = (count: number) => new Array(count).fill("a").join("/")
      for (const [count, reasonCode] of [
        [128, 0x10],
        [129, 0x90],
        [32_768, 0x90]
      ] as const) {
        await client.send(raw.publish({ version: 5, topic: levels(count), qos: 1 }))
        expect((await client.expect("puback")).reasonCode).toBe(reasonCode)
      }
      await client.send(raw.subscribe({ version: 5, filters: [levels(128), levels(129), levels(32_768)] }))
      expect((await client.expect("suback")).granted).toEqual([0, 0x8f, 0x8f])
      const doomed = broker.open(5)
      await doomed.send(raw.connect({ version: 5, will: { topic: levels(129) } }))
      expect((await doomed.expect("connack")).reasonCode).toBe(0x90)
    }))

  test("attack 10: too many bytes are refused with 0x90 and 0x8F, and the connection lives", () =>
    withBroker({ settings: { topicBytesMax: 100 } }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, topic: "x".repeat(101), qos: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x90)
      await client.send(raw.subscribe({ version: 5, filters: ["x".repeat(100), "é".repeat(51)] }))
      expect((await client.expect("suback")).granted).toEqual([0, 0x8f])
    }))

  test("attack 10: thirty thousand levels do no harm where they are allowed", () =>
    withBroker({ settings: { topicLevelsMax: 65_536 } }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "subscriber" })
      const topic = new Array(30_000).fill("a").join("/")
      await subscriber.subscribe(topic)
      await subscriber.subscribe(new Array(30_000).fill("+").join("/"))
      await subscriber.subscribe(`${new Array(29_000).fill("+").join("/")}/#`)
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.publish(topic, "kept", { retain: true })
      expect((await subscriber.expect("publish")).topic).toBe(topic)
      const late = await broker.connect({ clientId: "late" })
      await late.subscribe("#")
      expect((await late.expect("publish")).topic).toBe(topic)
      subscriber.drop()
      late.drop()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0 })
    }))

  test.each(["$SYS", "$SYS/broker/load", "$share/g/a", "$oshare/g/a"])(
    "attack 10: %j is the server's, and nobody publishes there",
    (topic) =>
      withBroker({}, async (broker) => {
        const watcher = await broker.connect({ clientId: "watcher" })
        await watcher.subscribe("$SYS/#", "#", "$SYS", "+/+")
        const client = await broker.connect({ version: 5 })
        await client.send(raw.publish({ version: 5, topic, qos: 1, retain: true }))
        expect((await client.expect("puback")).reasonCode).toBe(0x87)
        await watcher.quiet()
        expect(broker.broker.census().retainedMessages).toBe(0)
      })
  )
})

const inherited = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype"]

describe.each(inherited)("attack 12: %s", (name) => {
  test("attack 12: as tenant, user, client identifier, topic, filter, group and user property", () =>
    withBroker({ authenticator, directory: everyTenant }, async (broker) => {
      const connect = (clientId: string, version: Version = 5) =>
        broker.connect({
          version,
          clientId,
          clean: false,
          username: `${name}/${name}`,
          password
        })
      const client = await connect(name, 4)
      await client.subscribe([`${name}/+/${name}`, 1], [`$share/${name}/${name}`, 1])
      const publisher = await connect(`${name} publisher`)
      await publisher.publish(`${name}/x/${name}`, name, { retain: true })
      await publisher.publish(name, name)
      expect((await client.expect("publish")).topic).toBe(`${name}/x/${name}`)
      expect((await client.expect("publish")).topic).toBe(name)
      client.drop()
      const again = await connect(name, 4)
      expect(again.connack?.sessionPresent).toBe(true)
      for (let count = 0; count < 2; count++) expect((await again.expect("publish")).dup).toBe(true)
      await again.send(raw.unsubscribe({ filters: [`${name}/+/${name}`, `$share/${name}/${name}`] }))
      await again.expect("unsuback")
      const late = await connect(`${name} late`)
      await late.subscribe(`${name}/#`)
      expect((await late.expect("publish")).payload.toString()).toBe(name)
      await late.send(raw.unsubscribe({ version: 5, filters: [`${name}/#`] }))
      await late.expect("unsuback")
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0, groups: 0, sessions: 3 })
      expect(broker.broker.counters(name)?.sessions).toBe(3)
    }))
})

describe("attack 12: names that nobody used", () => {
  test.each(inherited)("attack 12: nothing answers to %s", (name) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, topic: name, qos: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x10)
      await client.send(raw.unsubscribe({ version: 5, filters: [name] }))
      expect((await client.expect("unsuback")).granted).toEqual([0x11])
      expect(broker.broker.counters(name)).toBeUndefined()
      expect(broker.broker.purge(name, name)).toBe(false)
    })
  )
})

describe("attack 15: a filter alone, in a group, and in another group", () => {
  const filters = ["a/b", "$share/g/a/b", "$share/h/a/b", "$oshare/g/a/b"]
  const payloadsFor = async (broker: TestBroker, kept: ReadonlyArray<string>): Promise<number> => {
    const subscriber = await broker.connect({ version: 5, clientId: "subscriber" })
    await subscriber.subscribe(...filters)
    const removed = filters.filter((filter) => !kept.includes(filter))
    if (removed.length > 0) {
      await subscriber.send(raw.unsubscribe({ version: 5, filters: removed }))
      expect((await subscriber.expect("unsuback")).granted).toEqual(removed.map(() => 0))
    }
    const publisher = await broker.connect({ clientId: "publisher" })
    await publisher.publish("a/b")
    await subscriber.send(raw.pingreq())
    let messages = 0
    while ((await subscriber.next())?.cmd === "publish") messages++
    return messages
  }

  test.each([...filters.map((filter) => [filter]), filters, ["a/b", "$share/h/a/b"], []])(
    "attack 15: what is left after the others went, %j %j %j %j",
    (...kept) =>
      withBroker({}, async (broker) => {
        const left = kept.filter((filter) => filter !== undefined)
        expect(await payloadsFor(broker, left)).toBe(left.length)
        expect(broker.broker.census().subscriptions).toBe(left.length)
        await (await broker.connect({ clientId: "subscriber" })).quiet()
        expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0, groups: 0 })
      })
  )
})
