/** What goes to a client, byte for byte, and what is left out when it must be. */

import { describe, expect, test } from "bun:test"
import { type ExplainedAck, writeAck, writeExplainedAck } from "../../src/protocol/AckWriter.ts"
import { ByteSink, PagePool } from "../../src/protocol/ByteSink.ts"
import { encodeControl, v3ReturnCode } from "../../src/protocol/ControlWriter.ts"
import type { AckTag, Properties, ProtocolVersion, ServerControlPacket } from "../../src/protocol/Packet.ts"
import {
  type PublishHeader,
  publishByte,
  publishBytes,
  publishFrame,
  writeFrame,
  writePublish
} from "../../src/protocol/PublishWriter.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { toHex } from "../support/raw.ts"
import { wire } from "./wire.ts"

const written = (write: (sink: ByteSink) => void): string => {
  const sink = new ByteSink(new PagePool())
  write(sink)
  return toHex(sink.bytes.subarray(0, sink.length))
}

const message = (payload = "p", forwarded = "") => ({
  topic: { name: "a/b", bytes: Uint8Array.from(Buffer.from("a/b")) },
  source: Uint8Array.from(Buffer.from(`xx${payload}yy`)),
  payloadStart: 2,
  payloadEnd: 2 + payload.length,
  forwardedProperties: Uint8Array.from(wire(forwarded))
})

const plainHeader: PublishHeader = {
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  topicAlias: 0,
  sendTopic: true,
  messageExpiryInterval: -1,
  subscriptionIdentifiers: []
}

interface PublishRow {
  readonly name: string
  readonly version: ProtocolVersion
  readonly header: Partial<PublishHeader>
  readonly forwarded?: string
  readonly expected: string
}

const publishes: ReadonlyArray<PublishRow> = [
  { name: "QoS 0, 3.1.1", version: 4, header: {}, expected: "30 ** ~'a/b' 'p'" },
  { name: "QoS 0, 3.1", version: 3, header: { retain: true }, expected: "31 ** ~'a/b' 'p'" },
  { name: "[MQTT-2.2.2-1] no properties, 5.0", version: 5, header: {}, expected: "30 ** ~'a/b' [ ] 'p'" },
  {
    name: "QoS 1 sent again",
    version: 4,
    header: { qos: 1, dup: true, packetId: 0xfffe },
    expected: "3a ** ~'a/b' fffe 'p'"
  },
  {
    name: "3.1.1 has no properties, whatever the header says",
    version: 4,
    header: { topicAlias: 1, messageExpiryInterval: 1, subscriptionIdentifiers: [1] },
    forwarded: "01 01",
    expected: "30 ** ~'a/b' 'p'"
  },
  {
    name: "everything, 5.0",
    version: 5,
    header: {
      qos: 2,
      retain: true,
      packetId: 1,
      topicAlias: 258,
      messageExpiryInterval: 4294967295,
      subscriptionIdentifiers: [1, 128, 268435455]
    },
    forwarded: "01 01 26 ~'n' ~'v'",
    expected: "35 ** ~'a/b' 0001 [ 02 ffffffff 23 0102 0b 01 0b 8001 0b ffffff7f 01 01 26 ~'n' ~'v' ] 'p'"
  },
  {
    name: "an alias instead of the topic",
    version: 5,
    header: { topicAlias: 7, sendTopic: false },
    expected: "30 ** 0000 [ 23 0007 ] 'p'"
  },
  {
    name: "a message about to expire",
    version: 5,
    header: { messageExpiryInterval: 0 },
    expected: "30 ** ~'a/b' [ 02 00000000 ] 'p'"
  }
]

describe("PUBLISH", () => {
  for (const { expected, forwarded, header, name, version } of publishes) {
    test(name, () => {
      const content = message("p", forwarded)
      const full = { ...plainHeader, ...header }
      expect(written((sink) => writePublish(sink, version, content, full))).toBe(toHex(wire(expected)))
      expect(publishBytes(version, content, full)).toBe(wire(expected).length)
    })
  }

  test("sizes at every edge of the Remaining Length", () => {
    for (const size of [
      0, 1, 23, 24, 25, 121, 122, 123, 16377, 16378, 16379, 2_097_145, 2_097_146, 2_097_147
    ]) {
      const text = "x".repeat(size)
      const expected = toHex(wire(`30 ** ~'a/b' '${text}'`))
      const content = message(text)
      expect(written((sink) => writePublish(sink, 4, content, plainHeader)) === expected).toBe(true)
      const frame = publishFrame(4, content, false)
      expect(toHex(frame.bytes) === expected).toBe(true)
      expect(publishBytes(4, content, plainHeader)).toBe(expected.length / 2)
    }
  })

  test("a frame is patched per receiver and stays as it was", () => {
    const frame = publishFrame(5, message("p", "01 01"), true)
    const sink = new ByteSink(new PagePool())
    writeFrame(sink, frame, publishByte(1, false, false), 1)
    writeFrame(sink, frame, publishByte(2, true, true), 0xabcd)
    expect(toHex(sink.bytes.subarray(0, sink.length))).toBe(
      toHex(wire("32 0b ~'a/b' 0001 [ 01 01 ] 'p' 3d 0b ~'a/b' abcd [ 01 01 ] 'p'"))
    )
    expect(toHex(frame.bytes)).toBe(toHex(wire("30 0b ~'a/b' 0000 [ 01 01 ] 'p'")))
  })
})

describe("acknowledgements", () => {
  const tags: ReadonlyArray<readonly [AckTag, string]> = [
    ["Puback", "40"],
    ["Pubrec", "50"],
    ["Pubrel", "62"],
    ["Pubcomp", "70"]
  ]
  for (const [tag, first] of tags) {
    test(`${tag}: short where it can be, without a reason below 5.0`, () => {
      expect(written((sink) => writeAck(sink, 5, tag, 258, 0))).toBe(`${first}020102`)
      expect(written((sink) => writeAck(sink, 5, tag, 258, 0x92))).toBe(`${first}03010292`)
      expect(written((sink) => writeAck(sink, 4, tag, 258, 0x92))).toBe(`${first}020102`)
      expect(written((sink) => writeAck(sink, 3, tag, 258, 0x92))).toBe(`${first}020102`)
    })
  }

  const explained: ExplainedAck = {
    tag: "Puback",
    packetId: 1,
    reasonCode: 0x97,
    reasonString: "quota",
    userProperties: [["n", "v"]],
    packetBytesMax: 1000
  }
  const full = "40 ** 0001 97 [ 1f ~'quota' 26 ~'n' ~'v' ]"
  const fullBytes = wire(full).length
  const cases: ReadonlyArray<readonly [name: string, ack: ExplainedAck, expected: string]> = [
    ["both fit exactly", { ...explained, packetBytesMax: fullBytes }, full],
    [
      "[MQTT-3.4.2-2] the Reason String goes first",
      { ...explained, packetBytesMax: fullBytes - 1 },
      "40 ** 0001 97 [ 26 ~'n' ~'v' ]"
    ],
    ["[MQTT-3.4.2-3] then the user properties", { ...explained, packetBytesMax: 12 }, "40 ** 0001 97"],
    ["a Reason String alone", { ...explained, userProperties: [] }, "40 ** 0001 97 [ 1f ~'quota' ]"],
    [
      "a long Reason String",
      { ...explained, userProperties: [], reasonString: "x".repeat(200) },
      `40 ** 0001 97 [ 1f ~'${"x".repeat(200)}' ]`
    ]
  ]
  for (const [name, ack, expected] of cases) {
    test(name, () => {
      expect(written((sink) => writeExplainedAck(sink, ack))).toBe(toHex(wire(expected)))
    })
  }
})

const everything = { packetBytesMax: 1e6, requestProblemInformation: true }
const encoded = (
  packet: ServerControlPacket,
  version: ProtocolVersion,
  options = everything
): string | undefined => {
  const bytes = encodeControl(packet, version, options)
  return bytes && toHex(bytes)
}

const connack = (reasonCode: number, properties: Properties = {}, sessionPresent = false) =>
  ({ _tag: "Connack", sessionPresent, reasonCode, properties }) as const

describe("CONNACK", () => {
  const fullProperties: Properties = {
    sessionExpiryInterval: 1,
    receiveMaximum: 2,
    maximumQos: 1,
    retainAvailable: false,
    maximumPacketSize: 3,
    assignedClientIdentifier: "id",
    topicAliasMaximum: 4,
    wildcardSubscriptionAvailable: true,
    subscriptionIdentifiersAvailable: false,
    sharedSubscriptionAvailable: true,
    serverKeepAlive: 5,
    responseInformation: "re",
    serverReference: "other",
    authenticationMethod: "m",
    authenticationData: Uint8Array.of(0, 1),
    reasonString: "why",
    userProperties: [
      ["b", "1"],
      ["__proto__", "2"],
      ["7", "3"],
      ["b", "4"]
    ]
  }

  test("5.0 with every property; user properties keep their order", () => {
    const bytes = encoded(connack(0, fullProperties, true), 5)
    for (const part of [
      "11 00000001",
      "21 0002",
      "24 01",
      "25 00",
      "27 00000003",
      "12 ~'id'",
      "22 0004",
      "28 01",
      "29 00",
      "2a 01",
      "13 0005",
      "1a ~'re'",
      "1c ~'other'",
      "15 ~'m'",
      "16 ~0001",
      "1f ~'why'",
      "26 ~'b' ~'1' 26 ~'__proto__' ~'2' 26 ~'7' ~'3' 26 ~'b' ~'4'"
    ]) {
      expect(bytes).toContain(toHex(wire(part)))
    }
    const length = 5 + 3 + 2 + 2 + 5 + 5 + 3 + 2 + 2 + 2 + 3 + 5 + 8 + 4 + 5 + 6 + 7 + 15 + 7 + 7
    expect(bytes?.slice(0, 10)).toBe(
      toHex(wire(`20 ${(length + 3).toString(16)} 01 00 ${length.toString(16)}`))
    )
  })

  test("3.1.1 and 3.1 have a flag, a return code and nothing else", () => {
    expect(encoded(connack(0, fullProperties, true), 4)).toBe("20020100")
    expect(encoded(connack(0, fullProperties, true), 3)).toBe("20020000")
  })

  test("[MQTT-3.2.2-6] [v3 MQTT-3.2.2-4] a refusal has no session present", () => {
    expect(encoded(connack(0x87, {}, true), 5)).toBe("2003008700")
    expect(encoded(connack(0x87, {}, true), 4)).toBe("20020005")
  })

  const returnCodes: ReadonlyArray<readonly [name: keyof typeof ReasonCode, returnCode: number | undefined]> =
    [
      ["Success", 0],
      ["UnsupportedProtocolVersion", 1],
      ["ClientIdentifierNotValid", 2],
      ["ServerUnavailable", 3],
      ["ServerBusy", 3],
      ["QuotaExceeded", 3],
      ["ConnectionRateExceeded", 3],
      ["BadUserNameOrPassword", 4],
      ["NotAuthorized", 5],
      ["Banned", 5],
      ["BadAuthenticationMethod", 5],
      ["MalformedPacket", undefined],
      ["ProtocolError", undefined],
      ["PacketTooLarge", undefined],
      ["TopicNameInvalid", undefined]
    ]
  for (const [name, returnCode] of returnCodes) {
    test(`[v3 MQTT-3.2.2-6] ${name} is ${returnCode ?? "a close without CONNACK"}`, () => {
      expect(v3ReturnCode(ReasonCode[name])).toBe(returnCode)
      const bytes = returnCode === undefined ? undefined : `2002000${returnCode}`
      expect(encoded(connack(ReasonCode[name]), 4)).toBe(bytes)
      expect(encoded(connack(ReasonCode[name]), 3)).toBe(bytes)
    })
  }
})

describe("other control packets", () => {
  const explanation: Properties = { reasonString: "why", userProperties: [["n", "v"]] }
  const suback = {
    _tag: "Suback",
    packetId: 258,
    reasonCodes: [0, 1, 2, 0x87],
    properties: explanation
  } as const
  const unsuback = {
    _tag: "Unsuback",
    packetId: 258,
    reasonCodes: [0, 0x11],
    properties: explanation
  } as const
  const disconnect = { _tag: "Disconnect", reasonCode: 0x8e, properties: explanation } as const
  const auth = {
    _tag: "Auth",
    reasonCode: 0x18,
    properties: { ...explanation, authenticationMethod: "m", authenticationData: Uint8Array.of(7) }
  } as const
  const explained = "1f ~'why' 26 ~'n' ~'v'"

  const rows: ReadonlyArray<readonly [string, ServerControlPacket, ProtocolVersion, string | undefined]> = [
    ["SUBACK, 5.0", suback, 5, `90 ** 0102 [ ${explained} ] 00010287`],
    ["[v3 MQTT-3.9.3-2] SUBACK, 3.1.1: failures are 0x80", suback, 4, "90 ** 0102 00010280"],
    ["SUBACK, 3.1: failures are 0x80 too", suback, 3, "90 ** 0102 00010280"],
    ["UNSUBACK, 5.0", unsuback, 5, `b0 ** 0102 [ ${explained} ] 0011`],
    ["UNSUBACK, 3.1.1", unsuback, 4, "b0 02 0102"],
    ["UNSUBACK, 3.1", unsuback, 3, "b0 02 0102"],
    ["PINGRESP", { _tag: "Pingresp" }, 5, "d0 00"],
    ["PINGRESP, 3.1.1", { _tag: "Pingresp" }, 4, "d0 00"],
    ["DISCONNECT, 5.0", disconnect, 5, `e0 ** 8e [ ${explained} ]`],
    ["DISCONNECT, which a server of 3.1.1 does not send", disconnect, 4, undefined],
    ["AUTH, 5.0", auth, 5, `f0 ** 18 [ 15 ~'m' 16 ~07 ${explained} ]`],
    ["AUTH, which 3.1.1 does not have", auth, 4, undefined]
  ]
  for (const [name, packet, version, expected] of rows) {
    test(name, () => {
      const bytes = encoded(packet, version)
      // Properties may stand in any order.
      if (packet._tag === "Auth" && bytes !== undefined)
        expect(bytes.length).toBe(toHex(wire(expected ?? "")).length)
      else expect(bytes).toBe(expected && toHex(wire(expected)))
    })
  }

  test("[MQTT-3.1.2-29] without Request Problem Information only CONNACK and DISCONNECT explain", () => {
    const options = { packetBytesMax: 1e6, requestProblemInformation: false }
    expect(encoded(suback, 5, options)).toBe(toHex(wire("90 ** 0102 [ ] 00010287")))
    expect(encoded(unsuback, 5, options)).toBe(toHex(wire("b0 ** 0102 [ ] 0011")))
    expect(encoded(auth, 5, options)).toBe(toHex(wire("f0 ** 18 [ 15 ~'m' 16 ~07 ]")))
    expect(encoded(disconnect, 5, options)).toBe(encoded(disconnect, 5))
    expect(encoded(connack(0x87, explanation), 5, options)).toBe(encoded(connack(0x87, explanation), 5))
  })

  const limited: ReadonlyArray<readonly [clauses: string, packet: ServerControlPacket, bare: string]> = [
    ["[MQTT-3.2.2-19] [MQTT-3.2.2-20] CONNACK", connack(0x87, explanation), "20 ** 00 87 [ @ ]"],
    ["[MQTT-3.9.2-1] [MQTT-3.9.2-2] SUBACK", suback, "90 ** 0102 [ @ ] 00010287"],
    ["[MQTT-3.11.2-1] [MQTT-3.11.2-2] UNSUBACK", unsuback, "b0 ** 0102 [ @ ] 0011"],
    ["[MQTT-3.14.2-3] [MQTT-3.14.2-4] DISCONNECT", disconnect, "e0 ** 8e [ @ ]"]
  ]
  for (const [name, packet, bare] of limited) {
    test(`${name}: explanations give way to the client's Maximum Packet Size`, () => {
      const forms = [explained, "26 ~'n' ~'v'", ""].map((section) => wire(bare.replace("@", section)))
      for (const [index, form] of forms.entries()) {
        const options = { packetBytesMax: form.length, requestProblemInformation: true }
        expect(encoded(packet, 5, options)).toBe(toHex(form))
        const next = forms[index + 1]
        const tighter = { ...options, packetBytesMax: form.length - 1 }
        expect(encoded(packet, 5, tighter)).toBe(next && toHex(next)) // [MQTT-3.1.2-24]
      }
    })
  }
})

describe("output memory", () => {
  test("a sink holds no page before its first byte and after its last", () => {
    const pool = new PagePool()
    const sink = new ByteSink(pool)
    expect(sink.bytes.length).toBe(0)
    sink.write(new Uint8Array(10))
    expect(sink.bytes.length).toBe(4096)
    sink.release()
    expect([sink.bytes.length, sink.length, pool.freeBytes]).toEqual([0, 0, 4096])
    sink.write(new Uint8Array(10))
    expect(pool.freeBytes).toBe(0)
  })

  test("growing keeps the bytes and gives the smaller page back", () => {
    const pool = new PagePool()
    const sink = new ByteSink(pool)
    const expected: Array<number> = []
    for (let index = 0; index < 3000; index++) {
      sink.write(Uint8Array.of(index & 0xff, 1, 2, 3))
      expected.push(index & 0xff, 1, 2, 3)
    }
    expect(toHex(sink.bytes.subarray(0, sink.length))).toBe(toHex(Uint8Array.from(expected)))
    expect(sink.bytes.length).toBe(16384)
    expect(pool.freeBytes).toBe(4096 + 8192)
  })

  test("what has been sent is dropped from the front", () => {
    const pool = new PagePool()
    const sink = new ByteSink(pool)
    sink.write(Uint8Array.of(1, 2, 3, 4, 5))
    sink.consume(2)
    expect([...sink.bytes.subarray(0, sink.length)]).toEqual([3, 4, 5])
    sink.consume(3)
    expect([sink.length, pool.freeBytes]).toEqual([0, 4096])
  })

  test("pages are powers of two, and large ones are not kept", () => {
    const pool = new PagePool()
    const sizes = [1, 4096, 4097, 65536, 65537, 1048576, 1048577].map((size) => pool.take(size))
    expect(sizes.map((page) => page.length)).toEqual([4096, 4096, 8192, 65536, 131072, 1048576, 1048577])
    for (const page of sizes) pool.give(page)
    expect(pool.freeBytes).toBe(4096 + 4096 + 8192 + 65536 + 131072 + 1048576)
    expect(pool.take(100_000).length).toBe(131072)
    expect(pool.freeBytes).toBe(4096 + 4096 + 8192 + 65536 + 1048576)
  })

  test("the pool keeps no more than its limit", () => {
    const pool = new PagePool({ freeBytesMax: 10_000 })
    const pages = Array.from({ length: 5 }, () => pool.take(4096))
    for (const page of pages) pool.give(page)
    expect(pool.freeBytes).toBe(8192)
  })
})
