/** Retained messages whose publisher has lost the right to publish them: row 17 of the attack table. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Acl } from "../../src/auth/Acl.ts"
import { Authorizer, allowAll } from "../../src/auth/Authorizer.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { ChangingRules, ruleOf } from "../support/changingRules.ts"
import { type TestBroker, type TestBrokerOptions, withBroker } from "../support/testBroker.ts"
import { authenticator, everyTenant, password } from "./identities.ts"

/** Who subscribes now gets those. */
const expectRetained = async (broker: TestBroker, ...topics: ReadonlyArray<string>): Promise<void> => {
  const reader = await broker.connect({ clientId: "admin" })
  await reader.subscribe("#")
  const got: Array<string> = []
  for (const _ of topics) got.push((await reader.expect("publish")).topic)
  expect(got.sort()).toEqual([...topics].sort())
  await broker.settle()
  await reader.quiet()
  reader.drop()
}

const publish = async (broker: TestBroker, clientId: string, ...topics: ReadonlyArray<string>) => {
  const client = await broker.connect({ clientId })
  for (const topic of topics) await client.publish(topic, "kept", { retain: true })
  return client
}

const settled = async (broker: TestBroker, rules: ChangingRules, ...lines: ReadonlyArray<string>) => {
  rules.set(...lines)
  broker.broker.reauthorize()
  await broker.settle()
}

describe("attack 17: a retained message whose publisher may not publish it any more", () => {
  test.each([true, false])("is withheld, until it may again (publisher is there: %p)", (isThere) => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await publish(broker, "client", "a/1", "b/1")
      if (!isThere) client.drop()
      await broker.settle()
      await expectRetained(broker, "a/1", "b/1")
      await settled(broker, rules, "allow publish b/#")
      await expectRetained(broker, "b/1")
      await settled(broker, rules, "allow publish #")
      await expectRetained(broker, "a/1", "b/1")
    })
  })

  test("is withheld by the next broker, too", async () => {
    const stored = new DurableState()
    const rules = new ChangingRules("allow all #")
    await withBroker({ authorizer: rules.layer, stored }, async (broker) => {
      await publish(broker, "client", "a/1", "b/1")
      await publish(broker, "admin", "a/2")
    })
    rules.set("allow publish b/#")
    await withBroker({ authorizer: rules.layer, stored }, (broker) => expectRetained(broker, "b/1", "a/2"))
  })

  test("is given to everybody where the tenant wants it so", () => {
    const rules = new ChangingRules("allow all #")
    const settings = { retainedPublisherCheck: false }
    return withBroker({ authorizer: rules.layer, settings }, async (broker) => {
      await publish(broker, "client", "a/1")
      await settled(broker, rules, "deny publish #")
      await expectRetained(broker, "a/1")
    })
  })

  test("is not judged by what an authorizer cannot know", () => {
    let rules = [ruleOf("allow all #")]
    const authorizer = Authorizer.layerRules(({ clientId }) =>
      clientId === "admin" ? [ruleOf("allow all #")] : rules
    )
    return withBroker({ authorizer }, async (broker) => {
      const client = await publish(broker, "client", "a/1")
      rules = []
      broker.broker.reauthorize()
      await broker.settle()
      await expectRetained(broker)
      client.drop()
      await broker.settle()
      await expectRetained(broker, "a/1")
    })
  })

  const askedAbout = (decide: () => Effect.Effect<boolean>): TestBrokerOptions => ({
    authorizer: Layer.succeed(Authorizer, {
      permissions: ({ clientId }) =>
        Effect.succeed(
          clientId === "admin"
            ? allowAll
            : { publish: decide, subscribe: () => true, deliver: undefined, isForAbsent: true }
        )
    })
  })

  test("comes when the authorizer has answered, and not if it cannot", () => {
    const answer = Effect.runSync(Deferred.make<boolean>())
    let decision: Effect.Effect<boolean> = Effect.succeed(true)
    return withBroker(
      askedAbout(() => decision),
      async (broker) => {
        await publish(broker, "client", "a/1")
        decision = Deferred.await(answer)
        const reader = await broker.connect({ clientId: "admin" })
        await reader.subscribe("#")
        await broker.settle()
        await reader.quiet()
        await Effect.runPromise(Deferred.succeed(answer, true))
        expect((await reader.expect("publish")).topic).toBe("a/1")
        decision = Effect.die("a bug")
        await expectRetained(broker)
      }
    )
  })

  test("is judged by who published it, not by who has that client identifier now", () => {
    let allowed = ["ada", "reader"]
    const authorizer = Layer.succeed(Authorizer, {
      permissions: ({ isAbsent = false, principal }) =>
        Effect.sync(() => new Acl(allowed.includes(principal) ? [ruleOf("allow all #")] : [], isAbsent))
    })
    return withBroker({ authenticator, authorizer, directory: everyTenant }, async (broker) => {
      const connect = (principal: string, clientId: string) =>
        broker.connect({ clientId, username: `acme/${principal}`, password })
      const ada = await connect("ada", "c")
      await ada.publish("a/1", "kept", { retain: true })
      ada.drop()
      await broker.settle()
      await connect("bob", "c")
      const first = await connect("reader", "first")
      await first.subscribe("#")
      expect((await first.expect("publish")).topic).toBe("a/1")
      allowed = ["bob", "reader"]
      broker.broker.reauthorize()
      await broker.settle()
      const second = await connect("reader", "second")
      await second.subscribe("#")
      await broker.settle()
      await second.quiet()
    })
  })
})
