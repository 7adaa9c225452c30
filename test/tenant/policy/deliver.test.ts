import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { encodeProperties } from "../../../src/protocol/Properties.ts"
import type { PolicyMessage } from "../../../src/tenant/policy/PolicyMessage.ts"
import { TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import {
  type Answer,
  allow,
  type DeliverVerdict,
  drop,
  transform
} from "../../../src/tenant/policy/Verdict.ts"
import { raw, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { failings, wait } from "./failures.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]
const levels = [0, 1, 2] as const

/** A policy for what `client` gets; others get what comes. */
const policyOf = (deliver: (message: PolicyMessage) => Answer<DeliverVerdict>) => ({
  policy: TenantPolicy.layer({
    deliver: (message, { clientId }) => (clientId === "client" ? deliver(message) : allow)
  })
})

/** `client` has subscribed to everything at that QoS. */
const subscribed = async (
  broker: TestBroker,
  version: Version,
  qos: number,
  more: { readonly clean?: boolean; readonly properties?: Uint8Array } = {}
): Promise<TestClient> => {
  const client = await broker.connect({ version, keepAlive: 0, ...more })
  await client.subscribe(["#", qos])
  return client
}

const publisher = (broker: TestBroker): Promise<TestClient> =>
  broker.connect({ version: 5, clientId: "publisher", keepAlive: 0 })

/** Publishes at a QoS, and the whole exchange with it. */
const publish = async (client: TestClient, qos: number, ...topics: ReadonlyArray<string>) => {
  for (const topic of topics) {
    await client.send(raw.publish({ version: 5, topic, qos, packetId: 1, payload: `to ${topic}` }))
    if (qos === 1) await client.expect("puback")
    if (qos !== 2) continue
    await client.expect("pubrec")
    await client.send(raw.pubrel({ packetId: 1 }))
    await client.expect("pubcomp")
  }
}

/** The next packet but PUBREL, which is answered. */
const next = async (client: TestClient) => {
  for (;;) {
    const packet = await client.next()
    if (packet?.cmd !== "pubrel") return packet
    await client.send(raw.pubcomp({ packetId: packet.messageId ?? 0 }))
  }
}

/** Takes the next message, acknowledged as its QoS wants. */
const take = async (client: TestClient) => {
  const packet = await next(client)
  if (packet?.cmd !== "publish") return { topic: `no message: ${packet?.cmd}` }
  const packetId = packet.messageId ?? 0
  if (packet.qos === 1) await client.send(raw.puback({ packetId }))
  if (packet.qos === 2) await client.send(raw.pubrec({ packetId }))
  return { topic: packet.topic, payload: packet.payload.toString() }
}

/** Nothing comes that was not taken. */
const quiet = async (client: TestClient) => {
  await client.send(raw.pingreq())
  expect((await next(client))?.cmd).toBe("pingresp")
}

describe.each(versions)("deliver, version %d", (version) => {
  test.each(levels)("the policy sees what is about to leave at QoS %d, and lets it", (qos) => {
    const seen: Array<unknown> = []
    const policy = policyOf(({ publisherId, topic }) => {
      seen.push({ publisherId, topic })
      return allow
    })
    return withBroker(policy, async (broker) => {
      const client = await subscribed(broker, version, qos)
      await publish(await publisher(broker), qos, "a")
      expect(await take(client)).toEqual({ topic: "a", payload: "to a" })
      expect(seen).toEqual([{ publisherId: "publisher", topic: "a" }])
    })
  })

  test.each(levels)("a change at QoS %d is for that client alone, who shares its frame with others", (qos) =>
    withBroker(
      policyOf(({ topic }) => transform({ topic: `seen/${topic}`, payload: "changed" })),
      async (broker) => {
        const client = await subscribed(broker, version, qos)
        const others: Array<TestClient> = []
        for (const clientId of ["one", "two"]) {
          const other = await broker.connect({ version, clientId, keepAlive: 0 })
          await other.subscribe(["#", qos])
          others.push(other)
        }
        const from = await publisher(broker)
        await publish(from, qos, "a", "b")
        for (const topic of ["a", "b"]) {
          expect(await take(client)).toEqual({ topic: `seen/${topic}`, payload: "changed" })
          for (const other of others) expect(await take(other)).toEqual({ topic, payload: `to ${topic}` })
        }
      }
    )
  )

  test.each(levels)("what is dropped at QoS %d is gone for that client, counted and told of", (qos) =>
    withBroker(
      policyOf(({ topic }) => (topic === "bad" ? drop("not for you") : allow)),
      async (broker) => {
        const client = await subscribed(broker, version, qos)
        await publish(await publisher(broker), qos, "bad", "good")
        expect((await take(client)).topic).toBe("good")
        await quiet(client)
        expect(broker.broker.counters("default")).toMatchObject({ droppedByPolicy: 1, policyFailures: 0 })
        await broker.settle()
        if (qos < 2) expect(broker.broker.counters("default")?.queuedMessages).toBe(0)
        expect(broker.eventsOf("MessageDropped")).toMatchObject([{ reason: "refused-by-policy" }])
      }
    )
  )

  describe.each(levels)("at QoS %d", (qos) => {
    test.each([...failings])("a policy that $name withholds the message, and is counted", (failing) => {
      const { answer, hangs = false, reason } = failing
      return withBroker(
        policyOf(({ topic }) => (topic === "bad" ? answer() : allow)),
        async (broker) => {
          const client = await subscribed(broker, version, qos)
          await publish(await publisher(broker), qos, "bad", "good")
          if (hangs) await wait(broker)
          expect((await take(client)).topic).toBe("good")
          await quiet(client)
          expect(broker.broker.counters("default")).toMatchObject({ droppedByPolicy: 1, policyFailures: 1 })
          expect(broker.eventsOf("PolicyFailed")).toMatchObject([{ hook: "deliver", reason }])
        }
      )
    })

    test("while the policy is asked what is behind waits, in order, and other clients go on", () => {
      const gates = new Map(
        ["a", "c"].map((topic) => [topic, Effect.runSync(Deferred.make<DeliverVerdict>())] as const)
      )
      const policy = policyOf(({ topic }) => {
        const gate = gates.get(topic)
        return gate === undefined ? allow : Deferred.await(gate)
      })
      return withBroker(policy, async (broker) => {
        const client = await subscribed(broker, version, qos)
        const other = await broker.connect({ version, clientId: "other", keepAlive: 0 })
        await other.subscribe(["#", qos])
        const topics = ["a", "b", "c", "d"]
        await publish(await publisher(broker), qos, ...topics)
        for (const topic of topics) expect((await take(other)).topic).toBe(topic)
        await quiet(client)
        const answer = (topic: string, verdict: DeliverVerdict) => {
          const gate = gates.get(topic)
          if (gate !== undefined) Effect.runSync(Deferred.succeed(gate, verdict))
        }
        answer("c", transform({ topic: "changed" }))
        await broker.settle()
        await quiet(client)
        answer("a", allow)
        for (const topic of ["a", "b", "changed", "d"]) expect((await take(client)).topic).toBe(topic)
        await quiet(client)
        await broker.settle()
        if (qos < 2) expect(broker.broker.counters("default")?.queuedMessages).toBe(0)
      })
    })
  })

  test("what waited for the policy when the client left waits for it when it is back", () => {
    const gate = Effect.runSync(Deferred.make<DeliverVerdict>())
    let isAsked = 0
    const policy = policyOf(() => {
      isAsked++
      return isAsked === 1 ? Deferred.await(gate) : transform({ payload: "second" })
    })
    return withBroker(policy, async (broker) => {
      const more = { clean: false, properties: encodeProperties({ sessionExpiryInterval: 3600 }) }
      const client = await subscribed(broker, version, 1, more)
      await publish(await publisher(broker), 1, "a")
      await broker.settle()
      client.drop()
      await broker.settle()
      const again = await broker.connect({ version, keepAlive: 0, ...more })
      expect(await take(again)).toEqual({ topic: "a", payload: "second" })
      Effect.runSync(Deferred.succeed(gate, transform({ payload: "first" })))
      await broker.settle()
      await quiet(again)
    })
  })

  test("a message that is resent is asked about again", () =>
    withBroker(
      policyOf(({ topic }) => transform({ topic: `seen/${topic}` })),
      async (broker) => {
        const more = { clean: false, properties: encodeProperties({ sessionExpiryInterval: 3600 }) }
        const client = await subscribed(broker, version, 1, more)
        await publish(await publisher(broker), 1, "a")
        expect((await client.expect("publish")).topic).toBe("seen/a")
        client.drop()
        await broker.settle()
        const again = await broker.connect({ version, keepAlive: 0, ...more })
        expect(await again.expect("publish")).toMatchObject({ topic: "seen/a", dup: true })
      }
    ))
})

describe("deliver", () => {
  test("retained messages pass it as well", () =>
    withBroker(
      policyOf(({ topic }) => (topic === "bad" ? drop("no") : transform({ topic: `seen/${topic}` }))),
      async (broker) => {
        const from = await publisher(broker)
        for (const topic of ["bad", "good"]) await from.publish(topic, "kept", { retain: true })
        const client = await subscribed(broker, 5, 0)
        expect(await client.expect("publish")).toMatchObject({ topic: "seen/good", retain: true })
        await quiet(client)
      }
    ))

  test("each subscriber's user properties are the policy's to customize", () =>
    withBroker(
      {
        policy: TenantPolicy.layer({
          deliver: ({ publisherId, userProperties }, { clientId }) =>
            transform({
              userProperties: [...userProperties, ["way", `${publisherId} to ${clientId}`] as const]
            })
        })
      },
      async (broker) => {
        const one = await subscribed(broker, 5, 0)
        const two = await broker.connect({ version: 5, clientId: "two" })
        await two.subscribe("#")
        const from = await publisher(broker)
        const properties = encodeProperties({ userProperties: [["a", "b"]] })
        await from.send(raw.publish({ version: 5, topic: "a", properties }))
        for (const [client, clientId] of [
          [one, "client"],
          [two, "two"]
        ] as const) {
          const { properties: got } = await client.expect("publish")
          expect({ ...got?.userProperties }).toEqual({ a: "b", way: `publisher to ${clientId}` })
        }
      }
    ))

  test("topic aliases go with the topics that the client sees", () =>
    withBroker(
      policyOf(({ topic }) => transform({ topic: topic.slice(0, 1) })),
      async (broker) => {
        const client = await broker.connect({
          version: 5,
          properties: encodeProperties({ topicAliasMaximum: 4 })
        })
        await client.subscribe("#")
        const from = await publisher(broker)
        await publish(from, 0, "a/1", "a/2", "b/1")
        const seen: Array<unknown> = []
        for (let count = 0; count < 3; count++) {
          const { properties, topic } = await client.expect("publish")
          seen.push([topic, properties?.topicAlias])
        }
        expect(seen).toEqual([
          ["a", 1],
          ["", 1],
          ["b", 2]
        ])
      }
    ))

  test.each(["a/#", "", "\ud800"])("a topic that cannot be, %j, is withheld", (topic) =>
    withBroker(
      policyOf((message) => (message.topic === "bad" ? transform({ topic }) : allow)),
      async (broker) => {
        const client = await subscribed(broker, 5, 1)
        await publish(await publisher(broker), 1, "bad", "good")
        expect((await take(client)).topic).toBe("good")
        await quiet(client)
      }
    )
  )

  test("QoS 0 messages that wait for the policy are bounded as those are that wait for the socket", () => {
    const gate = Effect.runSync(Deferred.make<DeliverVerdict>())
    return withBroker(
      { ...policyOf(() => Deferred.await(gate)), settings: { outboundBytesMax: 1000 } },
      async (broker) => {
        const client = await subscribed(broker, 5, 0)
        const from = await publisher(broker)
        const payload = "x".repeat(299)
        for (let count = 0; count < 10; count++) {
          await from.send(raw.publish({ version: 5, topic: "a", payload }))
        }
        await from.quiet()
        await broker.settle()
        const { droppedSlowConsumer = 0 } = broker.broker.counters("default") ?? {}
        expect(droppedSlowConsumer).toBe(7)
        Effect.runSync(Deferred.succeed(gate, allow))
        for (let count = 0; count < 3; count++) await client.expect("publish")
        await quiet(client)
      }
    )
  })

  test("a message that has expired while the policy thought is not sent, and the next is", () => {
    const gate = Effect.runSync(Deferred.make<DeliverVerdict>())
    return withBroker(
      policyOf(({ topic }) => (topic === "short" ? Deferred.await(gate) : allow)),
      async (broker) => {
        const client = await subscribed(broker, 5, 1)
        const from = await publisher(broker)
        const properties = encodeProperties({ messageExpiryInterval: 1 })
        await from.send(raw.publish({ version: 5, topic: "short", qos: 1, packetId: 1, properties }))
        await publish(from, 1, "long")
        await broker.advance(2000)
        Effect.runSync(Deferred.succeed(gate, allow))
        await from.expect("puback")
        expect((await take(client)).topic).toBe("long")
        await quiet(client)
      }
    )
  })
})
