/** What a client said before it closed counts, however close behind it the end of the stream came. */

import { expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

const will = { topic: "news/will", payload: "gone" }

test("[MQTT-3.14.4-3] DISCONNECT keeps the will from being sent when the close comes with it", () =>
  withBroker({}, async (broker) => {
    const watcher = await broker.connect({ clientId: "watcher" })
    await watcher.subscribe("news/#")
    const polite = await broker.connect({ clientId: "polite", will })
    await polite.send(raw.disconnect({}))
    polite.wire.close()
    await broker.settle()
    await watcher.quiet()
    expect(broker.eventsOf("ClientDisconnected").map(({ reason }) => reason)).toEqual([
      "the client disconnected"
    ])
  }))

test("messages are routed when the close comes with them, and the will after them", () =>
  withBroker({}, async (broker) => {
    const watcher = await broker.connect({ clientId: "watcher" })
    await watcher.subscribe("news/#")
    const hasty = await broker.connect({ clientId: "hasty", will })
    for (let index = 0; index < 1000; index++)
      hasty.wire.write(raw.publish({ topic: "news/flash", payload: String(index) }))
    hasty.wire.close()
    for (let index = 0; index < 1000; index++)
      expect((await watcher.expect("publish")).payload.toString()).toBe(String(index))
    expect((await watcher.expect("publish")).topic).toBe("news/will")
  }))

test("a client that connects, publishes and closes in one go has published", () =>
  withBroker({}, async (broker) => {
    const watcher = await broker.connect({ clientId: "watcher" })
    await watcher.subscribe("news/#")
    const hasty = broker.open()
    await hasty.send(
      Buffer.concat([
        raw.connect({ clientId: "hasty", will }),
        raw.publish({ topic: "news/flash", payload: "now" }),
        raw.disconnect({})
      ])
    )
    hasty.wire.close()
    expect((await watcher.expect("publish")).payload.toString()).toBe("now")
    await broker.settle()
    await watcher.quiet()
  }))

test("messages that wait for permission are still routed after the close", async () => {
  const permission = Effect.runSync(Deferred.make<boolean>())
  const authorizer = Layer.succeed(Authorizer, {
    permissions: () =>
      Effect.succeed({
        publish: (topic: string) => (topic === "news/asked" ? Deferred.await(permission) : true),
        subscribe: () => true,
        deliver: undefined
      })
  })
  await withBroker({ authorizer }, async (broker) => {
    const watcher = await broker.connect({ clientId: "watcher" })
    await watcher.subscribe("news/#")
    const hasty = await broker.connect({ clientId: "hasty", will })
    await hasty.send(
      Buffer.concat([
        raw.publish({ topic: "news/asked", payload: "1" }),
        raw.publish({ topic: "news/flash", payload: "2" }),
        raw.disconnect({})
      ])
    )
    hasty.wire.close()
    await broker.settle()
    await watcher.quiet()
    await Effect.runPromise(Deferred.succeed(permission, true))
    expect((await watcher.expect("publish")).payload.toString()).toBe("1")
    expect((await watcher.expect("publish")).payload.toString()).toBe("2")
    await broker.settle()
    await watcher.quiet()
  })
})
