/**
 * A setting that is changed while clients are connected: what is live holds at once, what CONNACK has
 * announced holds from the next CONNECT on.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import type { TestClient } from "../support/testBroker.ts"
import { type Administered, administered } from "./administered.ts"

const sessionExpiry = properties.sessionExpiryInterval(600)

const set = ({ admin }: Administered, settings: Readonly<Record<string, unknown>>) =>
  Effect.runPromise(admin.update("a", settings))

const connect = ({ broker }: Administered, more: RawConnect = {}): Promise<TestClient> =>
  broker.connect({ version: 5, clientId: "c", username: "a/x", ...more })

const puback = async (client: TestClient, topic: string, retain = false): Promise<number> => {
  await client.send(raw.publish({ version: 5, topic, qos: 1, packetId: 7, retain }))
  return (await client.expect("puback")).reasonCode ?? 0
}

const suback = async (client: TestClient, filter: string): Promise<number | undefined> => {
  await client.send(raw.subscribe({ version: 5, packetId: 8, filters: [[filter, 1]] }))
  const [code] = (await client.expect("suback")).granted
  return typeof code === "number" ? code : undefined
}

describe("at once", () => {
  const table: ReadonlyArray<
    readonly [
      name: string,
      settings: Readonly<Record<string, unknown>>,
      before: unknown,
      after: unknown,
      ask: (client: TestClient) => Promise<unknown>
    ]
  > = [
    ["topicLevelsMax", { topicLevelsMax: 1 }, 0x10, 0x90, (client) => puback(client, "a/b")],
    ["topicBytesMax", { topicBytesMax: 2 }, 0x10, 0x90, (client) => puback(client, "abc")],
    ["retainedMessagesMax", { retainedMessagesMax: 0 }, 0x10, 0x97, (client) => puback(client, "t", true)]
  ]
  test.each(table)("%s", (_, settings, before, after, ask) =>
    administered({}, async (all) => {
      const client = await connect(all)
      expect(await ask(client)).toBe(before)
      await set(all, settings)
      expect(await ask(client)).toBe(after)
      const [name = ""] = Object.keys(settings)
      await set(all, { [name]: null })
      expect(await ask(client)).toBe(before)
    })
  )

  test("subscriptionsMax, which takes away nothing that is there", () =>
    administered({}, async (all) => {
      const client = await connect(all)
      expect([await suback(client, "1"), await suback(client, "2")]).toEqual([1, 1])
      await set(all, { subscriptionsMax: 1 })
      expect(await suback(client, "3")).toBe(0x97)
      expect(all.broker.broker.census().subscriptions).toBe(2)
      await set(all, { subscriptionsMax: 3 })
      expect(await suback(client, "3")).toBe(1)
    }))

  test("durability, weight and the strategy of shared subscriptions", () =>
    administered({}, async (all) => {
      const { broker } = all
      const first = await connect(all, { clientId: "1" })
      const second = await connect(all, { clientId: "2" })
      for (const client of [first, second]) await client.subscribe(["$share/g/t", 0])
      await set(all, { sharedSubscriptionStrategy: "sticky", durability: "memory", weight: 7 })
      expect(broker.broker.administration.tenant("a")?.settings).toMatchObject({
        durability: "memory",
        weight: 7
      })
      const publisher = await connect(all, { clientId: "p" })
      for (let index = 0; index < 6; index++) await publisher.publish("t")
      const counts = []
      for (const client of [first, second]) {
        await client.send(raw.pingreq())
        let received = 0
        while ((await client.next())?.cmd === "publish") received++
        counts.push(received)
      }
      expect(counts.toSorted()).toEqual([0, 6])
    }))

  test("a queue's limit, for the client that is absent", () =>
    administered({}, async (all) => {
      const client = await connect(all, { clean: false, properties: sessionExpiry })
      await client.subscribe(["t", 1])
      client.drop()
      const publisher = await connect(all, { clientId: "p" })
      await set(all, { queueMessagesMax: 2 })
      for (const payload of ["1", "2", "3"]) await publisher.publish("t", payload)
      const back = await connect(all, { clean: false, properties: sessionExpiry })
      const received = [await back.expect("publish"), await back.expect("publish")]
      expect(received.map(({ payload }) => payload.toString())).toEqual(["2", "3"])
      await back.quiet()
    }))
})

describe("with the next CONNECT", () => {
  const announced: ReadonlyArray<
    readonly [name: string, settings: Readonly<Record<string, unknown>>, property: string, value: unknown]
  > = [
    ["receiveMaximum", { receiveMaximum: 3 }, "receiveMaximum", 3],
    ["maximumQos", { maximumQos: 0 }, "maximumQoS", 0],
    ["retainAvailable", { retainAvailable: false }, "retainAvailable", false],
    ["topicAliasMaximum", { topicAliasMaximum: 5 }, "topicAliasMaximum", 5],
    ["keepAliveMax", { keepAliveMax: 7 }, "serverKeepAlive", 7],
    ["packetBytesMax", { packetBytesMax: "2KB" }, "maximumPacketSize", 2048],
    [
      "wildcardSubscriptionAvailable",
      { wildcardSubscriptionAvailable: false },
      "wildcardSubscriptionAvailable",
      false
    ],
    [
      "sharedSubscriptionAvailable",
      { sharedSubscriptionAvailable: false },
      "sharedSubscriptionAvailable",
      false
    ]
  ]
  test.each(announced)("%s", (_, settings, property, value) =>
    administered({}, async (all) => {
      const client = await connect(all)
      const before = (client.connack?.properties as Record<string, unknown> | undefined)?.[property]
      await set(all, settings)
      // What it was told still holds for it.
      expect(await puback(client, "t", true)).toBe(0x10)
      expect(await suback(client, "$share/g/#")).toBe(1)
      await client.send(
        raw.publish({ version: 5, topic: "large", payload: "x".repeat(3000), qos: 1, packetId: 9 })
      )
      for (let received = 0; received < 2; received++) {
        const packet = await client.next()
        expect(["puback", "publish"]).toContain(packet?.cmd ?? "closed")
      }
      const next = await connect(all, { clientId: "next" })
      const after = (next.connack?.properties as Record<string, unknown> | undefined)?.[property]
      expect([after === before, after]).toEqual([false, value])
    })
  )

  test("a version that is turned off", () =>
    administered({}, async (all) => {
      const client = await connect(all)
      await set(all, { mqtt5: false })
      await client.quiet()
      const next = all.broker.open(5)
      await next.send(raw.connect({ version: 5, username: "a/x", clientId: "next" }))
      expect((await next.expect("connack")).reasonCode).toBe(0x84)
    }))
})

test("what one tenant is granted is no other's", () =>
  administered({}, async (all) => {
    const a = await connect(all)
    const b = await connect(all, { username: "b/x" })
    await set(all, { topicLevelsMax: 1 })
    expect([await puback(a, "x/y"), await puback(b, "x/y")]).toEqual([0x90, 0x10])
    const table = all.broker.broker.administration
    expect(table.tenant("a")?.settings).not.toBe(table.tenant("b")?.settings)
  }))
