import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { encodeProperties } from "../../../src/protocol/Properties.ts"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import type { PolicyMessage } from "../../../src/tenant/policy/PolicyMessage.ts"
import { type Policy, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import {
  type Answer,
  allow,
  type PublishVerdict,
  refuse,
  transform
} from "../../../src/tenant/policy/Verdict.ts"
import { raw, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { failings, wait } from "./failures.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

/** A policy for messages of `client`; what others publish is let through. */
const publishing = (publish: (message: PolicyMessage) => Answer<PublishVerdict>): Policy => ({
  publish: (message, { clientId }) => (clientId === "client" ? publish(message) : allow)
})

const policyOf = (publish: (message: PolicyMessage) => Answer<PublishVerdict>) => ({
  policy: TenantPolicy.layer(publishing(publish))
})

/** Someone who sees everything. */
const watch = async (broker: TestBroker): Promise<TestClient> => {
  const watcher = await broker.connect({ version: 5, clientId: "watcher", keepAlive: 0 })
  await watcher.subscribe(["#", 2 | 8])
  return watcher
}

const acknowledged = async (client: TestClient, qos: 1 | 2) => {
  const ack = await client.expect(qos === 1 ? "puback" : "pubrec")
  return { packetId: ack.messageId, code: ack.reasonCode ?? 0, reason: ack.properties?.reasonString }
}

describe.each(versions)("publish, version %d", (version) => {
  const told = (code: number) => (version === 5 ? code : 0)

  test("what is allowed goes on as it was sent", () => {
    const seen: Array<unknown> = []
    const policy = policyOf((message) => {
      const { isWill, publisherId, qos, retain, topic } = message
      seen.push({ topic, payload: Buffer.from(message.payload).toString(), qos, retain, publisherId, isWill })
      return allow
    })
    return withBroker(policy, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version })
      await client.publish("a/b", "hello", { retain: true })
      const { payload, retain, topic } = await watcher.expect("publish")
      expect({ topic, payload: payload.toString(), retain }).toEqual({
        topic: "a/b",
        payload: "hello",
        retain: true
      })
      expect(seen).toEqual([
        { topic: "a/b", payload: "hello", qos: 1, retain: true, publisherId: "client", isWill: false }
      ])
    })
  })

  test("everything of a message can be changed, and only that is", () =>
    withBroker(
      policyOf(({ topic }) =>
        transform({
          topic: `moved/${topic}`,
          payload: "changed",
          qos: 0,
          retain: true,
          contentType: "text/plain",
          responseTopic: "answers",
          correlationData: new Uint8Array([1, 2]),
          payloadFormatIndicator: 1,
          messageExpiryInterval: 60,
          userProperties: [
            ["by", "policy"],
            ["by", "policy"]
          ]
        })
      ),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        await client.publish("a")
        const { payload, properties, qos, retain, topic } = await watcher.expect("publish")
        expect({ topic, payload: payload.toString(), qos, retain }).toEqual({
          topic: "moved/a",
          payload: "changed",
          qos: 0,
          retain: true
        })
        expect(properties).toMatchObject({
          contentType: "text/plain",
          responseTopic: "answers",
          correlationData: Buffer.from([1, 2]),
          payloadFormatIndicator: true,
          messageExpiryInterval: 60,
          userProperties: { by: ["policy", "policy"] }
        })
        // The one that it became is retained, not the one that was sent.
        expect(broker.broker.census().retainedMessages).toBe(1)
      }
    ))

  test.each([1, 2] as const)("a refused QoS %d message is acknowledged with the code and dropped", (qos) =>
    withBroker(
      policyOf(() => refuse(ReasonCode.QuotaExceeded, "enough for today")),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        for (const packetId of [7, 8]) await client.send(raw.publish({ version, qos, packetId, topic: "a" }))
        const reason = version === 5 ? "enough for today" : undefined
        expect(await acknowledged(client, qos)).toEqual({ packetId: 7, code: told(0x97), reason })
        expect(await acknowledged(client, qos)).toEqual({ packetId: 8, code: told(0x97), reason })
        await client.quiet()
        await watcher.quiet()
        expect(broker.broker.counters("default")).toMatchObject({ droppedByPolicy: 2, policyFailures: 0 })
        expect(broker.eventsOf("PublishRefused")).toMatchObject([
          { topic: "a", reasonCode: 0x97, reason: "enough for today", cause: "refused-by-policy" },
          {}
        ])
      }
    )
  )

  test("a refused QoS 0 message is dropped, and the connection goes on", () =>
    withBroker(
      policyOf(({ topic }) => (topic === "bad" ? refuse(0x87, "no") : allow)),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        for (const topic of ["bad", "good"]) await client.send(raw.publish({ version, topic }))
        expect((await watcher.expect("publish")).topic).toBe("good")
        await watcher.quiet()
        await client.quiet()
      }
    ))

  test("a code that PUBACK does not have becomes Not authorized", () =>
    withBroker(
      policyOf(() => refuse(ReasonCode.Banned, "go away")),
      async (broker) => {
        const client = await broker.connect({ version })
        await client.send(raw.publish({ version, qos: 1, packetId: 1 }))
        expect((await acknowledged(client, 1)).code).toBe(told(0x87))
      }
    ))

  test.each([...failings])("a policy that $name has said no, is counted, and is reported", (failing) => {
    const { answer, hangs = false, reason } = failing
    return withBroker(
      policyOf(({ topic }) => (topic === "bad" ? answer() : allow)),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        await client.send(raw.publish({ version, topic: "bad", qos: 1, packetId: 1 }))
        await client.send(raw.publish({ version, topic: "good", qos: 1, packetId: 2 }))
        if (hangs) await wait(broker)
        expect(await acknowledged(client, 1)).toMatchObject({ packetId: 1, code: told(0x83) })
        expect(await acknowledged(client, 1)).toMatchObject({ packetId: 2, code: 0 })
        expect((await watcher.expect("publish")).topic).toBe("good")
        await watcher.quiet()
        expect(broker.broker.counters("default")).toMatchObject({ droppedByPolicy: 1, policyFailures: 1 })
        expect(broker.eventsOf("PolicyFailed")).toEqual([
          { _tag: "PolicyFailed", tenant: "default", clientId: "client", hook: "publish", reason }
        ])
      }
    )
  })

  test("while the policy is asked what the client sends waits, in order, and others go on", () => {
    const gate = Effect.runSync(Deferred.make<PublishVerdict>())
    return withBroker(
      policyOf(({ topic }) => (topic === "first" ? Deferred.await(gate) : allow)),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        const other = await broker.connect({ version, clientId: "other" })
        await client.send(
          raw.publish({ version, topic: "first", qos: 1, packetId: 1 }),
          raw.publish({ version, topic: "second" }),
          raw.publish({ version, topic: "third", qos: 2, packetId: 3 }),
          raw.subscribe({ version, packetId: 4, filters: ["x"] })
        )
        await broker.settle()
        await other.publish("meanwhile")
        expect((await watcher.expect("publish")).topic).toBe("meanwhile")
        await watcher.quiet()
        Effect.runSync(Deferred.succeed(gate, allow))
        for (const topic of ["first", "second", "third"]) {
          const packet = await watcher.expect("publish")
          expect(packet.topic).toBe(topic)
          if (packet.qos === 2) await watcher.send(raw.pubrec({ packetId: packet.messageId ?? 0 }))
        }
        expect((await acknowledged(client, 1)).packetId).toBe(1)
        expect((await acknowledged(client, 2)).packetId).toBe(3)
        await client.expect("suback")
      }
    )
  })

  test("an answer for a connection that is gone is nobody's", () => {
    const gate = Effect.runSync(Deferred.make<PublishVerdict>())
    return withBroker(
      policyOf(({ topic }) => (topic === "first" ? Deferred.await(gate) : allow)),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        await client.send(raw.publish({ version, topic: "first", qos: 1, packetId: 1 }))
        await broker.settle()
        const again = await broker.connect({ version })
        Effect.runSync(Deferred.succeed(gate, allow))
        await broker.settle()
        await watcher.quiet()
        await again.publish("second")
        expect((await watcher.expect("publish")).topic).toBe("second")
        await again.quiet()
      }
    )
  })

  test("a QoS 2 message is delivered once, whatever QoS the policy makes of it", () =>
    withBroker(
      policyOf(({ topic }) => transform({ qos: topic === "lower" ? 0 : 1 })),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version })
        for (const [packetId, topic] of [
          [1, "lower"],
          [2, "one"]
        ] as const) {
          const packet = raw.publish({ version, topic, qos: 2, packetId })
          await client.send(packet)
          await acknowledged(client, 2)
          await client.send(raw.publish({ version, topic, qos: 2, packetId, dup: true }))
          await acknowledged(client, 2)
          await client.send(raw.pubrel({ packetId }))
          await client.expect("pubcomp")
        }
        expect(await watcher.expect("publish")).toMatchObject({ topic: "lower", qos: 0 })
        expect(await watcher.expect("publish")).toMatchObject({ topic: "one", qos: 1 })
        await watcher.quiet()
      }
    ))
})

describe("publish, version 5", () => {
  test("an alias stands for what the client sent, and the policy sees the topic", () => {
    const seen: Array<string> = []
    const policy = policyOf(({ topic }) => {
      seen.push(topic)
      return transform({ topic: `moved/${topic}` })
    })
    return withBroker(policy, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version: 5 })
      const properties = encodeProperties({ topicAlias: 3 })
      await client.send(raw.publish({ version: 5, topic: "a", properties }))
      await client.send(raw.publish({ version: 5, topic: "", properties }))
      for (let count = 0; count < 2; count++) expect((await watcher.expect("publish")).topic).toBe("moved/a")
      expect(seen).toEqual(["a", "a"])
    })
  })

  test("properties that are not changed stay, in their order; undefined takes one away", () => {
    const sent = encodeProperties({
      payloadFormatIndicator: 1,
      contentType: "text/plain",
      responseTopic: "answers",
      correlationData: new Uint8Array([9]),
      userProperties: [
        ["b", "1"],
        ["a", "2"],
        ["b", "3"]
      ]
    })
    const policy = policyOf(({ contentType, userProperties }) =>
      transform({
        contentType: undefined,
        userProperties: [...userProperties, ["was", contentType ?? ""] as const]
      })
    )
    return withBroker(policy, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, properties: sent }))
      const { properties } = await watcher.expect("publish")
      expect(properties).toEqual({
        payloadFormatIndicator: true,
        responseTopic: "answers",
        correlationData: Buffer.from([9]),
        userProperties: Object.assign(Object.create(null), { b: ["1", "3"], a: "2", was: "text/plain" })
      })
    })
  })

  test("the publisher's user properties are the policy's to customize, as are those of the broker's own", () => {
    const policy = policyOf(({ userProperties }) =>
      transform({
        userProperties: [...userProperties.filter(([name]) => name !== "secret"), ["tenant", "acme"] as const]
      })
    )
    return withBroker(policy, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version: 5 })
      const userProperties: ReadonlyArray<readonly [string, string]> = [
        ["secret", "s"],
        ["kept", "k"]
      ]
      await client.send(raw.publish({ version: 5, properties: encodeProperties({ userProperties }) }))
      expect({ ...(await watcher.expect("publish")).properties?.userProperties }).toEqual({
        kept: "k",
        tenant: "acme"
      })
    })
  })

  test("[MQTT-3.3.2-4] a payload that breaks its format indicator's promise is refused with 0x99", () =>
    withBroker(
      policyOf(() => transform({ payload: new Uint8Array([0xff]), payloadFormatIndicator: 1 })),
      async (broker) => {
        const watcher = await watch(broker)
        const client = await broker.connect({ version: 5 })
        await client.send(raw.publish({ version: 5, qos: 1, packetId: 1 }))
        expect((await acknowledged(client, 1)).code).toBe(0x99)
        await watcher.quiet()
      }
    ))

  test("a QoS or RETAIN that the tenant does not have is refused", () =>
    withBroker(
      {
        ...policyOf(({ topic }) => transform(topic === "qos" ? { qos: 2 } : { retain: true })),
        settings: { maximumQos: 1, retainAvailable: false }
      },
      async (broker) => {
        const client = await broker.connect({ version: 5 })
        for (const topic of ["qos", "retain"]) {
          await client.send(raw.publish({ version: 5, topic, qos: 1, packetId: 1 }))
          expect((await acknowledged(client, 1)).code).toBe(0x83)
        }
      }
    ))
})

describe.each(versions)("wills, version %d", (version) => {
  const wills = (publish: (message: PolicyMessage) => Answer<PublishVerdict>): Policy => ({
    publish: (message) => (message.isWill ? publish(message) : allow)
  })

  test("a will goes through the policy at CONNECT and when it is due, and is published as that makes it", () => {
    const seen: Array<string> = []
    const policy = wills(({ publisherId, topic }) => {
      seen.push(`${publisherId}: ${topic}`)
      return transform({ topic: `wills/${topic}`, payload: "moved" })
    })
    return withBroker({ policy: TenantPolicy.layer(policy) }, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version, will: { topic: "a" } })
      expect(seen).toEqual(["client: a"])
      client.drop()
      const { payload, topic } = await watcher.expect("publish")
      expect({ topic, payload: payload.toString() }).toEqual({ topic: "wills/a", payload: "moved" })
      expect(seen).toEqual(["client: a", "client: a"])
      expect(broker.eventsOf("WillPublished")).toMatchObject([{ topic: "wills/a" }])
    })
  })

  test("a will that the policy refuses refuses the CONNECT", () =>
    withBroker(
      { policy: TenantPolicy.layer(wills(() => refuse(ReasonCode.NotAuthorized, "no wills"))) },
      async (broker) => {
        const client = broker.open(version)
        await client.send(raw.connect({ version, will: {} }))
        const connack = await client.expect("connack")
        expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(version === 5 ? 0x87 : 5)
        await client.expectClosed()
        expect(broker.broker.census().sessions).toBe(0)
        expect(broker.eventsOf("ConnectRefused")).toMatchObject([{ cause: "refused-by-policy" }])
      }
    ))

  test("a will that is refused when it is due is not published", () => {
    let mayPublish = true
    const policy = wills(() => (mayPublish ? allow : refuse(ReasonCode.NotAuthorized, "not any more")))
    return withBroker({ policy: TenantPolicy.layer(policy) }, async (broker) => {
      const watcher = await watch(broker)
      const client = await broker.connect({ version, will: {} })
      mayPublish = false
      client.drop()
      await broker.settle()
      await watcher.quiet()
      expect(broker.eventsOf("PublishRefused")).toMatchObject([{ topic: "will", reason: "not any more" }])
    })
  })

  test.each([...failings])(
    "where the policy $name the CONNECT is refused, and a will not published",
    (failing) => {
      let isWell = false
      const policy = wills(() => (isWell ? allow : failing.answer()))
      return withBroker({ policy: TenantPolicy.layer(policy) }, async (broker) => {
        const watcher = await watch(broker)
        const refused = broker.open(version)
        await refused.send(raw.connect({ version, will: {} }))
        if (failing.hangs === true) await wait(broker)
        if (version === 5) expect((await refused.expect("connack")).reasonCode).toBe(0x83)
        await refused.expectClosed()
        isWell = true
        const client = await broker.connect({ version, will: {} })
        isWell = false
        client.drop()
        await wait(broker)
        await watcher.quiet()
        expect(broker.broker.counters("default")?.policyFailures).toBe(2)
      })
    }
  )
})
