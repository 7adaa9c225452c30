/**
 * Sessions of tenants: whose they are, how they are taken over, how they end, and that a failed one stands in
 * nobody's way.
 */

import { describe, expect, spyOn, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Dispatcher } from "../../src/actor/Dispatcher.ts"
import { type Accepted, Authenticator } from "../../src/auth/Authenticator.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { concat, properties, type RawConnect, raw } from "../support/raw.ts"
import { acceptedAs } from "../support/testAuthenticator.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "./byUsername.ts"

const tenants = {
  authenticator: byUsername,
  directory: TenantDirectory.layerTable(() => defaultTenantSettings)
}

const lasting = properties.sessionExpiryInterval(60)

const knock = async (broker: TestBroker, options: RawConnect): Promise<TestClient> => {
  const client = broker.open(options.version ?? 5)
  await client.send(raw.connect({ version: 5, ...options }))
  return client
}

const empty = {
  connections: 0,
  sessions: 0,
  subscriptions: 0,
  trieNodes: 0,
  groups: 0,
  deadlines: 0,
  bufferBytes: 0,
  retainedMessages: 0
}

describe("tenants", () => {
  test("have the share of the processor that their weight says", async () => {
    const runQueue = spyOn(Dispatcher.prototype, "runQueue")
    const directory = TenantDirectory.layerTable((name) => ({
      ...defaultTenantSettings,
      weight: name === "heavy" ? 7 : 1
    }))
    await withBroker({ ...tenants, directory }, async (broker) => {
      for (const tenant of ["light", "heavy"]) await broker.connect({ version: 5, username: `${tenant}/x` })
      expect(runQueue.mock.calls).toEqual([[1], [7]])
    })
    runQueue.mockRestore()
  })

  test("with the same client identifier, topics and retained messages do not see each other", () =>
    withBroker(tenants, async (broker) => {
      const connect = (tenant: string, clientId: string) =>
        broker.connect({ version: 5, clientId, username: `${tenant}/someone` })
      const [a, b] = [await connect("a", "same"), await connect("b", "same")]
      await a.subscribe(["#", 1], ["$share/g/t", 1])
      await b.subscribe(["#", 1], ["$share/g/t", 1])
      const publisher = await connect("a", "publisher")
      await publisher.publish("t", "for a", { retain: true })
      expect((await a.expect("publish")).payload.toString()).toBe("for a")
      expect((await a.expect("publish")).payload.toString()).toBe("for a")
      const late = await connect("b", "late")
      await late.subscribe("#")
      for (const client of [b, late]) await client.quiet()
      expect(broker.broker.counters("a")?.messagesReceived).toBe(1)
      expect(broker.broker.counters("b")?.messagesReceived).toBe(0)
    }))

  test("have sessions of their own to purge", () =>
    withBroker(tenants, async (broker) => {
      const a = await broker.connect({ version: 5, clientId: "same", username: "a/x" })
      const b = await broker.connect({ version: 5, clientId: "same", username: "b/x" })
      expect(broker.broker.purge("a", "same")).toBe(true)
      expect((await a.expect("disconnect")).reasonCode).toBe(0x98)
      await b.quiet()
      expect(broker.broker.purge("c", "same")).toBe(false)
    }))
})

describe("a session belongs to the principal that made it", () => {
  for (const clean of [true, false]) {
    test(`and nobody else takes it over, Clean Start ${clean}`, () =>
      withBroker(tenants, async (broker) => {
        const owner = await broker.connect({ version: 5, clientId: "c", username: "a/owner" })
        const thief = await knock(broker, { clientId: "c", username: "a/thief", clean })
        expect((await thief.expect("connack")).reasonCode).toBe(0x87)
        await thief.expectClosed()
        await owner.quiet()
        const [refused] = broker.eventsOf("ConnectRefused")
        expect(refused).toMatchObject({ clientId: "c", reasonCode: 0x87 })
      }))
  }

  test("until it has ended", () =>
    withBroker(tenants, async (broker) => {
      const owner = await broker.connect({ version: 5, clientId: "c", username: "a/owner" })
      await owner.send(raw.disconnect({ reasonCode: 0 }))
      await owner.expectClosed()
      await broker.settle()
      await broker.connect({ version: 5, clientId: "c", username: "a/other" })
    }))
})

describe("takeover", () => {
  test("[MQTT-3.1.4-3] a storm of connections leaves one, and the others hear why", () =>
    withBroker({}, async (broker) => {
      const clients: Array<TestClient> = []
      for (let index = 0; index < 30; index++) {
        clients.push(await knock(broker, { clientId: "same", clean: false, properties: lasting }))
      }
      await broker.settle()
      const last = clients.pop()
      for (const client of clients) {
        const packets = await client.untilClosed()
        expect(packets.map((packet) => packet.cmd)).toEqual(["connack", "disconnect"])
        const disconnect = packets[1]
        expect(disconnect?.cmd === "disconnect" ? disconnect.reasonCode : 0).toBe(0x8e)
      }
      await last?.connected()
      await last?.quiet()
      expect(last?.connack?.sessionPresent).toBe(true)
      expect(broker.broker.census()).toMatchObject({ connections: 1, sessions: 1 })
    }))

  test("[MQTT-4.4.0-1] the new connection gets what the old one had not acknowledged", () =>
    withBroker({}, async (broker) => {
      const options = { version: 5, clientId: "same", clean: false, properties: lasting } as const
      const old = await broker.connect(options)
      await old.subscribe(["t", 1])
      const publisher = await broker.connect({ clientId: "p" })
      await publisher.publish("t", "1")
      const first = await old.expect("publish")
      const next = await broker.connect(options)
      const again = await next.expect("publish")
      expect([again.messageId, again.dup, first.dup]).toEqual([first.messageId ?? 0, true, false])
      expect((await old.expect("disconnect")).reasonCode).toBe(0x8e)
    }))
})

describe("the end of a session", () => {
  test("[MQTT-3.1.2-23] comes with its interval and leaves nothing", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5, properties: lasting, will: {} })
      await client.subscribe("a/b", "$share/g/#", "+/c")
      client.drop()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ sessions: 1, connections: 0, subscriptions: 3 })
      await broker.advance(59_900)
      expect(broker.broker.census().sessions).toBe(1)
      await broker.advance(300)
      expect(broker.broker.census()).toEqual(empty)
    }))

  test("a client that comes back in the tick that ends its session gets a new one, whichever came first", () =>
    withBroker({}, async (broker) => {
      const options = { version: 5, clientId: "c", clean: false, properties: lasting } as const
      for (let round = 0; round < 5; round++) {
        const client = await broker.connect(options)
        client.drop()
        await broker.settle()
        broker.clock.advance(60_200)
        const back = broker.open(5)
        await back.send(raw.connect(options))
        await broker.settle()
        await back.connected()
        expect(back.connack?.sessionPresent).toBe(false)
        await back.subscribe("t")
        await back.quiet()
        expect(broker.broker.census()).toMatchObject({ sessions: 1, subscriptions: 1 })
        await back.send(raw.disconnect({ reasonCode: 0, properties: properties.sessionExpiryInterval(0) }))
        await back.expectClosed()
        await broker.settle()
      }
      expect(broker.broker.census()).toEqual(empty)
    }))

  test("a client that reconnects in one go with its DISCONNECT finds its place", () =>
    withBroker({}, async (broker) => {
      for (let round = 0; round < 5; round++) {
        const leaving = await broker.connect({ version: 5, clientId: "c" })
        const next = broker.open(5)
        leaving.wire.write(raw.disconnect({ reasonCode: 0 }))
        next.wire.write(concat(raw.connect({ version: 5, clientId: "c" }), raw.pingreq()))
        await next.connected()
        await next.expect("pingresp")
        await next.send(raw.disconnect({ reasonCode: 0 }))
        await next.expectClosed()
      }
      await broker.settle()
      expect(broker.broker.census()).toEqual(empty)
    }))
})

test("a client that is disconnected hears why, and its session stays", () =>
  withBroker({}, async (broker) => {
    const client = await broker.connect({ version: 5, clientId: "c", properties: lasting })
    expect(broker.broker.disconnect("default", "c", "go home")).toBe(true)
    const { properties: told, reasonCode } = await client.expect("disconnect")
    expect([reasonCode, told?.reasonString]).toEqual([0x98, "go home"])
    expect(broker.broker.disconnect("nobody", "c")).toBe(false)
    const back = await broker.connect({ version: 5, clientId: "c", clean: false, properties: lasting })
    expect(back.connack?.sessionPresent).toBe(true)
  }))

describe("purge", () => {
  test("ends a connected session: its will goes out, its client hears 0x98, each once", () =>
    withBroker({}, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("will")
      const client = await broker.connect({ version: 5, clientId: "c", properties: lasting, will: {} })
      broker.broker.purge("default", "c")
      expect((await client.expect("disconnect")).reasonCode).toBe(0x98)
      await client.expectClosed()
      await watcher.expect("publish")
      await watcher.quiet()
      await broker.settle()
      expect(broker.eventsOf("SessionEnded").map((event) => event.reason)).toEqual(["purged"])
      expect(broker.eventsOf("ClientDisconnected").length).toBe(1)
      expect(broker.broker.census()).toMatchObject({ sessions: 1, connections: 1 })
    }))

  test("suppresses the will where it is told to, of a connected client and of an absent one", () =>
    withBroker({}, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("will")
      const willDelayed = { properties: properties.willDelayInterval(30) }
      const here = await broker.connect({ version: 5, clientId: "here", properties: lasting, will: {} })
      const gone = await broker.connect({
        version: 5,
        clientId: "gone",
        properties: lasting,
        will: willDelayed
      })
      gone.drop()
      await broker.settle()
      for (const clientId of ["here", "gone"]) {
        broker.broker.purge("default", clientId, { will: "suppress" })
      }
      expect((await here.expect("disconnect")).reasonCode).toBe(0x98)
      await broker.advance(60_000)
      await watcher.quiet()
      expect(broker.broker.census()).toMatchObject({ sessions: 1, connections: 1 })
    }))

  test("ends an absent one without a word of a client", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5, clientId: "c", properties: lasting })
      await client.subscribe("a")
      client.drop()
      await broker.settle()
      broker.broker.purge("default", "c")
      await broker.settle()
      expect(broker.broker.census()).toEqual(empty)
      expect(broker.eventsOf("ClientDisconnected").length).toBe(1)
      expect(broker.eventsOf("SessionEnded").length).toBe(1)
    }))
})

test("sessionsMax: one more is refused, an existing one is not, and room comes back", () =>
  withBroker({ settings: { sessionsMax: 2 } }, async (broker) => {
    const first = await broker.connect({ version: 5, clientId: "1" })
    await broker.connect({ version: 5, clientId: "2", properties: lasting })
    const third = await knock(broker, { clientId: "3" })
    expect((await third.expect("connack")).reasonCode).toBe(0x97)
    await third.expectClosed()
    const earlier = await knock(broker, { version: 4, clientId: "3" })
    expect((await earlier.expect("connack")).returnCode).toBe(3)
    await broker.connect({ version: 5, clientId: "2", properties: lasting })
    await first.send(raw.disconnect({ reasonCode: 0 }))
    await first.expectClosed()
    await broker.settle()
    await broker.connect({ version: 5, clientId: "3" })
  }))

/**
 * Accepts with something that breaks the session which answers with it, as long as the username is `poison`.
 */
const poisonous = Layer.succeed(Authenticator, {
  authenticate: ({ username }) => {
    const accepted: Accepted = acceptedAs("anonymous")
    if (username !== "poison") return Effect.succeed(accepted)
    const poison = Object.defineProperty({ ...accepted }, "userProperties", {
      get: () => {
        throw new TypeError("a bug")
      }
    })
    return Effect.succeed(poison)
  },
  reauthenticate: () => Effect.die("not asked for")
})

describe("a session that fails", () => {
  test("is closed and reported; its client comes back to a new one", () =>
    withBroker({ authenticator: poisonous }, async (broker) => {
      const poisoned = await knock(broker, { clientId: "c", username: "poison" })
      await broker.settle()
      expect((await poisoned.untilClosed()).map((packet) => packet.cmd)).toEqual(["connack"])
      expect(broker.eventsOf("ActorDefect").map((event) => event.actor)).toEqual(["session c"])
      const client = await broker.connect({ clientId: "c" })
      await client.quiet()
      client.drop()
      await broker.settle()
      expect(broker.broker.census()).toEqual(empty)
    }))

  test("does not keep those who wait behind it, nor those who come later", () =>
    withBroker({ authenticator: poisonous }, async (broker) => {
      await broker.connect({ version: 5, clientId: "c", properties: lasting })
      const poisoned = await knock(broker, { clientId: "c", username: "poison" })
      const behind = await knock(broker, { clientId: "c" })
      await broker.settle()
      expect((await poisoned.untilClosed()).map((packet) => packet.cmd)).toEqual(["connack"])
      const answer = await behind.next()
      expect(answer?.cmd).toBe("connack")
      const later = await broker.connect({ clientId: "c" })
      await later.quiet()
      expect(broker.broker.census()).toMatchObject({ sessions: 1 })
    }))
})

test("whatever clients do, nothing is left when all have gone", () =>
  withBroker(tenants, async (broker) => {
    const clients: Array<TestClient> = []
    for (let index = 0; index < 40; index++) {
      const client = await broker.connect({
        version: 5,
        clientId: `c${index % 7}`,
        clean: index % 3 === 0,
        username: `t${index % 2}/x`,
        properties: properties.sessionExpiryInterval(index % 4 === 0 ? 0 : 30),
        will: { topic: `will/${index}`, properties: properties.willDelayInterval(index % 5) }
      })
      await client.send(
        raw.subscribe({
          version: 5,
          packetId: 1,
          filters: [
            [`f/${index}`, 1],
            [`$share/g/${index % 3}`, 2],
            ["will/#", 1]
          ]
        }),
        raw.publish({ version: 5, topic: `f/${index - 1}`, qos: index % 3, packetId: 2 })
      )
      clients.push(client)
      if (index % 6 === 0) client.drop()
    }
    await broker.settle()
    for (const client of clients) client.drop()
    await broker.settle()
    await broker.advance(5000)
    await broker.advance(60_000)
    expect(broker.broker.census()).toEqual(empty)
  }))
