/**
 * MQTT 3.1.1 sections 3.1.2.4, 3.2, 4.1 and 4.5: sessions that are kept, cleaned, resumed, and what CONNACK
 * says of them.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator } from "../../../src/auth/Authenticator.ts"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../../src/tenant/TenantDirectory.ts"
import { concat, raw, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

/** The reason code that the user name spells refuses; everybody else is let in. */
const refusing = Layer.succeed(Authenticator, {
  authenticate: ({ username }) => {
    const reasonCode = Number(username ?? 0) as ReasonCode
    const step: AuthenticationStep =
      reasonCode === ReasonCode.Success
        ? { _tag: "Accepted", tenant: DEFAULT_TENANT, principal: "somebody" }
        : { _tag: "Refused", reasonCode, reason: "as asked" }
    return Effect.succeed(step)
  },
  reauthenticate: () => Effect.die("no client of 3.1.1 has AUTH")
})

/** A session that subscribes to `a` and is left alone; its client is gone when this returns. */
const leaveBehind = async (broker: TestBroker, version: Version, qos = 2): Promise<void> => {
  const client = await broker.connect({ version, clientId: "kept", clean: false })
  await client.subscribe(["a", qos])
  await client.send(raw.disconnect())
  await client.expectClosed()
}

const connectAgain = (broker: TestBroker, version: Version, clean = false): Promise<TestClient> =>
  broker.connect({ version, clientId: "kept", clean })

describe.each(olderVersions)("MQTT %s", (_, version) => {
  /** MQTT 3.1 has no Session Present flag. */
  const present = version === 4

  test("[v3 MQTT-3.1.2-4] [v3 MQTT-3.2.2-2] a kept session is resumed, and CONNACK says so", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      const client = await connectAgain(broker, version)
      expect(client.connack?.sessionPresent).toBe(present)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a")
      expect((await client.expect("publish")).topic).toBe("a")
    }))

  test("[v3 MQTT-3.1.2-4] [v3 MQTT-3.2.2-3] where there is no session one is made, and CONNACK says so", () =>
    withBroker({}, async (broker) => {
      const client = await connectAgain(broker, version)
      expect(client.connack).toMatchObject({ sessionPresent: false, returnCode: 0 })
    }))

  test("[v3 MQTT-3.1.2-4] [v3 MQTT-4.1.0-1] a session is kept for as long as it is meant to last", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      for (let day = 0; day < 400; day += 40) await broker.advance(40 * 86_400_000)
      const client = await connectAgain(broker, version)
      expect(client.connack?.sessionPresent).toBe(present)
      expect(broker.broker.census().subscriptions).toBe(1)
    }))

  test("[v3 MQTT-4.1.0-2] no session ends before its connection", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version, clientId: "alive", keepAlive: 0 })
      await client.subscribe("a")
      for (let day = 0; day < 400; day += 40) await broker.advance(40 * 86_400_000)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a")
      await client.expect("publish")
    }))

  test("[v3 MQTT-3.1.2-5] QoS 1 and 2 messages are stored for an absent client, QoS 0 need not be", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      for (const qos of [0, 1, 2]) {
        await publisher.send(raw.publish({ topic: "a", payload: `qos ${qos}`, qos, packetId: 1 + qos }))
      }
      await publisher.expect("puback")
      await publisher.expect("pubrec")
      const client = await connectAgain(broker, version)
      for (const qos of [1, 2] as const) {
        const message = await client.expect("publish")
        expect([message.payload.toString(), message.qos, message.dup]).toEqual([`qos ${qos}`, qos, false])
      }
      await client.quiet()
    }))

  test("[v3 MQTT-3.1.2-6] [v3 MQTT-3.1.4-3] a clean session starts with nothing", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a", "missed")
      const client = await connectAgain(broker, version, true)
      expect(client.connack?.sessionPresent).toBe(false)
      await publisher.publish("a", "unwanted")
      await client.quiet()
      expect(broker.broker.census().subscriptions).toBe(0)
    }))

  test("[v3 MQTT-3.1.2-6] a clean session leaves nothing", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version, clientId: "kept", clean: true })
      await client.subscribe(["a", 1])
      client.drop()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ sessions: 0, subscriptions: 0 })
      expect((await connectAgain(broker, version)).connack?.sessionPresent).toBe(false)
    }))

  test("[v3 MQTT-3.1.2-6] a clean session over a live kept one starts with nothing", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ version, clientId: "kept", clean: false })
      await first.subscribe(["a", 1])
      const second = await connectAgain(broker, version, true)
      await first.expectClosed()
      expect(second.connack?.sessionPresent).toBe(false)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a")
      await second.quiet()
    }))

  test("[v3 MQTT-3.1.2-7] retained messages outlive the session that published them", () =>
    withBroker({}, async (broker) => {
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a", "kept", { retain: true })
      publisher.drop()
      await broker.settle()
      expect(broker.broker.census().sessions).toBe(0)
      const client = await broker.connect({ version, clientId: "subscriber" })
      await client.subscribe("a")
      expect((await client.expect("publish")).payload.toString()).toBe("kept")
    }))

  test("[v3 MQTT-3.2.0-1] CONNACK comes before everything else, queued messages and answers included", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a")
      const client = broker.open(version)
      await client.send(
        concat(
          raw.connect({ version, clientId: "kept", clean: false }),
          raw.pingreq(),
          raw.subscribe({ filters: ["b"] })
        )
      )
      const order = []
      for (let count = 0; count < 4; count++) order.push((await client.next())?.cmd)
      expect(order[0]).toBe("connack")
      expect([...order].sort()).toEqual(["connack", "pingresp", "publish", "suback"])
    }))

  test("[v3 MQTT-3.2.2-1] Session Present is 0 for a clean session, whatever was stored", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      expect((await connectAgain(broker, version, true)).connack).toMatchObject({
        sessionPresent: false,
        returnCode: 0
      })
    }))

  const returnCodes: ReadonlyArray<readonly [reasonCode: number, returnCode: number]> = [
    [ReasonCode.UnsupportedProtocolVersion, 1],
    [ReasonCode.ClientIdentifierNotValid, 2],
    [ReasonCode.ServerUnavailable, 3],
    [ReasonCode.ServerBusy, 3],
    [ReasonCode.QuotaExceeded, 3],
    [ReasonCode.BadUserNameOrPassword, 4],
    [ReasonCode.NotAuthorized, 5],
    [ReasonCode.Banned, 5]
  ]

  test.each(returnCodes)(
    "[v3 MQTT-3.2.2-4] [v3 MQTT-3.2.2-5] refused for %d, the client gets return code %d, no session, and is closed",
    (reasonCode, returnCode) =>
      withBroker({ authenticator: refusing }, async (broker) => {
        await leaveBehind(broker, version)
        const client = broker.open(version)
        await client.send(
          raw.connect({ version, clientId: "kept", clean: false, username: String(reasonCode) })
        )
        expect(await client.expect("connack")).toMatchObject({ returnCode, sessionPresent: false })
        await client.expectClosed()
      })
  )

  test.each([ReasonCode.UnspecifiedError, ReasonCode.ImplementationSpecificError, ReasonCode.PacketTooLarge])(
    "[v3 MQTT-3.2.2-6] refused for %d, which no return code fits, the client is closed without CONNACK",
    (reasonCode) =>
      withBroker({ authenticator: refusing }, async (broker) => {
        const client = broker.open(version)
        await client.send(raw.connect({ version, username: String(reasonCode) }))
        await client.expectClosed()
      })
  )

  test("[v3 MQTT-4.5.0-1] a message is added to the session of every client that subscribed, present or not", () =>
    withBroker({}, async (broker) => {
      await leaveBehind(broker, version)
      const clients: Array<TestClient> = []
      for (const filter of ["a", "+", "#"]) {
        const client = await broker.connect({ version, clientId: `subscriber ${filter}` })
        await client.subscribe([filter, 1])
        clients.push(client)
      }
      const publisher = await broker.connect({ version, clientId: "publisher" })
      await publisher.publish("a", "for all")
      clients.push(await connectAgain(broker, version))
      for (const client of clients)
        expect((await client.expect("publish")).payload.toString()).toBe("for all")
    }))
})
