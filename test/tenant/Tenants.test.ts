/**
 * Which tenants exist, who is asked, and that a directory that fails serves nobody and holds up nobody else.
 */

import { describe, expect, test } from "bun:test"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { DurableState } from "../../src/storage/DurableState.ts"
import { TenantDirectory, TenantUnavailable, unknownTenant } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import { TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "./byUsername.ts"

const directory = (settings: TenantDirectory["Type"]["settings"]) =>
  Layer.succeed(TenantDirectory, { settings })

const knock = async (broker: TestBroker, options: RawConnect): Promise<TestClient> => {
  const client = broker.open(options.version ?? 5)
  await client.send(raw.connect({ version: 5, ...options }))
  return client
}

describe("a directory that does not vouch for a tenant", () => {
  const answers: ReadonlyArray<
    readonly [
      name: string,
      settings: TenantDirectory["Type"]["settings"],
      code: number,
      v3: ReadonlyArray<number>
    ]
  > = [
    ["fails", (tenant) => new TenantUnavailable({ tenant, reason: "down" }), 0x88, [3]],
    ["dies", () => Effect.die("a bug"), 0x88, [3]],
    [
      "throws",
      () => {
        throw new TypeError("a bug")
      },
      0x88,
      [3]
    ],
    ["answers with no settings", () => Effect.succeed(undefined as unknown as TenantSettings), 0x88, [3]]
  ]
  for (const [name, settings, code, v3] of answers) {
    test(`and ${name} lets nobody in`, () =>
      withBroker({ authenticator: byUsername, directory: directory(settings) }, async (broker) => {
        const client = await knock(broker, { username: "a/alice" })
        expect((await client.expect("connack")).reasonCode).toBe(code)
        await client.expectClosed()
        const earlier = await knock(broker, { version: 4, username: "a/alice" })
        const codes = (await earlier.untilClosed()).map((packet) =>
          packet.cmd === "connack" ? packet.returnCode : packet.cmd
        )
        expect(codes).toEqual([...v3])
        expect(broker.eventsOf("ConnectRefused").length).toBe(2)
        expect(broker.broker.census().sessions).toBe(0)
      }))
  }

  test("an unknown tenant is refused, and asked for again the next time", () => {
    let known = false
    const layer = TenantDirectory.layerTable(() => (known ? defaultTenantSettings : undefined))
    return withBroker({ authenticator: byUsername, directory: layer }, async (broker) => {
      const early = await knock(broker, { username: "a/alice" })
      expect((await early.expect("connack")).reasonCode).toBe(0x88)
      known = true
      const late = await knock(broker, { username: "a/alice" })
      expect((await late.expect("connack")).reasonCode).toBe(0)
    })
  })
})

describe("a directory that takes its time", () => {
  test("is asked once for all the clients of a tenant that come meanwhile", async () => {
    let asked = 0
    const answer = Effect.runSync(Deferred.make<TenantSettings>())
    const slow = directory(() => {
      asked++
      return Deferred.await(answer)
    })
    await withBroker({ authenticator: byUsername, directory: slow }, async (broker) => {
      const clients: Array<TestClient> = []
      for (const clientId of ["1", "2", "3"])
        clients.push(await knock(broker, { clientId, username: "a/alice" }))
      await broker.settle()
      Effect.runSync(Deferred.succeed(answer, defaultTenantSettings))
      for (const client of clients) await client.connected()
      expect(asked).toBe(1)
    })
  })

  test("holds up no other tenant, and its own clients only until their handshake is over", () => {
    const hanging = directory((tenant) =>
      tenant === "slow" ? Effect.never : Effect.succeed(defaultTenantSettings)
    )
    return withBroker({ authenticator: byUsername, directory: hanging }, async (broker) => {
      const waiting = await knock(broker, { clientId: "1", username: "slow/sam" })
      await broker.settle()
      const other = await knock(broker, { clientId: "2", username: "quick/quentin" })
      await other.connected()
      await broker.advance(10_100)
      await waiting.expectClosed()
      await broker.settle()
      expect(broker.broker.census().connections).toBe(1)
    })
  })

  test("and whose first client gives up is asked by the next", () => {
    let asked = 0
    const once = directory(() => (asked++ === 0 ? Effect.never : Effect.succeed(defaultTenantSettings)))
    return withBroker({ authenticator: byUsername, directory: once }, async (broker) => {
      const first = await knock(broker, { clientId: "1", username: "a/alice" })
      await broker.settle()
      const second = await knock(broker, { clientId: "2", username: "a/alice" })
      await broker.settle()
      first.drop()
      await second.connected()
      expect(asked).toBe(2)
    })
  })
})

describe("a tenant may turn a protocol version off", () => {
  const versions: ReadonlyArray<readonly [version: Version, settings: Partial<TenantSettings>]> = [
    [3, { mqtt31: false }],
    [4, { mqtt311: false }],
    [5, { mqtt5: false }]
  ]
  test.each(versions)("[MQTT-3.1.2-2] %i", (version, settings) =>
    withBroker({ settings }, async (broker) => {
      const refused = await knock(broker, { version })
      const connack = await refused.expect("connack")
      expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(version === 5 ? 0x84 : 1)
      const other = await knock(broker, { version: version === 4 ? 5 : 4 })
      await other.connected()
    })
  )
})

test("what is stored for a tenant that is served later than the others is taken up before its clients are", async () => {
  const stored = new DurableState()
  const lasting = { clientId: "c", version: 5, properties: properties.sessionExpiryInterval(600) } as const
  const before = await TestBroker.start({ stored })
  const absent = await before.connect(lasting)
  await absent.subscribe(["t", 1])
  absent.drop()
  await before.settle()
  const publisher = await before.connect({ clientId: "p" })
  await publisher.publish("t", "waiting", { retain: true })
  await before.stop()
  let isServed = false
  const settings = (tenant: string) =>
    isServed
      ? Effect.succeed(defaultTenantSettings)
      : Effect.fail(new TenantUnavailable({ tenant, reason: "down" }))
  await withBroker({ stored, directory: directory((tenant) => settings(tenant)) }, async (broker) => {
    isServed = true
    const [client] = await Promise.all([
      broker.connect({ ...lasting, clean: false }),
      broker.connect({ clientId: "other" })
    ])
    expect(client.connack?.sessionPresent).toBe(true)
    expect((await client.expect("publish")).payload.toString()).toBe("waiting")
    expect(broker.broker.census()).toMatchObject({ sessions: 2, subscriptions: 1, retainedMessages: 1 })
  })
})

describe("a directory that says what has changed", () => {
  const changing = () => {
    const changes = Effect.runSync(Queue.unbounded<string | undefined>())
    const granted = new Map([
      ["a", 9],
      ["b", 9]
    ])
    const states = new Map<string, "active" | "suspended">()
    const directory = Layer.succeed(TenantDirectory, {
      settings: (tenant) => {
        const topicLevelsMax = granted.get(tenant)
        return topicLevelsMax === undefined
          ? unknownTenant(tenant)
          : Effect.succeed({ ...defaultTenantSettings, topicLevelsMax })
      },
      state: (tenant) => Effect.succeed(states.get(tenant) ?? "active"),
      changes: Stream.fromQueue(changes)
    })
    const tell = (tenant?: string) => Effect.runSync(Queue.offer(changes, tenant))
    return { directory, granted, states, tell }
  }

  const connect = (broker: TestBroker, tenant: string) =>
    broker.connect({ version: 5, clientId: tenant, username: `${tenant}/x` })

  test("is believed at once, of the tenant that it names or of all", () => {
    const { directory, granted, tell } = changing()
    return withBroker({ authenticator: byUsername, directory }, async (broker) => {
      for (const tenant of ["a", "b"]) await connect(broker, tenant)
      for (const tenant of ["a", "b"]) granted.set(tenant, 3)
      const limits = () =>
        ["a", "b"].map((id) => broker.broker.administration.tenant(id)?.settings.topicLevelsMax)
      tell("a")
      await broker.settle()
      expect(limits()).toEqual([3, 9])
      tell()
      await broker.settle()
      expect(limits()).toEqual([3, 3])
    })
  })

  test("suspends a tenant, and one that it knows no more", () => {
    const { directory, granted, states, tell } = changing()
    return withBroker({ authenticator: byUsername, directory }, async (broker) => {
      const clients = [await connect(broker, "a"), await connect(broker, "b")]
      states.set("a", "suspended")
      granted.delete("b")
      tell()
      for (const client of clients) expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
      const knocked = await knock(broker, { username: "a/x" })
      expect((await knocked.expect("connack")).reasonCode).toBe(0x8a)
    })
  })

  test("and then cannot answer changes nothing", () => {
    const { directory, tell } = changing()
    let isDown = false
    const failing = Layer.map(directory, (context) => {
      const inner = Context.get(context, TenantDirectory)
      return Context.make(TenantDirectory, {
        ...inner,
        settings: (tenant: string) =>
          isDown ? Effect.fail(new TenantUnavailable({ tenant, reason: "down" })) : inner.settings(tenant)
      })
    })
    return withBroker({ authenticator: byUsername, directory: failing }, async (broker) => {
      const client = await connect(broker, "a")
      isDown = true
      tell()
      await broker.settle()
      await client.quiet()
      isDown = false
      tell("a")
      await broker.settle()
      await (await connect(broker, "b")).quiet()
    })
  })
})
