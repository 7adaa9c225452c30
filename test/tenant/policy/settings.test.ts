import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { type Policy, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { type Answer, allow } from "../../../src/tenant/policy/Verdict.ts"
import type { SettingOverrides } from "../../../src/tenant/settings/overrides.ts"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { raw } from "../../support/raw.ts"
import { type TestBroker, withBroker } from "../../support/testBroker.ts"
import { byUsername } from "../byUsername.ts"
import { failings, wait } from "./failures.ts"

const base = {
  authenticator: byUsername,
  directory: TenantDirectory.layerTable(() => ({
    ...defaultTenantSettings,
    maximumQos: 1,
    receiveMaximum: 50
  }))
}

/** What CONNACK tells a client of a tenant, or the code that it is refused with. */
const announced = async (broker: TestBroker, tenant: string, clientId = "client") => {
  const client = broker.open(5)
  await client.send(raw.connect({ version: 5, clientId, username: `${tenant}/ada` }))
  const { properties, reasonCode } = await client.expect("connack")
  const { maximumQoS, receiveMaximum } = properties ?? {}
  return reasonCode === 0 ? { maximumQoS, receiveMaximum } : reasonCode
}

const policyOf = (settings: (tenant: string) => Answer<SettingOverrides>) => ({
  policy: TenantPolicy.layer({ settings })
})

describe("settings", () => {
  test("are what the directory says, but for what the policy says", () =>
    withBroker(
      {
        ...base,
        ...policyOf((tenant) =>
          tenant === "acme" ? { receiveMaximum: 7 } : Effect.succeed({ maximumQos: 0 })
        )
      },
      async (broker) => {
        expect(await announced(broker, "acme")).toEqual({ maximumQoS: 1, receiveMaximum: 7 })
        expect(await announced(broker, "other")).toEqual({ maximumQoS: 0, receiveMaximum: 50 })
      }
    ))

  test("the policy is asked once for a tenant, not for each client", () => {
    const asked: Array<string> = []
    const policy = policyOf((tenant) => {
      asked.push(tenant)
      return {}
    })
    return withBroker({ ...base, ...policy }, async (broker) => {
      for (const clientId of ["a", "b"]) await announced(broker, "acme", clientId)
      expect(asked).toEqual(["acme"])
    })
  })

  const nonsense: ReadonlyArray<readonly [string, unknown]> = [
    ["an unknown name", { recieveMaximum: 7 }],
    ["a value of another kind", { receiveMaximum: "many" }],
    ["a value that is not allowed", { receiveMaximum: 0 }],
    ["values that contradict each other", { keepAliveMin: 9, keepAliveMax: 8 }]
  ]

  test.each([
    ...failings.map(({ answer, hangs, name }) => [name, answer, hangs === true] as const),
    ...nonsense.map(
      ([name, value]) => [`answers with ${name}`, () => value as SettingOverrides, false] as const
    )
  ])("a policy that %s keeps the tenant's clients out, and nobody else's", (_, answer, hangs) =>
    withBroker(
      { ...base, ...policyOf((tenant) => (tenant === "acme" ? answer() : { receiveMaximum: 7 })) },
      async (broker) => {
        const refused = announced(broker, "acme")
        if (hangs) await wait(broker)
        expect(await refused).toBe(0x88)
        expect(await announced(broker, "other")).toEqual({ maximumQoS: 1, receiveMaximum: 7 })
        expect(broker.eventsOf("PolicyFailed")).toMatchObject([
          { tenant: "acme", clientId: "", hook: "settings" }
        ])
      }
    )
  )

  test("they are asked for again when the directory has changed, and stay while that cannot be told", () =>
    withBroker({ ...base, ...changingDirectory(), ...policyOf(() => answer()) }, async (broker) => {
      const settled = async (settings: () => Answer<SettingOverrides>) => {
        answer = settings
        Effect.runSync(Queue.offer(changes, "acme"))
        await broker.settle()
        return announced(broker, "acme", `client ${clients++}`)
      }
      let clients = 0
      expect(await announced(broker, "acme")).toMatchObject({ receiveMaximum: 7 })
      expect(await settled(() => ({ receiveMaximum: 8 }))).toMatchObject({ receiveMaximum: 8 })
      expect(await settled(() => Effect.die("a bug"))).toMatchObject({ receiveMaximum: 8 })
      expect(await settled(() => ({}))).toMatchObject({ receiveMaximum: 50 })
    }))

  let answer: () => Answer<SettingOverrides> = () => ({ receiveMaximum: 7 })
  let changes: Queue.Queue<string | undefined>

  const changingDirectory = () => {
    changes = Effect.runSync(Queue.unbounded<string | undefined>())
    const settings = { ...defaultTenantSettings, receiveMaximum: 50 }
    return {
      directory: Layer.succeed(TenantDirectory, {
        settings: () => Effect.succeed(settings),
        changes: Stream.fromQueue(changes)
      })
    }
  }
})

test("a tenant whose policy cannot be had lets nobody in, and others do", () => {
  const of = (tenant: string): Policy => {
    if (tenant === "acme") throw new TypeError("a bug")
    return { admit: () => allow }
  }
  return withBroker({ ...base, policy: TenantPolicy.forTenant(of) }, async (broker) => {
    expect(await announced(broker, "acme")).toBe(0x88)
    expect(await announced(broker, "other")).toMatchObject({ receiveMaximum: 50 })
  })
})
