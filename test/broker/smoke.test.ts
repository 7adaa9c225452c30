import { expect, test } from "bun:test"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

test("a message goes from a publisher to a subscriber, and nothing is left when both have gone", () =>
  withBroker({}, async (broker) => {
    const subscriber = await broker.connect({ clientId: "s", version: 5 })
    await subscriber.subscribe(["a/+", 1])
    const publisher = await broker.connect({ clientId: "p" })
    await publisher.publish("a/b", "hello")
    const message = await subscriber.expect("publish")
    expect([message.topic, message.payload.toString(), message.qos]).toEqual(["a/b", "hello", 1])
    await subscriber.send(raw.puback({ packetId: message.messageId ?? 0 }), raw.disconnect({ reasonCode: 0 }))
    publisher.drop()
    await subscriber.expectClosed()
    await broker.settle()
    expect(broker.broker.census()).toEqual({
      connections: 0,
      sessions: 0,
      subscriptions: 0,
      trieNodes: 0,
      groups: 0,
      deadlines: 0,
      bufferBytes: 0,
      retainedMessages: 0
    })
  }))

test("a handshake that takes too long is told of, and ends", () =>
  withBroker({ options: { handshakeTimeoutMs: 1000 } }, async (broker) => {
    const client = broker.open()
    await client.send(raw.connect().subarray(0, 5))
    await broker.advance(1100)
    await client.expectClosed()
    expect(broker.eventsOf("ConnectRefused").map(({ reason }) => reason)).toEqual([
      "the handshake took too long"
    ])
    expect(broker.broker.census().connections).toBe(0)
  }))
