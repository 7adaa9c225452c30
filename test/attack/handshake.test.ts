/**
 * Attacks before anybody has proved who he is: rows 1 to 4 and 29 of the attack table, as far as the broker
 * sees them.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"
import { chunked, concat, hex, properties, raw, seeded, type Version } from "../support/raw.ts"
import { type TestBroker, withBroker } from "../support/testBroker.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

describe("attack 1: the first packet is no CONNECT", () => {
  test("attack 1: every other first byte is closed on at once, with nothing to show for it", () =>
    withBroker({}, async (broker) => {
      for (let byte = 0; byte < 256; byte++) {
        if (byte === 0x10) continue
        const client = broker.open()
        await client.send(Uint8Array.of(byte))
        await client.expectClosed()
      }
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
      expect(broker.eventsOf("ConnectRefused")).toHaveLength(255)
      expect(broker.eventsOf("ActorDefect")).toEqual([])
    }))

  const strangers: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: broker\r\n\r\n")],
    ["a TLS greeting", hex("16 03 01 02 00 01 00 01 fc 03 03")],
    ["an SSH greeting", Buffer.from("SSH-2.0-x\r\n")],
    ["a PUBACK before CONNECT", raw.puback()],
    ["a PUBLISH before CONNECT", raw.publish({ retain: true })],
    ["a CONNACK", hex("20 02 00 00")]
  ]

  test.each(strangers)("attack 1: %s is not dispatched", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const client = broker.open()
      await client.send(bytes, raw.connect())
      await client.expectClosed()
      expect(broker.broker.census()).toMatchObject({ sessions: 0, retainedMessages: 0 })
    })
  )
})

describe("attack 2: Remaining Length", () => {
  const lengths: ReadonlyArray<readonly [name: string, hex: string]> = [
    ["five bytes", "10 80 80 80 80 01"],
    ["four bytes that go on", "10 ff ff ff ff"],
    ["more bytes than needed", "10 8c 00"],
    ["the largest that there is", "10 ff ff ff 7f"],
    ["one more than connectBytesMax", "10 81 80 08"]
  ]

  test.each(lengths)("attack 2: %s is refused when the header is there, without waiting", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const client = broker.open()
      await client.send(hex(bytes))
      await client.expectClosed()
    })
  )

  test.each(versions)("attack 2: a declared giant is refused before it comes, version %d", (version) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(hex("30 ff ff ff 7f"))
      if (version === 5) expect((await client.expect("disconnect")).reasonCode).toBe(0x95)
      await client.expectClosed()
    })
  )

  test("attack 2: a Remaining Length smaller than its fields", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      await client.send(hex("10 03 00 04 4d 51 54 54 05 02"))
      await client.expectClosed()
      const other = await broker.connect({ version: 5 })
      await other.send(hex("32 03 00 05 61"))
      expect((await other.expect("disconnect")).reasonCode).toBe(0x81)
      await other.expectClosed()
    }))

  test("attack 2: connectBytesMax holds for AUTH, and for all that comes before the last one", () => {
    const challenge: AuthenticationStep = {
      _tag: "Challenge",
      authenticationData: undefined,
      respond: () => Effect.succeed({ _tag: "Accepted", tenant: "default", principal: "p" })
    }
    const authenticator = Layer.succeed(Authenticator, {
      authenticate: () => Effect.succeed(challenge),
      reauthenticate: () => Effect.succeed(challenge)
    })
    const options = { connectBytesMax: 200, packetBytesMax: 1000 }
    return withBroker({ authenticator, options }, async (broker) => {
      const method = properties.authenticationMethod("m")
      const open = async () => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, properties: method }))
        await client.expect("auth")
        return client
      }
      const answer = (bytes: number) => {
        const data = properties.authenticationData(new Uint8Array(bytes))
        return raw.auth({ reasonCode: 0x18, properties: concat(method, data) })
      }
      const big = await open()
      await big.send(answer(300))
      await big.untilClosed()
      const client = await open()
      const publish = raw.publish({ version: 5, qos: 1, payload: "x".repeat(900) })
      await client.send(answer(100), publish)
      await client.expect("connack")
      await client.expect("puback")
    })
  })

  test("attack 2: connectBytesMax holds before authentication, packetBytesMax afterwards", () =>
    withBroker({ options: { connectBytesMax: 200, packetBytesMax: 1000 } }, async (broker) => {
      const big = broker.open(5)
      await big.send(raw.connect({ version: 5, will: { payload: "x".repeat(300) } }))
      await big.expectClosed()
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, payload: "x".repeat(900) }))
      await client.quiet()
      await client.send(raw.publish({ version: 5, payload: "x".repeat(1000) }))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x95)
    }))
})

/** Sends the bytes one a second and returns after how many the server had closed. */
const drip = async (broker: TestBroker, bytes: Uint8Array): Promise<number> => {
  const client = broker.open()
  for (let sent = 0; sent < bytes.length; sent++) {
    if (client.wire.write(bytes.subarray(sent, sent + 1)) < 0) return sent
    await broker.advance(1000)
  }
  return bytes.length
}

describe("attack 3: slow handshakes", () => {
  test("attack 3: a byte a second does not prolong the handshake's deadline", () =>
    withBroker({ options: { handshakeTimeoutMs: 10_000 } }, async (broker) => {
      expect(await drip(broker, raw.connect())).toBe(10)
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ connections: 0, deadlines: 0 })
    }))

  test("attack 3: nor does silence", () =>
    withBroker({ options: { handshakeTimeoutMs: 10_000 } }, async (broker) => {
      const client = broker.open()
      await broker.advance(9000)
      expect(broker.broker.census().connections).toBe(1)
      await broker.advance(1100)
      await client.expectClosed()
      expect(broker.broker.census()).toMatchObject({ connections: 0, deadlines: 0 })
    }))

  test("attack 3: nor does an exchange of AUTH packets that never ends", () => {
    const challenge = (): AuthenticationStep => ({
      _tag: "Challenge",
      authenticationData: undefined,
      respond: () => Effect.sync(challenge)
    })
    const endless = Layer.succeed(Authenticator, {
      authenticate: () => Effect.sync(challenge),
      reauthenticate: () => Effect.sync(challenge)
    })
    const method = properties.authenticationMethod("endless")
    return withBroker({ authenticator: endless, options: { handshakeTimeoutMs: 10_000 } }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, properties: method }))
      for (let second = 0; second < 10; second++) {
        await client.expect("auth")
        await client.send(raw.auth({ reasonCode: 0x18, properties: method }))
        await broker.advance(1000)
      }
      await client.untilClosed()
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0 })
    })
  })

  test("attack 3: nor does an authenticator that does not answer", () => {
    const silent = Layer.succeed(Authenticator, {
      authenticate: () => Effect.never,
      reauthenticate: () => Effect.never
    })
    return withBroker({ authenticator: silent, options: { handshakeTimeoutMs: 10_000 } }, async (broker) => {
      const client = broker.open()
      await client.send(raw.connect())
      await broker.advance(10_100)
      await client.untilClosed()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
    })
  })

  test("attack 3: the deadline is over when the handshake is", () =>
    withBroker({ options: { handshakeTimeoutMs: 10_000 } }, async (broker) => {
      const client = await broker.connect({ keepAlive: 0 })
      await broker.advance(60_000)
      await client.quiet()
    }))

  test("attack 3: unread input before CONNECT is answered is bounded by back-pressure", () => {
    const silent = Layer.succeed(Authenticator, {
      authenticate: () => Effect.never,
      reauthenticate: () => Effect.never
    })
    return withBroker({ authenticator: silent }, async (broker) => {
      const client = broker.open()
      await client.send(raw.connect())
      const filler = raw.publish({ payload: "x".repeat(16 * 1024) })
      let taken = 0
      for (let round = 0; round < 200; round++) {
        taken += Math.max(0, client.wire.write(filler))
        await broker.settle()
      }
      expect(taken).toBeLessThan(512 * 1024)
      client.drop()
    })
  })
})

describe("attack 4: floods of connections", () => {
  test("attack 4: one connection more than connectionsMax is closed at once, the others live", () =>
    withBroker({ options: { connectionsMax: 5 } }, async (broker) => {
      const clients = []
      for (let n = 0; n < 3; n++) clients.push(await broker.connect({ clientId: `client ${n}` }))
      // Those that have not said CONNECT count as well.
      const silent = [broker.open(), broker.open()]
      for (let n = 0; n < 20; n++) await broker.open().expectClosed()
      for (const client of clients) await client.quiet()
      expect(broker.broker.census().connections).toBe(5)
      silent[0]?.drop()
      await broker.settle()
      await (await broker.connect({ clientId: "next" })).quiet()
    }))

  test("attack 4: a thousand handshakes that break off leave nothing", () =>
    withBroker({}, async (broker) => {
      const connect = raw.connect({ clean: false, clientId: "half" })
      for (let n = 0; n < 1000; n++) {
        const client = broker.open()
        client.wire.write(connect.subarray(0, n % connect.length))
        if (n % 2 === 0) client.drop()
        else client.wire.close()
      }
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
    }))
})

describe("attack 29: packets that do not keep to the frames they come in", () => {
  test.each([1, 2, 7, 40])("attack 29: a conversation in chunks of up to %d bytes", (chunkBytesMax) =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      const send = (...packets: ReadonlyArray<Uint8Array>) =>
        client.send(...chunked(concat(...packets), seeded(chunkBytesMax), chunkBytesMax))
      await send(
        raw.connect({ version: 5, will: { payload: "gone" }, username: "user", password: "word" }),
        raw.subscribe({ version: 5, filters: [["a/#", 2]] })
      )
      await client.connected()
      await client.expect("suback")
      await send(
        raw.publish({ version: 5, topic: "a/b", payload: "x".repeat(300), qos: 1, packetId: 9 }),
        raw.pingreq()
      )
      const rest = []
      for (let count = 0; count < 3; count++) rest.push((await client.next())?.cmd ?? "closed")
      expect([...rest].sort()).toEqual(["pingresp", "puback", "publish"])
    })
  )
})
