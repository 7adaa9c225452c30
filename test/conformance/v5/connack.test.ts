/** CONNACK (5.0, section 3.2), and what a server says before it. */

import { describe, expect, test } from "bun:test"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { concat, properties, raw, toHex } from "../../support/raw.ts"
import {
  acceptedAs,
  answeringAuthenticator,
  refusedWith,
  silentAuthenticator
} from "../../support/testAuthenticator.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectMessage, expectRefused, join, keepsSession, resume } from "./client.ts"

/** The Reason Codes of table 3.2.2.2. */
const connectReasonCodes = [
  ...[0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97],
  ...[0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]
]

describe("Session Present", () => {
  test("[MQTT-3.2.2-2] Clean Start 1: 0, whether there was a session or not", () =>
    withBroker({}, async (broker) => {
      for (let round = 0; round < 2; round++) {
        const client = await join(broker, "c", { clean: true, properties: keepsSession })
        expect(client.connack).toMatchObject({ sessionPresent: false, reasonCode: 0 })
        client.drop()
      }
    }))

  test("[MQTT-3.2.2-3] Clean Start 0: 0 without and 1 with a stored session", () =>
    withBroker({}, async (broker) => {
      const first = await resume(broker, "c")
      expect(first.connack).toMatchObject({ sessionPresent: false, reasonCode: 0 })
      first.drop()
      const second = await resume(broker, "c")
      expect(second.connack).toMatchObject({ sessionPresent: true, reasonCode: 0 })
    }))

  test("[MQTT-3.2.2-3] Clean Start 0 that takes over: 1, but 0 if the session ended with its connection", () =>
    withBroker({}, async (broker) => {
      await resume(broker, "kept")
      expect((await resume(broker, "kept")).connack?.sessionPresent).toBe(true)
      await join(broker, "ended", { clean: false })
      expect((await join(broker, "ended", { clean: false })).connack?.sessionPresent).toBe(false)
    }))

  test("[MQTT-3.2.2-6] a refusal never has it, though there is a session", () =>
    withBroker({}, async (broker) => {
      const client = await resume(broker, "c")
      client.drop()
      const method = concat(keepsSession, properties.authenticationMethod("unknown"))
      await expectRefused(
        broker,
        raw.connect({ version: 5, clientId: "c", clean: false, properties: method }),
        0x8c
      )
      expect((await resume(broker, "c")).connack?.sessionPresent).toBe(true)
    }))

  test("[MQTT-3.2.2-1] bits 7-1 of the Connect Acknowledge Flags are 0", () =>
    withBroker({}, async (broker) => {
      for (const flags of ["00", "01"]) {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, clean: false, properties: keepsSession }))
        const bytes = await client.wire.receive()
        expect(toHex(bytes ?? Buffer.alloc(0)).slice(4, 6)).toBe(flags)
        client.drop()
      }
    }))
})

describe("CONNACK", () => {
  test("[MQTT-3.2.0-2] comes once on a connection", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.subscribe("t")
      await client.send(raw.publish({ version: 5, topic: "t" }))
      await expectMessage(client, "payload")
      await client.send(raw.connect({ version: 5 }))
      expect((await client.untilClosed()).map(({ cmd }) => cmd)).toEqual(["disconnect"])
    }))

  test("[MQTT-3.2.2-7] with 0x80 or more is followed by the close, without a DISCONNECT", () =>
    withBroker(
      { authenticator: answeringAuthenticator(refusedWith(ReasonCode.UnspecifiedError)) },
      async (broker) => {
        await expectRefused(broker, raw.connect({ version: 5 }), 0x80)
      }
    ))

  const refusals = [
    { name: "[MQTT-3.2.2-8] malformed", connect: { flags: 3 }, code: 0x81 },
    {
      name: "[MQTT-3.2.2-8] a property twice",
      connect: { properties: concat(keepsSession, keepsSession) },
      code: 0x82
    },
    { name: "[MQTT-3.2.2-8] an unknown version", connect: { level: 6 }, code: 0x84 },
    {
      name: "[MQTT-3.2.2-8] a will for a topic of the server",
      connect: { will: { topic: "$SYS/x" } },
      code: 0x87
    },
    { name: "[MQTT-3.2.2-8] a will topic with a wildcard", connect: { will: { topic: "a/#" } }, code: 0x90 },
    {
      name: "[MQTT-3.2.2-8] a will that is not the UTF-8 it claims to be",
      connect: { will: { payload: Buffer.from([0xff]), properties: properties.payloadFormatIndicator(1) } },
      code: 0x99
    }
  ]
  for (const { code, connect, name } of refusals) {
    test(`${name}: its Reason Code is one of the table`, () =>
      withBroker({}, async (broker) => {
        expect(connectReasonCodes).toContain(code)
        const client = broker.open(5)
        await client.send(raw.connect({ ...connect, version: 5 }))
        const packets = await client.untilClosed()
        expect(packets).toMatchObject([{ cmd: "connack", reasonCode: code }])
      }))
  }

  test("[MQTT-3.2.2-8] a handshake that a shutdown ends: a Reason Code of the table, not DISCONNECT's 0x8B", () =>
    withBroker({ authenticator: silentAuthenticator }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5 }))
      await broker.settle()
      const stopped = broker.stop()
      expect(await client.untilClosed()).toMatchObject([{ cmd: "connack", reasonCode: 0x88 }])
      await stopped
    }))

  test("[MQTT-3.14.0-1] no DISCONNECT comes before CONNACK, also when the handshake takes too long", () =>
    withBroker(
      { authenticator: silentAuthenticator, options: { handshakeTimeoutMs: 5000 } },
      async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5 }))
        await broker.settle()
        await broker.advance(6000)
        const packets = await client.untilClosed()
        expect(packets.map(({ cmd }) => cmd)).not.toContain("disconnect")
      }
    ))

  test("[MQTT-3.14.0-1] nor after a CONNACK that refuses", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      await client.send(concat(raw.connect({ version: 5, flags: 3 }), raw.packet(0x00)))
      expect((await client.untilClosed()).map(({ cmd }) => cmd)).toEqual(["connack"])
    }))
})

describe("the properties of CONNACK", () => {
  const informed = {
    authenticator: answeringAuthenticator(acceptedAs("p", { responseInformation: "reply/" }))
  }
  const requests = [
    { name: "[MQTT-3.1.2-28] absent", wish: Buffer.alloc(0), expected: undefined },
    { name: "[MQTT-3.1.2-28] 0", wish: properties.requestResponseInformation(0), expected: undefined },
    { name: "[MQTT-3.1.2-28] 1", wish: properties.requestResponseInformation(1), expected: "reply/" }
  ]
  for (const { expected, name, wish } of requests) {
    test(`${name}: Request Response Information decides about Response Information`, () =>
      withBroker(informed, async (broker) => {
        const client = await join(broker, "c", { properties: wish })
        expect(client.connack?.properties?.responseInformation).toBe(expected)
      }))
  }

  test("[MQTT-3.2.2-19] a Reason String that does not fit the client's Maximum Packet Size is left out", () =>
    withBroker({}, async (broker) => {
      const method = properties.authenticationMethod("unknown")
      const open = raw.connect({ version: 5, properties: method })
      const explained = await expectRefused(broker, open, 0x8c)
      expect(explained.properties?.reasonString).toBeString()
      const tight = raw.connect({
        version: 5,
        properties: concat(method, properties.maximumPacketSize(20))
      })
      const silent = await expectRefused(broker, tight, 0x8c)
      expect(silent.properties?.reasonString).toBeUndefined()
    }))

  test("[MQTT-3.2.2-20] User Properties that do not fit the client's Maximum Packet Size are left out", () => {
    const userProperties = [["note", "x".repeat(100)]] as const
    const authenticator = answeringAuthenticator(acceptedAs("p", { userProperties }))
    return withBroker({ authenticator }, async (broker) => {
      const wide = await join(broker, "wide")
      expect(wide.connack?.properties?.userProperties).toEqual({ note: "x".repeat(100) })
      const tight = await join(broker, "tight", { properties: properties.maximumPacketSize(100) })
      expect(tight.connack?.properties?.userProperties).toBeUndefined()
    })
  })

  test("[MQTT-3.1.2-24] a client that takes no packet as large as CONNACK is closed without one", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, properties: properties.maximumPacketSize(4) }))
      await client.expectClosed()
    }))
})
