/** What other rules would take from whom, without taking it. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { Acl } from "../../src/auth/Acl.ts"
import { AuthorizationUnavailable, allowAll } from "../../src/auth/Authorizer.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import type { PermissionsOf } from "../../src/tenant/dryRun.ts"
import { ChangingRules, ruleOf } from "../support/changingRules.ts"
import { properties } from "../support/raw.ts"
import { type TestBroker, withBroker } from "../support/testBroker.ts"

const byRules =
  (...rules: ReadonlyArray<string>): PermissionsOf =>
  ({ clientId, isAbsent = false }) =>
    Effect.succeed(clientId === "admin" ? allowAll : new Acl(rules.map(ruleOf), isAbsent))

const run = async (broker: TestBroker, permissionsOf: PermissionsOf) => {
  await broker.settle()
  const found = await Effect.runPromise(broker.broker.administration.dryRun("default", permissionsOf))
  const losses = (found?.losses ?? []).map(({ clientId, rule, topic, what }) =>
    [what, clientId, topic, rule?.text ?? ""].join(" ").trim()
  )
  return { ...found, losses: losses.sort() }
}

const inhabited = async (broker: TestBroker): Promise<void> => {
  const client = await broker.connect({
    version: 5,
    clientId: "client",
    clean: false,
    properties: properties.sessionExpiryInterval(3600),
    will: { topic: "will" }
  })
  await client.subscribe("a/#", "b", "$share/g/c", "$oshare/g/d")
  for (const topic of ["kept/1", "kept/2"]) await client.publish(topic, "x", { retain: true })
  await client.publish("lately")
  const gone = await broker.connect({ clientId: "gone", clean: false })
  await gone.subscribe("a/#")
  gone.drop()
}

describe("a dry run", () => {
  test("says what would be lost, and by which rule", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      await inhabited(broker)
      const found = await run(
        broker,
        byRules("deny subscribe a/#", "allow subscribe d", "allow publish kept/1", "deny publish lately")
      )
      expect(found).toEqual({
        sessions: 2,
        retained: 2,
        unknown: 0,
        losses: [
          "publish client lately deny publish lately",
          "retained client kept/2",
          "subscribe client $share/g/c",
          "subscribe client a/# deny subscribe a/#",
          "subscribe client b",
          "subscribe gone a/# deny subscribe a/#",
          "will client will"
        ]
      })
    })
  })

  test("takes nothing", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      await inhabited(broker)
      await broker.settle()
      const before = broker.broker.census()
      await run(broker, byRules())
      expect(broker.broker.census()).toEqual(before)
      expect(broker.eventsOf("SubscriptionRevoked")).toEqual([])
      expect((await run(broker, byRules("allow all #"))).losses).toEqual([])
    })
  })

  test("does not tell of what is refused now", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      await inhabited(broker)
      rules.set("allow subscribe #")
      broker.broker.reauthorize()
      const found = await run(broker, byRules("allow subscribe b", "allow subscribe c", "allow subscribe d"))
      expect(found.losses).toEqual(["subscribe client a/#", "subscribe gone a/#"])
    })
  })

  test("does not judge the absent by what is not known of them", async () => {
    const stored = new DurableState()
    const rules = new ChangingRules("allow all #")
    await withBroker({ authorizer: rules.layer, stored }, inhabited)
    await withBroker({ authorizer: rules.layer, stored }, async (broker) => {
      const unsure: PermissionsOf = () => Effect.succeed(new Acl([]))
      expect((await run(broker, unsure)).losses).toEqual([])
      expect((await run(broker, byRules())).losses.length).toBe(7)
    })
  })

  test("counts those that cannot be told", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      await inhabited(broker)
      const down = await run(broker, () => new AuthorizationUnavailable({ reason: "down" }))
      expect([down.sessions, down.unknown, down.losses]).toEqual([0, 2, []])
      const asking: PermissionsOf = () =>
        Effect.succeed({ publish: () => true, subscribe: () => Effect.die("a bug"), deliver: undefined })
      expect((await run(broker, asking)).unknown).toBe(5)
    })
  })

  test("of a tenant that is not there finds nothing", () =>
    withBroker({}, async (broker) => {
      const found = await Effect.runPromise(broker.broker.administration.dryRun("nobody", byRules()))
      expect(found).toBeUndefined()
    }))
})
