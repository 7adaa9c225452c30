/** What clients see of a broker that stops, and that it does stop. */

import { describe, expect, test } from "bun:test"
import { properties, raw } from "../support/raw.ts"
import { TestBroker, type TestBrokerOptions } from "../support/testBroker.ts"

const will = { topic: "will", payload: "gone" }

const started = (options: TestBrokerOptions = {}): Promise<TestBroker> => TestBroker.start(options)

describe("at shutdown", () => {
  test("[MQTT-3.14.4-1] clients of version 5 hear why; earlier ones see the connection close", async () => {
    const broker = await started()
    const five = await broker.connect({ version: 5, clientId: "5" })
    const four = await broker.connect({ version: 4, clientId: "4" })
    await broker.stop()
    const last = await five.untilClosed()
    expect(last.map((packet) => (packet.cmd === "disconnect" ? packet.reasonCode : packet.cmd))).toEqual([
      0x8b
    ])
    expect(await four.untilClosed()).toEqual([])
  })

  test("a client in its handshake is closed, and so is one that has said nothing", async () => {
    const broker = await started()
    const silent = broker.open()
    const half = broker.open(5)
    await half.send(raw.connect({ version: 5 }).subarray(0, 8))
    await broker.settle()
    await broker.stop()
    expect([await silent.untilClosed(), await half.untilClosed()]).toEqual([[], []])
  })

  test("nobody is let in any more", async () => {
    const broker = await started()
    const client = await broker.connect({ clientId: "5" })
    const stopping = broker.stop()
    const late = broker.open(5)
    await late.send(raw.connect({ version: 5 }))
    expect(await late.untilClosed()).toEqual([])
    await stopping
    expect(await client.untilClosed()).toEqual([])
  })

  for (const willsAtShutdown of ["publish", "suppress"] as const) {
    const expected = willsAtShutdown === "publish" ? 2 : 0
    test(`${willsAtShutdown}: wills are published or not, as told`, async () => {
      const broker = await started({ settings: { willsAtShutdown } })
      await broker.connect({ clientId: "transient", will })
      await broker.connect({ clientId: "lasting", clean: false, will })
      await broker.connect({ clientId: "without" })
      await broker.stop()
      expect(broker.eventsOf("WillPublished").length).toBe(expected)
      expect(broker.eventsOf("ClientDisconnected").length).toBe(3)
    })
  }

  test("a delayed will waits for its client, who may come back to the next broker", async () => {
    const broker = await started()
    await broker.connect({
      version: 5,
      clientId: "lasting",
      properties: properties.sessionExpiryInterval(600),
      will: { ...will, properties: properties.willDelayInterval(60) }
    })
    await broker.stop()
    expect(broker.eventsOf("WillPublished")).toEqual([])
  })

  test("a client that does not read is waited for no longer than its linger", async () => {
    const broker = await started({ wireBytesMax: 1024 })
    const stuck = await broker.connect({ version: 5, clientId: "stuck" })
    await stuck.subscribe("#")
    const publisher = await broker.connect({ clientId: "publisher" })
    for (let index = 0; index < 100; index++) await publisher.publish("t", "x".repeat(1000))
    await broker.stop()
    expect(await publisher.untilClosed()).toEqual([])
    expect(stuck.wire.closeReason()).not.toBeUndefined()
  })
})
