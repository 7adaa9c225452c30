/**
 * Enhanced authentication and AUTH (5.0, sections 3.15 and 4.12), with the exchange of
 * `challengingAuthenticator`.
 */

import { describe, expect, test } from "bun:test"
import { concat, properties, raw } from "../../support/raw.ts"
import { challengingAuthenticator, METHOD } from "../../support/testAuthenticator.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectRefused, join } from "./client.ts"

const options = { authenticator: challengingAuthenticator }

const method = (name = METHOD, data?: string): Buffer =>
  data === undefined
    ? properties.authenticationMethod(name)
    : concat(properties.authenticationMethod(name), properties.authenticationData(data))

const auth = (reasonCode: number, data?: string, name = METHOD): Buffer =>
  raw.auth({ reasonCode, properties: method(name, data) })

const continued = (data: string, name = METHOD): Buffer => auth(0x18, data, name)

/** A client that has sent CONNECT and has been asked the first question. */
const asked = async (broker: TestBroker, name = "ann"): Promise<TestClient> => {
  const client = broker.open(5)
  await client.send(raw.connect({ version: 5, clientId: "c", properties: method(METHOD, name) }))
  await expectQuestion(client, "one?")
  return client
}

/** [MQTT-4.12.0-2] [MQTT-4.12.0-5] */
const expectQuestion = async (client: TestClient, data: string): Promise<void> => {
  const packet = await client.expect("auth")
  expect(packet.reasonCode).toBe(0x18)
  expect(packet.properties?.authenticationMethod).toBe(METHOD)
  expect(packet.properties?.authenticationData?.toString()).toBe(data)
}

const authenticated = async (broker: TestBroker, name = "ann"): Promise<TestClient> => {
  const client = await asked(broker, name)
  await client.send(continued("one!"))
  await expectQuestion(client, "two?")
  await client.send(continued("two!"))
  await client.connected()
  return client
}

const expectConnackClosed = async (client: TestClient, reasonCode: number): Promise<void> => {
  expect(await client.untilClosed()).toMatchObject([{ cmd: "connack", reasonCode }])
}

describe("on CONNECT", () => {
  test("[MQTT-4.12.0-2] [MQTT-4.12.0-5] each AUTH says 0x18 and the method, and so does the successful CONNACK", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker)
      const found = client.connack?.properties
      expect([found?.authenticationMethod, found?.authenticationData?.toString()]).toEqual([
        METHOD,
        "welcome"
      ])
      await client.quiet()
    }))

  test("[MQTT-4.12.0-1] an unsupported method: CONNACK 0x8C and close", async () => {
    for (const each of [options, {}]) {
      await withBroker(each, async (broker) => {
        const connect = raw.connect({ version: 5, properties: method("OTHER", "data") })
        await expectRefused(broker, connect, 0x8c)
      })
    }
  })

  const violations: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["[MQTT-3.1.2-30] PUBLISH before CONNACK", raw.publish({ version: 5, topic: "t", qos: 1 }), 0x82],
    ["[MQTT-3.1.2-30] SUBSCRIBE before CONNACK", raw.subscribe({ version: 5 }), 0x82],
    ["[MQTT-3.1.2-30] PINGREQ before CONNACK", raw.pingreq(), 0x82],
    ["[MQTT-4.12.0-3] an answer with 0x19", auth(0x19, "one!"), 0x82],
    ["[MQTT-4.12.0-5] an answer with another method", continued("one!", "OTHER"), 0x82],
    ["[MQTT-4.12.0-4] a wrong answer", continued("eins!"), 0x87],
    [
      "[MQTT-3.15.1-1] AUTH with flags in its fixed header",
      concat(Buffer.from([0xf1]), continued("one!").subarray(1)),
      0x81
    ],
    ["[MQTT-3.15.2-1] AUTH 0x00, which only a server sends", auth(0x00, "one!"), 0x82],
    ["[MQTT-3.15.2-1] AUTH 0x80, which there is not", auth(0x80, "one!"), 0x82]
  ]
  for (const [name, bytes, reasonCode] of violations) {
    test(`${name}: the server refuses and closes, and processes nothing`, () =>
      withBroker(options, async (broker) => {
        const watcher = await join(broker, "watcher")
        await watcher.subscribe("#")
        const client = await asked(broker)
        await client.send(bytes)
        await expectConnackClosed(client, reasonCode)
        await watcher.quiet()
        expect(broker.broker.census().sessions).toBe(1)
      }))
  }

  test("[MQTT-4.12.0-4] a wrong answer at a later step: refused and closed", () =>
    withBroker(options, async (broker) => {
      const client = await asked(broker)
      await client.send(continued("one!"))
      await expectQuestion(client, "two?")
      await client.send(continued("one!"))
      await expectConnackClosed(client, 0x87)
    }))

  test("[MQTT-3.1.2-30] DISCONNECT before CONNACK ends it without an answer", () =>
    withBroker(options, async (broker) => {
      const client = await asked(broker)
      await client.send(raw.disconnect({ reasonCode: 0 }))
      await client.expectClosed()
    }))

  test("[MQTT-3.1.4-6] AUTH is read after CONNECT and before the verdict; what comes behind it waits", () =>
    withBroker(options, async (broker) => {
      const client = broker.open(5)
      await client.send(
        concat(
          raw.connect({ version: 5, clientId: "c", properties: method(METHOD, "ann") }),
          continued("one!"),
          continued("two!"),
          raw.publish({ version: 5, topic: "t", qos: 1 })
        )
      )
      await expectQuestion(client, "one?")
      await expectQuestion(client, "two?")
      await client.connected()
      await client.expect("puback")
    }))
})

describe("without an Authentication Method", () => {
  test("[MQTT-4.12.0-6] the server sends neither AUTH nor a method", () =>
    withBroker(options, async (broker) => {
      const client = await join(broker, "c")
      expect(client.connack?.properties?.authenticationMethod).toBeUndefined()
      await client.quiet()
    }))

  test("[MQTT-4.12.0-7] an AUTH of the client is a Protocol Error", () =>
    withBroker(options, async (broker) => {
      for (const bytes of [auth(0x19, "ann"), continued("one!")]) {
        const client = await join(broker, "c")
        await client.send(bytes)
        await expectDisconnect(client, 0x82)
      }
    }))
})

describe("re-authentication", () => {
  const again = async (client: TestClient, name = "ann"): Promise<void> => {
    await client.send(auth(0x19, name))
    await expectQuestion(client, "one?")
    await client.send(continued("one!"))
    await expectQuestion(client, "two?")
  }

  test("[MQTT-4.12.1-1] [MQTT-4.12.0-5] AUTH 0x19 begins it, AUTH 0x00 with the method ends it; packets flow on", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker)
      for (let round = 0; round < 2; round++) {
        await again(client)
        await client.publish("t")
        await client.send(continued("two!"))
        const packet = await client.expect("auth")
        expect([packet.reasonCode, packet.properties?.authenticationMethod]).toEqual([0, METHOD])
        expect(packet.properties?.authenticationData?.toString()).toBe("welcome")
        await client.quiet()
      }
    }))

  test("[MQTT-4.12.1-1] with another method is a Protocol Error", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker)
      await client.send(auth(0x19, "ann", "OTHER"))
      await expectDisconnect(client, 0x82)
    }))

  test("[MQTT-4.12.0-3] an answer to nothing is a Protocol Error", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker)
      await client.send(continued("one!"))
      await expectDisconnect(client, 0x82)
    }))

  test("[MQTT-4.12.1-2] that fails: DISCONNECT and close", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker)
      await client.send(auth(0x19, "ann"))
      await expectQuestion(client, "one?")
      await client.send(continued("eins!"))
      await expectDisconnect(client, 0x87)
    }))

  test("[MQTT-4.12.1-2] as somebody else fails as well", () =>
    withBroker(options, async (broker) => {
      const client = await authenticated(broker, "ann")
      await again(client, "bob")
      await client.send(continued("two!"))
      await expectDisconnect(client, 0x87)
    }))

  test("[MQTT-3.15.1-1] [MQTT-3.15.2-1] a malformed AUTH ends the connection", () =>
    withBroker(options, async (broker) => {
      const flagged = await authenticated(broker)
      await flagged.send(concat(Buffer.from([0xf8]), auth(0x19, "ann").subarray(1)))
      await expectDisconnect(flagged, 0x81)
      const coded = await authenticated(broker)
      await coded.send(auth(0x10, "ann"))
      await expectDisconnect(coded, 0x82)
    }))
})
