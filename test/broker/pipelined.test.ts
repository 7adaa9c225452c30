import { describe, expect, test } from "bun:test"
import { properties, raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

const sessions = [
  ["that ends with its connection", {}],
  ["that is kept", { clean: false, properties: properties.sessionExpiryInterval(60) }],
  ["that has a will", { will: { topic: "w" } }]
] as const

describe("requests sent in one go by a session", () => {
  for (const [name, options] of sessions) {
    test(`${name} take effect in their order: it receives what it publishes behind its SUBSCRIBE`, () =>
      withBroker({}, async (broker) => {
        const client = await broker.connect({ clientId: "c", version: 5, ...options })
        await client.send(
          Buffer.concat([
            raw.subscribe({ version: 5, packetId: 1, filters: [["t", 1]] }),
            raw.publish({ version: 5, topic: "t", payload: "mine", qos: 1, packetId: 2 })
          ])
        )
        const kinds = [await client.next(), await client.next(), await client.next()].map(
          (packet) => packet?.cmd
        )
        expect(kinds.sort()).toEqual(["puback", "publish", "suback"])
      }))

    test(`${name} leave nothing behind when an UNSUBSCRIBE follows at once`, () =>
      withBroker({}, async (broker) => {
        const client = await broker.connect({ clientId: "c", version: 5, ...options })
        await client.send(
          Buffer.concat([
            raw.subscribe({ version: 5, packetId: 1, filters: ["t"] }),
            raw.unsubscribe({ version: 5, packetId: 2, filters: ["t"] })
          ])
        )
        const kinds = [await client.next(), await client.next()].map((packet) => packet?.cmd)
        expect(kinds.sort()).toEqual(["suback", "unsuback"])
        expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0 })
      }))
  }
})
