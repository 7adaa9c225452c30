/** SUBSCRIBE and SUBACK (5.0, sections 3.8 and 3.9), and overlapping subscriptions (3.3.4). */

import { describe, expect, test } from "bun:test"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { field, hex, properties, raw, uint16 } from "../../support/raw.ts"
import { type TestClient, withBroker } from "../../support/testBroker.ts"
import {
  expectDisconnect,
  expectMessage,
  join,
  NO_LOCAL,
  RETAIN_AS_PUBLISHED,
  subscribe5,
  takeMessage
} from "./client.ts"

const subscribe = (more: Parameters<typeof raw.subscribe>[0] = {}): Buffer =>
  raw.subscribe({ version: 5, ...more })

const identified = (identifier: number): Buffer => properties.subscriptionIdentifier(identifier)

/** The Subscription Identifiers of the next PUBLISH, in order of size. */
const identifiersOf = async (client: TestClient): Promise<ReadonlyArray<number>> => {
  const message = await takeMessage(client, "payload")
  const found = message.properties?.subscriptionIdentifier
  return found === undefined ? [] : [found].flat().sort((a, b) => a - b)
}

describe("a SUBSCRIBE that breaks a rule ends the connection", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.8.1-1] flags 0 in the fixed header", subscribe({ firstByte: 0x80 }), 0x81],
    ["[MQTT-3.8.1-1] flags 3 in the fixed header", subscribe({ firstByte: 0x83 }), 0x81],
    ["[MQTT-2.2.1-3] Packet Identifier 0", subscribe({ packetId: 0 }), 0x82],
    ["[MQTT-3.8.3-1] a filter that is no UTF-8", subscribe({ filters: [[hex("ff"), 0]] }), 0x81],
    ["[MQTT-4.7.3-2] U+0000 in a filter", subscribe({ filters: ["a/\u0000"] }), 0x81],
    ["[MQTT-4.7.3-1] an empty filter", subscribe({ filters: [""] }), 0x81],
    ["[MQTT-3.8.3-2] no filter", subscribe({ filters: [] }), 0x82],
    [
      "[MQTT-3.8.3-4] No Local on a Shared Subscription",
      subscribe({ filters: [["$share/g/t", NO_LOCAL]] }),
      0x82
    ],
    ["[MQTT-3.8.3-5] bit 6 of the options", subscribe({ filters: [["t", 0x40]] }), 0x81],
    [
      "[MQTT-3.8.3-5] bit 7 of the options of the second filter",
      subscribe({ filters: ["t", ["u", 0x80]] }),
      0x81
    ],
    ["[MQTT-2.2.2-1] no Property Length", raw.packet(0x82, uint16(1), field("a"), hex("00")), 0x81]
  ]
  for (const [name, bytes, reasonCode] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        await client.send(bytes)
        await expectDisconnect(client, reasonCode)
      })
    )
  }
})

describe("SUBACK", () => {
  test("[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] answers each SUBSCRIBE with its Packet Identifier", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      const packetIds = [1, 65_535, 258]
      await client.send(...packetIds.map((packetId) => subscribe({ packetId, filters: [`t/${packetId}`] })))
      for (const packetId of packetIds) {
        expect(await client.expect("suback")).toMatchObject({ messageId: packetId, granted: [0] })
      }
      await client.quiet()
    }))

  test("[MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] has a code for each filter, in order", () => {
    const rules = [
      { permission: "deny", action: "subscribe", topicFilter: "secret/#" },
      { permission: "allow", action: "all", topicFilter: "#" }
    ] as const
    return withBroker({ authorizer: Authorizer.layerRules(() => rules) }, async (broker) => {
      const client = await join(broker, "c")
      const granted = await subscribe5(client, [
        ["a", 2],
        ["b/#/c", 1],
        ["secret/x", 1],
        ["b", 0],
        ["c", 1],
        ["$share//x", 1],
        ["a", 1]
      ])
      expect(granted).toEqual([2, 0x8f, 0x87, 0, 1, 0x8f, 1])
      for (const topic of ["a", "b", "c", "secret/x"]) await (await join(broker, "p")).publish(topic, topic)
      for (const [topic, qos] of [
        ["a", 1],
        ["b", 0],
        ["c", 1]
      ] as const) {
        expect((await takeMessage(client, topic)).qos).toBe(qos)
      }
      await client.quiet()
    })
  })

  const limited = [
    { name: "[MQTT-3.9.3-2] 0x9E", settings: { sharedSubscriptionAvailable: false }, filter: "$share/g/t" },
    { name: "[MQTT-3.9.3-2] 0xA2", settings: { wildcardSubscriptionAvailable: false }, filter: "t/+" }
  ]
  for (const { filter, name, settings } of limited) {
    test(`${name}: a kind of subscription that CONNACK ruled out is not granted`, () =>
      withBroker({ settings }, async (broker) => {
        const client = await join(broker, "c")
        await client.send(subscribe({ filters: [filter] }))
        const packet = await client.next()
        const code =
          packet?.cmd === "suback" ? packet.granted[0] : packet?.cmd === "disconnect" && packet.reasonCode
        expect(code).toBe(Number(name.slice(-4)))
      }))
  }

  test("[MQTT-3.9.3-2] 0x97: more subscriptions than a session may hold, but a replacement is granted", () =>
    withBroker({ settings: { subscriptionsMax: 2 } }, async (broker) => {
      const client = await join(broker, "c")
      expect(await subscribe5(client, ["a", "b", "c"])).toEqual([0, 0, 0x97])
      expect(await subscribe5(client, [["a", 1]])).toEqual([1])
    }))

  test("[MQTT-3.8.4-5] many filters in one SUBSCRIBE do what as many SUBSCRIBEs would", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      const filters = Array.from({ length: 300 }, (_, index) => `f/${index}`)
      expect(await subscribe5(client, filters)).toEqual(filters.map(() => 0))
      const publisher = await join(broker, "p")
      for (const index of [0, 150, 299]) {
        await publisher.publish(`f/${index}`)
        expect((await expectMessage(client, "payload")).topic).toBe(`f/${index}`)
      }
      await client.quiet()
    }))
})

describe("a subscription", () => {
  test("[MQTT-3.8.4-8] [MQTT-3.8.4-7] delivers at the lower of the published and the granted QoS", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      for (const granted of [0, 1, 2]) {
        const client = await join(broker, `s${granted}`)
        expect(await subscribe5(client, [["t", granted]])).toEqual([granted])
        for (const published of [0, 1, 2]) {
          const packetId = published === 0 ? {} : { packetId: 10 * granted + published }
          await publisher.send(
            raw.publish({ version: 5, topic: "t", payload: `${published}`, qos: published, ...packetId })
          )
          const message = await takeMessage(client, `${published}`)
          expect(message.qos).toBe(Math.min(granted, published) as 0 | 1 | 2)
          if (published === 1) await publisher.expect("puback")
          if (published === 2) {
            await publisher.expect("pubrec")
            await publisher.send(raw.pubrel({ packetId: 10 * granted + published }))
            await publisher.expect("pubcomp")
          }
        }
        client.drop()
        await broker.settle()
      }
    }))

  test("[MQTT-3.8.4-3] with the same filter replaces the one before: QoS, identifier and options", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, [["t", 2 | RETAIN_AS_PUBLISHED]], identified(1))
      await subscribe5(client, [["t", 0]], identified(2))
      const publisher = await join(broker, "p")
      await publisher.publish("t", "payload", { retain: true })
      const message = await expectMessage(client, "payload")
      expect([message.qos, message.retain, message.properties?.subscriptionIdentifier]).toEqual([0, false, 2])
      await client.quiet()
      expect(broker.broker.census().subscriptions).toBe(1)
      await subscribe5(client, [["t", 0x20]])
      await publisher.publish("t")
      expect((await expectMessage(client, "payload")).properties?.subscriptionIdentifier).toBeUndefined()
    }))

  test("[MQTT-3.8.4-3] a Shared Subscription does not replace the plain one, nor the other way round", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, ["t"])
      await subscribe5(client, ["$share/g/t"])
      expect(broker.broker.census().subscriptions).toBe(2)
      const publisher = await join(broker, "p")
      await publisher.publish("t", "twice")
      await expectMessage(client, "twice")
      await expectMessage(client, "twice")
      await client.quiet()
    }))

  test("[MQTT-3.8.4-4] replaced with Retain Handling 0 sends the retained messages again, and loses none", () =>
    withBroker({}, async (broker) => {
      const publisher = await join(broker, "p")
      await publisher.publish("t/retained", "retained", { retain: true })
      const client = await join(broker, "c")
      await subscribe5(client, [["t/+", 1]])
      await takeMessage(client, "retained")
      const sent: Array<string> = []
      const received: Array<string> = []
      let again = 0
      for (let round = 0; round < 20; round++) {
        // Both are on their way at once: which of them the broker reads first is not said.
        await publisher.send(raw.publish({ version: 5, topic: "t/live", payload: `${round}`, qos: 1 }))
        sent.push(`${round}`)
        await client.send(subscribe({ filters: [["t/+", 1]] }))
        await publisher.expect("puback")
        for (let count = 0; count < 3; count++) {
          const packet = await client.next()
          if (packet?.cmd !== "publish") continue
          if (packet.retain) again++
          else received.push(packet.payload.toString())
          await client.send(raw.puback({ packetId: packet.messageId ?? 0 }))
        }
      }
      expect({ received, again }).toEqual({ received: sent, again: 20 })
      await client.quiet()
    }))

  test("[MQTT-3.8.3-3] with No Local gets what others publish, not what its own client does", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, [["t", NO_LOCAL]])
      const other = await join(broker, "other")
      await client.publish("t", "mine")
      await other.publish("t", "another's")
      await expectMessage(client, "another's")
      await client.quiet()
    }))

  test("[MQTT-3.8.3-3] with No Local does not hide what another subscription of the client asks for", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, [["t", 2 | NO_LOCAL]], identified(1))
      await subscribe5(client, [["#", 0]], identified(2))
      await client.send(raw.publish({ version: 5, topic: "t" }))
      const message = await expectMessage(client, "payload")
      expect([message.qos, message.properties?.subscriptionIdentifier]).toEqual([0, 2])
      await client.quiet()
    }))

  test("[MQTT-3.8.3-3] with No Local holds for the client's Will as well", () =>
    withBroker({}, async (broker) => {
      const kept = { clean: false, properties: properties.sessionExpiryInterval(100) }
      const client = await join(broker, "c", { ...kept, will: { topic: "t", payload: "will", qos: 1 } })
      await subscribe5(client, [["t", 1 | NO_LOCAL]])
      client.drop()
      await broker.settle()
      const back = await join(broker, "c", kept)
      expect(back.connack?.sessionPresent).toBe(true)
      await back.quiet()
    }))
})

describe("overlapping subscriptions", () => {
  test("[MQTT-3.3.4-2] deliver at the highest QoS of those that match", () =>
    withBroker({}, async (broker) => {
      for (const [index, order] of [
        [0, 2, 1],
        [2, 1, 0],
        [1, 0, 2]
      ].entries()) {
        const client = await join(broker, `c${index}`)
        const filters = ["a/b", "a/+", "a/#"] as const
        await subscribe5(
          client,
          filters.map((filter, at) => [filter, order[at] ?? 0] as const)
        )
        const publisher = await join(broker, "p")
        await publisher.send(raw.publish({ version: 5, topic: "a/b", qos: 2 }))
        expect((await takeMessage(client, "payload")).qos).toBe(2)
        await client.quiet()
        client.drop()
        await broker.settle()
      }
    }))

  test("[MQTT-3.3.4-3] [MQTT-3.3.4-4] one copy carries the identifiers of all that have one", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, [["a/b", 1]], identified(1))
      await subscribe5(client, [["a/+", 0]], identified(268_435_455))
      await subscribe5(client, [["a/#", 2]])
      await subscribe5(client, [["+/b", 1]], identified(70_000))
      await subscribe5(client, [["x", 1]], identified(5))
      const publisher = await join(broker, "p")
      await publisher.publish("a/b")
      expect(await identifiersOf(client)).toEqual([1, 70_000, 268_435_455])
      await client.quiet()
      await publisher.publish("a/c")
      expect(await identifiersOf(client)).toEqual([268_435_455])
    }))

  test("[MQTT-3.3.4-4] subscriptions that share an identifier are each named or named once", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, ["a/b", "a/#"], identified(7))
      const publisher = await join(broker, "p")
      await publisher.publish("a/b")
      expect(new Set(await identifiersOf(client))).toEqual(new Set([7]))
      await client.quiet()
    }))

  test("[MQTT-3.3.4-5] several copies carry each its own: plain, shared and retained", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await subscribe5(client, ["a/b"], identified(1))
      await subscribe5(client, ["$share/g/a/+"], identified(2))
      await subscribe5(client, ["$share/h/#"])
      const publisher = await join(broker, "p")
      await publisher.publish("a/b")
      const copies = [await identifiersOf(client), await identifiersOf(client), await identifiersOf(client)]
      expect(copies.sort()).toEqual([[], [1], [2]])
      await publisher.publish("a/r", "payload", { retain: true })
      for (let count = 0; count < 2; count++) await identifiersOf(client)
      await subscribe5(client, ["a/r"], identified(3))
      expect(await identifiersOf(client)).toEqual([3])
      await client.quiet()
    }))

  test("[MQTT-3.3.4-3] identifiers belong to a client: others get their own or none", () =>
    withBroker({}, async (broker) => {
      const one = await join(broker, "one")
      const two = await join(broker, "two")
      const three = await join(broker, "three")
      await subscribe5(one, ["t"], identified(1))
      await subscribe5(two, ["t"], identified(2))
      await subscribe5(three, ["t"])
      const publisher = await join(broker, "p")
      await publisher.publish("t")
      expect(await identifiersOf(one)).toEqual([1])
      expect(await identifiersOf(two)).toEqual([2])
      expect(await identifiersOf(three)).toEqual([])
    }))

  test("[MQTT-3.3.4-3] a queued message carries the identifiers that it was matched with", () =>
    withBroker({}, async (broker) => {
      const kept = { clean: false, properties: properties.sessionExpiryInterval(100) }
      const client = await join(broker, "c", kept)
      await subscribe5(client, [["t", 1]], identified(9))
      client.drop()
      const publisher = await join(broker, "p")
      await publisher.publish("t")
      expect(await identifiersOf(await join(broker, "c", kept))).toEqual([9])
    }))
})
