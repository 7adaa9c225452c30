/** A client that sends faster than it is served, or does not receive, costs a bounded number of bytes. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authorizer, allowAll } from "../../src/auth/Authorizer.ts"
import { concat, raw } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const WIRE_BYTES = 16 * 1024

/** Sends copies of a chunk until the broker has stopped taking any; answers how many bytes it took. */
const flood = async (broker: TestBroker, client: TestClient, chunk: Uint8Array, bytesMax: number) => {
  let sent = 0
  for (let idle = 0; idle < 20 && sent < bytesMax; ) {
    const taken = client.wire.write(chunk.subarray(sent % chunk.length))
    if (taken < 0) throw new Error("the broker has closed")
    sent += taken
    idle = taken === 0 ? idle + 1 : 0
    await broker.settle()
  }
  return sent
}

const publishes = (count: number): Buffer =>
  concat(...Array.from({ length: count }, () => raw.publish({ topic: "slow", payload: "x".repeat(4000) })))

describe("unread input", () => {
  test("is bounded while an authorizer thinks; then all of it is handled", async () => {
    const answer = Effect.runSync(Deferred.make<boolean>())
    const permissions = { ...allowAll, publish: () => Deferred.await(answer) }
    const authorizer = Layer.succeed(Authorizer, { permissions: () => Effect.succeed(permissions) })
    await withBroker({ authorizer, wireBytesMax: WIRE_BYTES }, async (broker) => {
      const client = await broker.connect({ keepAlive: 0 })
      const chunk = publishes(16)
      const sent = await flood(broker, client, chunk, 4 * 1024 * 1024)
      expect(sent).toBeGreaterThan(200 * 1024)
      expect(sent).toBeLessThan(512 * 1024)
      Effect.runSync(Deferred.succeed(answer, true))
      const rest = chunk.length - (sent % chunk.length)
      await client.send(chunk.subarray(chunk.length - rest))
      for (let round = 0; round < 50; round++) await broker.settle()
      const packets = Math.ceil(sent / chunk.length) * 16
      expect(broker.broker.counters("default")?.messagesReceived).toBe(packets)
    })
  })

  test("a packet larger than the bound is read all the same", () =>
    withBroker({ wireBytesMax: WIRE_BYTES }, async (broker) => {
      const client = await broker.connect()
      await client.publish("large", "x".repeat(700 * 1024))
    }))
})

describe("answers that are not read", () => {
  test("stop the reading of what asks for them, and none is lost", () =>
    withBroker({ wireBytesMax: WIRE_BYTES, settings: { outboundBytesMax: 32 * 1024 } }, async (broker) => {
      const client = await broker.connect({ keepAlive: 0 })
      const pings = concat(...Array.from({ length: 4096 }, () => raw.pingreq()))
      const sent = await flood(broker, client, pings, 8 * 1024 * 1024)
      expect(sent).toBeLessThan(1024 * 1024)
      let answers = 0
      for (; answers < sent / 2; answers++) await client.expect("pingresp")
      await client.quiet()
      expect(answers).toBe(sent / 2)
    }))

  test("[MQTT-3.1.2-22] end a connection that takes nothing by its Keep Alive", () =>
    withBroker({ wireBytesMax: WIRE_BYTES, settings: { outboundBytesMax: 32 * 1024 } }, async (broker) => {
      const client = await broker.connect({ keepAlive: 10 })
      const pings = concat(...Array.from({ length: 4096 }, () => raw.pingreq()))
      await flood(broker, client, pings, 8 * 1024 * 1024)
      await broker.advance(15_200)
      await broker.advance(6000)
      expect(broker.broker.census().connections).toBe(0)
    }))
})

describe("a subscriber that does not read", () => {
  test("loses QoS 0 beyond its backlog, keeps QoS 1, and holds up nobody", () =>
    withBroker({ wireBytesMax: WIRE_BYTES, settings: { outboundBytesMax: 64 * 1024 } }, async (broker) => {
      const slow = await broker.connect({ clientId: "slow", keepAlive: 0 })
      await slow.subscribe(["t/#", 1])
      const publisher = await broker.connect({ clientId: "publisher", keepAlive: 0 })
      const payload = "x".repeat(1000)
      for (let index = 0; index < 500; index++) {
        await publisher.send(raw.publish({ topic: "t/0", payload }))
        await publisher.publish("t/1", payload)
      }
      const counters = broker.broker.counters("default")
      expect(counters?.droppedSlowConsumer).toBeGreaterThan(300)
      let kept = 0
      while (kept < 500) {
        const message = await slow.expect("publish")
        if (message.qos === 0) continue
        kept++
        await slow.send(raw.puback({ packetId: message.messageId ?? 0 }))
      }
      await slow.quiet()
    }))
})

describe("output", () => {
  test("of one tick leaves with one write", () =>
    withBroker({}, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s" })
      await subscriber.subscribe("#")
      const publisher = await broker.connect({ clientId: "p" })
      await publisher.send(concat(...Array.from({ length: 100 }, () => raw.publish({ topic: "t" }))))
      await broker.settle()
      const chunk = await subscriber.wire.receive()
      expect(chunk?.length).toBe(100 * raw.publish({ topic: "t" }).length)
    }))
})
