/** What is agreed on when a client connects, and how its connection and session end. */

import { expect } from "bun:test"
import { properties, raw } from "../../support/raw.ts"
import type { Scene } from "./Scene.ts"

const versionOff = (setting: "mqtt311" | "mqtt5", version: 4 | 5): Scene => ({
  settings: { [setting]: false },
  play: async (stage) => {
    const isOff = stage.version === version
    expect(await stage.knock({})).toBe(isOff ? (version === 5 ? 0x84 : 1) : 0)
  }
})

export const connectionScenes = {
  mqtt31: {
    settings: { mqtt31: false },
    play: async ({ broker }) => {
      const client = broker.open(3)
      await client.send(raw.connect({ version: 3 }))
      expect((await client.expect("connack")).returnCode).toBe(1)
    }
  },
  mqtt311: versionOff("mqtt311", 4),
  mqtt5: versionOff("mqtt5", 5),
  keepAliveMin: {
    settings: { keepAliveMin: 30 },
    play: async (stage) => {
      const { connack } = await stage.connect("c", { keepAlive: 10 })
      expect(connack?.properties?.serverKeepAlive).toBe(stage.isVersion5 ? 30 : undefined)
      await stage.broker.advance(16_000)
      expect(stage.broker.broker.census().connections).toBe(stage.isVersion5 ? 1 : 0)
    }
  },
  keepAliveMax: {
    settings: { keepAliveMax: 10 },
    play: async (stage) => {
      const client = await stage.connect("c", { keepAlive: 0 })
      expect(client.connack?.properties?.serverKeepAlive).toBe(stage.isVersion5 ? 10 : undefined)
      await stage.broker.advance(16_000)
      if (stage.isVersion5) await stage.closedWith(client, 0x8d)
      else await client.quiet()
    }
  },
  receiveMaximum: {
    settings: { receiveMaximum: 2 },
    play: async (stage) => {
      const client = await stage.connect()
      expect(client.connack?.properties?.receiveMaximum).toBe(stage.isVersion5 ? 2 : undefined)
      const { version } = stage
      const publish = (packetId: number) => raw.publish({ version, topic: "t", qos: 2, packetId })
      await client.send(publish(1), publish(2), publish(3))
      // Earlier versions cannot be told, so they are not punished either.
      if (stage.isVersion5) return stage.closedWith(client, 0x93)
      for (const packetId of [1, 2, 3]) expect((await client.expect("pubrec")).messageId).toBe(packetId)
    }
  },
  topicAliasMaximum: {
    settings: { topicAliasMaximum: 3 },
    play: async (stage) => {
      const client = await stage.connect()
      if (!stage.isVersion5) return
      expect(client.connack?.properties?.topicAliasMaximum).toBe(3)
      const publish = (alias: number) =>
        raw.publish({ version: 5, topic: "t", properties: properties.topicAlias(alias) })
      await client.send(publish(3))
      await client.quiet()
      await client.send(publish(4))
      await stage.closedWith(client, 0x94)
    }
  },
  topicAliasMaximumOutbound: {
    settings: { topicAliasMaximumOutbound: 1 },
    play: async (stage) => {
      if (!stage.isVersion5) return
      const client = await stage.connect("c", { properties: properties.topicAliasMaximum(9) })
      await client.subscribe("#")
      const aliases: Array<number | undefined> = []
      for (const topic of ["a", "b"]) {
        await client.send(raw.publish({ version: 5, topic }))
        aliases.push((await client.expect("publish")).properties?.topicAlias)
      }
      expect(aliases).toEqual([1, 1])
    }
  },
  packetBytesMax: {
    settings: { packetBytesMax: 200 },
    play: async (stage) => {
      const client = await stage.connect()
      expect(client.connack?.properties?.maximumPacketSize).toBe(stage.isVersion5 ? 200 : undefined)
      expect(await stage.publish(client, "t", "x".repeat(150))).toBe(stage.isVersion5 ? 0x10 : 0)
      await client.send(raw.publish({ version: stage.version, topic: "t", payload: "x".repeat(200) }))
      await stage.closedWith(client, 0x95)
    }
  },
  maximumQos: {
    settings: { maximumQos: 1 },
    play: async (stage) => {
      const client = await stage.connect()
      expect(client.connack?.properties?.maximumQoS).toBe(stage.isVersion5 ? 1 : undefined)
      await client.send(raw.publish({ version: stage.version, topic: "t", qos: 2 }))
      await stage.closedWith(client, 0x9b)
    }
  },
  retainAvailable: {
    settings: { retainAvailable: false },
    play: async (stage) => {
      const client = await stage.connect()
      expect(client.connack?.properties?.retainAvailable).toBe(stage.isVersion5 ? false : undefined)
      await client.send(raw.publish({ version: stage.version, topic: "t", retain: true }))
      await stage.closedWith(client, 0x9a)
    }
  },
  sessionExpiryIntervalMax: {
    settings: { sessionExpiryIntervalMax: 100 },
    play: async (stage) => {
      const { broker } = stage
      const client = await stage.lasting()
      expect(client.connack?.properties?.sessionExpiryInterval).toBe(stage.isVersion5 ? 100 : undefined)
      await stage.leave(client)
      await broker.advance(99_000)
      expect(broker.broker.census().sessions).toBe(1)
      await broker.advance(2000)
      expect(broker.broker.census().sessions).toBe(0)
    }
  },
  sessionExpiryIntervalMin: {
    settings: { sessionExpiryIntervalMin: 7200 },
    play: async (stage) => {
      const { broker } = stage
      // 0 stays 0.
      await stage.leave(await stage.connect("short"))
      expect(broker.broker.census().sessions).toBe(0)
      const client = await stage.lasting()
      expect(client.connack?.properties?.sessionExpiryInterval).toBe(stage.isVersion5 ? 7200 : undefined)
      if (stage.isVersion5) {
        // Nor does DISCONNECT make it shorter than that.
        const shorter = properties.sessionExpiryInterval(5)
        await client.send(raw.disconnect({ reasonCode: 0, properties: shorter }))
        await client.expectClosed()
        await broker.settle()
      } else await stage.leave(client)
      await broker.advance(7_000_000)
      expect(broker.broker.census().sessions).toBe(1)
      await broker.advance(300_000)
      // Earlier versions ask for a session without an end.
      expect(broker.broker.census().sessions).toBe(stage.isVersion5 ? 0 : 1)
    }
  },
  forceTransient: {
    settings: { forceTransient: true },
    play: async (stage) => {
      const { broker } = stage
      const client = await stage.lasting()
      expect(client.connack?.properties?.sessionExpiryInterval).toBe(stage.isVersion5 ? 0 : undefined)
      await client.subscribe(["t", 1])
      const end = stage.isVersion5
        ? raw.disconnect({ reasonCode: 0, properties: properties.sessionExpiryInterval(3600) })
        : raw.disconnect()
      await client.send(end)
      await client.expectClosed()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ sessions: 0, subscriptions: 0 })
      expect((await stage.lasting()).connack?.sessionPresent).toBe(false)
    }
  },
  sessionsMax: {
    settings: { sessionsMax: 1 },
    play: async (stage) => {
      await stage.connect("1")
      expect(await stage.knock({ clientId: "2" })).toBe(stage.isVersion5 ? 0x97 : 3)
    }
  },
  willBytesMax: {
    settings: { willBytesMax: 5 },
    play: async (stage) => {
      expect(await stage.knock({ will: { topic: "w", payload: "12345" } })).toBe(0)
      const tooLong = await stage.knock({ will: { topic: "w", payload: "123456" } })
      expect(tooLong).toBe(stage.isVersion5 ? 0x95 : undefined)
    }
  },
  willDelayIntervalMax: {
    settings: { willDelayIntervalMax: 10 },
    play: async (stage) => {
      const watcher = await stage.connect("watcher")
      await watcher.subscribe("w")
      const delayed = { topic: "w", payload: "gone", properties: properties.willDelayInterval(1000) }
      const client = await stage.lasting("c", {
        will: stage.isVersion5 ? delayed : { topic: "w", payload: "gone" }
      })
      await stage.leave(client)
      if (stage.isVersion5) {
        await stage.broker.advance(9000)
        await watcher.quiet()
        await stage.broker.advance(1200)
      }
      expect(await stage.payloads(watcher)).toEqual(["gone"])
    }
  },
  willsAtShutdown: {
    settings: { willsAtShutdown: "suppress" },
    play: async (stage) => {
      const { broker } = stage
      await stage.connect("c", { will: { topic: "w", payload: "gone", retain: true } })
      const lost = await stage.connect("lost", { will: { topic: "v", payload: "gone", retain: true } })
      await stage.leave(lost)
      expect(broker.eventsOf("WillPublished").map(({ topic }) => topic)).toEqual(["v"])
      await broker.stop()
      expect(broker.eventsOf("WillPublished").map(({ topic }) => topic)).toEqual(["v"])
    }
  }
} satisfies Readonly<Record<string, Scene>>
