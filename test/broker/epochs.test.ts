/** What belongs to an earlier session of a client identifier says nothing about a later one. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { SlowJournal } from "../support/slowJournal.ts"
import { withBroker } from "../support/testBroker.ts"

const lasting = (clientId: string, clean: boolean): RawConnect => ({
  clientId,
  version: 5,
  clean,
  properties: properties.sessionExpiryInterval(600)
})

describe("a session that begins anew", () => {
  test("[MQTT-3.1.2-4] is not told of what its predecessor acknowledged in the same turn", () => {
    const journal = new SlowJournal()
    return withBroker({ storage: journal.layer }, async (broker) => {
      const before = await broker.connect(lasting("c", true))
      await before.subscribe(["t", 1])
      const publisher = await broker.connect({ clientId: "p" })
      for (const payload of ["1", "2", "3"]) await publisher.publish("t", payload)
      const acks: Array<Uint8Array> = []
      for (const _ of ["1", "2", "3"]) {
        acks.push(raw.puback({ packetId: (await before.expect("publish")).messageId ?? 0 }))
      }
      const after = broker.open(5)
      const sent = after.send(raw.connect(lasting("c", true)))
      await before.send(...acks)
      await sent
      await after.connected()
      await after.subscribe(["t", 1])
      after.drop()
      await broker.settle()
      await publisher.publish("t", "4")
      const kept = journal.state.queue("default", "c")
      expect(kept.map(({ message }) => Buffer.from(message.payload).toString())).toEqual(["4"])
    })
  })

  test("[MQTT-3.1.3-9] is not ended by the will of its predecessor, however late that is decided", async () => {
    const decision = Effect.runSync(Deferred.make<boolean>())
    let asks = 0
    const authorizer = Layer.succeed(Authorizer, {
      permissions: () =>
        Effect.succeed({
          publish: (topic: string) => (topic === "will" && asks++ > 0 ? Deferred.await(decision) : true),
          subscribe: () => true,
          deliver: undefined
        })
    })
    const journal = new SlowJournal()
    await withBroker({ storage: journal.layer, authorizer }, async (broker) => {
      const before = await broker.connect({
        clientId: "c",
        version: 5,
        clean: true,
        will: { topic: "will", qos: 1 }
      })
      before.drop()
      await broker.settle()
      const after = await broker.connect(lasting("c", false))
      await after.subscribe(["t", 1])
      Effect.runSync(Deferred.succeed(decision, true))
      await broker.settle()
      expect(broker.eventsOf("WillPublished").length).toBe(1)
      expect(journal.state.session("default", "c")?.subscriptions.size).toBe(1)
    })
  })
})
