/** A tenant's events below its own `$SYS/events/`. [attack 34] [attack 35] [attack 36] */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import type { Event } from "../../src/events/Event.ts"
import { EventTopics } from "../../src/events/topics.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { ManualClock } from "../support/manualClock.ts"
import { properties, raw } from "../support/raw.ts"
import { type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"
import { dropped, ended, refusedConnect } from "./events.ts"

const told = { settings: { eventTopics: true } } as const
const allTold = TenantDirectory.layerTable(() => ({ ...defaultTenantSettings, eventTopics: true }))

const next = async (client: TestClient) => {
  const { payload, qos, retain, topic } = await client.expect("publish")
  return { topic, qos, retain, event: JSON.parse(payload.toString()) as Record<string, unknown> }
}

describe("events as topics", () => {
  test("are JSON at QoS 0, not retained, on a topic of their own", () =>
    withBroker(told, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe(["$SYS/events/+", 2])
      expect((await next(watcher)).event).toMatchObject({ event: "Subscribed", clientId: "watcher" })
      await broker.connect({ clientId: "other" })
      expect(await next(watcher)).toMatchObject({ topic: "$SYS/events/SessionStarted" })
      expect(await next(watcher)).toEqual({
        topic: "$SYS/events/ClientConnected",
        qos: 0,
        retain: false,
        event: {
          event: "ClientConnected",
          at: new Date(broker.clock.unsafeCurrentTimeMillis()).toISOString(),
          tenant: "default",
          clientId: "other",
          principal: "anonymous",
          transport: "memory",
          address: "",
          protocolVersion: 4,
          keepAlive: 60,
          cleanStart: true,
          sessionPresent: false,
          hasWill: false
        }
      })
      await watcher.quiet()
      expect(broker.broker.counters("default")?.retainedMessages).toBe(0)
    }))

  test("say that they are text, and JSON, to version 5", () =>
    withBroker(told, async (broker) => {
      const watcher = await broker.connect({ version: 5, clientId: "watcher" })
      await watcher.subscribe("$SYS/events/ClientConnected")
      await broker.connect({ clientId: "other" })
      const { properties } = await watcher.expect("publish")
      expect(properties).toMatchObject({ payloadFormatIndicator: true, contentType: "application/json" })
    }))

  test("are nobody's who does not ask for them by name", () =>
    withBroker(told, async (broker) => {
      const client = await broker.connect({ clientId: "greedy" })
      await client.subscribe("#", "+/events/#")
      await broker.connect({ clientId: "other" })
      await client.quiet()
    }))

  test("are there only where the tenant wants them, from the moment it does", () => {
    let eventTopics = false
    const directory = TenantDirectory.layerTable(() => ({ ...defaultTenantSettings, eventTopics }))
    return withBroker({ directory }, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("$SYS/events/ClientConnected")
      await broker.connect({ clientId: "a" })
      await watcher.quiet()
      eventTopics = true
      await Effect.runPromise(broker.broker.administration.refresh("default"))
      await broker.connect({ clientId: "b" })
      expect((await next(watcher)).event).toMatchObject({ clientId: "b" })
    })
  })

  test("attack 35: are of the tenant itself and of no other", () =>
    withBroker({ authenticator: byUsername, directory: allTold }, async (broker) => {
      const [acme, other] = await Promise.all(
        ["acme", "other"].map(async (username) => {
          const watcher = await broker.connect({ clientId: "watcher", username })
          await watcher.subscribe("$SYS/events/ClientConnected")
          return watcher
        })
      )
      await broker.connect({ clientId: "new", username: "acme" })
      expect((await next(acme as TestClient)).event).toMatchObject({ tenant: "acme", clientId: "new" })
      await other?.quiet()
      await acme?.quiet()
    }))

  test("attack 34: need permission, as all topics do", () =>
    withBroker(
      {
        ...told,
        authorizer: Authorizer.layerRules(() => [
          { permission: "deny", action: "all", topicFilter: "$SYS/#" },
          { permission: "allow", action: "all", topicFilter: "#" }
        ])
      },
      async (broker) => {
        const client = await broker.connect()
        await client.send(raw.subscribe({ filters: ["$SYS/events/#", "$SYS/#", "$SYS/events/+"] }))
        expect((await client.expect("suback")).granted).toEqual([0x80, 0x80, 0x80])
      }
    ))

  test("attack 34: are the server's: nobody else publishes there", () =>
    withBroker(told, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("$SYS/events/ClientConnected")
      const liar = await broker.connect({ clientId: "liar" })
      await next(watcher)
      await liar.send(raw.publish({ topic: "$SYS/events/ClientConnected", qos: 1 }))
      await liar.expect("puback")
      await watcher.quiet()
    }))

  test("bring forth no events of themselves", () =>
    withBroker({ settings: { ...told.settings, debugEvents: true } }, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("$SYS/events/#")
      const client = await broker.connect({ clientId: "client" })
      await client.send(raw.publish({ topic: "a" }))
      await broker.settle()
      const tags: Array<unknown> = []
      await watcher.send(raw.pingreq())
      for (let packet = await watcher.next(); packet?.cmd === "publish"; packet = await watcher.next()) {
        tags.push(packet.topic.slice("$SYS/events/".length))
      }
      // The event of the ping stands behind its answer.
      expect(tags).toEqual(["Subscribed", "SessionStarted", "ClientConnected", "MessageRouted"])
    }))

  test("attack 36: hold no password and no payload", () =>
    withBroker({ settings: { ...told.settings, debugEvents: true } }, async (broker) => {
      const secret = "hunter2"
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("$SYS/events/#", "a")
      const client = await broker.connect({
        version: 5,
        clientId: "client",
        username: "ada",
        password: secret,
        will: { topic: "w", payload: secret },
        properties: properties.userProperty("token", secret)
      })
      await client.send(raw.publish({ version: 5, topic: "a", payload: secret, retain: true }))
      await broker.settle()
      client.drop()
      await broker.settle()
      const open = broker.open()
      await open.send(raw.connect({ clientId: "x", username: "ada", password: secret, flags: 0xc3 }))
      await broker.settle()
      expect(broker.events.length).toBeGreaterThan(10)
      expect(JSON.stringify(broker.events)).not.toContain(secret)
    }))
})

describe("the limit of events as topics", () => {
  const published: Array<{ readonly topic: string; readonly json: string }> = []
  const outlet = (eventTopics: boolean, hasRoom = true) => ({
    settings: { eventTopics },
    publishJson: (topic: string, json: string) => {
      if (hasRoom) published.push({ topic, json })
      return hasRoom
    }
  })
  const clock = new ManualClock()
  const make = (find: (tenant: string) => ReturnType<typeof outlet> | undefined) => {
    published.length = 0
    const topics = new EventTopics(find)
    return (event: Event) => topics.report(event, clock.unsafeCurrentTimeMillis())
  }

  test("is a second's, for each tenant its own, and what was left out is told", () => {
    const report = make(() => outlet(true))
    let lost = 0
    for (let n = 0; n < 600; n++) lost += report(ended("c"))
    expect([lost, published.length]).toEqual([100, 500])
    expect(report(ended("c", "other"))).toBe(0)
    clock.advance(1000)
    expect(report(ended("d"))).toBe(0)
    const [lostEvent, last] = published.slice(-2)
    expect(lostEvent?.topic).toBe("$SYS/events/EventsLost")
    expect(JSON.parse(lostEvent?.json ?? "")).toMatchObject({ tenant: "acme", count: 100 })
    expect(JSON.parse(last?.json ?? "")).toMatchObject({ clientId: "d" })
  })

  const silent: ReadonlyArray<readonly [name: string, event: Event]> = [
    ["of messages that the broker has published", dropped("$SYS/events/SessionEnded")],
    ["of nobody's", refusedConnect("c")],
    ["for the operator", { _tag: "ActorDefect", actor: "router", tenant: "acme", defect: "secret" }]
  ]
  for (const [name, event] of silent) {
    test(`leaves out those ${name}`, () => {
      expect(make(() => outlet(true))(event)).toBe(0)
      expect(published).toEqual([])
    })
  }

  test("counts those for which the router has no room", () => {
    expect(make(() => outlet(true, false))(ended("c"))).toBe(1)
  })

  test("publishes nothing of a tenant that is not there, or does not want it", () => {
    expect(make(() => undefined)(ended("c"))).toBe(0)
    expect(make(() => outlet(false))(ended("c"))).toBe(0)
    expect(published).toEqual([])
  })
})
