/** Attacks on permissions that were withdrawn: row 16 of the attack table. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Acl } from "../../src/auth/Acl.ts"
import { AuthorizationUnavailable, Authorizer, allowAll, type Decision } from "../../src/auth/Authorizer.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { ChangingRules, ruleOf } from "../support/changingRules.ts"
import { properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const versions: ReadonlyArray<Version> = [4, 5]

const persistent = (version: Version, more: RawConnect = {}): RawConnect => ({
  version,
  clientId: "client",
  clean: false,
  ...(version === 5 && { properties: properties.sessionExpiryInterval(3600) }),
  ...more
})

/** From now on these rules, and everybody is judged by them. */
const change = async (broker: TestBroker, rules: ChangingRules, ...lines: ReadonlyArray<string>) => {
  rules.set(...lines)
  broker.broker.reauthorize()
  await broker.settle()
}

const publishAll = async (broker: TestBroker, ...topics: ReadonlyArray<string>): Promise<void> => {
  const admin = await broker.connect({ clientId: "admin" })
  for (const topic of topics) await admin.publish(topic)
  admin.drop()
}

const expectTopics = async (client: TestClient, ...topics: ReadonlyArray<string>): Promise<void> => {
  for (const topic of topics) expect((await client.expect("publish")).topic).toBe(topic)
  await client.quiet()
}

const revoked = (broker: TestBroker) =>
  broker.eventsOf("SubscriptionRevoked").map(({ topicFilter }) => topicFilter)

describe.each(versions)("attack 16: after permissions have changed, version %d", (version) => {
  test("a live subscription that is not allowed any more is given up, the others stay", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect(persistent(version))
      await client.subscribe("a/+", "b/#", "$share/g/c", "d")
      await change(broker, rules, "deny subscribe d", "allow subscribe a/1", "allow all b/#")
      expect(revoked(broker)).toEqual(["a/+", "$share/g/c", "d"])
      expect(broker.broker.census().subscriptions).toBe(1)
      await publishAll(broker, "a/1", "b/1", "c", "d", "b")
      await expectTopics(client, "b/1", "b")
      client.drop()
      await broker.settle()
      const again = await broker.connect(persistent(version))
      await publishAll(broker, "a/1", "b/1")
      await expectTopics(again, "b/1")
    })
  })

  test("an absent client's subscriptions and messages are judged as well", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect(persistent(version))
      await client.subscribe(["a/#", 1], ["b/#", 1])
      client.drop()
      await publishAll(broker, "a/before", "b/before")
      await change(broker, rules, "allow subscribe b/#")
      expect(revoked(broker)).toEqual(["a/#"])
      await publishAll(broker, "a/after", "b/after")
      await expectTopics(await broker.connect(persistent(version)), "b/before", "b/after")
    })
  })

  test("that nobody told us of, what a client holds is judged when it comes", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect(persistent(version))
      await client.subscribe(["a/#", 1], ["b/#", 1])
      client.drop()
      await publishAll(broker, "a", "b")
      rules.set("allow subscribe b/#")
      await expectTopics(await broker.connect(persistent(version)), "b")
      expect(revoked(broker)).toEqual(["a/#"])
    })
  })

  test("a deny inside what stays allowed holds for what waits", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect(persistent(version))
      await client.subscribe(["a/#", 1])
      client.drop()
      await publishAll(broker, "a/x", "a/y")
      await change(broker, rules, "deny subscribe a/x", "allow subscribe a/#")
      await expectTopics(await broker.connect(persistent(version)), "a/y")
      expect(revoked(broker)).toEqual([])
    })
  })

  test("what was sent and not acknowledged is not sent again; an exchange of QoS 2 comes to its end", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect(persistent(version))
      await client.subscribe(["a/#", 2])
      const admin = await broker.connect({ clientId: "admin" })
      for (const [index, qos] of [1, 2, 2].entries()) {
        await admin.send(raw.publish({ topic: `a/${index}`, qos, packetId: 1 + index }))
      }
      const sent = [
        await client.expect("publish"),
        await client.expect("publish"),
        await client.expect("publish")
      ]
      const [, unconfirmed = 0, confirmed = 0] = sent.map(({ messageId }) => messageId ?? 0)
      await client.send(raw.pubrec({ packetId: confirmed }))
      await client.expect("pubrel")
      client.drop()
      await broker.settle()
      await change(broker, rules, "allow publish #")
      const again = await broker.connect(persistent(version))
      const released = [(await again.expect("pubrel")).messageId, (await again.expect("pubrel")).messageId]
      expect(released.sort()).toEqual([unconfirmed, confirmed].sort())
      for (const packetId of [unconfirmed, confirmed]) await again.send(raw.pubcomp({ packetId }))
      await again.quiet()
      again.drop()
      await broker.settle()
      await (await broker.connect(persistent(version))).quiet()
    })
  })

  test("the rest of a replay of retained messages does not come", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer, settings: { inflightMax: 10 } }, async (broker) => {
      const admin = await broker.connect({ clientId: "admin" })
      for (let index = 0; index < 100; index++) await admin.publish(`a/${index}`, "kept", { retain: true })
      const client = await broker.connect({ version, clientId: "client" })
      await client.subscribe(["a/#", 1])
      const first = await client.expect("publish")
      for (let index = 1; index < 10; index++) await client.expect("publish")
      await change(broker, rules, "allow subscribe b/#")
      await client.send(raw.puback({ packetId: first.messageId ?? 0 }))
      await client.quiet()
    })
  })

  test("a message of QoS 2 that was received is released, the next is refused", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const client = await broker.connect({ version, clientId: "client" })
      await client.send(raw.publish({ version, topic: "a", qos: 2, packetId: 1 }))
      await client.expect("pubrec")
      await change(broker, rules, "allow subscribe #")
      await client.send(raw.pubrel({ packetId: 1 }))
      expect((await client.expect("pubcomp")).messageId).toBe(1)
      await client.send(raw.publish({ version, topic: "a", qos: 2, packetId: 1 }))
      const { reasonCode } = await client.expect("pubrec")
      if (version === 5) expect(reasonCode).toBe(0x87)
      expect(broker.eventsOf("PublishRefused").length).toBe(1)
    })
  })

  test("an armed will is not published", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      const watcher = await broker.connect({ clientId: "admin" })
      await watcher.subscribe("#")
      const client = await broker.connect(persistent(version, { will: { topic: "will" } }))
      await change(broker, rules, "allow subscribe #")
      client.drop()
      await broker.settle()
      await watcher.quiet()
      expect(broker.eventsOf("WillPublished")).toEqual([])
    })
  })
})

describe("attack 16: whose permissions have changed", () => {
  const subscribed = async (broker: TestBroker) => {
    const client = await broker.connect(persistent(5))
    await client.subscribe(["a/#", 1], ["b/#", 1])
    return client
  }

  test("is judged when the authorizer says so, and only in the tenant that it names", () => {
    const rules = new ChangingRules("allow all #")
    return withBroker({ authorizer: rules.layer }, async (broker) => {
      await subscribed(broker)
      rules.set("allow subscribe b/#")
      rules.tell({ tenant: "other" })
      await broker.settle()
      expect(revoked(broker)).toEqual([])
      rules.tell({ tenant: "default" })
      await broker.settle()
      expect(revoked(broker)).toEqual(["a/#"])
    })
  })

  test("after a restart, too", async () => {
    const stored = new DurableState()
    const rules = new ChangingRules("allow all #")
    await withBroker({ authorizer: rules.layer, stored }, async (broker) => void (await subscribed(broker)))
    rules.set("allow subscribe b/#")
    await withBroker({ authorizer: rules.layer, stored }, async (broker) => {
      await broker.settle()
      expect(revoked(broker)).toEqual(["a/#"])
      expect([...(stored.session("default", "client")?.subscriptions.keys() ?? [])]).toEqual(["b/#"])
    })
  })

  test("is left alone while it is absent, by an authorizer that does not know the absent", async () => {
    const stored = new DurableState()
    let rules = [ruleOf("allow all #")]
    const authorizer = Authorizer.layerRules(({ clientId }) =>
      clientId === "admin" ? [ruleOf("allow all #")] : rules
    )
    await withBroker({ authorizer, stored }, async (broker) => void (await subscribed(broker)))
    rules = [ruleOf("allow subscribe b/#")]
    await withBroker({ authorizer, stored }, async (broker) => {
      broker.broker.reauthorize()
      await publishAll(broker, "a", "b")
      expect(revoked(broker)).toEqual([])
      await expectTopics(await broker.connect(persistent(5)), "b")
      expect(revoked(broker)).toEqual(["a/#"])
    })
  })

  test("while it was in its handshake is judged after it", () => {
    const rules = new ChangingRules("allow all #")
    const asked = Effect.runSync(Deferred.make<void>())
    const authorizer = Layer.succeed(Authorizer, {
      permissions: ({ clientId }) => {
        const granted = new Acl(rules.rules)
        return clientId === "slow" ? Effect.as(Deferred.await(asked), granted) : Effect.succeed(granted)
      }
    })
    return withBroker({ authorizer }, async (broker) => {
      const slow = broker.open(5)
      await slow.send(raw.connect({ version: 5, clientId: "slow" }))
      await broker.settle()
      await change(broker, rules, "allow subscribe #")
      await Effect.runPromise(Deferred.succeed(asked, undefined))
      await slow.connected()
      await broker.settle()
      await slow.send(raw.publish({ version: 5, topic: "a", qos: 1, packetId: 1 }))
      expect((await slow.expect("puback")).reasonCode).toBe(0x87)
    })
  })

  test("cannot be told: the connection ends, and what the session holds stays", () => {
    let isUp = true
    const authorizer = Layer.succeed(Authorizer, {
      permissions: () => (isUp ? Effect.succeed(allowAll) : new AuthorizationUnavailable({ reason: "down" }))
    })
    return withBroker({ authorizer }, async (broker) => {
      const client = await subscribed(broker)
      isUp = false
      broker.broker.reauthorize()
      expect((await client.expect("disconnect")).reasonCode).toBe(0x89)
      await client.expectClosed()
      broker.broker.reauthorize()
      await broker.settle()
      expect(broker.broker.census().subscriptions).toBe(2)
      isUp = true
      await publishAll(broker, "a")
      await expectTopics(await broker.connect(persistent(5)), "a")
    })
  })

  test("of a shared subscription: what waits is given to another member", () => {
    const authorizer = (isMember: () => boolean) =>
      Layer.succeed(Authorizer, {
        permissions: ({ clientId }) =>
          Effect.sync(() =>
            clientId !== "client" || isMember() ? allowAll : new Acl([ruleOf("allow all x")])
          )
      })
    let isMember = true
    const options = { authorizer: authorizer(() => isMember), settings: { inflightMax: 1 } }
    return withBroker(options, async (broker) => {
      const client = await broker.connect(persistent(5))
      await client.subscribe(["$share/g/a", 1])
      await publishAll(broker, "a", "a", "a")
      const { messageId = 0 } = await client.expect("publish")
      const other = await broker.connect({ version: 5, clientId: "other" })
      await other.subscribe(["$share/g/a", 1])
      isMember = false
      broker.broker.reauthorize()
      await broker.settle()
      await client.send(raw.puback({ packetId: messageId }))
      await client.quiet()
      for (let count = 0; count < 2; count++) {
        await other.send(raw.puback({ packetId: (await other.expect("publish")).messageId ?? 0 }))
      }
      await other.quiet()
    })
  })
})

describe("attack 16: an authorizer that has to ask", () => {
  const asking = (decide: (topicFilter: string) => Decision) => ({
    authorizer: Layer.succeed(Authorizer, {
      permissions: ({ clientId }) =>
        Effect.succeed(
          clientId === "admin" ? allowAll : { publish: () => true, subscribe: decide, deliver: undefined }
        )
    })
  })

  test("is asked about what is held, and about what waits it need not be asked", () => {
    let allowed = ["a/#", "b/#"]
    return withBroker(
      asking((filter) => Effect.sync(() => allowed.includes(filter))),
      async (broker) => {
        const client = await broker.connect(persistent(5))
        await client.subscribe(["a/#", 1], ["b/#", 1])
        client.drop()
        await publishAll(broker, "a", "b")
        allowed = ["b/#"]
        broker.broker.reauthorize()
        await broker.settle()
        expect(revoked(broker)).toEqual(["a/#"])
        await expectTopics(await broker.connect(persistent(5)), "b")
      }
    )
  })

  test("nothing is sent to a client that comes before it has answered", () => {
    const answer = Effect.runSync(Deferred.make<boolean>())
    let decision: Decision = true
    return withBroker(
      asking(() => decision),
      async (broker) => {
        const client = await broker.connect(persistent(5))
        await client.subscribe(["a", 1])
        client.drop()
        await publishAll(broker, "a")
        decision = Deferred.await(answer)
        const again = await broker.connect(persistent(5))
        await publishAll(broker, "a")
        await again.quiet()
        await Effect.runPromise(Deferred.succeed(answer, true))
        await expectTopics(again, "a", "a")
      }
    )
  })

  test("takes nothing away by not answering", () => {
    let decision: Decision = true
    return withBroker(
      asking(() => decision),
      async (broker) => {
        const client = await broker.connect(persistent(5))
        await client.subscribe(["a", 1])
        decision = Effect.die("a bug")
        broker.broker.reauthorize()
        expect((await client.expect("disconnect")).reasonCode).toBe(0x89)
        await publishAll(broker, "a")
        decision = true
        await expectTopics(await broker.connect(persistent(5)), "a")
        expect(revoked(broker)).toEqual([])
      }
    )
  })
})
