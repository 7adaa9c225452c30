import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { DurableState } from "../../../src/storage/DurableState.ts"
import {
  type Policy,
  type PolicySubscription,
  TenantPolicy
} from "../../../src/tenant/policy/TenantPolicy.ts"
import {
  type Answer,
  allow,
  refuse,
  type SubscribeVerdict,
  transform
} from "../../../src/tenant/policy/Verdict.ts"
import { hex, raw, type Version } from "../../support/raw.ts"
import { type TestClient, withBroker } from "../../support/testBroker.ts"
import { failings, wait } from "./failures.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

const policyOf = (subscribe: (subscription: PolicySubscription) => Answer<SubscribeVerdict>) => ({
  policy: TenantPolicy.layer({ subscribe })
})

/** Puts everything below a name of its own, and takes it away again when the client leaves. */
const renaming: Policy = {
  subscribe: ({ topicFilter }) => transform({ topicFilter: `own/${topicFilter}` }),
  unsubscribe: ({ topicFilter }) => transform({ topicFilter: `own/${topicFilter}` })
}

const granted = async (client: TestClient, ...filters: ReadonlyArray<string | readonly [string, number]>) => {
  await client.send(raw.subscribe({ version: client.version, filters }))
  return (await client.expect("suback")).granted
}

const left = async (client: TestClient, ...filters: ReadonlyArray<string>) => {
  await client.send(raw.unsubscribe({ version: client.version, filters }))
  return (await client.expect("unsuback")).granted
}

describe.each(versions)("subscribe, version %d", (version) => {
  const told = (code: number) => (version === 5 ? code : 0x80)

  test("the policy sees each filter, without its share name, and what is allowed is granted", () => {
    const seen: Array<unknown> = []
    const policy = policyOf(({ group, qos, topicFilter }) => {
      seen.push({ group, qos, topicFilter })
      return allow
    })
    return withBroker(policy, async (broker) => {
      const client = await broker.connect({ version })
      expect(await granted(client, ["a/+", 1], ["$share/g/b/#", 2], ["$oshare/h/c", 0])).toEqual([1, 2, 0])
      expect(seen).toEqual([
        { topicFilter: "a/+", group: undefined, qos: 1 },
        { topicFilter: "b/#", group: "g", qos: 2 },
        { topicFilter: "c", group: "h", qos: 0 }
      ])
    })
  })

  test("each filter is judged alone, and a refused one never matches", () =>
    withBroker(
      policyOf(({ topicFilter }) => (topicFilter === "bad" ? refuse(ReasonCode.QuotaExceeded, "no") : allow)),
      async (broker) => {
        const client = await broker.connect({ version })
        expect(await granted(client, ["good", 1], ["bad", 1], ["$share/g/bad", 1], ["fine", 0])).toEqual([
          1,
          told(0x97),
          told(0x97),
          0
        ])
        const other = await broker.connect({ version, clientId: "other" })
        for (const topic of ["bad", "good"]) await other.publish(topic)
        expect((await client.expect("publish")).topic).toBe("good")
        await client.quiet()
        expect(broker.eventsOf("SubscribeRefused")).toMatchObject([
          { topicFilter: "bad", reasonCode: 0x97, reason: "no", cause: "refused-by-policy" },
          { topicFilter: "$share/g/bad" }
        ])
      }
    ))

  test("the QoS can be lowered and not raised", () =>
    withBroker(
      policyOf(({ topicFilter }) => transform({ qos: topicFilter === "low" ? 0 : 2 })),
      async (broker) => {
        const client = await broker.connect({ version })
        expect(await granted(client, ["low", 2], ["high", 1])).toEqual([0, 1])
      }
    ))

  test("a renamed filter matches as renamed, shared ones too, with what is retained", () =>
    withBroker({ policy: TenantPolicy.layer(renaming) }, async (broker) => {
      const client = await broker.connect({ version })
      const other = await broker.connect({ version, clientId: "other" })
      await other.publish("own/kept", "1", { retain: true })
      expect(await granted(client, ["kept", 1], ["$share/g/shared", 1])).toEqual([1, 1])
      expect((await client.expect("publish")).topic).toBe("own/kept")
      await other.publish("kept")
      await other.publish("shared")
      await other.publish("own/shared")
      expect((await client.expect("publish")).topic).toBe("own/shared")
      await client.quiet()
      expect(broker.broker.census().subscriptions).toBe(2)
      await left(client, "kept", "$share/g/shared")
      await broker.settle()
      expect(broker.broker.census().subscriptions).toBe(0)
      await other.publish("own/kept")
      await client.quiet()
    }))

  test("what is renamed into nonsense is refused", () =>
    withBroker(
      policyOf(({ topicFilter }) => transform({ topicFilter: topicFilter === "a" ? "a/#/b" : "$share/g/x" })),
      async (broker) => {
        const client = await broker.connect({ version })
        expect(await granted(client, "a", "b")).toEqual([told(0x83), told(0x83)])
        expect(broker.broker.census().subscriptions).toBe(0)
      }
    ))

  test("a filter that is not valid is refused as ever, and the policy not asked", () => {
    let asked = 0
    const policy = policyOf(() => {
      asked++
      return allow
    })
    return withBroker(policy, async (broker) => {
      const client = await broker.connect({ version })
      expect(await granted(client, "a/#/b", "$share//a")).toEqual([told(0x8f), told(0x8f)])
      expect(asked).toBe(0)
    })
  })

  test.each([...failings])("a policy that $name has refused that filter alone, and is counted", (failing) => {
    const { answer, hangs = false, reason } = failing
    return withBroker(
      policyOf(({ topicFilter }) => (topicFilter === "bad" ? answer() : allow)),
      async (broker) => {
        const client = await broker.connect({ version })
        await client.send(raw.subscribe({ version, filters: ["good", "bad", "fine"] }))
        if (hangs) await wait(broker)
        expect((await client.expect("suback")).granted).toEqual([0, told(0x83), 0])
        expect(broker.broker.counters("default")).toMatchObject({ policyFailures: 1 })
        expect(broker.eventsOf("PolicyFailed")).toMatchObject([
          { clientId: "client", hook: "subscribe", reason }
        ])
      }
    )
  })

  test("while the policy is asked what the client sends waits, in order", () => {
    const gate = Effect.runSync(Deferred.make<SubscribeVerdict>())
    return withBroker(
      policyOf(({ topicFilter }) => (topicFilter === "slow" ? Deferred.await(gate) : allow)),
      async (broker) => {
        const client = await broker.connect({ version })
        await client.send(
          raw.subscribe({ version, packetId: 1, filters: ["quick", "slow"] }),
          raw.publish({ version, topic: "quick" }),
          raw.unsubscribe({ version, packetId: 2, filters: ["quick"] }),
          raw.publish({ version, topic: "quick" })
        )
        await broker.settle()
        Effect.runSync(Deferred.succeed(gate, refuse(0x87, "no")))
        expect((await client.expect("suback")).granted).toEqual([0, told(0x87)])
        expect((await client.expect("publish")).topic).toBe("quick")
        await client.expect("unsuback")
        await client.quiet()
      }
    )
  })
})

describe.each(versions)("unsubscribe, version %d", (version) => {
  test.each([...failings])(
    "a policy that $name lets nobody go, and is counted",
    ({ answer, hangs = false }) =>
      withBroker({ policy: TenantPolicy.layer({ unsubscribe: answer }) }, async (broker) => {
        const client = await broker.connect({ version })
        await granted(client, "a")
        await client.send(raw.unsubscribe({ version, filters: ["a"] }))
        if (hangs) await wait(broker)
        const { granted: codes } = await client.expect("unsuback")
        if (version === 5) expect(codes).toEqual([0x83])
        expect(broker.broker.census().subscriptions).toBe(1)
        expect(broker.eventsOf("PolicyFailed")).toMatchObject([{ hook: "unsubscribe" }])
      })
  )

  test("a refusal is told, and the others go", () =>
    withBroker(
      {
        policy: TenantPolicy.layer({
          unsubscribe: ({ topicFilter }) => (topicFilter === "duty" ? refuse(0x87, "stay") : allow)
        })
      },
      async (broker) => {
        const client = await broker.connect({ version })
        await granted(client, "duty", "$share/g/duty", "a")
        const codes = await left(client, "duty", "$share/g/duty", "a", "b", "a/#/b")
        if (version === 5) expect(codes).toEqual([0x87, 0x87, 0, 0x11, 0x8f])
        await broker.settle()
        expect(broker.broker.census().subscriptions).toBe(2)
      }
    ))
})

describe("renamed filters", () => {
  test("a stored subscription is the renamed one, before a restart and after it", async () => {
    const stored = new DurableState()
    const options = { version: 5, clean: false, properties: hex("11 00 00 0e 10") } as const
    const policy = TenantPolicy.layer(renaming)
    await withBroker({ policy, stored }, async (broker) => {
      const client = await broker.connect(options)
      await granted(client, ["a", 1])
      await broker.settle()
    })
    await withBroker({ policy, stored }, async (broker) => {
      const other = await broker.connect({ version: 5, clientId: "other" })
      await other.publish("own/a")
      const client = await broker.connect(options)
      expect((await client.expect("publish")).topic).toBe("own/a")
      expect(await left(client, "a")).toEqual([0])
      await broker.settle()
      expect(broker.broker.census().subscriptions).toBe(0)
    })
  })

  test("a wildcard that the tenant does not have is refused, not a reason to close", () =>
    withBroker(
      {
        ...policyOf(({ topicFilter }) => transform({ topicFilter: `${topicFilter}/#` })),
        settings: { wildcardSubscriptionAvailable: false }
      },
      async (broker) => {
        const client = await broker.connect({ version: 5 })
        expect(await granted(client, "a")).toEqual([0x83])
        // A client that was told is closed for asking itself.
        await client.send(raw.subscribe({ version: 5, filters: ["a/#"] }))
        expect((await client.expect("disconnect")).reasonCode).toBe(0xa2)
      }
    ))

  test("a refusal with a code of what is not supported does not close the connection", () =>
    withBroker(
      policyOf(() => refuse(ReasonCode.SharedSubscriptionsNotSupported, "not here")),
      async (broker) => {
        const client = await broker.connect({ version: 5 })
        expect(await granted(client, "$share/g/a")).toEqual([0x9e])
        await client.quiet()
      }
    ))
})
