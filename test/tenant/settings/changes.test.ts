/**
 * Settings that change while clients are connected: what CONNACK has announced holds for the connection, the
 * rest holds at once. And text of every kind where a tenant has limits of it.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { properties, raw } from "../../support/raw.ts"
import { type TestBroker, withBroker } from "../../support/testBroker.ts"

/** A broker whose only tenant has these settings until `change` says otherwise. */
const withChanges = (
  before: Partial<TenantSettings>,
  body: (broker: TestBroker, change: (settings: Partial<TenantSettings>) => Promise<void>) => Promise<void>
): Promise<void> => {
  let settings = { ...defaultTenantSettings, ...before }
  const directory = TenantDirectory.layerTable(() => settings)
  return withBroker({ directory }, (broker) =>
    body(broker, async (changed) => {
      settings = { ...settings, ...changed }
      await Effect.runPromise(broker.broker.administration.refresh("default"))
      await broker.settle()
    })
  )
}

const stricter: Partial<TenantSettings> = {
  receiveMaximum: 1,
  topicAliasMaximum: 0,
  maximumQos: 0,
  retainAvailable: false,
  wildcardSubscriptionAvailable: false,
  subscriptionIdentifiersAvailable: false,
  sharedSubscriptionAvailable: false,
  packetBytesMax: 60,
  keepAliveMax: 5,
  sessionExpiryIntervalMax: 1,
  forceTransient: true
}

describe("what CONNACK has announced holds for the connection:", () => {
  for (const version of [4, 5] as const) {
    test(`a client of version ${version} that keeps to it is not punished`, () =>
      withChanges({}, async (broker, change) => {
        const client = await broker.connect({
          version,
          clientId: "c",
          clean: false,
          keepAlive: 60,
          ...(version === 5 && { properties: properties.sessionExpiryInterval(100) })
        })
        await change(stricter)
        await client.send(
          raw.subscribe({
            version,
            packetId: 1,
            filters: [
              ["+/x", 2],
              ["$share/g/t", 1]
            ],
            ...(version === 5 && { properties: properties.subscriptionIdentifier(7) })
          })
        )
        expect((await client.expect("suback")).granted).toEqual([2, 1])
        const payload = "x".repeat(100)
        for (const packetId of [1, 2, 3]) {
          const alias = version === 5 ? { properties: properties.topicAlias(packetId) } : {}
          await client.send(
            raw.publish({ version, topic: "r", qos: 2, packetId, payload, retain: true, ...alias })
          )
          await client.expect("pubrec")
        }
        await broker.advance(50_000)
        await client.quiet()
        client.drop()
        await broker.settle()
        await broker.advance(50_000)
        expect(broker.broker.census().sessions).toBe(1)
      }))
  }

  test("and not for the next one", () =>
    withChanges({}, async (broker, change) => {
      await broker.connect({ version: 5, clientId: "first" })
      await change(stricter)
      const { connack } = await broker.connect({
        version: 5,
        clientId: "c",
        keepAlive: 60,
        properties: properties.sessionExpiryInterval(100)
      })
      expect(connack?.properties).toEqual({
        ...{ receiveMaximum: 1, maximumQoS: 0, retainAvailable: false, maximumPacketSize: 60 },
        ...{ wildcardSubscriptionAvailable: false, subscriptionIdentifiersAvailable: false },
        ...{ sharedSubscriptionAvailable: false, serverKeepAlive: 5, sessionExpiryInterval: 0 }
      })
    }))
})

describe("the rest holds at once:", () => {
  test("for a publisher that stays on its topic, too", () =>
    withChanges({}, async (broker, change) => {
      const client = await broker.connect({ version: 5 })
      const publish = async () => {
        await client.send(raw.publish({ version: 5, topic: "a/b/c", qos: 1, packetId: 1 }))
        return (await client.expect("puback")).reasonCode
      }
      expect([await publish(), await publish()]).toEqual([0x10, 0x10])
      await change({ topicLevelsMax: 2 })
      expect(await publish()).toBe(0x90)
      await change({ topicLevelsMax: 3 })
      expect(await publish()).toBe(0x10)
    }))

  test("of a queue, a will at shutdown, a shared subscription's strategy and its members", () =>
    withChanges(
      { sharedGroupMembersMax: 1, sharedSubscriptionStrategy: "sticky" },
      async (broker, change) => {
        const clients = [await broker.connect({ clientId: "a" }), await broker.connect({ clientId: "b" })]
        await clients[0]?.subscribe("$share/g/t")
        await change({ sharedGroupMembersMax: 2, sharedSubscriptionStrategy: "round-robin" })
        await clients[1]?.subscribe("$share/g/t")
        const publisher = await broker.connect({ clientId: "p", will: { topic: "w" } })
        for (const payload of ["1", "2"]) await publisher.publish("t", payload)
        for (const client of clients) await client.expect("publish")
        await change({ willsAtShutdown: "suppress" })
        await broker.stop()
        expect(broker.eventsOf("WillPublished")).toEqual([])
      }
    ))
})

describe("surrogate pairs are text like any other", () => {
  const smile = "\u{1f642}"
  for (const version of [4, 5] as const) {
    test(`in identifiers, names, topics, filters and group names, version ${version}`, () =>
      withBroker({ settings: { topicLevelBytesMax: 4, topicLevelsMax: 2 } }, async (broker) => {
        const client = await broker.connect({
          version,
          clientId: `client ${smile}`,
          username: `user ${smile}`,
          password: "x",
          will: { topic: smile, payload: smile }
        })
        await client.subscribe(`${smile}/+`, `$share/${smile}/${smile}/#`)
        const publisher = await broker.connect({ version, clientId: "publisher" })
        await publisher.publish(`${smile}/${smile}`, smile, { retain: true })
        for (const _ of ["plain", "shared"]) {
          const { payload, topic } = await client.expect("publish")
          expect([topic, payload.toString()]).toEqual([`${smile}/${smile}`, smile])
        }
        const late = await broker.connect({ version, clientId: smile })
        await late.subscribe(`+/${smile}`)
        expect((await late.expect("publish")).topic).toBe(`${smile}/${smile}`)
        expect(broker.eventsOf("ClientConnected").map(({ clientId }) => clientId)).toEqual([
          `client ${smile}`,
          "publisher",
          smile
        ])
        await client.send(raw.publish({ version, topic: `${smile}/${smile}${smile}`, qos: 1, packetId: 9 }))
        const { reasonCode = 0 } = await client.expect("puback")
        expect(reasonCode).toBe(version === 5 ? 0x90 : 0)
      }))
  }
})
