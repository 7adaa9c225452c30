/** What waits for clients, how much of it, and what gives way. */

import { expect } from "bun:test"
import { properties, raw } from "../../support/raw.ts"
import type { TestClient } from "../../support/testBroker.ts"
import type { Scene, Stage } from "./Scene.ts"

/** A client that is away from its subscription of `t`, and who publishes to that. */
const away = async (stage: Stage, qos: 0 | 1 = 1): Promise<TestClient> => {
  const subscriber = await stage.lasting("away")
  await subscriber.subscribe(["t", qos])
  await stage.leave(subscriber)
  return stage.connect("publisher")
}

const publishAll = async (
  stage: Stage,
  client: TestClient,
  payloads: ReadonlyArray<string>
): Promise<void> => {
  for (const payload of payloads) await stage.publish(client, "t", payload)
}

/** What it finds when it is back. */
const found = async (stage: Stage): Promise<ReadonlyArray<string>> => {
  const client = await stage.lasting("away")
  await stage.broker.settle()
  return stage.payloads(client)
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => String(index))

export const queueScenes = {
  inflightMax: {
    settings: { inflightMax: 2 },
    play: async (stage) => {
      const client = await stage.lasting("c", {
        ...(stage.isVersion5 && { properties: properties.receiveMaximum(100) })
      })
      await client.subscribe(["t", 1])
      await publishAll(stage, await stage.connect("publisher"), numbers(5))
      expect(await stage.payloads(client)).toEqual(["0", "1"])
      await client.send(raw.puback({ packetId: 1 }))
      expect(await stage.payloads(client)).toEqual(["2"])
    }
  },
  queueMessagesMax: {
    settings: { queueMessagesMax: 3 },
    play: async (stage) => {
      await publishAll(stage, await away(stage), numbers(5))
      expect(await found(stage)).toEqual(["2", "3", "4"])
    }
  },
  queueBytesMax: {
    settings: { queueBytesMax: 100 },
    play: async (stage) => {
      const publisher = await away(stage)
      // Each weighs its payload and its topic; one that would never fit displaces none.
      const payloads = ["a", "b", "c", "d"].map((letter) => letter.repeat(30))
      await publishAll(stage, publisher, [...payloads, "e".repeat(100)])
      expect((await found(stage)).map((payload) => payload[0])).toEqual(["b", "c", "d"])
      expect(stage.broker.broker.counters("default")?.droppedQueueFull).toBe(2)
    }
  },
  queuePolicy: {
    settings: { queueMessagesMax: 3, queuePolicy: "drop-newest" },
    play: async (stage) => {
      await publishAll(stage, await away(stage), numbers(5))
      expect(await found(stage)).toEqual(["0", "1", "2"])
    }
  },
  tenantQueueBytesMax: {
    settings: { tenantQueueBytesMax: 5 },
    play: async (stage) => {
      await publishAll(stage, await away(stage), numbers(5))
      expect(await found(stage)).toEqual(["0", "1"])
      expect(stage.broker.eventsOf("MessageDropped")[0]?.reason).toBe("tenant-queue-full")
    }
  },
  queueQos0: {
    settings: { queueQos0: true },
    play: async (stage) => {
      await publishAll(stage, await away(stage, 0), numbers(2))
      expect(await found(stage)).toEqual(["0", "1"])
    }
  },
  qos0DropOldest: {
    settings: { queueQos0: true, qos0DropOldest: true, queueMessagesMax: 3, queueBytesMax: 50 },
    play: async (stage) => {
      const publisher = await away(stage, 0)
      await publishAll(stage, publisher, [...numbers(5), "x".repeat(60)])
      expect(await found(stage)).toEqual(["2", "3", "4"])
      expect(stage.broker.broker.counters("default")?.droppedQueueFull).toBe(3)
    }
  },
  outboundBytesMax: {
    settings: { outboundBytesMax: 1000 },
    wireBytesMax: 1000,
    play: async (stage) => {
      const slow = await stage.connect("slow")
      await slow.subscribe("t")
      const publisher = await stage.connect("publisher")
      for (const payload of numbers(50)) await stage.publish(publisher, "t", payload.padEnd(100))
      expect(stage.broker.eventsOf("MessageDropped")[0]).toMatchObject({
        clientId: "slow",
        reason: "slow-consumer"
      })
      expect((await stage.payloads(slow)).length).toBeLessThan(40)
    }
  },
  stalledAfter: {
    settings: { stalledAfter: 20 },
    play: async (stage) => {
      const { broker } = stage
      const client = await stage.lasting()
      await client.subscribe(["t", 1])
      const publisher = await stage.connect("publisher")
      await publishAll(stage, publisher, ["1", "2"])
      expect(await stage.payloads(client)).toEqual(["1", "2"])
      await broker.advance(19_000)
      expect(broker.eventsOf("ClientStalled")).toEqual([])
      await broker.advance(1200)
      await broker.advance(60_000)
      expect(broker.eventsOf("ClientStalled")).toMatchObject([
        { tenant: "default", clientId: "c", unacknowledged: 2, backlogBytes: 0 }
      ])
      // It goes on, and stops again.
      await client.send(raw.puback({ packetId: 1 }))
      await client.quiet()
      await broker.advance(19_000)
      expect(broker.eventsOf("ClientStalled")).toHaveLength(1)
      await broker.advance(1200)
      expect(broker.eventsOf("ClientStalled").map(({ unacknowledged }) => unacknowledged)).toEqual([2, 1])
      await client.send(raw.puback({ packetId: 2 }))
      await client.quiet()
      await broker.advance(60_000)
      expect(broker.eventsOf("ClientStalled")).toHaveLength(2)
    }
  }
} satisfies Readonly<Record<string, Scene>>
