import { expect, spyOn, test } from "bun:test"
import { RetainedMessages } from "../../src/router/RetainedMessages.ts"
import { properties, raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

test("[MQTT-4.3.3-8] what a router lost when it failed is taken when its client repeats it, and subscriptions are back", () => {
  const retain = spyOn(RetainedMessages.prototype, "retain")
  return withBroker({}, async (broker) => {
    const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(600) } as const
    const subscriber = await broker.connect({ ...lasting, clientId: "s" })
    await subscriber.subscribe(["t", 2], ["$share/g/t", 1])
    const publisher = await broker.connect({ ...lasting, clientId: "p" })
    retain.mockImplementation(() => {
      throw new TypeError("a bug")
    })
    const message = { version: 5, topic: "t", qos: 2, packetId: 7, retain: true } as const
    await publisher.send(raw.publish(message))
    for (const client of [publisher, subscriber]) {
      expect((await client.expect("disconnect")).reasonCode).toBe(0x80)
      await client.expectClosed()
    }
    expect(broker.eventsOf("ActorDefect").map((event) => event.actor)).toEqual(["router"])
    retain.mockRestore()
    const again = await broker.connect({ ...lasting, clientId: "p" })
    expect(again.connack?.sessionPresent).toBe(true)
    await again.send(raw.publish({ ...message, dup: true }))
    expect((await again.expect("pubrec")).reasonCode ?? 0).toBe(0)
    await again.send(raw.pubrel({ packetId: 7 }))
    expect((await again.expect("pubcomp")).reasonCode ?? 0).toBe(0)
    const back = await broker.connect({ ...lasting, clientId: "s" })
    const received = [await back.expect("publish"), await back.expect("publish")]
    expect(received.map((packet) => packet.qos).toSorted()).toEqual([1, 2])
    await back.quiet()
    expect(broker.broker.census()).toMatchObject({ sessions: 2, subscriptions: 2, groups: 1 })
  }).finally(() => retain.mockRestore())
})
