/** MQTT 3.1.1 section 3.1.2.5 and its neighbours: the Will Message. */

import { describe, expect, test } from "bun:test"
import { hex, type RawConnect, raw, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

const watching = async (broker: TestBroker, version: Version): Promise<TestClient> => {
  const watcher = await broker.connect({ version, clientId: "watcher" })
  await watcher.subscribe(["will", 2])
  return watcher
}

const doomed = (broker: TestBroker, options: RawConnect): Promise<TestClient> =>
  broker.connect({ clientId: "doomed", will: { payload: "gone" }, ...options })

describe.each(olderVersions)("MQTT %s", (_, version) => {
  const endings: ReadonlyArray<
    readonly [name: string, end: (client: TestClient, broker: TestBroker) => Promise<unknown>]
  > = [
    ["the wire breaks", async (client) => client.drop()],
    ["the client closes without DISCONNECT", async (client) => client.wire.close()],
    ["the client breaks the protocol", (client) => client.send(hex("00 00"))],
    ["the Keep Alive passes", async (_client, broker) => broker.advance(120_000)],
    ["another connection takes over", (_client, broker) => broker.connect({ version, clientId: "doomed" })]
  ]

  test.each(endings)("[v3 MQTT-3.1.2-8] the will is published when %s", (_name, end) =>
    withBroker({}, async (broker) => {
      const watcher = await broker.connect({ version, clientId: "watcher", keepAlive: 0 })
      await watcher.subscribe(["will", 2])
      const client = await doomed(broker, { version })
      await end(client, broker)
      const will = await watcher.expect("publish")
      expect([will.topic, will.payload.toString()]).toEqual(["will", "gone"])
      await watcher.quiet()
    })
  )

  test("[v3 MQTT-3.1.2-8] the will is not published while the connection lasts", () =>
    withBroker({}, async (broker) => {
      const watcher = await watching(broker, version)
      const client = await doomed(broker, { version })
      await client.publish("other")
      await watcher.quiet()
    }))

  test.each([0, 1, 2])(
    "[v3 MQTT-3.1.2-9] [v3 MQTT-3.1.2-14] a will of QoS %d is published at that QoS",
    (qos) =>
      withBroker({}, async (broker) => {
        const watcher = await watching(broker, version)
        const client = await doomed(broker, { version, will: { qos } })
        client.drop()
        expect((await watcher.expect("publish")).qos).toBe(qos as 0 | 1 | 2)
      })
  )

  test("[v3 MQTT-3.1.2-10] a will that was published is not published again", () =>
    withBroker({}, async (broker) => {
      const watcher = await watching(broker, version)
      const client = await doomed(broker, { version, clean: false })
      client.drop()
      await watcher.expect("publish")
      const again = await broker.connect({ version, clientId: "doomed", clean: false })
      again.drop()
      await broker.settle()
      await watcher.quiet()
    }))

  test("[v3 MQTT-3.14.4-3] [v3 MQTT-3.1.2-10] DISCONNECT discards the will", () =>
    withBroker({}, async (broker) => {
      const watcher = await watching(broker, version)
      const client = await doomed(broker, { version, clean: false })
      await client.send(raw.disconnect())
      await client.expectClosed()
      const again = await broker.connect({ version, clientId: "doomed", clean: false })
      again.drop()
      await broker.settle()
      await watcher.quiet()
    }))

  test("[v3 MQTT-3.1.2-12] without a will nothing is published", () =>
    withBroker({}, async (broker) => {
      const watcher = await broker.connect({ version, clientId: "watcher" })
      await watcher.subscribe("#")
      const client = await broker.connect({ version })
      client.drop()
      await broker.settle()
      await watcher.quiet()
      expect(broker.eventsOf("WillPublished")).toEqual([])
    }))

  test.each([
    ["[v3 MQTT-3.1.2-16]", "not retained", false],
    ["[v3 MQTT-3.1.2-17]", "retained", true]
  ])("%s a will is %s as CONNECT asked", (_id, _how, retain) =>
    withBroker({}, async (broker) => {
      const watcher = await watching(broker, version)
      const client = await doomed(broker, { version, will: { retain } })
      client.drop()
      expect((await watcher.expect("publish")).retain).toBe(false)
      const late = await broker.connect({ version, clientId: "late" })
      await late.subscribe("will")
      if (retain) expect(await late.expect("publish")).toMatchObject({ retain: true, topic: "will" })
      await late.quiet()
      expect(broker.broker.census().retainedMessages).toBe(retain ? 1 : 0)
    })
  )

  test("[v3 MQTT-3.1.2-8] the will of a refused CONNECT is never published", () =>
    withBroker({}, async (broker) => {
      const watcher = await watching(broker, version)
      const client = broker.open(version)
      await client.send(raw.connect({ version, clientId: "", clean: false, will: {} }))
      await client.expect("connack")
      await client.expectClosed()
      await broker.settle()
      await watcher.quiet()
    }))
})
