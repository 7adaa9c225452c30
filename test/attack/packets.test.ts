/** Attacks by what a packet says: rows 5 to 9, 11 and 28 of the attack table. */

import { describe, expect, test } from "bun:test"
import { concat, field, hex, properties, raw, uint16, type Version } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]
const noProperties = (version: Version): Uint8Array => (version === 5 ? hex("00") : hex(""))

interface Offence {
  readonly name: string
  readonly bytes: (version: Version) => Uint8Array
  /** What version 5 is told. */
  readonly reasonCode: number
}

const truncated: ReadonlyArray<Offence> = [
  { name: "an empty PUBLISH", bytes: () => hex("30 00"), reasonCode: 0x81 },
  { name: "a PUBLISH of one byte", bytes: () => hex("30 01 00"), reasonCode: 0x81 },
  { name: "a PUBLISH without identifier", bytes: () => hex("32 03 00 01 61"), reasonCode: 0x81 },
  { name: "a PUBLISH with half an identifier", bytes: () => hex("34 04 00 01 61 00"), reasonCode: 0x81 },
  { name: "an empty SUBSCRIBE", bytes: () => hex("82 00"), reasonCode: 0x81 },
  { name: "a SUBSCRIBE of half an identifier", bytes: () => hex("82 01 00"), reasonCode: 0x81 },
  {
    name: "a SUBSCRIBE without filters",
    bytes: (version) => raw.subscribe({ version, filters: [] }),
    reasonCode: 0x82
  },
  {
    name: "a filter without options",
    bytes: (version) => raw.packet(0x82, uint16(1), noProperties(version), field("a")),
    reasonCode: 0x81
  },
  {
    name: "a filter longer than the packet",
    bytes: (version) => raw.packet(0x82, uint16(1), noProperties(version), hex("ff ff 61 00")),
    reasonCode: 0x81
  },
  { name: "an empty UNSUBSCRIBE", bytes: () => hex("a2 00"), reasonCode: 0x81 },
  {
    name: "an UNSUBSCRIBE without filters",
    bytes: (version) => raw.unsubscribe({ version, filters: [] }),
    reasonCode: 0x82
  },
  { name: "an empty PUBACK", bytes: () => hex("40 00"), reasonCode: 0x81 },
  { name: "a PUBREL of one byte", bytes: () => hex("62 01 00"), reasonCode: 0x81 }
]

const forbidden: ReadonlyArray<Offence> = [
  {
    name: "identifier 0 in PUBLISH",
    bytes: (version) => raw.publish({ version, qos: 1, packetId: 0 }),
    reasonCode: 0x82
  },
  {
    name: "identifier 0 in SUBSCRIBE",
    bytes: (version) => raw.subscribe({ version, packetId: 0 }),
    reasonCode: 0x82
  },
  { name: "identifier 0 in PUBREL", bytes: () => raw.pubrel({ packetId: 0 }), reasonCode: 0x82 },
  { name: "reserved flags of PUBACK", bytes: () => hex("41 02 00 01"), reasonCode: 0x81 },
  { name: "reserved flags of PUBREL", bytes: () => hex("60 02 00 01"), reasonCode: 0x81 },
  { name: "reserved flags of PINGREQ", bytes: () => hex("c8 00"), reasonCode: 0x81 },
  {
    name: "reserved bits of subscription options",
    bytes: (version) => raw.subscribe({ version, filters: [["a", 0x80]] }),
    reasonCode: 0x81
  },
  { name: "QoS 3", bytes: () => raw.packet(0x36, field("a"), uint16(1), hex("00")), reasonCode: 0x81 }
]

const illegalText: ReadonlyArray<Offence> = [
  ["U+0000", "61 00 62"],
  ["a surrogate", "ed a0 80"],
  ["an overlong slash", "c0 af"],
  ["a lone continuation byte", "61 80"],
  ["a character cut off", "61 e2 82"]
].map(([name = "", bytes = ""]) => ({
  name: `${name} in a topic`,
  bytes: (version) => raw.publish({ version, topic: hex(bytes) }),
  reasonCode: 0x81
}))

const wildcards: ReadonlyArray<Offence> = ["#", "a/+", "+/b", "a/#"].map((topic) => ({
  name: `the topic ${topic} in PUBLISH`,
  bytes: (version) => raw.publish({ version, topic }),
  reasonCode: 0x90
}))

const outOfPlace: ReadonlyArray<Offence> = [
  { name: "a second CONNECT", bytes: (version) => raw.connect({ version }), reasonCode: 0x82 },
  { name: "CONNACK", bytes: () => hex("20 02 00 00"), reasonCode: 0x82 },
  { name: "SUBACK", bytes: () => hex("90 03 00 01 00"), reasonCode: 0x82 },
  { name: "UNSUBACK", bytes: () => hex("b0 02 00 01"), reasonCode: 0x82 },
  { name: "PINGRESP", bytes: () => hex("d0 00"), reasonCode: 0x82 },
  { name: "packet type 0", bytes: () => hex("00 00"), reasonCode: 0x81 }
]

const rows: ReadonlyArray<readonly [row: number, offences: ReadonlyArray<Offence>]> = [
  [5, truncated],
  [6, forbidden],
  [9, illegalText],
  [11, wildcards],
  [28, outOfPlace]
]

describe.each(versions)("version %d", (version) => {
  const cases = rows.flatMap(([row, offences]) =>
    offences.map((offence) => [row, offence.name, offence] as const)
  )

  test.each(cases)("attack %d: %s ends that connection and nothing else", (_row, _name, offence) =>
    withBroker({}, async (broker) => {
      const bystander = await broker.connect({ version, clientId: "bystander" })
      const client = await broker.connect({ version, clientId: "attacker" })
      await client.send(offence.bytes(version))
      if (version === 5) {
        expect((await client.expect("disconnect")).reasonCode).toBe(offence.reasonCode)
      }
      await client.expectClosed()
      await bystander.quiet()
      expect(broker.broker.census()).toMatchObject({ sessions: 1, subscriptions: 0 })
      expect(broker.eventsOf("ActorDefect")).toEqual([])
    })
  )

  const badConnects: ReadonlyArray<readonly [row: number, name: string, bytes: Uint8Array]> = [
    [6, "the reserved flag of CONNECT", raw.connect({ version, flags: 0x03 })],
    [6, "Will QoS without Will Flag", raw.connect({ version, flags: 0x0a })],
    [6, "Will Retain without Will Flag", raw.connect({ version, flags: 0x22 })],
    [6, "Will QoS 3", raw.connect({ version, flags: 0x1e, will: {} })],
    [9, "U+0000 in a client identifier", raw.connect({ version, clientId: "a\u0000" })],
    [9, "a surrogate in a user name", raw.connect({ version, username: hex("ed a0 80") })],
    [11, "a wildcard in a will topic", raw.connect({ version, will: { topic: "a/+" } })],
    [11, "an empty will topic", raw.connect({ version, will: { topic: "" } })]
  ]

  test.each(badConnects)("attack %d: %s makes no session", (_row, _name, bytes) =>
    withBroker({}, async (broker) => {
      const client = broker.open(version)
      await client.send(bytes)
      if (version === 5) expect((await client.expect("connack")).reasonCode).toBeGreaterThanOrEqual(0x80)
      await client.expectClosed()
      expect(broker.broker.census().sessions).toBe(0)
    })
  )
})

describe("attack 6", () => {
  test.each([3, 4] as const)("attack 6: a password without user name closes, version %d", (version) =>
    withBroker({}, async (broker) => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, password: "secret" }))
      await client.expectClosed()
    })
  )
})

describe("attack 7: properties and aliases", () => {
  const five = (section: Uint8Array, topic = "a") => raw.publish({ version: 5, topic, properties: section })
  const offences: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reasonCode: number]> = [
    ["a property twice", five(concat(properties.contentType("a"), properties.contentType("b"))), 0x82],
    ["a property of CONNACK", five(properties.serverKeepAlive(1)), 0x81],
    ["a Subscription Identifier in PUBLISH", five(properties.subscriptionIdentifier(1)), 0x82],
    ["Topic Alias 0", five(properties.topicAlias(0)), 0x94],
    ["Topic Alias 17 of 16", five(properties.topicAlias(17)), 0x94],
    ["Topic Alias 65535 of 16", five(properties.topicAlias(65_535)), 0x94],
    ["a Topic Alias that nobody set", five(properties.topicAlias(3), ""), 0x82],
    [
      "Subscription Identifier 0",
      raw.subscribe({ version: 5, properties: properties.subscriptionIdentifier(0) }),
      0x82
    ]
  ]

  test.each(offences)("attack 7: %s", (_name, bytes, reasonCode) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(bytes)
      expect((await client.expect("disconnect")).reasonCode).toBe(reasonCode)
      await client.expectClosed()
    })
  )

  test("attack 7: aliases end with their connection", () =>
    withBroker({}, async (broker) => {
      const options = { version: 5, clientId: "aliases", clean: false } as const
      const kept = { ...options, properties: properties.sessionExpiryInterval(60) }
      const first = await broker.connect(kept)
      await first.send(five(properties.topicAlias(1)))
      await first.quiet()
      first.drop()
      const second = await broker.connect(kept)
      expect(second.connack?.sessionPresent).toBe(true)
      await second.send(five(properties.topicAlias(1), ""))
      expect((await second.expect("disconnect")).reasonCode).toBe(0x82)
    }))

  test("attack 7: the largest Subscription Identifier is good", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      const identifier = properties.subscriptionIdentifier(268_435_455)
      await client.send(raw.subscribe({ version: 5, filters: ["a"], properties: identifier }))
      await client.expect("suback")
      await client.send(raw.publish({ version: 5, topic: "a" }))
      expect((await client.expect("publish")).properties?.subscriptionIdentifier).toBe(268_435_455)
    }))
})

describe("attack 8: user properties", () => {
  const many = (count: number) =>
    concat(...Array.from({ length: count }, (_, n) => properties.userProperty(`name ${n % 7}`, `${n}`)))

  test("attack 8: a thousand go through, in order, names repeated", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.subscribe("a")
      const sent = raw.publish({ version: 5, topic: "a", properties: many(1000) })
      await client.send(sent)
      const chunks: Array<Uint8Array> = []
      for (let length = 0; length < sent.length; length += chunks.at(-1)?.length ?? sent.length) {
        chunks.push((await client.wire.receive()) ?? hex(""))
      }
      expect(Buffer.concat(chunks).equals(sent)).toBe(true)
    }))

  test.each([
    ["PUBLISH", raw.publish({ version: 5, properties: many(1001) })],
    ["SUBSCRIBE", raw.subscribe({ version: 5, properties: many(1001) })],
    ["PUBACK", raw.puback({ reasonCode: 0, properties: many(1001) })],
    ["DISCONNECT", raw.disconnect({ reasonCode: 0, properties: many(1001) })]
  ])("attack 8: one more in %s is refused with 0x97", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(bytes)
      expect((await client.expect("disconnect")).reasonCode).toBe(0x97)
    })
  )

  test("attack 8: one more in CONNECT is refused with 0x97", () =>
    withBroker({}, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, properties: many(1001) }))
      expect((await client.expect("connack")).reasonCode).toBe(0x97)
      await client.expectClosed()
    }))

  test("attack 8: they count against the packet's size", () =>
    withBroker({ options: { packetBytesMax: 10_000 } }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, properties: many(900) }))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x95)
    }))
})

describe("attack 9: text that is unusual and allowed", () => {
  test.each(["\u0001", "\u007f", "\u0085", "\ufeff", "\uffff", "\ufdd0", "\u{10ffff}", "\u202e"])(
    "attack 9: %j travels unchanged",
    (text) =>
      withBroker({}, async (broker) => {
        const client = await broker.connect({ version: 5, clientId: text, username: text })
        await client.subscribe(`a/${text}`)
        await client.send(
          raw.publish({ version: 5, topic: `a/${text}`, properties: properties.userProperty(text, text) })
        )
        const message = await client.expect("publish")
        expect(message.topic).toBe(`a/${text}`)
        expect(Object.entries(message.properties?.userProperties ?? {})).toEqual([[text, text]])
      })
  )
})

describe("attack 11: wildcards in a Response Topic", () => {
  test.each(["#", "a/+", "+"])("attack 11: %s", (topic) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, properties: properties.responseTopic(topic) }))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x90)
    })
  )
})

describe("attack 28: AUTH that nobody asked for", () => {
  const method = properties.authenticationMethod("method")
  test.each([0x18, 0x19])("attack 28: AUTH %d of a client without Authentication Method", (reasonCode) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.auth({ reasonCode, properties: method }))
      expect((await client.expect("disconnect")).reasonCode).toBe(0x82)
      await client.expectClosed()
    })
  )

  test.each([3, 4] as const)("attack 28: AUTH in version %d", (version) =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version })
      await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
      await client.expectClosed()
    })
  )
})
