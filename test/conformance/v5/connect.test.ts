/**
 * CONNECT (5.0, section 3.1): what the server accepts, how it refuses what it does not, and who is served
 * at a time.
 */

import { describe, expect, test } from "bun:test"
import { bytesOf, type Credentials } from "../../../src/auth/Authenticator.ts"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { concat, field, hex, properties, type RawConnect, raw } from "../../support/raw.ts"
import { acceptedAs, answeringAuthenticator, refusedWith } from "../../support/testAuthenticator.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, expectRefused, join } from "./client.ts"

describe("the first packet", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["PUBLISH", raw.publish({ version: 5 })],
    ["SUBSCRIBE", raw.subscribe({ version: 5 })],
    ["PINGREQ", raw.pingreq()],
    ["DISCONNECT", raw.disconnect({ reasonCode: 0 })],
    ["AUTH", raw.auth({ reasonCode: 0x18, properties: properties.authenticationMethod("m") })]
  ]
  for (const [name, bytes] of cases) {
    test(`[MQTT-3.1.0-1] ${name} first closes the connection without an answer`, () =>
      withBroker({}, async (broker) => {
        const client = broker.open(5)
        await client.send(bytes)
        await client.expectClosed()
      }))
  }

  test("[MQTT-3.1.0-2] a second CONNECT is a Protocol Error", () =>
    withBroker({}, async (broker) => {
      const client = await join(broker, "c")
      await client.send(raw.connect({ version: 5, clientId: "c" }))
      await expectDisconnect(client, 0x82)
    }))
})

describe("a CONNECT that does not conform is refused and the connection closed", () => {
  const surrogate = hex("61 ed a0 80")
  const cases: ReadonlyArray<readonly [name: string, connect: Omit<RawConnect, "version">, code: number]> = [
    ["[MQTT-3.1.2-2] Protocol Version 6", { level: 6 }, 0x84],
    ["[MQTT-3.1.2-3] reserved flag 1", { flags: 0x03 }, 0x81],
    ["[MQTT-3.1.2-9] Will Flag 1 without a Will", { flags: 0x06 }, 0x81],
    [
      "[MQTT-3.1.2-9] Will Flag 1 without Will Payload",
      { flags: 0x06, trailer: concat(hex("00"), field("w")) },
      0x81
    ],
    ["[MQTT-3.1.2-11] Will Flag 0 with Will QoS 1", { flags: 0x0a }, 0x81],
    ["[MQTT-3.1.2-12] Will QoS 3", { will: { qos: 3 } }, 0x81],
    ["[MQTT-3.1.2-13] Will Flag 0 with Will Retain 1", { flags: 0x22 }, 0x81],
    ["[MQTT-3.1.2-16] User Name Flag 0 with a User Name", { trailer: field("user") }, 0x81],
    ["[MQTT-3.1.2-17] User Name Flag 1 without a User Name", { flags: 0x82 }, 0x81],
    ["[MQTT-3.1.2-18] Password Flag 0 with a Password", { username: "u", trailer: field("pw") }, 0x81],
    ["[MQTT-3.1.2-19] Password Flag 1 without a Password", { flags: 0x42 }, 0x81],
    ["[MQTT-3.1.3-4] ClientID that is no UTF-8", { clientId: surrogate }, 0x81],
    ["[MQTT-3.1.3-11] Will Topic that is no UTF-8", { will: { topic: hex("ff") } }, 0x81],
    ["[MQTT-3.1.3-12] User Name that is no UTF-8", { username: hex("c3 28") }, 0x81],
    ["[MQTT-3.1.4-1] a byte after the last field", { trailer: hex("00") }, 0x81],
    ["[MQTT-1.5.4-1] a surrogate in the ClientID", { clientId: surrogate }, 0x81],
    ["[MQTT-1.5.4-2] U+0000 in the User Name", { username: hex("61 00 62") }, 0x81],
    [
      "[MQTT-1.5.7-1] ill-formed UTF-8 in the value of a User Property",
      { properties: properties.userProperty("name", hex("80")) },
      0x81
    ],
    [
      "[MQTT-1.5.7-1] U+0000 in the name of a User Property",
      { properties: properties.userProperty(hex("00"), "value") },
      0x81
    ]
  ]
  for (const [name, connect, code] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        await expectRefused(broker, raw.connect({ ...connect, version: 5 }), code)
      })
    )
  }

  test("[MQTT-3.1.3-3] CONNECT without ClientID", () =>
    withBroker({}, async (broker) => {
      const bytes = raw.packet(0x10, field("MQTT"), hex("05 02 00 3c 00"))
      await expectRefused(broker, bytes, 0x81)
    }))

  test("[MQTT-2.2.2-1] CONNECT without Property Length", () =>
    withBroker({}, async (broker) => {
      // Read as properties, the ClientID "ab" is a property section without bytes and two bytes of length.
      const bytes = raw.packet(0x10, field("MQTT"), hex("05 02 00 3c"), field("ab"))
      await expectRefused(broker, bytes, 0x81)
    }))

  test("[MQTT-3.1.2-1] an unknown Protocol Name closes the connection", () =>
    withBroker({}, async (broker) => {
      for (const protocolName of ["MQTT5", "mqtt", "HTTP", ""]) {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, protocolName }))
        await client.expectClosed()
      }
    }))

  test("[MQTT-2.1.3-1] CONNECT with reserved flags in its fixed header", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      const bytes = raw.connect({ version: 5 })
      bytes[0] = 0x11
      await client.send(bytes)
      await client.expectClosed()
    }))
})

describe("the fields of CONNECT", () => {
  test("[MQTT-3.1.3-1] are read in their order: ClientID, Will, User Name, Password", async () => {
    const asked: Array<Credentials> = []
    const authenticator = answeringAuthenticator(acceptedAs("p"), asked)
    await withBroker({ authenticator }, async (broker) => {
      const watcher = await join(broker, "watcher")
      await watcher.subscribe("last/+")
      const client = await join(broker, "first", {
        will: { topic: "last/words", payload: "bye", properties: properties.contentType("text") },
        username: "user",
        password: "secret"
      })
      expect(asked[1]).toMatchObject({ clientId: "first", username: "user" })
      expect(Buffer.from(bytesOf(asked[1]?.password) ?? []).toString()).toBe("secret")
      client.drop()
      const will = await expectMessage(watcher, "bye")
      expect([will.topic, will.properties?.contentType]).toEqual(["last/words", "text"])
    })
  })

  test("[MQTT-3.1.3-5] ClientIDs of 1 to 23 letters and digits are accepted", () =>
    withBroker({}, async (broker) => {
      const ids = ["a", "Z", "0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"]
      for (const clientId of ids) (await join(broker, clientId)).drop()
    }))

  test("[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] a client without ClientID is given a unique one", () =>
    withBroker({}, async (broker) => {
      const assigned = new Set<string>()
      for (let count = 0; count < 5; count++) {
        const client = await join(broker, "")
        assigned.add(client.connack?.properties?.assignedClientIdentifier ?? "")
      }
      expect([assigned.size, assigned.has("")]).toEqual([5, false])
    }))

  test("[MQTT-3.1.3-7] the assigned ClientID is the key of a session like any other", () =>
    withBroker({}, async (broker) => {
      const stored = properties.sessionExpiryInterval(100)
      const client = await join(broker, "", { properties: stored })
      const assigned = client.connack?.properties?.assignedClientIdentifier ?? ""
      client.drop()
      const again = await join(broker, assigned, { clean: false, properties: stored })
      expect(again.connack?.sessionPresent).toBe(true)
      expect(again.connack?.properties?.assignedClientIdentifier).toBeUndefined()
    }))

  test("[MQTT-3.1.3-8] a rejected ClientID: CONNACK 0x85 and close", () =>
    withBroker(
      { authenticator: answeringAuthenticator(refusedWith(ReasonCode.ClientIdentifierNotValid)) },
      async (broker) => {
        await expectRefused(broker, raw.connect({ version: 5, clientId: "not/you" }), 0x85)
      }
    ))
})

describe("the CONNECT actions", () => {
  test("[MQTT-3.1.4-2] a client that fails authentication is refused and the connection closed", () =>
    withBroker(
      { authenticator: answeringAuthenticator(refusedWith(ReasonCode.BadUserNameOrPassword)) },
      async (broker) => {
        await expectRefused(broker, raw.connect({ version: 5 }), 0x86)
      }
    ))

  test("[MQTT-3.1.4-3] a second connection with the ClientID takes over: DISCONNECT 0x8E and close", () =>
    withBroker({}, async (broker) => {
      const first = await join(broker, "same")
      const second = await join(broker, "same")
      await expectDisconnect(first, 0x8e)
      await second.quiet()
    }))

  test("[MQTT-3.1.4-3] a client that is refused does not disturb the one that it claims to be", () =>
    withBroker({}, async (broker) => {
      const first = await join(broker, "same")
      const method = properties.authenticationMethod("unknown")
      await expectRefused(broker, raw.connect({ version: 5, clientId: "same", properties: method }), 0x8c)
      await first.quiet()
    }))

  test("[MQTT-3.1.4-5] a CONNECT that conforms is acknowledged with CONNACK 0x00", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5 }))
      expect(await client.expect("connack")).toMatchObject({ reasonCode: 0, sessionPresent: false })
    }))

  test("[MQTT-3.1.4-6] nothing that follows a rejected CONNECT is processed", async () => {
    const asked: Array<Credentials> = []
    const refusing = answeringAuthenticator(refusedWith(ReasonCode.NotAuthorized), asked)
    await withBroker({ authenticator: refusing }, async (broker) => {
      const publish = raw.publish({ version: 5, topic: "t", qos: 1, retain: true })
      const again = raw.connect({ version: 5, clientId: "second" })
      await expectRefused(broker, concat(raw.connect({ version: 5 }), publish, again), 0x87)
      expect([asked.length, broker.broker.census().retainedMessages]).toEqual([1, 0])
    })
  })

  test("[MQTT-3.1.4-6] nor what follows a CONNECT that is malformed", () =>
    withBroker({}, async (broker) => {
      const watcher = await join(broker, "watcher")
      await watcher.subscribe("t")
      const publish = raw.publish({ version: 5, topic: "t" })
      await expectRefused(broker, concat(raw.connect({ version: 5, flags: 3 }), publish), 0x81)
      await watcher.quiet()
    }))

  test("[MQTT-3.2.0-1] packets that follow an accepted CONNECT at once are answered after CONNACK", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      const publish = raw.publish({ version: 5, qos: 1, packetId: 7 })
      await client.send(concat(raw.connect({ version: 5 }), publish, raw.pingreq()))
      await client.connected()
      const rest = [await client.next(), await client.next()].map((packet) => packet?.cmd)
      expect(rest.sort()).toEqual(["pingresp", "puback"])
    }))
})
