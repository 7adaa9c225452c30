/** What becomes of a tenant's clients when an operator suspends, drains or resumes it. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AdministrationError } from "../../src/control/AdministrationError.ts"
import type { TenantAdmin } from "../../src/control/TenantAdmin.ts"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { ClientBalancer, type Redirect } from "../../src/tenant/ClientBalancer.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import type { TestBroker, TestClient } from "../support/testBroker.ts"
import { administered } from "./administered.ts"

const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(600) } as const

const knock = async (broker: TestBroker, options: RawConnect): Promise<TestClient> => {
  const client = broker.open(options.version ?? 5)
  await client.send(raw.connect({ version: 5, ...options }))
  return client
}

const enter = (
  admin: TenantAdmin["Type"],
  tenant: string,
  state: Parameters<TenantAdmin["Type"]["enterState"]>[1]
) => Effect.runPromise(admin.enterState(tenant, state))

const failureOf = <A>(answer: Effect.Effect<A, AdministrationError>): Promise<string> =>
  Effect.runPromise(Effect.map(Effect.flip(answer), ({ code }) => code))

describe("a suspended tenant", () => {
  const versions: ReadonlyArray<readonly [Version, number]> = [
    [3, 5],
    [4, 5],
    [5, 0x8a]
  ]
  test.each(versions)("refuses clients of version %i", (version, code) =>
    administered({}, async ({ admin, broker }) => {
      await broker.connect({ version: 5, clientId: "first", username: "a/x" })
      await enter(admin, "a", "suspended")
      const client = await knock(broker, { version, username: "a/x" })
      const connack = await client.expect("connack")
      expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(code)
      await client.expectClosed()
      await (await broker.connect({ clientId: "other", username: "b/x" })).quiet()
    })
  )

  test("sends away who is there with 0x98, and keeps what is theirs for their return", () =>
    administered({}, async ({ admin, broker }) => {
      const client = await broker.connect({ ...lasting, clientId: "c", username: "a/x" })
      await client.subscribe(["t", 1])
      const earlier = await broker.connect({ version: 4, clientId: "d", username: "a/x" })
      const other = await broker.connect({ version: 5, clientId: "c", username: "b/x" })
      await enter(admin, "a", "suspended")
      expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
      await client.expectClosed()
      await earlier.expectClosed()
      await other.quiet()
      expect(broker.eventsOf("TenantChanged")).toEqual([
        { _tag: "TenantChanged", tenant: "a", change: "suspended" }
      ])
      expect(broker.broker.administration.tenant("a")?.census).toMatchObject({
        sessions: 1,
        subscriptions: 1
      })
      await enter(admin, "a", "active")
      const back = await broker.connect({ ...lasting, clientId: "c", username: "a/x" })
      expect(back.connack?.sessionPresent).toBe(true)
    }))

  test("also those who are in the middle of coming in", () =>
    administered({}, async ({ admin, broker }) => {
      await broker.connect({ version: 5, clientId: "first", username: "a/x" })
      const half = broker.open(5)
      half.wire.write(raw.connect({ version: 5, clientId: "half", username: "a/x" }))
      await enter(admin, "a", "suspended")
      await broker.settle()
      const packets = await half.untilClosed()
      const codes = packets.map((packet) => ("reasonCode" in packet ? packet.reasonCode : undefined))
      expect([[0x8a], [0, 0x98]]).toContainEqual(codes as Array<number>)
      expect(broker.broker.census().connections).toBe(0)
    }))

  test("stays so over a restart, and its sessions with it", async () => {
    const storage = layerMemory(new DurableState(), new AdministrationState())
    await administered({ storage }, async ({ admin, broker }) => {
      await broker.connect({ ...lasting, clientId: "c", username: "a/x" })
      await enter(admin, "a", "suspended")
    })
    await administered({ storage }, async ({ admin, broker }) => {
      expect((await (await knock(broker, { username: "a/x" })).expect("connack")).reasonCode).toBe(0x8a)
      await enter(admin, "a", "active")
      const back = await broker.connect({ ...lasting, clientId: "c", username: "a/x" })
      expect(back.connack?.sessionPresent).toBe(true)
    })
  })

  test("that stands in the configuration is not resumed elsewhere", () => {
    const tenants = new Map([["a", { state: "suspended", settings: defaultTenantSettings } as const]])
    return administered({ table: { tenants } }, async ({ admin, broker }) => {
      expect((await (await knock(broker, { username: "a/x" })).expect("connack")).reasonCode).toBe(0x8a)
      expect(await failureOf(admin.enterState("a", "active"))).toBe("configured")
    })
  })
})

describe("a tenant that is drained", () => {
  test("sends its clients away a few at a time, and lets nobody in", () =>
    administered({ options: { drainRate: 20 } }, async ({ admin, broker }) => {
      const clients: Array<TestClient> = []
      for (let index = 0; index < 6; index++) {
        clients.push(await broker.connect({ version: 5, clientId: `${index}`, username: "a/x" }))
      }
      const other = await broker.connect({ version: 5, clientId: "o", username: "b/x" })
      await enter(admin, "a", "draining")
      const left: Array<number> = []
      for (let step = 0; step < 4; step++) {
        await broker.settle()
        left.push(broker.broker.administration.tenant("a")?.counters.connections ?? -1)
        await broker.advance(100)
      }
      expect(left).toEqual([4, 2, 0, 0])
      for (const client of clients) expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
      await other.quiet()
      expect((await (await knock(broker, { username: "a/x" })).expect("connack")).reasonCode).toBe(0x88)
      const earlier = await knock(broker, { version: 4, username: "a/x" })
      expect((await earlier.expect("connack")).returnCode).toBe(3)
      await broker.advance(1000)
      expect(broker.broker.administration.tenant("a")?.census.deadlines).toBe(0)
    }))

  test("[MQTT-4.13.2-1] names the other server to those of version 5, to newcomers too", () => {
    let redirect: Redirect | undefined
    const balancer = Layer.succeed(ClientBalancer, { redirect: () => Effect.sync(() => redirect) })
    return administered({ balancer }, async ({ admin, broker }) => {
      const client = await broker.connect({ version: 5, clientId: "c", username: "a/x" })
      const earlier = await broker.connect({ version: 4, clientId: "d", username: "a/x" })
      redirect = { permanent: false, serverReference: "elsewhere:1883" }
      await enter(admin, "a", "draining")
      const disconnect = await client.expect("disconnect")
      expect(disconnect.reasonCode).toBe(0x9c)
      expect(disconnect.properties?.serverReference).toBe("elsewhere:1883")
      await earlier.expectClosed()
      const connack = await (await knock(broker, { username: "a/x" })).expect("connack")
      expect([connack.reasonCode, connack.properties?.serverReference]).toEqual([0x9c, "elsewhere:1883"])
    })
  })

  test("lets clients stay who had not left when it is resumed", () =>
    administered({ options: { drainRate: 10 } }, async ({ admin, broker }) => {
      const clients: Array<TestClient> = []
      for (let index = 0; index < 3; index++) {
        clients.push(await broker.connect({ version: 5, clientId: `${index}`, username: "a/x" }))
      }
      await enter(admin, "a", "draining")
      await enter(admin, "a", "active")
      await broker.advance(5000)
      await clients[0]?.expect("disconnect")
      for (const client of clients.slice(1)) await client.quiet()
    }))
})

describe("a balancer that fails", () => {
  const balancers: ReadonlyArray<readonly [string, ClientBalancer["Type"]["redirect"]]> = [
    ["dies", () => Effect.die("a bug")],
    [
      "throws",
      () => {
        throw new TypeError("a bug")
      }
    ],
    ["hangs", () => Effect.never]
  ]
  test.each(balancers)("%s does not keep clients of a drained tenant", (_, redirect) => {
    let isBroken = false
    const balancer = Layer.succeed(ClientBalancer, {
      redirect: (identity) => (isBroken ? redirect(identity) : Effect.succeed(undefined))
    })
    return administered({ balancer }, async ({ admin, broker }) => {
      const client = await broker.connect({ version: 5, clientId: "c", username: "a/x" })
      isBroken = true
      await enter(admin, "a", "draining")
      await broker.advance(6000)
      expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
    })
  })
})
