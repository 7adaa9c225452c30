import { describe, expect, test } from "bun:test"
import { StorageError } from "../../src/storage/StorageError.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { SlowJournal } from "../support/slowJournal.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"

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

  test("[MQTT-4.3.3-11] PUBCOMP waits for the release that an earlier connection asked for", () =>
    scene(async (broker, journal) => {
      const before = await broker.connect(persistent("p"))
      await before.send(raw.publish({ version: 5, topic: "other", qos: 2, packetId: 1 }))
      await broker.settle()
      journal.settle()
      await before.expect("pubrec")
      await before.send(raw.pubrel({ packetId: 1 }))
      await broker.settle()
      before.drop()
      await broker.settle()
      const client = await broker.connect(persistent("p"))
      await client.send(raw.pubrel({ packetId: 1 }))
      await broker.settle()
      await client.quiet()
      journal.settle()
      expect((await client.expect("pubcomp")).reasonCode).toBe(0x92)
    }))

  test("[MQTT-3.1.2-4] CONNACK, and what the client sends, waits until what it discards is off the record", () =>
    scene(async (broker, journal) => {
      const before = await broker.connect(persistent("p"))
      await before.send(raw.publish({ version: 5, topic: "other", qos: 2, packetId: 1 }))
      await broker.settle()
      journal.settle()
      await before.expect("pubrec")
      const client = broker.open(5)
      await client.send(raw.connect({ ...persistent("p"), clean: true }), raw.pingreq())
      let isAnswered = false
      const connack = client.expect("connack").finally(() => {
        isAnswered = true
      })
      await broker.settle()
      expect(journal.state.session("default", "p")?.inbound.size).toBe(1)
      expect(isAnswered).toBe(false)
      journal.settle()
      expect((await connack).sessionPresent).toBe(false)
      expect(journal.state.session("default", "p")?.inbound.size).toBe(0)
      await client.expect("pingresp")
    }))

  test("[v3 MQTT-3.1.2-6] so it does for a client whose next session is not stored", () =>
    scene(async (broker, journal) => {
      await broker.connect(persistent("p"))
      journal.settle()
      const client = broker.open(4)
      await client.send(raw.connect({ version: 4, clientId: "p", clean: true }))
      await broker.settle()
      expect(journal.pending.flat()).toContain("End")
      journal.settle()
      await client.connected()
      expect(journal.state.session("default", "p")).toBe(undefined)
      await client.quiet()
    }))

  test("a client that finds nothing stored, or resumes, does not wait", () =>
    scene(async (broker, journal) => {
      await broker.connect({ ...persistent("p"), clean: true })
      await broker.connect(persistent("p"))
      expect(journal.pending.flat()).toEqual(["Connect", "Detach", "Connect"])
    }))

  test("[MQTT-3.2.0-1] a client that is taken over before its CONNACK is told by it", () =>
    scene(async (broker, journal) => {
      await broker.connect(persistent("p"))
      journal.settle()
      const second = broker.open(5)
      await second.send(raw.connect({ ...persistent("p"), clean: true }))
      await broker.settle()
      const third = broker.open(5)
      await third.send(raw.connect({ ...persistent("p"), clean: true }))
      await broker.settle()
      expect((await second.expect("connack")).reasonCode).toBeGreaterThanOrEqual(0x80)
      expect(await second.next()).toBe(undefined)
      journal.settle()
      await third.connected()
      await third.quiet()
    }))

  test("[MQTT-3.1.2-8] a client that goes before its CONNACK is lost, will and all, when that has left", () =>
    scene(async (broker, journal) => {
      const watcher = await broker.connect({ version: 5, clientId: "w" })
      await watcher.subscribe("wills")
      await broker.connect(persistent("p"))
      journal.settle()
      const client = broker.open(5)
      const will = { topic: "wills", payload: "gone" }
      await client.send(raw.connect({ ...persistent("p"), clean: true, will }))
      await broker.settle()
      client.drop()
      await broker.settle()
      await watcher.quiet()
      journal.settle()
      await broker.settle()
      journal.settle()
      expect((await watcher.expect("publish")).topic).toBe("wills")
    }))

  test("CONNACK does not wait for storage that fails", () =>
    scene(async (broker, journal) => {
      await broker.connect(persistent("p"))
      journal.settle()
      journal.become("failing")
      await broker.connect({ ...persistent("p"), clean: true })
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
      await client.subscribe(["y", 2])
      await client.send(raw.publish({ version: 5, topic: "y", qos: 2, packetId: 1 }))
      await client.expect("publish")
      await client.expect("pubrec")
      expect(journal.pending).toEqual([])
    }))
})

describe("a message that is acknowledged before it was written", () => {
  test("is not written, and its publisher need not wait for anything else", () =>
    scene(async (broker, journal) => {
      const subscriber = await broker.connect(persistent("live"))
      journal.settle()
      await subscriber.send(raw.subscribe({ version: 5, packetId: 1, filters: [["live", 1]] }))
      await broker.settle()
      journal.settle()
      await subscriber.expect("suback")
      const before = journal.units.length
      const client = await publisher(broker)
      await client.send(raw.publish({ version: 5, topic: "live", qos: 1, packetId: 1 }))
      const { messageId } = await subscriber.expect("publish")
      await client.quiet()
      await subscriber.send(raw.puback({ packetId: messageId ?? 0 }))
      await client.expect("puback")
      journal.settle()
      expect(journal.units.slice(before)).toEqual([])
    }))
})

/** Subscribers `a` and `b` of `q` at QoS 2, both connected; everything so far is committed. */
const two = async (broker: TestBroker, journal: SlowJournal): Promise<ReadonlyArray<TestClient>> => {
  journal.isSlow = false
  const clients = [await broker.connect(persistent("a")), await broker.connect(persistent("b"))]
  for (const client of clients) await client.subscribe(["q", 2])
  journal.isSlow = true
  journal.settle()
  return clients
}

describe("a QoS 2 message", () => {
  test("[MQTT-4.3.3-12] is sent when it is on record together with its identifier", () =>
    scene(async (broker, journal) => {
      const subscribers = await two(broker, journal)
      const client = await broker.connect(persistent("p"))
      journal.settle()
      await client.send(raw.publish({ version: 5, topic: "q", payload: "1", qos: 2, packetId: 1 }))
      await broker.settle()
      expect(journal.pending).toEqual([["Inbound", "Enqueue", "Enqueue"]])
      for (const each of [client, ...subscribers]) await each.quiet()
      journal.settle()
      await client.expect("pubrec")
      for (const each of subscribers) expect((await each.expect("publish")).payload.toString()).toBe("1")
    }))

  test("goes no further, and its identifier is free, when it cannot be stored", () =>
    scene(async (broker, journal) => {
      const [subscriber] = await two(broker, journal)
      const client = await broker.connect(persistent("p"))
      journal.settle()
      await client.send(raw.publish({ version: 5, topic: "q", payload: "1", qos: 2, packetId: 1 }))
      await broker.settle()
      journal.settle(failed)
      expect((await client.expect("pubrec")).reasonCode).toBe(0x80)
      await subscriber?.quiet()
      await client.send(raw.publish({ version: 5, topic: "q", payload: "2", qos: 2, packetId: 1 }))
      await broker.settle()
      journal.settle()
      await client.expect("pubrec")
      expect((await subscriber?.expect("publish"))?.payload.toString()).toBe("2")
      expect(broker.eventsOf("MessageDropped").map(({ reason }) => reason)).toEqual([
        "not-stored",
        "not-stored"
      ])
    }))
})

describe("one unit", () => {
  test("holds a will that is done and the copies of those who get it", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const client = await broker.connect({ ...persistent("w"), will: { topic: "t", qos: 1 } })
      journal.units.length = 0
      client.drop()
      await broker.settle()
      expect(journal.units).toEqual([["Detach"], ["WillDone", "Enqueue"]])
    }))

  test("holds the end of a session and the will that it leaves", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const client = await broker.connect({ clientId: "w", version: 5, will: { topic: "t", qos: 1 } })
      journal.units.length = 0
      client.drop()
      await broker.settle()
      expect(journal.units).toEqual([["End", "Enqueue"]])
    }))

  test("holds the end of a session whose delay for the will has passed as well", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const will = { topic: "t", qos: 1, properties: properties.willDelayInterval(30) } as const
      const expiry = properties.sessionExpiryInterval(30)
      const client = await broker.connect({ ...persistent("w"), properties: expiry, will })
      client.drop()
      await broker.settle()
      journal.units.length = 0
      await broker.advance(31_000)
      expect(journal.units).toContainEqual(["End", "Enqueue"])
      expect(journal.units.flat().filter((tag) => tag === "WillDone")).toEqual([])
    }))

  test("[MQTT-4.8.2-4] takes a message of a shared group from one member and gives it to another", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const first = await broker.connect(persistent("m1"))
      await first.subscribe(["$share/g/x", 1])
      const client = await publisher(broker)
      await client.publish("x", "1")
      await first.expect("publish")
      const second = await broker.connect(persistent("m2"))
      await second.subscribe(["$share/g/x", 1])
      journal.units.length = 0
      first.drop()
      await second.expect("publish")
      expect(journal.units).toContainEqual(["Dequeue", "Enqueue"])
    }))
})

describe("while more waits to be stored than should", () => {
  test("clients are not read, and go on when it is written", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      journal.become("congested")
      await client.send(raw.publish({ version: 5, topic: "nobody", qos: 1, packetId: 1 }))
      await broker.settle()
      expect(broker.broker.counters("default")?.messagesReceived).toBe(0)
      journal.become("ready")
      await client.expect("puback")
    }))
})

describe("while more of one tenant waits to be stored than its share", () => {
  test("its clients are not read, and those of others are", () => {
    const journal = new SlowJournal()
    const directory = TenantDirectory.layerTable(() => defaultTenantSettings)
    return withBroker({ storage: journal.layer, authenticator: byUsername, directory }, async (broker) => {
      const connect = (tenant: string) => broker.connect({ version: 5, username: `${tenant}/x` })
      const [flood, other] = [await connect("flood"), await connect("other")]
      journal.become("congested", "flood")
      const message = raw.publish({ version: 5, topic: "nobody", qos: 1, packetId: 1 })
      await flood.send(message)
      await other.send(message)
      await other.expect("puback")
      expect(broker.broker.counters("flood")?.messagesReceived).toBe(0)
      journal.become("ready")
      await flood.expect("puback")
    })
  })
})

describe("while nothing can be stored", () => {
  test("what would have to be is refused, the rest goes on", () =>
    scene(async (broker, journal) => {
      const client = await publisher(broker)
      await client.subscribe("live")
      expect(broker.broker.readiness()).toEqual({ isReady: true, reasons: [] })
      journal.become("failing")
      expect(broker.broker.readiness().isReady).toBe(false)
      await client.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x80)
      await client.send(raw.publish({ version: 5, topic: "r", qos: 1, packetId: 2, retain: true }))
      expect((await client.expect("puback")).reasonCode).toBe(0x80)
      await client.send(raw.publish({ version: 5, topic: "live", payload: "1", qos: 0 }))
      expect((await client.expect("publish")).payload.toString()).toBe("1")
      const keeper = await broker.connect(persistent("k"))
      await keeper.send(raw.subscribe({ version: 5, packetId: 3, filters: ["x"] }))
      expect((await keeper.expect("suback")).granted).toEqual([0x80])
    }))
})

describe("what nobody can be told of is kept while nothing can be stored:", () => {
  test("[MQTT-3.1.2-8] a will, its copies and what it retains", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const client = await broker.connect({ ...persistent("w"), will: { topic: "t", qos: 1, retain: true } })
      journal.isSlow = true
      journal.become("failing")
      client.drop()
      await broker.settle()
      expect(journal.pending).toEqual([["Detach"], ["WillDone", "Retain", "Enqueue"]])
    }))

  test("[MQTT-4.8.2-4] a message that leaves one member of a shared group for another", () =>
    scene(async (broker, journal) => {
      journal.isSlow = false
      const first = await broker.connect(persistent("m1"))
      await first.subscribe(["$share/g/x", 1])
      const client = await publisher(broker)
      await client.publish("x", "1")
      await first.expect("publish")
      const second = await broker.connect(persistent("m2"))
      await second.subscribe(["$share/g/x", 1])
      journal.isSlow = true
      journal.become("failing")
      first.drop()
      expect((await second.expect("publish")).payload.toString()).toBe("1")
      expect(journal.pending).toContainEqual(["Dequeue", "Enqueue"])
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

describe("the level of durability", () => {
  test("is the tenant's, and may be changed while it runs", () => {
    const journal = new SlowJournal()
    return withBroker({ storage: journal.layer, settings: { durability: "os" } }, async (broker) => {
      const client = await broker.connect(persistent("s"))
      await client.subscribe(["t", 1])
      for (const level of ["memory", "disk"] as const) {
        expect(broker.broker.setDurability("default", level)).toBe(true)
        await client.publish("r", level, { retain: true })
      }
      expect(journal.levels).toEqual(["os", "os", "memory", "disk"])
      expect(broker.broker.setDurability("nobody", "os")).toBe(false)
    })
  })
})
