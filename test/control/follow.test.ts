/** A client that is followed live: its packets, decisions about it, and nothing that is secret. */

import { describe, expect, test } from "bun:test"
import type { FollowedLine } from "../../src/telemetry/follow/FollowedLine.ts"
import type { Follower } from "../../src/telemetry/follow/Follower.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { concat, properties, raw } from "../support/raw.ts"
import { type TestBroker, withBroker } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"

const directory = TenantDirectory.layerTable(() => defaultTenantSettings)

const follow = (
  { broker, clock }: TestBroker,
  more: { readonly tenant?: string; readonly clientId?: string; readonly payloadBytes?: number } = {}
): Follower => {
  const nowMs = clock.unsafeCurrentTimeMillis()
  const follower = broker.administration.follow(
    {
      tenant: "default",
      clientId: "c",
      packetsMax: undefined,
      untilMs: nowMs + 600_000,
      payloadBytes: 0,
      ...more
    },
    nowMs
  )
  if (follower === undefined) throw new TypeError("it cannot be followed")
  return follower
}

const linesOf = async (broker: TestBroker, follower: Follower): Promise<ReadonlyArray<FollowedLine>> => {
  await broker.settle()
  return follower.take().map((line) => JSON.parse(line) as FollowedLine)
}

/** Lines in short: direction and packet, event, or note. */
const short = (lines: ReadonlyArray<FollowedLine>): ReadonlyArray<string> =>
  lines.map(({ direction, event, packet, text }) =>
    packet === undefined ? (event ?? text ?? "") : `${direction} ${packet}`
  )

describe("a client that is followed before it connects", () => {
  test("is shown from CONNECT to its end, in the order in which it happens", () =>
    withBroker({}, async (broker) => {
      const follower = follow(broker)
      const client = await broker.connect({ clientId: "c", version: 5 })
      await client.subscribe(["t", 2])
      await client.send(raw.publish({ version: 5, topic: "t", payload: "hello", qos: 1, packetId: 2000 }))
      const got = await client.expect("publish")
      await client.expect("puback")
      await client.send(raw.puback({ packetId: got.messageId ?? 0 }))
      await client.quiet()
      await client.send(raw.disconnect())
      await client.expectClosed()
      const lines = await linesOf(broker, follower)
      expect(short(lines)).toEqual([
        "in CONNECT",
        "out CONNACK",
        "SessionStarted",
        "ClientConnected",
        "in SUBSCRIBE",
        "out SUBACK",
        "Subscribed",
        "in PUBLISH",
        "out PUBLISH",
        "out PUBACK",
        "in PUBACK",
        "in PINGREQ",
        "out PINGRESP",
        "in DISCONNECT",
        "ClientDisconnected",
        "SessionEnded"
      ])
      expect(lines.filter(({ packet }) => packet === "PUBLISH")).toMatchObject([
        { bytes: 13, topic: "t", qos: 1, packetId: 2000, payloadBytes: 5 },
        { bytes: 13, topic: "t", qos: 1, payloadBytes: 5 }
      ])
    }))

  test("is shown when it is refused, also when nobody knows whose it is", () =>
    withBroker({ settings: { mqtt311: false } }, async (broker) => {
      const follower = follow(broker)
      const client = broker.open(4)
      await client.send(raw.connect({ clientId: "c" }))
      await client.untilClosed()
      const lines = await linesOf(broker, follower)
      expect(short(lines)).toEqual(["in CONNECT", "out CONNACK", "ConnectRefused"])
      expect(lines[2]).toMatchObject({ reason: "this protocol version is turned off" })
    }))

  test("is not shown what one of that name in another tenant does, but told that it is there", () =>
    withBroker({ authenticator: byUsername, directory }, async (broker) => {
      const follower = follow(broker, { tenant: "a" })
      const client = await broker.connect({ clientId: "c", version: 5, username: "b/x" })
      await client.publish("t")
      expect(short(await linesOf(broker, follower))).toEqual([
        "in CONNECT",
        "#1 is of tenant b, where it is not followed"
      ])
    }))
})

describe("a client that is connected", () => {
  test("is followed from then on, by several, until the last has gone", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "c", version: 5 })
      const other = await broker.connect({ clientId: "d", version: 5 })
      const followers = [follow(broker), follow(broker, { payloadBytes: 3 })]
      await broker.settle()
      await client.publish("t", "hello")
      await other.publish("t", "hello")
      const [plain, curious] = await Promise.all(followers.map((each) => linesOf(broker, each)))
      expect(short(plain ?? [])).toEqual(["in PUBLISH", "out PUBACK"])
      expect(plain?.[0]).not.toHaveProperty("payload")
      expect(curious?.[0]).toMatchObject({ payload: "hel", payloadBytes: 5 })
      followers[0]?.close()
      await client.publish("t", "hello")
      expect(followers[0]?.take()).toEqual([])
      expect(await linesOf(broker, followers[1]!)).toHaveLength(2)
      followers[1]?.close()
      await client.publish("t", "hello")
      expect(followers[1]?.take()).toEqual([])
    }))

  test("is shown with the connection that takes it over", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "c", version: 5 })
      const follower = follow(broker)
      await broker.settle()
      await broker.connect({ clientId: "c", version: 5 })
      await client.untilClosed()
      const lines = await linesOf(broker, follower)
      const of = (connection: number) => short(lines.filter((line) => line.connection === connection))
      expect(of(2)).toEqual(["out DISCONNECT"])
      expect(of(1)).toEqual(["in CONNECT", "out CONNACK"])
      expect(short(lines)).toContain("SessionTakenOver")
    }))

  test("under an identifier that it was assigned", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "", version: 5 })
      const clientId = client.connack?.properties?.assignedClientIdentifier ?? ""
      const follower = follow(broker, { clientId })
      await broker.settle()
      await client.quiet()
      expect(short(await linesOf(broker, follower))).toEqual(["in PINGREQ", "out PINGRESP"])
    }))

  test("feels nothing of a flood of lines that nobody reads", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "c", version: 5 })
      const follower = follow(broker)
      await broker.settle()
      for (let second = 0; second < 30; second++) {
        await broker.advance(1000)
        await client.send(...Array.from({ length: 100 }, () => raw.publish({ version: 5, topic: "t" })))
        await client.quiet()
      }
      expect(follower.isOver).toBe(true)
      await client.publish("t")
    }))
})

describe("what is shown", () => {
  const follows = async (bytes: Uint8Array, packet: string) => {
    let found: FollowedLine | undefined
    await withBroker({}, async (broker) => {
      const follower = follow(broker, { payloadBytes: 4 })
      const client = await broker.connect({ clientId: "c", version: 5 })
      await client.send(bytes)
      await broker.settle()
      found = (await linesOf(broker, follower)).find((line) => line.packet === packet)
    })
    return found
  }

  test("of PUBLISH is its shape, and the first bytes that were asked for", async () => {
    const publish = (payload: string | Uint8Array, more: Uint8Array = Buffer.alloc(0)) =>
      raw.publish({ version: 5, topic: "t", payload, retain: true, properties: more })
    const given = concat(
      properties.topicAlias(3),
      properties.messageExpiryInterval(60),
      properties.contentType("text"),
      properties.responseTopic("r"),
      properties.correlationData("correlated"),
      properties.userProperty("token", "canary")
    )
    const line = await follows(publish("payload", given), "PUBLISH")
    expect(line).toMatchObject({
      topic: "t",
      topicAlias: 3,
      qos: 0,
      retain: true,
      messageExpiryInterval: 60,
      payloadBytes: 7,
      payload: "payl",
      contentType: "text",
      responseTopic: "r",
      correlationDataBytes: 10,
      userProperties: 1
    })
    expect(JSON.stringify(line)).not.toContain("canary")
    expect((await follows(publish("aaaé"), "PUBLISH"))?.payload).toBe("aaa")
    expect((await follows(publish(Uint8Array.of(0, 255, 254, 1, 2)), "PUBLISH"))?.payload).toBe("0x00fffe01")
  })

  test("of SUBSCRIBE is some filters, with the number of the others", async () => {
    const filters = Array.from({ length: 23 }, (_, index) => [`f${index}`, 0x2d] as const)
    const line = await follows(raw.subscribe({ version: 5, packetId: 9, filters }), "SUBSCRIBE")
    const shown = line?.topicFilters as ReadonlyArray<string>
    expect(shown).toHaveLength(21)
    expect(shown[0]).toBe("f0 (QoS 1, no local, retain as published, retain handling 2)")
    expect(shown[20]).toBe("and 3 more")
  })

  test("of a name that is very long is its beginning", async () => {
    const topic = "x".repeat(2000)
    const line = await follows(raw.publish({ version: 5, topic }), "PUBLISH")
    expect(line?.topic).toBe(`${topic.slice(0, 256)}… (2000 characters)`)
  })

  test("of CONNECT is no password, of a will its length", () =>
    withBroker({}, async (broker) => {
      const follower = follow(broker, { payloadBytes: 100 })
      await broker.connect({
        clientId: "c",
        version: 5,
        username: "ada",
        password: "canary-1",
        will: { topic: "w", payload: "canary-2", qos: 1 },
        properties: concat(properties.userProperty("token", "canary-3"), properties.receiveMaximum(7))
      })
      const [connect] = await linesOf(broker, follower)
      expect(connect).toMatchObject({
        clientId: "c",
        protocolVersion: 5,
        cleanStart: true,
        keepAlive: 60,
        username: "ada",
        hasPassword: true,
        willTopic: "w",
        willQos: 1,
        willPayloadBytes: 8,
        receiveMaximum: 7,
        userProperties: 1
      })
      expect(JSON.stringify(connect)).not.toContain("canary")
    }))
})
