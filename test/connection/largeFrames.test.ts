import { describe, expect, test } from "bun:test"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

/** A payload whose every place is recognisable. */
const large = (seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: 40_000 }, (_, index) => (index * 31 + seed) % 251))

describe("a large message to several subscribers", () => {
  for (const wireBytesMax of [1024, 65_536, 1_000_000]) {
    test(`arrives whole at each, under identifiers of their own, over wires of ${wireBytesMax} bytes`, () =>
      withBroker({ wireBytesMax }, async (broker) => {
        const subscribers = [
          await broker.connect({ clientId: "s0" }),
          await broker.connect({ clientId: "s1" }),
          await broker.connect({ clientId: "s2", version: 5 })
        ]
        for (const [index, subscriber] of subscribers.entries()) {
          await subscriber.subscribe(["t", index === 0 ? 0 : 1])
          if (index === 1) await subscriber.subscribe(["own", 1])
        }
        const publisher = await broker.connect({ clientId: "p" })
        // From now on the identifiers of the second are not those of the third.
        await publisher.publish("own")
        const published = [1, 2, 3].map((seed) =>
          publisher.send(raw.publish({ topic: "t", payload: large(seed), qos: 1, packetId: seed }))
        )
        const received = subscribers.map(async (subscriber, index) => {
          if (index === 1) await subscriber.expect("publish")
          for (const seed of [1, 2, 3]) {
            const message = await subscriber.expect("publish")
            expect(Buffer.compare(Buffer.from(message.payload), large(seed))).toBe(0)
            expect(message.messageId ?? 0).toBe([0, seed + 1, seed][index] ?? -1)
          }
        })
        await Promise.all([...published, ...received])
      }))
  }
})
