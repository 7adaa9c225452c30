/** How rates feel to clients: they wait in turns, lose nothing, and are not held to be gone. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { properties, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { byUsername } from "../byUsername.ts"

const publish = (packetId: number, payload: string, topic = "t") =>
  raw.publish({ qos: 1, packetId, topic, payload })

const countersOf = (broker: TestBroker) => {
  const counters = broker.broker.counters("default")
  if (counters === undefined) throw new RangeError("the tenant has no counters")
  return counters
}

/** The tenant of everybody, whose settings a test changes. */
const changing = (settings: Partial<TenantSettings>) => {
  const current = { ...defaultTenantSettings, ...settings }
  const changes = Effect.runSync(Queue.unbounded<string | undefined>())
  return {
    directory: Layer.succeed(TenantDirectory, {
      settings: () => Effect.succeed(current),
      changes: Stream.fromQueue(changes)
    }),
    change: (to: Partial<TenantSettings>) => {
      Object.assign(current, to)
      Queue.unsafeOffer(changes, undefined)
    }
  }
}

/** Publishers that have each sent so many messages at once. */
const crowd = async (
  broker: TestBroker,
  publishers: number,
  messages: number
): Promise<ReadonlyArray<TestClient>> => {
  const clients: Array<TestClient> = []
  for (let n = 0; n < publishers; n++) {
    const client = await broker.connect({ clientId: `p${n}`, keepAlive: 10 })
    clients.push(client)
  }
  for (const [n, client] of clients.entries()) {
    await client.send(...Array.from({ length: messages }, (_, index) => publish(index + 1, `${n} ${index}`)))
  }
  return clients
}

/** What a subscriber has got by now: publisher and number of each message. */
const received = async (
  broker: TestBroker,
  subscriber: TestClient,
  count: number
): Promise<ReadonlyArray<readonly [publisher: number, index: number]>> => {
  await broker.settle()
  const messages: Array<readonly [number, number]> = []
  for (let n = 0; n < count; n++) {
    const [publisher = -1, index = -1] = (await subscriber.expect("publish")).payload
      .toString()
      .split(" ")
      .map(Number)
    messages.push([publisher, index])
  }
  return messages
}

describe("publishers of a tenant", () => {
  const settings = { tenantPublishRate: 50, burstSeconds: 1 }

  test("share its rate evenly, each in its order, and nothing is lost", () =>
    withBroker({ settings }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "subscriber", keepAlive: 0 })
      await subscriber.subscribe("#")
      await crowd(broker, 20, 10)
      await broker.settle()
      const early = await received(broker, subscriber, countersOf(broker).messagesSent)
      expect(early).toHaveLength(51)
      let rest: ReadonlyArray<readonly [number, number]> = []
      for (let tick = 0; tick < 10; tick++) {
        await broker.advance(100)
        rest = [
          ...rest,
          ...(await received(broker, subscriber, countersOf(broker).messagesSent - 51 - rest.length))
        ]
      }
      // A second later: fifty more, two or three from each who still has any.
      expect(rest.length).toBeGreaterThanOrEqual(49)
      expect(rest.length).toBeLessThanOrEqual(51)
      const waiting = new Set(rest.map(([publisher]) => publisher))
      const shares = [...waiting].map((publisher) => rest.filter(([each]) => each === publisher).length)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
      for (let second = 0; second < 3; second++) await broker.advance(1000)
      const all = [...early, ...rest, ...(await received(broker, subscriber, 200 - 51 - rest.length))]
      for (let publisher = 0; publisher < 20; publisher++) {
        const own = all.filter(([each]) => each === publisher).map(([, index]) => index)
        expect(own).toEqual(Array.from({ length: 10 }, (_, index) => index))
      }
    }))

  test("are not held to be gone while they wait, and go when they had waited enough", () =>
    withBroker({ settings: { publishRate: 1, burstSeconds: 1 } }, async (broker) => {
      const [client] = await crowd(broker, 1, 30)
      // Its keep-alive is ten seconds, and it says nothing while it waits.
      for (let second = 0; second < 29; second++) await broker.advance(1000)
      expect(countersOf(broker).messagesReceived).toBe(30)
      for (let n = 1; n <= 30; n++) expect((await client?.expect("puback"))?.messageId).toBe(n)
      await broker.advance(14_000)
      await client?.quiet()
      await broker.advance(16_000)
      await client?.expectClosed()
    }))

  test("what a client sent before it left is taken at its rate as well", () =>
    withBroker({ settings: { publishRate: 1, burstSeconds: 1 } }, async (broker) => {
      const [client] = await crowd(broker, 1, 4)
      client?.drop()
      await broker.settle()
      expect(countersOf(broker).messagesReceived).toBe(2)
      for (let second = 0; second < 3; second++) await broker.advance(1000)
      expect(countersOf(broker).messagesReceived).toBe(4)
      expect(broker.eventsOf("ClientDisconnected")).toHaveLength(1)
    }))

  test("but not for ever: its will does not wait until the last of them", () =>
    withBroker({ settings: { publishRate: 1, burstSeconds: 1 } }, async (broker) => {
      const client = await broker.connect({ clientId: "client", will: { topic: "gone" } })
      await client.send(...Array.from({ length: 200 }, (_, index) => publish(index + 1, "x")))
      client.drop()
      for (let second = 0; second < 59; second++) await broker.advance(1000)
      expect(broker.eventsOf("WillPublished")).toEqual([])
      for (let second = 0; second < 2; second++) await broker.advance(1000)
      expect(broker.eventsOf("WillPublished")).toHaveLength(1)
      expect(countersOf(broker)).toMatchObject({ connections: 0, sessions: 0 })
      expect(countersOf(broker).messagesReceived).toBeLessThan(70)
    }))

  test("one that leaves for good does not hold up the others", () =>
    withBroker({ settings: { tenantPublishRate: 1, burstSeconds: 1 } }, async (broker) => {
      await crowd(broker, 3, 2)
      // Taken over in the middle of its wait: what it had sent is gone with its connection.
      const again = await broker.connect({ clientId: "p0" })
      for (let second = 0; second < 6; second++) await broker.advance(1000)
      const { messagesReceived } = countersOf(broker)
      expect(messagesReceived).toBeGreaterThanOrEqual(5)
      await again.publish("t")
      expect(countersOf(broker).messagesReceived).toBe(messagesReceived + 1)
    }))

  test("wait no longer when the limit is lifted", () => {
    const { change, directory } = changing({ publishRate: 1, tenantPublishRate: 1, burstSeconds: 1 })
    return withBroker({ directory }, async (broker) => {
      await crowd(broker, 5, 4)
      await broker.settle()
      expect(countersOf(broker).messagesReceived).toBe(2)
      change({ publishRate: 0, tenantPublishRate: 0 })
      await broker.advance(1000)
      await broker.advance(1000)
      expect(countersOf(broker).messagesReceived).toBe(20)
    })
  })

  test("begin to wait when a limit is set, on the connections that there are", () => {
    const { change, directory } = changing({})
    return withBroker({ directory }, async (broker) => {
      const [client] = await crowd(broker, 1, 10)
      await broker.settle()
      expect(countersOf(broker).messagesReceived).toBe(10)
      change({ publishRate: 1, burstSeconds: 1 })
      await broker.settle()
      await client?.send(...[11, 12, 13].map((packetId) => publish(packetId, "more")))
      await broker.settle()
      expect(countersOf(broker).messagesReceived).toBe(12)
    })
  })

  test("another tenant's do not notice", () => {
    const limited = { ...defaultTenantSettings, tenantPublishRate: 1, burstSeconds: 1 }
    const directory = TenantDirectory.layerTable((tenant) =>
      tenant === "limited" ? limited : defaultTenantSettings
    )
    return withBroker({ authenticator: byUsername, directory }, async (broker) => {
      const clients = [
        await broker.connect({ clientId: "p", username: "limited" }),
        await broker.connect({ clientId: "p", username: "other" })
      ]
      for (const client of clients) {
        await client.send(...Array.from({ length: 20 }, (_, index) => publish(index + 1, "x")))
      }
      await broker.settle()
      expect(broker.broker.counters("limited")).toMatchObject({ messagesReceived: 2, throttledPublishes: 1 })
      expect(broker.broker.counters("other")).toMatchObject({ messagesReceived: 20, throttledPublishes: 0 })
      expect(broker.eventsOf("QuotaReached").map(({ tenant }) => tenant)).toEqual(["limited"])
    })
  })
})

describe("retained messages", () => {
  test("that are too many hold up no others", () =>
    withBroker({ settings: { retainRate: 1, burstSeconds: 1 } }, async (broker) => {
      const retaining = await broker.connect({ clientId: "retaining" })
      const plain = await broker.connect({ clientId: "plain" })
      await retaining.send(...[1, 2, 3].map((packetId) => raw.publish({ qos: 1, packetId, retain: true })))
      await broker.settle()
      expect(countersOf(broker).messagesReceived).toBe(2)
      for (let n = 0; n < 10; n++) await plain.publish("t")
      expect(countersOf(broker).messagesReceived).toBe(12)
    }))
})

describe("retained messages for new subscriptions", () => {
  test("come to all who wait when the rate is taken away", () => {
    const { change, directory } = changing({ retainedMatchRate: 1, burstSeconds: 1 })
    return withBroker({ directory }, async (broker) => {
      const publisher = await broker.connect({ clientId: "publisher" })
      for (let n = 0; n < 5; n++) await publisher.publish(`r/${n}`, "kept", { retain: true })
      const subscribers: Array<TestClient> = []
      for (let n = 0; n < 4; n++) {
        const subscriber = await broker.connect({ clientId: `c${n}` })
        await subscriber.subscribe("r/#")
        subscribers.push(subscriber)
      }
      await broker.settle()
      expect(countersOf(broker).throttledReplays).toBeGreaterThan(1)
      change({ retainedMatchRate: 0 })
      await broker.settle()
      for (const subscriber of subscribers) {
        for (let n = 0; n < 5; n++) await subscriber.expect("publish")
        await subscriber.quiet()
      }
    })
  })
})

describe("what a client is sent", () => {
  test("QoS 1 goes before QoS 0 that waits, in order, and QoS 0 is dropped beyond the bound", () => {
    const settings = { outboundBytesRate: 100, burstSeconds: 1, outboundBytesMax: 2000 }
    return withBroker({ settings }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "subscriber", keepAlive: 0 })
      await subscriber.subscribe(["q0", 0], ["q1", 1])
      const publisher = await broker.connect({ clientId: "publisher", keepAlive: 0 })
      const kilobyte = "x".repeat(1000)
      // The first overdraws by itself; of the rest two fit what may wait.
      for (let n = 0; n < 6; n++) await publisher.publish("q0", `${n}${kilobyte}`.slice(0, 900))
      for (let n = 0; n < 3; n++) await publisher.publish("q1", `${n}`)
      expect(countersOf(broker).messagesSent).toBe(1)
      expect(countersOf(broker).droppedSlowConsumer).toBe(3)
      expect(countersOf(broker).droppedQueueFull).toBe(0)
      for (let second = 0; second < 60; second++) await broker.advance(1000)
      const order: Array<string> = []
      for (let n = 0; n < 6; n++) {
        const { payload, topic } = await subscriber.expect("publish")
        order.push(`${topic} ${payload.toString()[0]}`)
      }
      expect(order).toEqual(["q0 0", "q1 0", "q1 1", "q1 2", "q0 1", "q0 2"])
      await subscriber.quiet()
    })
  })

  test("what waited for a rate at QoS 0 is not kept for a client that has gone", () =>
    withBroker({ settings: { outboundBytesRate: 1, burstSeconds: 1 } }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "subscriber", clean: false, keepAlive: 0 })
      await subscriber.subscribe(["t", 0])
      const publisher = await broker.connect({ clientId: "publisher", keepAlive: 0 })
      for (let n = 0; n < 3; n++) await publisher.publish("t")
      subscriber.drop()
      await broker.settle()
      expect(countersOf(broker).droppedSlowConsumer).toBe(2)
      expect(countersOf(broker).queuedMemoryBytes).toBe(0)
    }))

  test("subscribers share the tenant's rate, and each gets all in order", () => {
    const settings = { tenantOutboundBytesRate: 100, burstSeconds: 1 }
    return withBroker({ settings }, async (broker) => {
      const subscribers: Array<TestClient> = []
      for (let n = 0; n < 5; n++) {
        const subscriber = await broker.connect({ clientId: `s${n}`, keepAlive: 0 })
        await subscriber.subscribe(["t", 1])
        subscribers.push(subscriber)
      }
      const publisher = await broker.connect({ clientId: "publisher", keepAlive: 0 })
      for (let n = 0; n < 10; n++) await publisher.publish("t", `${n}${"x".repeat(98)}`)
      expect(countersOf(broker).messagesSent).toBe(2)
      for (let second = 0; second < 60; second++) await broker.advance(1000)
      expect(countersOf(broker).messagesSent).toBe(50)
      for (const subscriber of subscribers) {
        for (let n = 0; n < 10; n++) {
          expect((await subscriber.expect("publish")).payload.toString()[0]).toBe(`${n}`)
        }
      }
    })
  })
})

describe("wills", () => {
  const will = { topic: "gone", payload: "x" }

  test("do not wait for a rate, and are paid for", () =>
    withBroker({ settings: { tenantPublishRate: 1, burstSeconds: 1 } }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "subscriber", keepAlive: 0 })
      await subscriber.subscribe("#")
      for (let n = 0; n < 3; n++) (await broker.connect({ clientId: `c${n}`, will })).drop()
      for (let n = 0; n < 3; n++) expect((await subscriber.expect("publish")).topic).toBe("gone")
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.send(publish(1, "later"))
      await broker.advance(1000)
      expect(countersOf(broker).messagesReceived).toBe(3)
      await broker.advance(1000)
      expect((await subscriber.expect("publish")).payload.toString()).toBe("later")
    }))

  test("are not published when a window is used up", () =>
    withBroker({ settings: { messagesPerDay: 1 } }, async (broker) => {
      await (await broker.connect({ clientId: "publisher" })).publish("t")
      ;(await broker.connect({ clientId: "client", will })).drop()
      await broker.settle()
      expect(countersOf(broker).droppedQuota).toBe(1)
      expect(broker.eventsOf("PublishRefused")).toMatchObject([
        { topic: "gone", isWill: true, reasonCode: 0x97 }
      ])
      expect(broker.eventsOf("WillPublished")).toEqual([])
    }))
})

describe("events", () => {
  test("a limit is reported once a second, and counted each time", () =>
    withBroker({ settings: { connectionsMax: 1 } }, async (broker) => {
      await broker.connect({ clientId: "first" })
      for (let n = 0; n < 5; n++) {
        const client = broker.open()
        await client.send(raw.connect({ clientId: `c${n}` }))
        await client.untilClosed()
      }
      expect(broker.eventsOf("QuotaReached")).toMatchObject([
        { tenant: "default", clientId: "c0", resource: "connectionsMax", outcome: "refused" }
      ])
      expect(countersOf(broker).connectsRefusedQuota).toBe(5)
    }))

  test("four fifths of a count are warned of once, and again after it has fallen", () =>
    withBroker({ settings: { connectionsMax: 10 } }, async (broker) => {
      const clients: Array<TestClient> = []
      const warnings = () => broker.eventsOf("QuotaWarning")
      for (let n = 0; n < 10; n++) clients.push(await broker.connect({ clientId: `c${n}` }))
      expect(warnings()).toMatchObject([{ resource: "connectionsMax", used: 8, limit: 10 }])
      for (const client of clients.slice(5)) client.drop()
      await broker.settle()
      for (let n = 5; n < 10; n++) await broker.connect({ clientId: `c${n}` })
      expect(warnings()).toHaveLength(2)
    }))

  test("a window is warned of once, with what is used", () =>
    withBroker({ settings: { messagesPerDay: 10 } }, async (broker) => {
      const publisher = await broker.connect({ clientId: "publisher" })
      for (let n = 0; n < 10; n++) await publisher.publish("t")
      expect(broker.eventsOf("QuotaWarning")).toMatchObject([
        { resource: "messagesPerDay", used: 8, limit: 10 }
      ])
      expect(broker.eventsOf("QuotaReached")).toEqual([])
    }))
})

describe("gauges", () => {
  test("are zero again when everybody has gone, whatever they had become", () =>
    withBroker({}, async (broker) => {
      const version = 5
      const kept = { version, clientId: "kept", clean: false } as const
      const lasting = { properties: properties.sessionExpiryInterval(60) }
      const client = await broker.connect({ ...kept, ...lasting })
      await client.subscribe(["a", 1], ["$share/g/b", 1])
      const counters = countersOf(broker)
      expect(counters).toMatchObject({ connections: 1, persistentSessions: 1, persistentSubscriptions: 2 })
      expect(counters.sharedSubscriptions).toBe(1)
      client.drop()
      await (await broker.connect({ clientId: "publisher" })).publish("a")
      expect(counters.persistentBytes).toBeGreaterThan(0)
      // It comes back to end with its connection.
      const again = await broker.connect(kept)
      await again.expect("publish")
      expect(counters).toMatchObject({ connections: 2, connectionsPeak: 2 })
      again.drop()
      await broker.settle()
      await broker.advance(61_000)
      expect(counters).toMatchObject({
        ...{ connections: 1, persistentSessions: 0, persistentBytes: 0, persistentSubscriptions: 0 },
        ...{ transientSubscriptions: 0, sharedSubscriptions: 0, queuedBytes: 0, queuedMemoryBytes: 0 }
      })
    }))
})
