/** MQTT 3.1.1 section 3.1: CONNECT, but for its will (`will.test.ts`) and the session (`session.test.ts`). */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator, bytesOf, type Credentials } from "../../../src/auth/Authenticator.ts"
import { DEFAULT_TENANT } from "../../../src/tenant/TenantDirectory.ts"
import { concat, field, hex, raw, uint16, type Version } from "../../support/raw.ts"
import { type TestBroker, withBroker } from "../../support/testBroker.ts"
import { olderVersions } from "./versions.ts"

const isClosed = async (broker: TestBroker, version: Version, bytes: Uint8Array): Promise<void> => {
  const client = broker.open(version)
  await client.send(bytes)
  await client.expectClosed()
}

/** Lets everybody in and keeps what they said. */
const recording = () => {
  const seen: Array<Credentials> = []
  const layer = Layer.succeed(Authenticator, {
    authenticate: (credentials) =>
      Effect.sync(() => {
        seen.push(credentials)
        return { _tag: "Accepted", tenant: DEFAULT_TENANT, principal: "somebody" } as const
      }),
    reauthenticate: () => Effect.die("no client of 3.1.1 has AUTH")
  })
  return { seen, layer }
}

describe.each(olderVersions)("MQTT %s", (_, version) => {
  const name = version === 3 ? "MQIsdp" : "MQTT"
  /** A CONNECT of these fields after flags and Keep Alive. */
  const connectOf = (flags: number, ...payload: ReadonlyArray<string>) =>
    raw.packet(
      0x10,
      field(name),
      Uint8Array.of(version, flags),
      uint16(60),
      ...payload.map((text) => field(text))
    )

  const others: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["CONNACK", hex("20 02 00 00")],
    ["PUBLISH", raw.publish()],
    ["PUBACK", raw.puback()],
    ["PUBREC", raw.pubrec()],
    ["PUBREL", raw.pubrel()],
    ["PUBCOMP", raw.pubcomp()],
    ["SUBSCRIBE", raw.subscribe()],
    ["SUBACK", hex("90 03 00 01 00")],
    ["UNSUBSCRIBE", raw.unsubscribe()],
    ["UNSUBACK", hex("b0 02 00 01")],
    ["PINGREQ", raw.pingreq()],
    ["PINGRESP", hex("d0 00")],
    ["DISCONNECT", raw.disconnect()],
    ["type 0", hex("00 00")],
    ["type 15", hex("f0 00")]
  ]

  test.each(others)("[v3 MQTT-3.1.0-1] %s as the first packet closes the connection", (_name, bytes) =>
    withBroker({}, (broker) => isClosed(broker, version, bytes))
  )

  test("[v3 MQTT-3.1.0-2] a second CONNECT closes the connection", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.connect({ version }))
      await client.expectClosed()
    }))

  test.each(["mqtt", "MQTTX", "MQT", "MQIsdP", "", "HTTP"])(
    "[v3 MQTT-3.1.2-1] the protocol name %j is not served",
    (protocolName) =>
      withBroker({}, async (broker) => {
        await isClosed(broker, version, raw.connect({ version, protocolName }))
        expect(broker.broker.census().sessions).toBe(0)
      })
  )

  test.each([0, 1, 2, 128 + version, 255])(
    "[v3 MQTT-3.1.2-2] protocol level %d is answered with return code 1",
    (level) =>
      withBroker({}, async (broker) => {
        const client = broker.open(version)
        await client.send(raw.connect({ version, level }))
        expect(await client.expect("connack")).toMatchObject({ returnCode: 1, sessionPresent: false })
        await client.expectClosed()
      })
  )

  test("[v3 MQTT-3.1.2-2] the level of another protocol name is answered with return code 1", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, level: version === 3 ? 4 : 3 }))
      expect((await client.expect("connack")).returnCode).toBe(1)
      await client.expectClosed()
    }))

  test.each([0x01, 0x03])("[v3 MQTT-3.1.2-3] the reserved flag in %d closes the connection", (flags) =>
    withBroker({}, (broker) => isClosed(broker, version, connectOf(flags, "id")))
  )

  const fields: ReadonlyArray<
    readonly [id: string, rule: string, flags: number, payload: ReadonlyArray<string>]
  > = [
    ["[v3 MQTT-3.1.2-9]", "Will Flag without will", 0x06, ["id"]],
    ["[v3 MQTT-3.1.2-9]", "Will Flag without will message", 0x06, ["id", "will"]],
    ["[v3 MQTT-3.1.2-11]", "a will without Will Flag", 0x02, ["id", "will", "gone"]],
    ["[v3 MQTT-3.1.2-11]", "Will QoS and Will Retain without Will Flag", 0x32, ["id"]],
    ["[v3 MQTT-3.1.2-13]", "Will QoS 1 without Will Flag", 0x0a, ["id"]],
    ["[v3 MQTT-3.1.2-13]", "Will QoS 2 without Will Flag", 0x12, ["id"]],
    ["[v3 MQTT-3.1.2-14]", "Will QoS 3", 0x1e, ["id", "will", "gone"]],
    ["[v3 MQTT-3.1.2-15]", "Will Retain without Will Flag", 0x22, ["id"]],
    ["[v3 MQTT-3.1.2-18]", "a user name without User Name Flag", 0x02, ["id", "user"]],
    ["[v3 MQTT-3.1.2-19]", "User Name Flag without user name", 0x82, ["id"]],
    ["[v3 MQTT-3.1.2-20]", "a password without Password Flag", 0x82, ["id", "user", "secret"]],
    ["[v3 MQTT-3.1.2-21]", "Password Flag without password", 0xc2, ["id", "user"]],
    ["[v3 MQTT-3.1.2-22]", "Password Flag without User Name Flag", 0x42, ["id", "secret"]],
    ["[v3 MQTT-3.1.3-3]", "no client identifier", 0x02, []]
  ]

  test.each(fields)("%s %s closes the connection", (_id, _rule, flags, payload) =>
    withBroker({}, (broker) => isClosed(broker, version, connectOf(flags, ...payload)))
  )

  test("[v3 MQTT-3.1.3-1] the fields of the payload are read in their order", () => {
    const { layer, seen } = recording()
    return withBroker({ authenticator: layer }, async (broker) => {
      const watcher = await broker.connect({ version, clientId: "watcher" })
      await watcher.subscribe("#")
      const client = broker.open(version)
      await client.send(connectOf(0xc6, "first", "second", "third", "fourth", "fifth"))
      await client.connected()
      client.drop()
      const will = await watcher.expect("publish")
      expect([will.topic, will.payload.toString()]).toEqual(["second", "third"])
      expect(seen.at(-1)).toMatchObject({ clientId: "first", username: "fourth" })
      expect(Buffer.from(bytesOf(seen.at(-1)?.password) ?? []).toString()).toBe("fifth")
    })
  })

  test("[v3 MQTT-3.1.2-18] [v3 MQTT-3.1.2-20] without the flags there is neither user name nor password", () => {
    const { layer, seen } = recording()
    return withBroker({ authenticator: layer }, async (broker) => {
      await broker.connect({ version })
      expect(seen).toMatchObject([{ username: undefined, password: undefined }])
    })
  })

  test("[v3 MQTT-3.1.2-19] [v3 MQTT-3.1.2-21] user name and password may be empty", () => {
    const { layer, seen } = recording()
    return withBroker({ authenticator: layer }, async (broker) => {
      await broker.connect({ version, username: "", password: "" })
      expect(seen[0]?.username).toBe("")
      expect(bytesOf(seen[0]?.password)?.length).toBe(0)
    })
  })

  test.each([
    ["[v3 MQTT-3.1.3-4]", "client identifier", raw.connect({ version, clientId: hex("c3 28") })],
    ["[v3 MQTT-3.1.3-10]", "will topic", raw.connect({ version, will: { topic: hex("c3 28") } })],
    ["[v3 MQTT-3.1.3-11]", "user name", raw.connect({ version, username: hex("c3 28") })]
  ])("%s a %s that is not UTF-8 closes the connection", (_id, _field, bytes) =>
    withBroker({}, (broker) => isClosed(broker, version, bytes))
  )

  test("[v3 MQTT-3.1.2-24] silence of one and a half Keep Alives ends the connection, with its will", () =>
    withBroker({}, async (broker) => {
      const watcher = await broker.connect({ version, clientId: "watcher", keepAlive: 0 })
      await watcher.subscribe("will")
      const client = await broker.connect({ version, keepAlive: 10, will: {} })
      await broker.advance(14_000)
      await client.quiet()
      await broker.advance(14_000)
      await client.send(raw.publish({ topic: "a" }))
      await broker.settle()
      await broker.advance(14_000)
      await watcher.quiet()
      await broker.advance(2000)
      await client.expectClosed()
      await watcher.expect("publish")
    }))

  test("[v3 MQTT-3.1.2-24] Keep Alive 0 turns the rule off", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version, keepAlive: 0 })
      await broker.advance(7 * 86_400_000)
      await client.quiet()
    }))

  test("[v3 MQTT-3.1.3-2] the client identifier, byte for byte, is the key of the session", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ version, clientId: "device", clean: false })
      await first.subscribe(["a", 1])
      first.drop()
      const other = await broker.connect({ version, clientId: "Device", clean: false })
      await other.publish("a")
      await other.quiet()
      const again = await broker.connect({ version, clientId: "device", clean: false })
      expect((await again.expect("publish")).topic).toBe("a")
    }))

  const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

  test("[v3 MQTT-3.1.3-5] identifiers of 1 to 23 digits and letters are accepted", () =>
    withBroker({}, async (broker) => {
      for (let length = 1; length <= 23; length++) {
        const clientId = letters.slice((length * 7) % 40).slice(0, length)
        await (await broker.connect({ version, clientId })).quiet()
      }
      for (const letter of letters) await broker.connect({ version, clientId: letter })
    }))

  test("[v3 MQTT-3.1.4-1] a CONNECT that does not conform is closed over without CONNACK", () =>
    withBroker({}, async (broker) => {
      await isClosed(broker, version, raw.connect({ version, trailer: hex("00") }))
      await isClosed(broker, version, concat(connectOf(0x02).subarray(0, -1), hex("ff")))
      await isClosed(broker, version, raw.packet(0x10, field(name)))
    }))

  test("[v3 MQTT-3.1.4-2] a client that connects again disconnects the one before", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ version, clientId: "same" })
      const second = await broker.connect({ version, clientId: "same" })
      await first.expectClosed()
      await second.quiet()
      expect(broker.broker.census()).toMatchObject({ connections: 1, sessions: 1 })
    }))

  test.each([true, false])(
    "[v3 MQTT-3.1.4-4] a good CONNECT, clean %j, is answered with return code 0",
    (clean) =>
      withBroker({}, async (broker) => {
        const client = broker.open(version)
        await client.send(raw.connect({ version, clean }))
        expect(await client.expect("connack")).toMatchObject({ returnCode: 0, sessionPresent: false })
      })
  )

  test("[v3 MQTT-3.1.4-5] nothing behind a refused CONNECT is processed", () =>
    withBroker({}, async (broker) => {
      const refused = broker.open(version)
      await refused.send(
        concat(
          raw.connect({ version, clientId: "", clean: false }),
          raw.publish({ topic: "a", retain: true }),
          raw.subscribe({ filters: ["#"] })
        )
      )
      expect((await refused.expect("connack")).returnCode).toBe(2)
      await refused.expectClosed()
      const watcher = await broker.connect({ version })
      await watcher.subscribe("#")
      await watcher.quiet()
      expect(broker.broker.census()).toMatchObject({ retainedMessages: 0, subscriptions: 1 })
    }))

  test("[v3 MQTT-3.1.3-7] [v3 MQTT-3.1.3-8] an empty identifier with a kept session is refused with 2", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, clientId: "", clean: false }))
      expect(await client.expect("connack")).toMatchObject({ returnCode: 2, sessionPresent: false })
      await client.expectClosed()
    }))
})

describe("MQTT 3.1.1 alone", () => {
  test("[v3 MQTT-3.1.3-6] a client without identifier is given a session of its own", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ clientId: "" })
      const second = await broker.connect({ clientId: "" })
      await first.subscribe("a")
      await second.subscribe("a")
      await second.send(raw.publish({ topic: "a" }))
      expect((await first.expect("publish")).topic).toBe("a")
      expect((await second.expect("publish")).topic).toBe("a")
      expect(broker.broker.census()).toMatchObject({ sessions: 2, subscriptions: 2 })
    }))

  test("[v3 MQTT-3.1.3-5] longer identifiers are accepted as well", () =>
    withBroker({}, async (broker) => {
      await broker.connect({ clientId: "x".repeat(24) })
      await broker.connect({ clientId: "ü".repeat(1000) })
      expect(broker.broker.census().sessions).toBe(2)
    }))
})

describe("MQTT 3.1 alone", () => {
  const badIds: ReadonlyArray<readonly [name: string, clientId: string]> = [
    ["no characters", ""],
    ["24 characters", "x".repeat(24)],
    ["24 bytes in 12 characters", "ü".repeat(12)]
  ]

  test.each(badIds)("[v3 MQTT-3.1.3-9] [v3.1 3.1] an identifier of %s is refused with 2", (_, clientId) =>
    withBroker({}, async (broker) => {
      const client = broker.open(3)
      await client.send(raw.connect({ version: 3, clientId }))
      expect((await client.expect("connack")).returnCode).toBe(2)
      await client.expectClosed()
    })
  )

  test("[v3.1 3.1] an identifier may have 23 bytes of any characters", () =>
    withBroker({}, async (broker) => {
      await (await broker.connect({ version: 3, clientId: `${"ü".repeat(11)}!` })).quiet()
    }))

  test("[v3.1 3.2] CONNACK has no Session Present flag", () =>
    withBroker({}, async (broker) => {
      const first = await broker.connect({ version: 3, clientId: "kept", clean: false })
      await first.subscribe(["a", 1])
      await first.send(raw.disconnect())
      await first.expectClosed()
      const again = broker.open(3)
      await again.send(raw.connect({ version: 3, clientId: "kept", clean: false }))
      expect(await again.wire.receive()).toEqual(new Uint8Array([0x20, 2, 0, 0]))
      const publisher = await broker.connect({ version: 3, clientId: "publisher" })
      await publisher.publish("a")
      expect((await again.expect("publish")).qos).toBe(1)
    }))

  test("[v3.1 2.1] SUBSCRIBE, UNSUBSCRIBE and PUBREL may be sent again with DUP", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 3 })
      await client.send(raw.subscribe({ firstByte: 0x8a, filters: [["a", 1]] }))
      expect((await client.expect("suback")).granted).toEqual([1])
      await client.send(raw.unsubscribe({ firstByte: 0xaa, filters: ["a"] }))
      await client.expect("unsuback")
      await client.send(raw.publish({ qos: 2, packetId: 5 }))
      await client.expect("pubrec")
      await client.send(hex("6a 02 00 05"))
      expect((await client.expect("pubcomp")).messageId).toBe(5)
    }))
})
