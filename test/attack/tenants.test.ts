/**
 * Attack class 35: what one tenant could learn of another, or get back of what was deleted, through names,
 * errors, listings and explanations.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AuthorizationUnavailable, Authorizer } from "../../src/auth/Authorizer.ts"
import { TenantDirectory, TenantUnavailable } from "../../src/tenant/TenantDirectory.ts"
import { administered } from "../control/administered.ts"
import { properties, raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"
import { everyTenant } from "./identities.ts"

const run = Effect.runPromise

const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(600) } as const

describe("[attack 35] what a client is told", () => {
  const secret = "postgres://admin:hunter2@10.1.2.3/tenants"
  const failing: ReadonlyArray<readonly [string, Parameters<typeof withBroker>[0]]> = [
    [
      "a directory that fails",
      {
        directory: Layer.succeed(TenantDirectory, {
          settings: (tenant) => new TenantUnavailable({ tenant, reason: secret })
        })
      }
    ],
    [
      "an authorizer that fails",
      {
        directory: everyTenant,
        authorizer: Layer.succeed(Authorizer, {
          permissions: () => new AuthorizationUnavailable({ reason: secret })
        })
      }
    ]
  ]
  test.each(failing)("by %s is not why it fails; the event says it", (_, options) =>
    withBroker({ authenticator: byUsername, ...options }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, username: "a/x" }))
      const connack = await client.expect("connack")
      expect(connack.reasonCode).toBe(0x88)
      expect(JSON.stringify(connack)).not.toContain("hunter2")
      expect(broker.eventsOf("ConnectRefused")[0]?.reason).toContain(secret)
    })
  )

  test("is the same of a tenant that is deleted, is being deleted, or never was", () =>
    administered({ table: { firstSight: "refuse" } }, async ({ admin, broker }) => {
      await run(admin.create("gone", {}))
      await broker.connect({ ...lasting, username: "gone/x" })
      await run(admin.remove("gone", { withUsage: true }))
      const told: Array<string> = []
      for (const tenant of ["gone", "never"]) {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, username: `${tenant}/x` }))
        told.push(JSON.stringify(await client.expect("connack")))
      }
      expect(told[0]).toBe(told[1] ?? "")
    }))
})

describe("names that look like parts of others", () => {
  const pairs: ReadonlyArray<readonly [string, string]> = [
    ["a", "a b"],
    ["acme", "Acme"],
    ["__proto__", "constructor"],
    ["a%2Fb", "a"],
    ["\u00e9", "e\u0301"]
  ]
  test.each(pairs)("%p and %p are two tenants, for clients and for operators", (one, other) =>
    administered({}, async ({ admin, broker, explain }) => {
      const first = await broker.connect({ ...lasting, clientId: "c", username: `${one}/x` })
      await first.subscribe(["#", 1])
      const second = await broker.connect({ version: 5, clientId: "c", username: `${other}/x` })
      await second.publish("t", "theirs", { retain: true })
      await first.quiet()
      const question = { action: "receive", clientId: "c", topic: "t", qos: 0, retain: false } as const
      const { steps } = await run(explain({ ...question, tenant: other }))
      expect(steps.map(({ detail }) => detail).join()).not.toContain("# (QoS 1)")
      await run(admin.enterState(other, "suspended"))
      expect((await second.expect("disconnect")).reasonCode).toBe(0x98)
      await first.quiet()
      await run(admin.remove(other, { withUsage: true }))
      await first.quiet()
      expect(broker.broker.administration.tenant(one)?.census).toMatchObject({
        sessions: 1,
        subscriptions: 1
      })
    })
  )
})

test("a tenant that is made anew gets nothing of what it had: no session, message, ban or setting", () =>
  administered({}, async ({ admin, bans, broker }) => {
    await run(admin.create("a", { topicLevelsMax: 1 }))
    const absent = await broker.connect({ ...lasting, clientId: "c", username: "a/x" })
    await absent.subscribe(["#", 1])
    absent.drop()
    const publisher = await broker.connect({ version: 5, clientId: "p", username: "a/x" })
    await publisher.publish("t", "old", { retain: true })
    await run(
      bans.add({ subject: { _tag: "User", tenant: "a", principal: "y" }, reason: "old", untilMs: undefined })
    )
    await run(admin.remove("a", { withUsage: true }))
    const back = await broker.connect({ ...lasting, clientId: "c", username: "a/y" })
    expect(back.connack?.sessionPresent).toBe(false)
    await back.subscribe("#")
    await back.quiet()
    expect((await run(admin.get("a"))).own).toEqual([])
    expect(await run(bans.list)).toEqual([])
  }))
