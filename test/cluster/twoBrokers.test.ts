/** What is published on one node reaches the subscribers of another, once and no further. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Broker } from "../../src/Broker.ts"
import { LeaseHeld, Leases, LeaseTable } from "../../src/cluster/Leases.ts"
import type { RouteTable } from "../../src/cluster/RouteTable.ts"
import { layerSingleNode } from "../../src/cluster/singleNode.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { properties, raw } from "../support/raw.ts"
import { SlowJournal } from "../support/slowJournal.ts"
import type { TestClient } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"
import { withTwoBrokers } from "./twoBrokers.ts"

const noMatchingSubscribers = 0x10
const unspecifiedError = 0x80

/** Publishes at QoS 1 and returns the reason code of PUBACK. */
const publish1 = async (client: TestClient, topic: string, payload: string): Promise<number> => {
  await client.send(raw.publish({ version: 5, topic, payload, qos: 1, packetId: 9 }))
  return (await client.expect("puback")).reasonCode ?? 0
}

const received = async (client: TestClient): Promise<string> =>
  (await client.expect("publish")).payload.toString()

/** Answers a PING: the payloads of everything that came before it. */
const drain = async (client: TestClient): Promise<ReadonlyArray<string>> => {
  await client.send(raw.pingreq())
  const payloads: Array<string> = []
  for (;;) {
    const packet = await client.next()
    if (packet?.cmd !== "publish") {
      expect(packet?.cmd ?? "closed").toBe("pingresp")
      return payloads
    }
    payloads.push(packet.payload.toString())
  }
}

describe("a message that is published on one node", () => {
  test("[MQTT-3.3.4-1] reaches subscribers on both, each once, at every QoS", () =>
    withTwoBrokers({}, async ({ a, b, frames, settle }) => {
      const [here, there] = [
        await a.connect({ clientId: "here", version: 5 }),
        await b.connect({ clientId: "there", version: 5 })
      ]
      for (const client of [here, there]) await client.subscribe(["x/+", 2], ["x/#", 2])
      const publisher = await a.connect({ clientId: "p", version: 5 })
      await publisher.send(raw.publish({ version: 5, topic: "x/1", payload: "0", qos: 0 }))
      expect(await publish1(publisher, "x/1", "1")).toBe(0)
      await publisher.send(raw.publish({ version: 5, topic: "x/1", payload: "2", qos: 2, packetId: 3 }))
      expect((await publisher.expect("pubrec")).reasonCode ?? 0).toBe(0)
      await settle()
      for (const client of [here, there]) {
        const packets = [await client.expect("publish"), await client.expect("publish")]
        packets.push(await client.expect("publish"))
        const seen = packets.map(({ payload, qos }) => `${payload.toString()} at ${qos}`)
        expect(seen.toSorted()).toEqual(["0 at 0", "1 at 1", "2 at 2"])
        await client.quiet()
      }
      // Nothing was sent back.
      expect(frames).toEqual({ fast: 1, sure: 2 })
    }))

  test("carries everything that belongs to it", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const subscriber = await b.connect({ clientId: "s", version: 5 })
      // Retain As Published
      await subscriber.subscribe(["t", 0x01 | 0x08])
      const publisher = await a.connect({ clientId: "p", version: 5 })
      const props = Buffer.concat([properties.contentType("text/x"), properties.messageExpiryInterval(60)])
      await publisher.send(
        raw.publish({
          version: 5,
          topic: "t",
          payload: "é",
          qos: 1,
          packetId: 1,
          retain: true,
          properties: props
        })
      )
      await publisher.expect("puback")
      await settle()
      const message = await subscriber.expect("publish")
      expect([message.topic, message.payload.toString(), message.retain]).toEqual(["t", "é", true])
      expect(message.properties).toMatchObject({ contentType: "text/x", messageExpiryInterval: 60 })
    }))

  test("[MQTT-4.3.2-4] is acknowledged when the other node has stored it", () => {
    const journal = new SlowJournal()
    return withTwoBrokers({ b: { storage: journal.layer } }, async ({ a, b, settle }) => {
      const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(60) } as const
      const subscriber = await b.connect({ ...lasting, clientId: "s" })
      await subscriber.subscribe(["t", 1])
      subscriber.drop()
      await settle()
      journal.isSlow = true
      const publisher = await a.connect({ clientId: "p", version: 5 })
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "kept", qos: 1, packetId: 1 }))
      await settle()
      await publisher.quiet()
      journal.settle()
      await settle()
      expect((await publisher.expect("puback")).reasonCode ?? 0).toBe(0)
      await publisher.send(raw.publish({ version: 5, topic: "t", payload: "lost", qos: 1, packetId: 2 }))
      await settle()
      journal.settle(new StorageError({ reason: "the disk is full", cause: undefined }))
      await settle()
      expect((await publisher.expect("puback")).reasonCode).toBe(unspecifiedError)
      journal.isSlow = false
      const back = await b.connect({ ...lasting, clientId: "s" })
      expect(await received(back)).toBe("kept")
    })
  })

  test("is refused when the other node does not answer in time", () =>
    withTwoBrokers({ bus: (bus) => ({ ...bus, sure: () => {} }) }, async ({ a, b, settle }) => {
      const subscriber = await b.connect({ clientId: "s" })
      await subscriber.subscribe("t")
      const publisher = await a.connect({ clientId: "p", version: 5, keepAlive: 0 })
      await publisher.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 1 }))
      await settle()
      await a.advance(9_500)
      await publisher.quiet()
      await a.advance(1_000)
      expect((await publisher.expect("puback")).reasonCode).toBe(unspecifiedError)
      await settle()
      expect(a.broker.census().deadlines).toBe(0)
    }))

  test("[MQTT-3.1.2-8] may be a will", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const subscriber = await b.connect({ clientId: "s" })
      await subscriber.subscribe("will")
      const mortal = await a.connect({ clientId: "m", will: { topic: "will", payload: "gone", qos: 1 } })
      mortal.drop()
      await settle()
      expect(await received(subscriber)).toBe("gone")
    }))

  test("is retained there alone", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const publisher = await a.connect({ clientId: "p" })
      const watcher = await b.connect({ clientId: "w" })
      await watcher.subscribe("r")
      await publisher.publish("r", "kept", { retain: true })
      await settle()
      expect(await drain(watcher)).toEqual(["kept"])
      const late = await b.connect({ clientId: "late" })
      await late.subscribe("r")
      expect(await drain(late)).toEqual([])
    }))

  test("is seen by no other tenant", () => {
    const directory = TenantDirectory.layerTable(() => defaultTenantSettings)
    return withTwoBrokers({ both: { authenticator: byUsername, directory } }, async ({ a, b, settle }) => {
      const same = await b.connect({ clientId: "s", username: "one/x" })
      const other = await b.connect({ clientId: "s", username: "two/x" })
      for (const client of [same, other]) await client.subscribe("#", "$share/g/#")
      const publisher = await a.connect({ clientId: "p", username: "one/x" })
      await publisher.publish("t", "for one")
      await settle()
      expect(await drain(same)).toEqual(["for one", "for one"])
      expect(await drain(other)).toEqual([])
    })
  })
})

describe("a shared subscription with members on both nodes", () => {
  const sendMany = async (publisher: TestClient, count: number): Promise<ReadonlyArray<string>> => {
    const payloads = Array.from({ length: count }, (_, index) => `${index}`)
    for (const payload of payloads) expect(await publish1(publisher, "t", payload)).toBe(0)
    return payloads
  }

  test("[MQTT-4.8.2-4] gives each message to one member", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const [here, there] = [await a.connect({ clientId: "m1" }), await b.connect({ clientId: "m2" })]
      for (const member of [here, there]) await member.subscribe(["$share/g/t", 0])
      const publisher = await a.connect({ clientId: "p", version: 5 })
      const sent = await sendMany(publisher, 64)
      await settle()
      const [ofHere, ofThere] = [await drain(here), await drain(there)]
      const numbers = [...ofHere, ...ofThere].map(Number)
      expect(numbers.toSorted((x, y) => x - y).map(String)).toEqual([...sent])
      expect(ofHere.length).toBeGreaterThan(0)
      expect(ofThere.length).toBeGreaterThan(0)
    }))

  test("gives what one publisher sends to $oshare to one member, in order", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const [here, there] = [await a.connect({ clientId: "m1" }), await b.connect({ clientId: "m2" })]
      for (const member of [here, there]) await member.subscribe(["$oshare/g/t", 0])
      const seen: Array<string> = []
      for (const clientId of ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]) {
        const publisher = await a.connect({ clientId, version: 5 })
        const sent = await sendMany(publisher, 8)
        await settle()
        const [ofHere, ofThere] = [await drain(here), await drain(there)]
        expect([ofHere, ofThere].filter(({ length }) => length > 0)).toEqual([[...sent]])
        seen.push(ofHere.length > 0 ? "here" : "there")
      }
      expect(new Set(seen)).toEqual(new Set(["here", "there"]))
    }))

  test("[MQTT-4.8.2-4] whose last member has just left takes nothing, and the publisher hears it", () => {
    const table = (inner: RouteTable["Type"]) => ({ ...inner, withdraw: () => {} })
    return withTwoBrokers({ table }, async ({ a, b }) => {
      const member = await b.connect({ clientId: "m" })
      await member.subscribe(["$share/g/t", 1])
      await member.send(raw.unsubscribe({ packetId: 1, filters: ["$share/g/t"] }))
      await member.expect("unsuback")
      const publisher = await a.connect({ clientId: "p", version: 5 })
      expect(await publish1(publisher, "t", "1")).toBe(unspecifiedError)
    })
  })

  test("gives all of them to the node that has members left", () =>
    withTwoBrokers({}, async ({ a, b, settle }) => {
      const [here, there] = [await a.connect({ clientId: "m1" }), await b.connect({ clientId: "m2" })]
      for (const member of [here, there]) await member.subscribe(["$share/g/t", 0])
      here.drop()
      await settle()
      const publisher = await a.connect({ clientId: "p", version: 5 })
      const sent = await sendMany(publisher, 8)
      await settle()
      expect(await drain(there)).toEqual([...sent])
    }))
})

describe("forwarding ends", () => {
  test("with the last subscription to a filter", () =>
    withTwoBrokers({}, async ({ a, b, frames, settle }) => {
      const [first, second] = [
        await b.connect({ clientId: "s1", clean: false }),
        await b.connect({ clientId: "s2" })
      ]
      for (const client of [first, second]) await client.subscribe("t")
      const publisher = await a.connect({ clientId: "p", version: 5 })
      await first.send(raw.unsubscribe({ packetId: 1, filters: ["t"] }))
      await first.expect("unsuback")
      expect(await publish1(publisher, "t", "1")).toBe(0)
      second.drop()
      await settle()
      expect(await publish1(publisher, "t", "2")).toBe(noMatchingSubscribers)
      expect(frames.sure).toBe(1)
    }))

  test("with the node", () =>
    withTwoBrokers({}, async ({ a, b, frames, settle }) => {
      const subscriber = await b.connect({ clientId: "s", clean: false })
      await subscriber.subscribe("t")
      const publisher = await a.connect({ clientId: "p", version: 5 })
      await b.stop()
      await settle()
      expect(await publish1(publisher, "t", "1")).toBe(noMatchingSubscribers)
      expect(frames).toEqual({ fast: 0, sure: 0 })
    }))

  test("when the router has failed, until its sessions have subscribed again", () => {
    let isBroken = false
    const settings = Object.defineProperty({ ...defaultTenantSettings }, "retainedMessagesMax", {
      get: () => {
        if (isBroken) throw new TypeError("a bug")
        return 10
      }
    })
    const b = { directory: TenantDirectory.layerTable(() => settings) }
    return withTwoBrokers({ b }, async ({ a, b, frames, settle }) => {
      const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(60) } as const
      const subscriber = await b.connect({ ...lasting, clientId: "s" })
      await subscriber.subscribe(["t", 1], ["$share/g/t", 1])
      const breaker = await b.connect({ clientId: "x" })
      isBroken = true
      await breaker.send(raw.publish({ topic: "r", qos: 1, packetId: 1, retain: true }))
      await settle()
      isBroken = false
      const publisher = await a.connect({ clientId: "p", version: 5 })
      expect(await publish1(publisher, "t", "1")).toBe(0)
      expect(frames.sure).toBe(1)
      const back = await b.connect({ ...lasting, clientId: "s" })
      expect([await received(back), await received(back)]).toEqual(["1", "1"])
      await back.quiet()
      // What was advertised before the failure does not count twice.
      await back.send(raw.unsubscribe({ version: 5, packetId: 5, filters: ["t", "$share/g/t"] }))
      await back.expect("unsuback")
      expect(await publish1(publisher, "t", "2")).toBe(noMatchingSubscribers)
    })
  })
})

describe("a broker and the cluster", () => {
  test("a node is up when it listens, draining when it ends, and then gone", () =>
    withTwoBrokers({}, async ({ a, b, members }) => {
      const states = async () => {
        const watcher = await Effect.runPromise(Effect.scoped(members.join("watcher")))
        return [...watcher.members().values()].map(({ id, state }) => `${id} ${state}`)
      }
      expect(await states()).toEqual(["a up", "b up"])
      const client = await b.connect({ clientId: "c" })
      const stopping = b.stop()
      await client.expectClosed()
      expect(await states()).toEqual(["a up", "b draining"])
      await stopping
      expect(await states()).toEqual(["a up"])
      await (await a.connect({ clientId: "c" })).quiet()
    }))

  test("[MQTT-3.8.4-1] SUBACK waits until the other nodes know of the subscription", () => {
    const waiting: Array<() => void> = []
    const table = (inner: RouteTable["Type"]) => ({
      ...inner,
      barrier: (passed: () => void) => {
        waiting.push(passed)
      }
    })
    return withTwoBrokers({ table }, async ({ a, settle }) => {
      const client = await a.connect({ clientId: "c" })
      await client.send(raw.subscribe({ packetId: 1, filters: ["t"] }))
      await settle()
      await client.quiet()
      for (const passed of waiting.splice(0)) passed()
      await client.expect("suback")
    })
  })

  test("a broker that finds its cell held does not start, and says who holds it", async () => {
    const leases = new LeaseTable()
    const nodeOf = (id: string) =>
      Layer.build(
        Broker.layerNode().pipe(
          Layer.provide(Layer.merge(layerSingleNode, Layer.succeed(Leases, leases.of(id)))),
          Layer.provide(Layer.merge(Broker.layerDefaultServices, Layer.succeed(Transports, [])))
        )
      )
    const holder = () => Effect.runSync(leases.of("anyone").holder("cell/0"))
    const first = Effect.runSync(Scope.make())
    await Effect.runPromise(Scope.extend(nodeOf("first"), first))
    const refused = await Effect.runPromise(Effect.flip(Effect.scoped(nodeOf("second"))))
    expect(refused).toEqual(new LeaseHeld({ key: "cell/0", holder: "first" }))
    expect(holder()).toBe("first")
    await Effect.runPromise(Scope.close(first, Exit.void))
    await Effect.runPromise(Effect.scoped(Effect.map(nodeOf("third"), () => expect(holder()).toBe("third"))))
    expect(holder()).toBeUndefined()
  })
})
