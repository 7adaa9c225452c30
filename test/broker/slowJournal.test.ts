import { describe, expect, test } from "bun:test"
import * as Layer from "effect/Layer"
import { type DurableRecord, Recorded } from "../../src/storage/DurableRecord.ts"
import { type CommitOutcome, Journal } from "../../src/storage/Journal.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

/** A journal that commits when the test says so. */
class SlowJournal {
  private readonly waiting: Array<(outcome: CommitOutcome) => void> = []
  readonly tags: Array<DurableRecord["_tag"]> = []
  isSlow = false

  readonly layer = Layer.merge(
    layerMemory(),
    Layer.succeed(Journal, {
      append: ({ committed, records }) => {
        for (const record of records) {
          if (record._tag === "Enqueue" && record.recorded === Recorded.Elided) continue
          if (record._tag === "Enqueue") record.recorded = Recorded.Written
          this.tags.push(record._tag)
        }
        if (this.isSlow) this.waiting.push(committed)
        else committed(undefined)
      },
      status: () => "ready",
      whenRelieved: (resume) => resume()
    })
  )

  settle(outcome: CommitOutcome = undefined): void {
    for (const committed of this.waiting.splice(0)) committed(outcome)
  }
}

const persistent = (clientId: string): RawConnect => ({
  clientId,
  version: 5,
  clean: false,
  properties: properties.sessionExpiryInterval(60)
})

/** A broker over a slow journal, with a persistent subscriber of `t` that is away. */
const scene = (body: (broker: TestBroker, journal: SlowJournal) => Promise<void>): Promise<void> => {
  const journal = new SlowJournal()
  return withBroker({ storage: journal.layer }, async (broker) => {
    const subscriber = await broker.connect(persistent("s"))
    await subscriber.subscribe(["t", 2])
    subscriber.drop()
    await broker.settle()
    journal.isSlow = true
    await body(broker, journal)
    journal.isSlow = false
    journal.settle()
  })
}

const publisher = (broker: TestBroker, version: 4 | 5 = 5): Promise<TestClient> =>
  broker.connect({ clientId: "p", version })

const failed = new StorageError({ reason: "the disk is full", cause: undefined })

describe("while the journal is writing", () => {
  test("[MQTT-4.3.2-4] PUBACK waits for the copy of a session that keeps it", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      await client.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 1 }))
      await broker.settle()
      await client.quiet()
      journal.settle()
      expect((await client.expect("puback")).messageId).toBe(1)
    }))

  test("[MQTT-3.3.1-5] PUBACK waits for the retained message", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      await client.send(raw.publish({ version: 5, topic: "r", qos: 1, retain: true, packetId: 1 }))
      await broker.settle()
      await client.quiet()
      journal.settle()
      await client.expect("puback")
    }))

  test("[v3 MQTT-4.6.0-2] a message that nobody keeps waits for the one before it", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      for (const [packetId, topic] of [
        [1, "t"],
        [2, "other"]
      ] as const) {
        await client.send(raw.publish({ version: 5, topic, qos: 1, packetId }))
      }
      await broker.settle()
      await client.quiet()
      journal.settle()
      expect(
        [await client.expect("puback"), await client.expect("puback")].map((ack) => ack.messageId)
      ).toEqual([1, 2])
    }))

  test("[MQTT-4.3.3-8] PUBREC waits for the identifier, PUBCOMP for its release", () =>
    scene(async (broker, journal) => {
      const client = await broker.connect(persistent("p"))
      await client.send(raw.publish({ version: 5, topic: "other", qos: 2, packetId: 1 }))
      await broker.settle()
      await client.quiet()
      journal.settle()
      await client.expect("pubrec")
      await client.send(raw.pubrel({ packetId: 1 }))
      await broker.settle()
      await client.quiet()
      journal.settle()
      await client.expect("pubcomp")
    }))

  test("[MQTT-3.8.4-1] SUBACK waits, and what is published meanwhile arrives", () =>
    scene(async (broker, journal) => {
      const client = await broker.connect(persistent("c"))
      await client.send(raw.subscribe({ version: 5, packetId: 9, filters: ["x"] }))
      const other = await publisher(broker)
      await other.publish("x", "early")
      expect((await client.expect("publish")).payload.toString()).toBe("early")
      await client.quiet()
      journal.settle()
      expect((await client.expect("suback")).messageId).toBe(9)
    }))

  test("a session that ends with its connection waits for nothing", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      journal.tags.length = 0
      await client.subscribe(["y", 2])
      await client.send(raw.publish({ version: 5, topic: "y", qos: 2, packetId: 1 }))
      await client.expect("publish")
      await client.expect("pubrec")
      expect(journal.tags).toEqual([])
    }))
})

describe("when the journal fails", () => {
  test("version 5 is told", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      await client.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 1 }))
      await broker.settle()
      journal.settle(failed)
      expect((await client.expect("puback")).reasonCode).toBe(0x80)
    }))

  test("earlier versions are not acknowledged, and other messages are", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker, 4)
      await client.send(raw.publish({ topic: "t", qos: 1, packetId: 1 }))
      await broker.settle()
      journal.settle(failed)
      await client.send(raw.publish({ topic: "other", qos: 1, packetId: 2 }))
      expect((await client.expect("puback")).messageId).toBe(2)
    }))
})
