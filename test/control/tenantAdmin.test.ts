/** Tenants made, changed and looked at while the broker runs. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import type { AdministrationError } from "../../src/control/AdministrationError.ts"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import type { TenantTable } from "../../src/tenant/ConfiguredTenants.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { raw } from "../support/raw.ts"
import type { TestBroker } from "../support/testBroker.ts"
import { type Administered, administered } from "./administered.ts"

const run = Effect.runPromise

const failureOf = <A>(answer: Effect.Effect<A, AdministrationError>): Promise<AdministrationError> =>
  run(Effect.flip(answer))

const codeFor = async (broker: TestBroker, username: string): Promise<number | undefined> => {
  const client = broker.open(5)
  await client.send(raw.connect({ version: 5, username, clientId: username }))
  return (await client.expect("connack")).reasonCode
}

const configured = (settings = defaultTenantSettings): TenantTable["tenants"] =>
  new Map([["written", { state: "active", settings }]])

describe("a tenant that is made", () => {
  test("has its own settings from its first client on", () =>
    administered({ table: { firstSight: "refuse" } }, async ({ admin, broker }) => {
      expect(await codeFor(broker, "acme/x")).toBe(0x88)
      const made = await run(admin.create("acme", { maximumQos: 1, queueBytesMax: "2MB" }))
      expect(made).toMatchObject({ tenant: "acme", state: "active", madeBy: "operator" })
      expect(made.own.toSorted()).toEqual(["maximumQos", "queueBytesMax"])
      expect(made.settings).toMatchObject({ maximumQos: 1, queueBytesMax: "2MB", receiveMaximum: 1000 })
      const client = await broker.connect({ version: 5, username: "acme/x" })
      expect(client.connack?.properties?.maximumQoS).toBe(1)
      expect(broker.eventsOf("TenantChanged")).toEqual([
        { _tag: "TenantChanged", tenant: "acme", change: "created" }
      ])
    }))

  test("is there after a restart, with what was changed since", async () => {
    const storage = layerMemory(new DurableState(), new AdministrationState())
    const table = { firstSight: "refuse" } as const
    await administered({ storage, table }, async ({ admin }) => {
      await run(admin.create("acme", { maximumQos: 1 }))
      await run(admin.update("acme", { maximumQos: null, retainAvailable: false }))
    })
    await administered({ storage, table }, async ({ admin, broker }) => {
      const client = await broker.connect({ version: 5, username: "acme/x" })
      expect(client.connack?.properties).toMatchObject({ retainAvailable: false })
      expect(client.connack?.properties?.maximumQoS).toBeUndefined()
      expect((await run(admin.get("acme"))).own).toEqual(["retainAvailable"])
    })
  })

  test("whose stored settings cannot be used any more lets nobody in, and says why", async () => {
    const state = new AdministrationState()
    const times = { createdAtMs: 1, changedAtMs: 1 }
    state.putTenant({ tenant: "acme", state: "active", settings: { maximumQos: 9 }, ...times })
    await administered({ storage: layerMemory(new DurableState(), state) }, async ({ admin, broker }) => {
      expect(await codeFor(broker, "acme/x")).toBe(0x88)
      expect(broker.eventsOf("ConnectRefused").map(({ reason }) => reason)).toEqual([
        expect.stringContaining("maximumQos")
      ])
      expect((await run(admin.get("acme"))).problems.map(({ key }) => key)).toEqual(["maximumQos"])
    })
  })
})

describe("what is refused", () => {
  const table: ReadonlyArray<
    readonly [
      name: string,
      ask: (admin: Administered["admin"]) => Effect.Effect<unknown, AdministrationError>,
      code: AdministrationError["code"],
      keys?: ReadonlyArray<string>
    ]
  > = [
    ["a second tenant of one name", (admin) => admin.create("acme", {}), "exists"],
    ["one that is configured", (admin) => admin.create("written", {}), "exists"],
    ["a name that is none", (admin) => admin.create(" ", {}), "invalid"],
    ["a name with a line break", (admin) => admin.create("a\nb", {}), "invalid"],
    ["an unknown setting", (admin) => admin.create("b", { maximumQoS: 1 }), "invalid", ["maximumQoS"]],
    [
      "all that is wrong at once",
      (admin) => admin.update("acme", { maximumQos: 3, weight: -1 }),
      "invalid",
      ["maximumQos", "weight"]
    ],
    [
      "settings that contradict those of every tenant",
      (admin) => admin.update("acme", { keepAliveMin: 65_535, keepAliveMax: 10 }),
      "invalid",
      ["keepAliveMin"]
    ],
    ["settings of one that is configured", (admin) => admin.update("written", { weight: 2 }), "configured"],
    [
      "the deletion of one that is configured",
      (admin) => admin.remove("written", { withUsage: true }),
      "configured"
    ],
    ["to show one that nobody has made", (admin) => admin.get("nobody"), "not-found"],
    ["to change one that nobody has made", (admin) => admin.update("nobody", { weight: 2 }), "not-found"],
    ["to suspend one that nobody has made", (admin) => admin.enterState("nobody", "suspended"), "not-found"],
    [
      "to delete one that nobody has made",
      (admin) => admin.remove("nobody", { withUsage: true }),
      "not-found"
    ],
    ["the prototype of all", (admin) => admin.get("__proto__"), "not-found"]
  ]
  test.each(table)("%s", (_, ask, code, keys = []) =>
    administered({ table: { tenants: configured() } }, async ({ admin }) => {
      await run(admin.create("acme", {}))
      const before = await run(admin.list)
      const failure = await failureOf(ask(admin))
      expect(failure.code).toBe(code)
      expect(failure.problems.map(({ key }) => key)).toEqual([...keys])
      expect(await run(admin.list)).toEqual(before)
    })
  )
})

describe("the list", () => {
  test("has those who are configured, stored, or there, and what they hold", () =>
    administered({ table: { tenants: configured(), firstSight: "create" } }, async ({ admin, broker }) => {
      await run(admin.create("acme", {}))
      const client = await broker.connect({ version: 5, username: "seen/x" })
      await client.subscribe(["a", 1], ["b", 1])
      await client.publish("t", "x", { retain: true })
      const list = await run(admin.list)
      expect(list.map(({ madeBy, tenant }) => [tenant, madeBy])).toEqual([
        ["acme", "operator"],
        ["seen", "first client"],
        ["written", "configuration"]
      ])
      expect(list[1]).toMatchObject({ clients: 1, sessions: 1, subscriptions: 2, retainedMessages: 1 })
      expect((await run(admin.get("seen"))).counters).toMatchObject({ messagesReceived: 1 })
    }))
})

describe("another configuration", () => {
  test("holds for tenants that are live, from then on", () =>
    administered({ table: { tenants: configured() } }, async ({ admin, broker }) => {
      const client = await broker.connect({ version: 5, username: "written/x" })
      const own = { ...defaultTenantSettings, topicLevelsMax: 1 }
      await run(
        admin.reconfigure({ base: defaultTenantSettings, tenants: configured(own), firstSight: "create" })
      )
      await client.send(raw.publish({ version: 5, topic: "a/b", qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x90)
    }))

  test("that has a tenant no more lets nobody of it stay", () =>
    administered({ table: { tenants: configured() } }, async ({ admin, broker }) => {
      const gone = await broker.connect({ version: 5, username: "written/x" })
      const base = { base: defaultTenantSettings, tenants: new Map(), firstSight: "refuse" } as const
      await run(admin.reconfigure(base))
      expect((await gone.expect("disconnect")).reasonCode).toBe(0x98)
      expect(await codeFor(broker, "written/x")).not.toBe(0)
      await run(admin.reconfigure({ ...base, tenants: configured() }))
      expect(await codeFor(broker, "written/x")).toBe(0)
    }))

  test("that suspends one sends its clients away, and lets them come back when it does not", () =>
    administered({ table: { tenants: configured() } }, async ({ admin, broker }) => {
      const client = await broker.connect({ version: 5, username: "written/x" })
      const base = { base: defaultTenantSettings, firstSight: "create" } as const
      const entry = { settings: defaultTenantSettings }
      await run(
        admin.reconfigure({ ...base, tenants: new Map([["written", { ...entry, state: "suspended" }]]) })
      )
      expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
      expect(await codeFor(broker, "written/x")).toBe(0x8a)
      await run(admin.reconfigure({ ...base, tenants: configured() }))
      expect(await codeFor(broker, "written/x")).toBe(0)
    }))
})
