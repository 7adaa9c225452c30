/** Attacks by way of a tenant's policy: rows 19 and 32 of the attack table. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { type Policy, TenantPolicy } from "../../src/tenant/policy/TenantPolicy.ts"
import { allow, transform } from "../../src/tenant/policy/Verdict.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"

const versions: ReadonlyArray<Version> = [4, 5]

/** `client` may publish and subscribe below `mine` only; the others may do everything. */
const authorizer = Authorizer.layerRules(({ clientId }) => [
  { permission: "allow", action: "all", topicFilter: clientId === "client" ? "mine/#" : "#" }
])

/** The payload says where the policy is to move the message. */
const moving: Policy = {
  publish: ({ payload }) => transform({ topic: Buffer.from(payload).toString() })
}

const watch = async (broker: TestBroker): Promise<TestClient> => {
  const watcher = await broker.connect({ version: 5, clientId: "watcher", keepAlive: 0 })
  await watcher.subscribe("#", "$SYS/#")
  return watcher
}

describe.each(versions)("attack 19: a rewriting policy moves a message, version %d", (version) => {
  const places: ReadonlyArray<readonly [topic: string, code: number]> = [
    ["theirs", 0x87],
    ["mine", 0],
    ["mine/too", 0],
    ["$SYS/broker/uptime", 0x87],
    ["$SYS", 0x87],
    ["$share/g/mine/a", 0x87],
    ["mine/+", 0x90],
    ["mine/#", 0x90],
    ["", 0x90],
    ["mine/\0", 0x90],
    [`mine/${"x".repeat(65_600)}`, 0x90],
    [`mine${"/".repeat(200)}`, 0x90]
  ]

  test.each([...places])("attack 19: moved to %.20j it is judged there: %d", (topic, code) =>
    withBroker({ authorizer, policy: TenantPolicy.layer(moving) }, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(
        raw.publish({ version, topic: "mine/a", payload: topic, qos: 1, packetId: 1, retain: true })
      )
      const { reasonCode = 0 } = await client.expect("puback")
      expect(reasonCode & 0x80 ? reasonCode : 0).toBe(version === 5 ? code : 0)
      expect(broker.broker.census().retainedMessages).toBe(code === 0 ? 1 : 0)
      await client.quiet()
    })
  )

  test.each([...places.filter(([topic]) => topic.length < 65_536)])(
    "attack 19: a will that is moved to %.20j is judged there: %d",
    (topic, code) =>
      withBroker({ authorizer, policy: TenantPolicy.layer(moving) }, async (broker) => {
        const client = broker.open(version)
        await client.send(raw.connect({ version, will: { topic: "mine/a", payload: topic, retain: true } }))
        if (code === 0) {
          await client.connected()
          client.drop()
          await broker.settle()
        } else if (version === 5) expect((await client.expect("connack")).reasonCode).toBe(code)
        expect(broker.broker.census().retainedMessages).toBe(code === 0 ? 1 : 0)
      })
  )

  test("attack 19: a will that is moved only when it is due is judged then", () => {
    let place = "mine/a"
    const policy = TenantPolicy.layer({
      publish: ({ isWill }) => (isWill ? transform({ topic: place }) : allow)
    })
    return withBroker({ authorizer, policy }, async (broker) => {
      const watcher = await watch(broker)
      for (const [moved, isPublished] of [
        ["theirs", false],
        ["$SYS/x", false],
        ["mine/#", false],
        ["mine/b", true]
      ] as const) {
        place = "mine/a"
        const client = await broker.connect({ version, will: { topic: "mine/a" } })
        place = moved
        client.drop()
        await broker.settle()
        if (isPublished) expect((await watcher.expect("publish")).topic).toBe(moved)
      }
      await watcher.quiet()
    })
  })

  test.each([
    ["theirs", 0x87],
    ["#", 0x87],
    ["$SYS/#", 0x87],
    ["mine/too/#", 0],
    ["mine/#/x", 0x83],
    ["", 0x83]
  ] as const)("attack 19: a filter that is moved to %j is judged there: %d", (topicFilter, code) =>
    withBroker(
      { authorizer, policy: TenantPolicy.layer({ subscribe: () => transform({ topicFilter }) }) },
      async (broker) => {
        const client = await broker.connect({ version })
        await client.send(raw.subscribe({ version, filters: ["mine/a", "$share/g/mine/b"] }))
        const told = code === 0 ? 0 : version === 5 ? code : 0x80
        expect((await client.expect("suback")).granted).toEqual([told, told])
        expect(broker.broker.census().subscriptions).toBe(code === 0 ? 2 : 0)
      }
    )
  )

  test("attack 19: a policy cannot make a subscription a shared one", () =>
    withBroker(
      { policy: TenantPolicy.layer({ subscribe: () => transform({ topicFilter: "$share/g/mine/a" }) }) },
      async (broker) => {
        const client = await broker.connect({ version })
        await client.send(raw.subscribe({ version, filters: ["mine/a"] }))
        expect((await client.expect("suback")).granted).toEqual([version === 5 ? 0x83 : 0x80])
      }
    ))

  test("attack 19: an authorizer that suspends is asked of the place that the policy chose", () => {
    const asked: Array<string> = []
    const suspending = Layer.succeed(Authorizer, {
      permissions: () =>
        Effect.succeed({
          publish: (topic: string) =>
            Effect.map(Effect.yieldNow(), () => {
              asked.push(topic)
              return false
            }),
          subscribe: () => true,
          deliver: undefined
        })
    })
    const policy = TenantPolicy.layer({
      publish: ({ payload }) =>
        Effect.as(Effect.yieldNow(), transform({ topic: Buffer.from(payload).toString() }))
    })
    return withBroker({ authorizer: suspending, policy }, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.publish({ version, topic: "mine/a", payload: "theirs", qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).reasonCode ?? 0).toBe(version === 5 ? 0x87 : 0)
      expect(asked).toEqual(["theirs"])
      expect(broker.eventsOf("PublishRefused")).toMatchObject([{ topic: "theirs", reasonCode: 0x87 }])
    })
  })
})

describe("attack 32: a policy that does not answer", () => {
  const tenants = {
    authenticator: byUsername,
    directory: TenantDirectory.layerTable(() => defaultTenantSettings)
  }

  const connect = (broker: TestBroker, tenant: string, clientId: string): Promise<TestClient> =>
    broker.connect({ version: 5, clientId, username: `${tenant}/${clientId}`, keepAlive: 0 })

  /** Every hook of the tenant `stuck` hangs; but `first` gets in, and subscribes. */
  const stalled = TenantPolicy.forTenant((tenant) =>
    tenant === "stuck"
      ? {
          admit: ({ identity }) => (identity.clientId.startsWith("first") ? allow : Effect.never),
          publish: () => Effect.never,
          subscribe: ({ topicFilter }) => (topicFilter === "#" ? allow : Effect.never),
          unsubscribe: () => Effect.never,
          deliver: () => Effect.never,
          settings: () => ({})
        }
      : undefined
  )

  test("attack 32: does not delay another tenant, however many of its clients wait", () =>
    withBroker({ ...tenants, policy: stalled }, async (broker) => {
      const stuck: Array<TestClient> = []
      for (let count = 0; count < 50; count++) {
        const client = await connect(broker, "stuck", `first${count}`)
        await client.subscribe("#")
        await client.send(
          raw.publish({ version: 5, topic: "a", qos: 1, packetId: 1 }),
          raw.subscribe({ version: 5, packetId: 2 })
        )
        const waiting = broker.open(5)
        await waiting.send(raw.connect({ version: 5, clientId: `w${count}`, username: `stuck/w${count}` }))
        stuck.push(client)
      }
      await broker.settle()
      // No time passes: whatever waited for the other tenant would wait for ever.
      const well = await connect(broker, "well", "one")
      await well.subscribe(["#", 1])
      const other = await connect(broker, "well", "two")
      for (let count = 0; count < 100; count++) {
        await other.publish(`a/${count}`)
        const packet = await well.expect("publish")
        expect(packet.topic).toBe(`a/${count}`)
        await well.send(raw.puback({ packetId: packet.messageId ?? 0 }))
      }
      expect(broker.broker.counters("well")).toMatchObject({ policyFailures: 0, messagesSent: 100 })
      for (let times = 0; times < 2; times++) await broker.advance(5100)
      for (const client of stuck) {
        expect((await client.expect("puback")).reasonCode).toBe(0x83)
        expect((await client.expect("suback")).granted).toEqual([0x83])
      }
      expect(broker.broker.counters("well")?.policyFailures).toBe(0)
      expect(broker.eventsOf("PolicyFailed").every(({ tenant }) => tenant === "stuck")).toBe(true)
    }))

  test("attack 32: of one client does not delay the next one of the same tenant", () => {
    const gate = Effect.runSync(Deferred.make<typeof allow>())
    const policy = TenantPolicy.layer({
      publish: (_, { clientId }) => (clientId === "slow" ? Deferred.await(gate) : allow)
    })
    return withBroker({ ...tenants, policy }, async (broker) => {
      const watcher = await connect(broker, "acme", "watcher")
      await watcher.subscribe("#")
      const slow = await connect(broker, "acme", "slow")
      await slow.send(raw.publish({ version: 5, topic: "slow", qos: 1, packetId: 1 }))
      const quick = await connect(broker, "acme", "quick")
      for (let count = 0; count < 10; count++) await quick.publish(`quick/${count}`)
      for (let count = 0; count < 10; count++)
        expect((await watcher.expect("publish")).topic).toBe(`quick/${count}`)
      await watcher.quiet()
      Effect.runSync(Deferred.succeed(gate, allow))
      await slow.expect("puback")
    })
  })

  test("attack 32: that throws at every turn closes nobody, and lets the client go on afterwards", () => {
    let isWell = false
    const throwing = () => {
      if (isWell) return allow
      throw new TypeError("a bug")
    }
    const policy = TenantPolicy.layer({
      publish: throwing,
      subscribe: throwing,
      unsubscribe: throwing,
      deliver: throwing
    })
    return withBroker({ policy }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      for (let count = 0; count < 100; count++) {
        await client.send(raw.publish({ version: 5, topic: "a", qos: 1, packetId: 1 }))
        expect((await client.expect("puback")).reasonCode).toBe(0x83)
      }
      isWell = true
      await client.subscribe("a")
      await client.send(raw.publish({ version: 5, topic: "a" }))
      expect((await client.expect("publish")).topic).toBe("a")
      expect(broker.eventsOf("ActorDefect")).toEqual([])
      expect(broker.broker.counters("default")?.policyFailures).toBe(100)
    })
  })

  test("attack 35: a policy cannot move a message to another tenant", () =>
    withBroker(
      {
        ...tenants,
        policy: TenantPolicy.forTenant(() => ({ publish: () => transform({ topic: "well/secret" }) }))
      },
      async (broker) => {
        const other = await connect(broker, "well", "one")
        await other.subscribe("#", "$SYS/#", "well/#")
        const client = await connect(broker, "acme", "one")
        await client.subscribe("#")
        await client.send(raw.publish({ version: 5, topic: "a" }))
        expect((await client.expect("publish")).topic).toBe("well/secret")
        await other.quiet()
      }
    ))
})
