/** Every row of the table of limits, over a broker, for clients of both kinds. */

import { describe, expect, test } from "bun:test"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { answersOf, limitOutcomes } from "../../../src/tenant/quota/outcomes.ts"
import type { QuotaResource } from "../../../src/tenant/quota/QuotaResource.ts"
import { settingsTable, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { properties, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"

type Version = 4 | 5

/** A broker whose tenant has the limit, and what a client does there. */
interface Stage {
  readonly broker: TestBroker
  readonly version: Version
}

interface Case {
  readonly limit: number
  readonly settings?: Partial<TenantSettings>
  /** Comes to the limit; answers with the code that the client sees, undefined where it sees none. */
  readonly reach: (stage: Stage) => Promise<number | undefined>
}

const expiry = (version: Version) =>
  version === 5 ? { properties: properties.sessionExpiryInterval(3600) } : {}

const clientOf = ({ broker, version }: Stage, clientId: string, isPersistent = false): Promise<TestClient> =>
  broker.connect({ version, clientId, clean: !isPersistent, ...(isPersistent && expiry(version)) })

/** The code in the CONNACK of one more client. */
const refusedConnect = async ({ broker, version }: Stage, isPersistent = false): Promise<number> => {
  const client = broker.open(version)
  const clientId = `one more ${isPersistent}`
  const more = { version, clientId, clean: !isPersistent, ...(isPersistent && expiry(version)) }
  await client.send(raw.connect(more))
  const connack = await client.expect("connack")
  await client.expectClosed()
  return (version === 5 ? connack.reasonCode : connack.returnCode) ?? -1
}

const countersOf = ({ broker }: Stage) => {
  const counters = broker.broker.counters("default")
  if (counters === undefined) throw new RangeError("the tenant has no counters")
  return counters
}

/** Has something done that must wait, and go on by itself when time has passed. */
const expectDelay = async (
  stage: Stage,
  act: () => Promise<unknown>,
  done: () => number,
  expected: readonly [atOnce: number, later: number]
): Promise<undefined> => {
  await act()
  await stage.broker.settle()
  expect(done()).toBe(expected[0])
  for (let second = 0; second < 3; second++) await stage.broker.advance(1000)
  expect(done()).toBe(expected[1])
  return undefined
}

/** A client that publishes three messages, of which only `atOnce` are taken before time passes. */
const delayedPublish =
  (atOnce: number, retain = false): Case["reach"] =>
  async (stage) => {
    const publisher = await clientOf(stage, "publisher")
    const { version } = stage
    const publish = (packetId: number) => raw.publish({ version, qos: 1, packetId, retain, topic: "t" })
    const send = () => publisher.send(publish(1), publish(2), publish(3))
    const done = () => countersOf(stage).messagesReceived
    await expectDelay(stage, send, done, [atOnce, 3])
    for (const packetId of [1, 2, 3]) expect((await publisher.expect("puback")).messageId).toBe(packetId)
    return undefined
  }

const delayedFanout =
  (isPersistent: boolean): Case["reach"] =>
  async (stage) => {
    await (await clientOf(stage, "subscriber", isPersistent)).subscribe(["t", 1])
    // Others do not count.
    await (await clientOf(stage, "other", !isPersistent)).subscribe(["u", 1])
    return delayedPublish(1)(stage)
  }

const delayedDelivery =
  (qos: 0 | 1): Case["reach"] =>
  async (stage) => {
    const { version } = stage
    const subscriber = await clientOf(stage, "subscriber")
    await subscriber.subscribe(["t", qos])
    const publisher = await clientOf(stage, "publisher")
    const send = async () => {
      for (const packetId of [1, 2, 3]) {
        await publisher.send(raw.publish({ version, qos: 1, packetId, topic: "t", payload: `${packetId}` }))
        await publisher.expect("puback")
      }
    }
    await expectDelay(stage, send, () => countersOf(stage).messagesSent, [1, 3])
    for (const payload of ["1", "2", "3"]) {
      expect((await subscriber.expect("publish")).payload.toString()).toBe(payload)
    }
    return undefined
  }

const delayedFilters =
  (packet: "subscribe" | "unsubscribe", isPersistent: boolean): Case["reach"] =>
  async (stage) => {
    const { version } = stage
    const client = await clientOf(stage, "client", isPersistent)
    if (packet === "unsubscribe") await client.subscribe("a", "b", "c", "d")
    const filters = (packetId: number, ...names: ReadonlyArray<string>) =>
      raw[packet]({ version, packetId, filters: names })
    const send = () => client.send(filters(1, "a", "b"), filters(2, "c"), filters(3, "d"))
    const { transientSubscriptions: before, persistentSubscriptions } = countersOf(stage)
    const done = () => {
      const { persistentSubscriptions: kept, transientSubscriptions } = countersOf(stage)
      return Math.abs(transientSubscriptions + kept - before - persistentSubscriptions)
    }
    await expectDelay(stage, send, done, [2, 4])
    for (const packetId of [1, 2, 3]) {
      const answer = await client.expect(packet === "subscribe" ? "suback" : "unsuback")
      expect(answer.messageId).toBe(packetId)
    }
    return undefined
  }

const delayedReplay =
  (atOnce: number): Case["reach"] =>
  async (stage) => {
    const { version } = stage
    const topics = ["r/1", "r/2", "r/3"]
    const publisher = await clientOf(stage, "publisher")
    for (const topic of topics) await publisher.publish(topic, "kept", { retain: true })
    const subscriber = await clientOf(stage, "subscriber")
    const send = () => subscriber.send(raw.subscribe({ version, filters: topics }))
    await expectDelay(stage, send, () => countersOf(stage).messagesSent, [atOnce, 3])
    await subscriber.expect("suback")
    for (const topic of topics) expect((await subscriber.expect("publish")).topic).toBe(topic)
    return undefined
  }

const refusedFilter =
  (filters: readonly [string, string], isPersistent: boolean): Case["reach"] =>
  async (stage) => {
    const { version } = stage
    const client = await clientOf(stage, "client", isPersistent)
    await client.send(raw.subscribe({ version, filters }))
    const { granted } = await client.expect("suback")
    expect(granted[0]).toBe(0)
    // What is there may be renewed, and what is given up leaves room.
    await client.send(raw.subscribe({ version, packetId: 2, filters: [filters[0]] }))
    expect((await client.expect("suback")).granted).toEqual([0])
    await client.send(raw.unsubscribe({ version, packetId: 3, filters: [filters[0]] }))
    await client.expect("unsuback")
    await client.send(raw.subscribe({ version, packetId: 4, filters: [filters[1]] }))
    expect((await client.expect("suback")).granted).toEqual([0])
    return Number(granted[1])
  }

const notRetained: Case["reach"] = async (stage) => {
  const { version } = stage
  const subscriber = await clientOf(stage, "subscriber")
  await subscriber.subscribe("#")
  const publisher = await clientOf(stage, "publisher")
  const publish = async (packetId: number, topic: string) => {
    await publisher.send(raw.publish({ version, qos: 1, packetId, topic, retain: true }))
    return (await publisher.expect("puback")).reasonCode
  }
  expect((await publish(1, "a")) ?? 0).toBe(0)
  const code = await publish(2, "b")
  for (const topic of ["a", "b"]) expect((await subscriber.expect("publish")).topic).toBe(topic)
  expect(countersOf(stage).retainedMessages).toBe(1)
  return version === 5 ? code : undefined
}

/** One message is taken; of the next, QoS 0 is dropped, QoS 1 and 2 are refused or close the connection. */
const closedWindow: Case["reach"] = async (stage) => {
  const { broker, version } = stage
  const subscriber = await clientOf(stage, "subscriber")
  await subscriber.subscribe("t")
  const publisher = await clientOf(stage, "publisher")
  const publish = (qos: number, packetId: number) =>
    publisher.send(raw.publish({ version, qos, packetId, topic: "t", payload: "payload" }))
  await publish(1, 1)
  expect((await publisher.expect("puback")).reasonCode ?? 0).toBe(0)
  await subscriber.expect("publish")
  await publish(0, 0)
  await publisher.quiet()
  expect(countersOf(stage).droppedQuota).toBe(1)
  let code: number | undefined
  if (version === 5) {
    await publish(1, 2)
    const puback = await publisher.expect("puback")
    code = puback.reasonCode
    expect(puback.properties?.reasonString).toMatch(/^the tenant's \w+ of \d+ is used up until 2027-/)
    await publish(2, 3)
    expect((await publisher.expect("pubrec")).reasonCode).toBe(code ?? 0)
  } else {
    await publish(1, 2)
    await publisher.expectClosed()
    expect(broker.eventsOf("ClientDisconnected").at(-1)).toMatchObject({
      clientId: "publisher",
      by: "server",
      reasonCode: ReasonCode.QuotaExceeded
    })
  }
  await subscriber.quiet()
  // A new month lets it go on.
  await broker.advance(40 * 86_400_000)
  const again = await clientOf(stage, "again")
  await again.send(raw.publish({ version, qos: 1, packetId: 9, topic: "t" }))
  expect((await again.expect("puback")).reasonCode ?? 0).toBeLessThan(0x80)
  return code
}

const slow = { burstSeconds: 1 } as const
/** Weight of the messages above: one byte of topic, seven of payload; a half of it is its rate. */
const halfMessage = 4

const cases: Readonly<Record<QuotaResource, Case>> = {
  connectionsMax: {
    limit: 1,
    reach: async (stage) => {
      await clientOf(stage, "first")
      const code = await refusedConnect(stage)
      // It is not one more, and leaves room when it goes.
      const again = await clientOf(stage, "first")
      again.drop()
      await stage.broker.settle()
      await clientOf(stage, "second")
      return code
    }
  },
  connectRate: {
    limit: 1,
    settings: slow,
    reach: async (stage) => {
      for (const clientId of ["a", "b"]) await clientOf(stage, clientId)
      const code = await refusedConnect(stage)
      await stage.broker.advance(1000)
      await clientOf(stage, "c")
      return code
    }
  },
  sessionsMax: {
    limit: 1,
    reach: async (stage) => {
      await clientOf(stage, "first", true)
      return refusedConnect(stage)
    }
  },
  sessionMemoryBytesMax: {
    limit: 8000,
    reach: async (stage) => {
      await clientOf(stage, "first")
      const code = await refusedConnect(stage)
      await clientOf(stage, "first")
      return code
    }
  },
  persistentSessionsMax: {
    limit: 1,
    reach: async (stage) => {
      await clientOf(stage, "first", true)
      await clientOf(stage, "transient")
      await clientOf(stage, "first", true)
      return refusedConnect(stage, true)
    }
  },
  persistentSessionBytesMax: {
    limit: 5,
    reach: async (stage) => {
      const first = await clientOf(stage, "first", true)
      await first.subscribe(["t", 1])
      first.drop()
      await (await clientOf(stage, "transient")).publish("t")
      const code = await refusedConnect(stage, true)
      await (await clientOf(stage, "first", true)).expect("publish")
      return code
    }
  },
  publishRate: { limit: 1, settings: slow, reach: delayedPublish(2) },
  inboundBytesRate: { limit: halfMessage, settings: slow, reach: delayedPublish(1) },
  tenantPublishRate: { limit: 1, settings: slow, reach: delayedPublish(2) },
  tenantInboundBytesRate: { limit: halfMessage, settings: slow, reach: delayedPublish(1) },
  retainRate: { limit: 1, settings: slow, reach: delayedPublish(2, true) },
  retainBytesRate: { limit: halfMessage, settings: slow, reach: delayedPublish(1, true) },
  transientFanoutBytesRate: { limit: halfMessage, settings: slow, reach: delayedFanout(false) },
  persistentFanoutBytesRate: { limit: halfMessage, settings: slow, reach: delayedFanout(true) },
  outboundBytesRate: { limit: 1, settings: slow, reach: delayedDelivery(1) },
  tenantOutboundBytesRate: { limit: 1, settings: slow, reach: delayedDelivery(0) },
  transientSubscribeRate: { limit: 1, settings: slow, reach: delayedFilters("subscribe", false) },
  persistentSubscribeRate: { limit: 1, settings: slow, reach: delayedFilters("subscribe", true) },
  transientUnsubscribeRate: { limit: 1, settings: slow, reach: delayedFilters("unsubscribe", false) },
  persistentUnsubscribeRate: { limit: 1, settings: slow, reach: delayedFilters("unsubscribe", true) },
  retainedMatchRate: { limit: 1, settings: slow, reach: delayedReplay(2) },
  retainedMatchBytesRate: { limit: 4, settings: slow, reach: delayedReplay(1) },
  transientSubscriptionsMax: { limit: 1, reach: refusedFilter(["a", "b"], false) },
  persistentSubscriptionsMax: { limit: 1, reach: refusedFilter(["a", "b"], true) },
  sharedSubscriptionsMax: { limit: 1, reach: refusedFilter(["$share/g/a", "$share/g/b"], false) },
  retainedMessagesMax: { limit: 1, reach: notRetained },
  retainedBytesMax: { limit: 10, reach: notRetained },
  messagesPerDay: { limit: 1, reach: closedWindow },
  messagesPerMonth: { limit: 1, reach: closedWindow },
  bytesPerDay: { limit: 7, reach: closedWindow },
  bytesPerMonth: { limit: 7, reach: closedWindow },
  deliveriesPerDay: { limit: 1, reach: closedWindow },
  deliveriesPerMonth: { limit: 1, reach: closedWindow },
  deliveryBytesPerDay: { limit: 7, reach: closedWindow },
  deliveryBytesPerMonth: { limit: 7, reach: closedWindow }
}

const resources = Object.keys(limitOutcomes) as ReadonlyArray<QuotaResource>

for (const version of [4, 5] as const) {
  describe(`limits, version ${version === 5 ? "5" : "3.1.1"}`, () => {
    for (const resource of resources) {
      const { limit, reach, settings = {} } = cases[resource]
      const row = limitOutcomes[resource]
      test(`${resource}: ${answersOf(row)[version === 5 ? "v5" : "v3"]}`, () =>
        withBroker({ settings: { ...settings, [resource]: limit } }, async (broker) => {
          const code = await reach({ broker, version })
          expect(code).toBe(version === 5 ? row.codeV5 : row.codeV3)
          const outcome = version === 5 ? row.outcome : (row.outcomeV3 ?? row.outcome)
          // Once a second is enough for an event, and the first one was QoS 0.
          const [told, ...more] = broker.eventsOf("QuotaReached")
          const first = row.counter === "droppedQuota" ? "dropped" : outcome
          expect(told).toMatchObject({ tenant: "default", resource, outcome: first })
          expect(new Set(more.map((event) => event.resource)).size).toBeLessThanOrEqual(1)
          expect(broker.broker.counters("default")?.[row.counter]).toBeGreaterThan(0)
        }))
    }
  })
}

test("the table has a row for each of the 21 resources of BifroMQ", () => {
  const names = resources.flatMap((resource) => settingsTable[resource].bifromq)
  expect(names.filter((name) => name.startsWith("Total"))).toHaveLength(21)
  expect(new Set(names).size).toBe(names.length)
})
