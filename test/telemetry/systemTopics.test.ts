import { describe, expect, test } from "bun:test"
import { Counters } from "../../src/telemetry/Counters.ts"
import { sumOf, systemTopics } from "../../src/telemetry/systemTopics.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"

const facts = { version: "1.2.3", uptimeSeconds: 61 }

test("numbers have the names that mosquitto gives them", () => {
  const counters = Object.assign(new Counters(), {
    connections: 2,
    sessions: 5,
    messagesReceived: 7,
    droppedExpired: 1,
    droppedQueueFull: 2
  })
  expect(Object.fromEntries(systemTopics(counters, facts))).toMatchObject({
    "$SYS/broker/version": "heddle 1.2.3",
    "$SYS/broker/uptime": "61 seconds",
    "$SYS/broker/clients/connected": "2",
    "$SYS/broker/clients/disconnected": "3",
    "$SYS/broker/clients/total": "5",
    "$SYS/broker/publish/messages/received": "7",
    "$SYS/broker/publish/messages/dropped": "3"
  })
})

test("those of the whole broker are the sums", () => {
  const one = Object.assign(new Counters(), { connections: 2, bytesSent: 10 })
  const two = Object.assign(new Counters(), { connections: 3, bytesSent: 1 })
  expect(sumOf([one, two])).toMatchObject({ connections: 5, bytesSent: 11, sessions: 0 })
})

describe("[attack 34] [setting systemTopics] a tenant sees below $SYS/broker", () => {
  const seen = async (systemTopicsOf: Readonly<Record<string, "none" | "own" | "all">>, tenant: string) => {
    let number: string | undefined
    const directory = TenantDirectory.layerTable((name) => {
      const systemTopics = systemTopicsOf[name]
      return systemTopics && { ...defaultTenantSettings, systemTopics }
    })
    await withBroker({ directory, authenticator: byUsername }, async (broker) => {
      const watcher = await broker.connect({ clientId: "w", username: tenant })
      await watcher.subscribe("$SYS/broker/clients/connected")
      await broker.connect({ clientId: "x", username: "acme" })
      await broker.connect({ clientId: "y", username: "globex" })
      await broker.connect({ clientId: "z", username: "globex" })
      await broker.advance(10_000)
      await watcher.send(new Uint8Array([0xc0, 0]))
      const packet = await watcher.next()
      if (packet?.cmd === "publish") number = packet.payload.toString()
    })
    return number
  }

  test("its own numbers, and no other tenant's", async () => {
    expect(await seen({ acme: "own", globex: "own" }, "acme")).toBe("2")
  })

  test("those of the whole broker where that is granted", async () => {
    expect(await seen({ acme: "all", globex: "own" }, "acme")).toBe("4")
  })

  test("only what somebody asks for: the rest is not even routed", async () => {
    await withBroker({}, async (broker) => {
      const watcher = await broker.connect({ clientId: "w" })
      await watcher.subscribe("$share/g/$SYS/broker/clients/#", "a")
      await broker.advance(10_000)
      await watcher.send(new Uint8Array([0xc0, 0]))
      const topics: Array<string> = []
      for (let packet = await watcher.next(); packet?.cmd === "publish"; packet = await watcher.next()) {
        topics.push(packet.topic)
      }
      expect(topics).toHaveLength(4)
      expect(broker.broker.counters("default")?.messagesUnmatched).toBe(0)
      await watcher.send(raw.unsubscribe({ packetId: 9, filters: ["$share/g/$SYS/broker/clients/#"] }))
      await watcher.expect("unsuback")
      await broker.advance(10_000)
      await watcher.quiet()
    })
  })

  test("nothing where that is off", async () => {
    expect(await seen({ acme: "none", globex: "own" }, "acme")).toBeUndefined()
  })
})
