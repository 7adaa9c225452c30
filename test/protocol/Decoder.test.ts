/** What the decoder reads, in every way that chunks can fall, and what it holds and costs while it does. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { ControlReader } from "../../src/protocol/ControlReader.ts"
import { type Decoder, makeDecoders } from "../../src/protocol/Decoder.ts"
import type { ProtocolVersion, Publish } from "../../src/protocol/Packet.ts"
import { hex, raw, toHex } from "../support/raw.ts"
import { connects, others, publishes, type Row } from "./packets.ts"
import { connectBytes, decode, decoderOf, plain, ways, wire } from "./wire.ts"

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const none = new Uint8Array(0)

const readsAll = (rows: ReadonlyArray<Row>): void => {
  for (const { expected, name, packet, version } of rows) {
    test(name, () => {
      for (const { chunks, way } of ways(wire(packet))) {
        const { failure, packets } = decode(decoderOf(version), chunks)
        expect<unknown>({ way, failure, packets }).toEqual({ way, failure: undefined, packets: [expected] })
      }
    })
  }
}

describe("CONNECT", () => readsAll(connects))
describe("PUBLISH", () => readsAll(publishes))
describe("other packets", () => readsAll(others))

describe("streams", () => {
  const packets = (version: ProtocolVersion): Buffer =>
    Buffer.concat([
      connectBytes(version),
      ...[...publishes, ...others].filter((row) => row.version === version).map((row) => wire(row.packet))
    ])
  const expectedOf = (version: ProtocolVersion): ReadonlyArray<unknown> =>
    [...publishes, ...others].filter((row) => row.version === version).map((row) => row.expected)

  for (const version of [3, 4, 5] as const) {
    test(`all packets of version ${version} one after another`, () => {
      for (const { chunks, way } of ways(packets(version))) {
        const decoder = decoderOf(0)
        const { failure, packets: read } = decode(decoder, chunks)
        expect<unknown>({ way, failure, read: read.slice(1) }).toEqual({
          way,
          failure: undefined,
          read: expectedOf(version)
        })
        expect(decoder.version).toBe(version)
        expect(decoder.bufferedBytes).toBe(0)
      }
    })

    test(`chunks pushed before any packet is taken, version ${version}`, () => {
      for (const { chunks } of ways(packets(version))) {
        const decoder = decoderOf(0)
        for (const chunk of chunks) decoder.push(chunk)
        expect(decoder.bufferedBytes).toBe(packets(version).length)
        expect(decode(decoder, [none]).packets).toHaveLength(expectedOf(version).length + 1)
      }
    })
  }

  test("chunks pushed while packets are taken stay in their order", () => {
    const expected = expectedOf(4)
    const schedule = FastCheck.array(FastCheck.tuple(FastCheck.nat(40), FastCheck.nat(5)), { maxLength: 200 })
    FastCheck.assert(
      FastCheck.property(schedule, (steps) => {
        const bytes = Buffer.concat([packets(4), packets(4).subarray(connectBytes(4).length)])
        const decoder = decoderOf(0)
        const read: Array<unknown> = []
        let at = 0
        const take = (count: number) => {
          for (let left = count; left > 0; left--) {
            const packet = decoder.next()
            if (packet === undefined) return
            read.push(plain(packet))
          }
        }
        for (const [pushed, taken] of steps) {
          decoder.push(new Uint8Array(bytes.subarray(at, at + pushed)))
          at = Math.min(at + pushed, bytes.length)
          take(taken)
        }
        decoder.push(new Uint8Array(bytes.subarray(at)))
        take(Number.POSITIVE_INFINITY)
        expect(read.slice(1)).toEqual([...expected, ...expected])
      }),
      { seed: 1, numRuns: 200 }
    )
  })

  test("packets before a malformed one are read, then the failure stays", () => {
    const decoder = decoderOf(4)
    decoder.push(wire("30 06 ~'t' 'abc' c0 00 36 00"))
    expect(decoder.next()?._tag).toBe("Publish")
    expect(decoder.next()?._tag).toBe("Pingreq")
    let first: unknown
    try {
      decoder.next()
    } catch (error) {
      first = error
    }
    decoder.push(wire("c0 00"))
    expect(() => decoder.next()).toThrow(first as Error)
    expect(decoder.bufferedBytes).toBe(0)
  })

  test("the remainder is what no packet used up", () => {
    const decoder = decoderOf(4)
    decoder.push(hex("c0 00 30"))
    expect(decoder.next()?._tag).toBe("Pingreq")
    expect(decoder.next()).toBeUndefined()
    decoder.push(hex("0a 00"))
    decoder.push(hex("01"))
    expect(toHex(decoder.remainder())).toBe("300a0001")
    expect(decoder.next()).toBeUndefined()
    expect(toHex(decoder.remainder())).toBe("300a0001")
    expect(decoder.bufferedBytes).toBe(4)
  })

  test("a limit lowered or raised after CONNECT holds for the next packet", () => {
    const decoder = decoderOf(4, { packetBytesMax: 64 })
    decoder.packetBytesMax = 200
    expect(decode(decoder, [raw.publish({ payload: "x".repeat(150) })]).packets).toHaveLength(1)
    decoder.packetBytesMax = 100
    expect(decode(decoder, [raw.publish({ payload: "x".repeat(150) })]).failure?.reasonCode).toBe(0x95)
  })
})

describe("the protocol level asked for, to choose the form of a refusal", () => {
  const cases: ReadonlyArray<readonly [name: string, packet: string, level: number]> = [
    ["5.0", "10 ** ~'MQTT' 05 02 003c [ ] ~'c'", 5],
    ["3.1", "10 ** ~'MQIsdp' 03 02 003c ~'c'", 3],
    ["a 5.0 CONNECT refused later", "10 ** ~'MQTT' 05 02 003c [ 21 0000 ] ~'c'", 5],
    ["an unknown level", "10 ** ~'MQTT' 06 02 003c ~'c'", 6],
    ["an unknown level of MQIsdp", "10 ** ~'MQIsdp' 04 02 003c ~'c'", 4],
    ["an unknown protocol name", "10 ** ~'HTTP' 05 02 003c ~'c'", 0],
    ["a CONNECT that ends before its level", "10 ** ~'MQTT'", 0],
    ["no CONNECT", "30 00", 0]
  ]
  for (const [name, packet, level] of cases) {
    test(`${name}: ${level}`, () => {
      const decoder = decoderOf(0)
      decode(decoder, [wire(packet)])
      expect(decoder.attemptedLevel).toBe(level)
    })
  }
})

describe("topic memo", () => {
  const publishTo = (decoder: Decoder, topic: string): Publish => {
    decoder.push(raw.publish({ topic }))
    const packet = decoder.next()
    if (packet?._tag !== "Publish") throw new RangeError("not a PUBLISH")
    return packet
  }

  test("the same topic again is the same object", () => {
    const decoder = decoderOf(4)
    const first = publishTo(decoder, "a/b")
    expect(publishTo(decoder, "a/b").topic).toBe(first.topic)
    expect(publishTo(decoderOf(4), "a/b").topic).not.toBe(first.topic)
  })

  test("alternating topics of the same and of different lengths stay themselves", () => {
    const decoder = decoderOf(4)
    const topics = ["a/b", "a/c", "b/b", "a/bc", "a", "é/é", "a/b", "a/b", "c/b"]
    const kept = topics.map((topic) => publishTo(decoder, topic))
    for (let index = 0; index < topics.length; index++) {
      expect(kept[index]?.topic.name).toBe(topics[index] ?? "")
      expect(toHex(kept[index]?.topic.bytes ?? none)).toBe(toHex(bytesOf(topics[index] ?? "")))
    }
  })

  test("a refused topic is not remembered", () => {
    const decoder = decoderOf(4)
    publishTo(decoder, "a/b")
    expect(() => publishTo(decoder, "a/#")).toThrow()
    expect(() => publishTo(decoder, "a/#")).toThrow()
  })

  test("an alias without topic leaves the memo alone", () => {
    const decoder = decoderOf(5)
    const read = ["30 ** ~'a' [ ]", "30 ** 0000 [ 23 0001 ]", "30 ** ~'a' [ ]"].map((packet) => {
      decoder.push(wire(packet))
      const publish = decoder.next()
      return publish?._tag === "Publish" ? publish.topic : undefined
    })
    expect(read.map((topic) => topic?.name)).toEqual(["a", "", "a"])
    expect(read[2]).toBe(read[0] as Publish["topic"])
  })

  test("topic, forwarded properties, password and will do not pin the chunk", () => {
    const chunk = Buffer.alloc(65536)
    const packet = wire("30 ** ~'topic' [ 26 ~'a' ~'b' 23 0001 ] 'p'")
    chunk.set(packet)
    const decoder = decoderOf(5)
    decoder.push(chunk.subarray(0, packet.length))
    const publish = decoder.next()
    if (publish?._tag !== "Publish") throw new RangeError("not a PUBLISH")
    expect(publish.source.buffer).toBe(chunk.buffer)
    expect(publish.topic.bytes.buffer.byteLength).toBe(5)
    expect(publish.forwardedProperties.buffer.byteLength).toBe(7)
    const connect = decoderOf(0)
    chunk.set(wire("10 ** ~'MQTT' 04 c6 003c ~'c' ~'w' ~'gone' ~'u' ~'pass'"))
    connect.push(chunk.subarray(0, 34))
    const read = connect.next()
    if (read?._tag !== "Connect") throw new RangeError("not a CONNECT")
    expect(read.password?.buffer.byteLength).toBe(4)
    expect(read.will?.payload.buffer.byteLength).toBe(4)
  })
})

describe("bounds", () => {
  const heapOf = (decoder: Decoder): number => {
    const pending: unknown = Reflect.get(decoder, "pending")
    return pending instanceof Uint8Array ? pending.buffer.byteLength : -1
  }

  test("a packet declared large costs what has arrived, not what was declared", () => {
    const decoder = decoderOf(4, { packetBytesMax: 268_435_460 })
    decoder.push(hex("30 ff ff ff 7f 00 01 74"))
    expect(decoder.next()).toBeUndefined()
    expect(heapOf(decoder)).toBeLessThanOrEqual(256)
    for (let round = 0; round < 64; round++) {
      decoder.push(new Uint8Array(1000))
      expect(decoder.next()).toBeUndefined()
      expect(heapOf(decoder)).toBeLessThanOrEqual(2 * decoder.bufferedBytes + 256)
    }
    expect(decoder.bufferedBytes).toBe(64_008)
  })

  test("a packet of 1 MB in chunks of one byte is copied a bounded number of times", () => {
    const payload = Buffer.alloc(1024 * 1024, "x")
    const bytes = raw.publish({ payload })
    const decoder = decoderOf(4)
    let reallocations = 0
    let before = heapOf(decoder)
    let packet: ReturnType<Decoder["next"]>
    for (let at = 0; at < bytes.length; at++) {
      decoder.push(bytes.subarray(at, at + 1))
      packet = decoder.next()
      const now = heapOf(decoder)
      if (now !== before) reallocations++
      before = now
    }
    expect(reallocations).toBeLessThan(20)
    expect(packet && plain(packet)).toMatchObject({ topic: "topic", payload: toHex(payload) })
  })

  test("buffers handed out are not written again", () => {
    const decoder = decoderOf(4)
    const bytes = Buffer.concat(["one", "two", "three"].map((payload) => raw.publish({ payload })))
    const kept: Array<Publish> = []
    for (const chunk of [bytes.subarray(0, 5), bytes.subarray(5, 17), bytes.subarray(17)]) {
      decoder.push(Buffer.from(chunk))
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
        if (packet._tag === "Publish") kept.push(packet)
      }
    }
    const texts = kept.map((packet) =>
      new TextDecoder().decode(packet.source.subarray(packet.payloadStart, packet.payloadEnd))
    )
    expect(texts).toEqual(["one", "two", "three"])
  })

  test("user properties are capped, and the cap is a setting", () => {
    const control = new ControlReader({ userPropertiesMax: 2 })
    const publish = (count: number) => wire(`30 ** ~'t' [ ${"26 ~'n' ~'v' ".repeat(count)}]`)
    expect(decode(decoderOf(5, { control }), [publish(2)]).packets).toHaveLength(1)
    expect(decode(decoderOf(5, { control }), [publish(3)]).failure?.reasonCode).toBe(0x97)
  })

  test("decoders of a factory share their scratch and keep their own state", () => {
    const make = makeDecoders()
    const first = make({ packetBytesMax: 1000 })
    const second = make({ packetBytesMax: 1000 })
    first.push(connectBytes(5))
    second.push(connectBytes(3))
    expect(first.next()).toMatchObject({ _tag: "Connect", protocolVersion: 5 })
    expect(second.next()).toMatchObject({ _tag: "Connect", protocolVersion: 3 })
    first.push(wire("82 ** 0001 [ 0b 05 ] ~'a' 01"))
    second.push(wire("82 ** 0002 ~'b' 01"))
    expect(second.next()).toMatchObject({ _tag: "Subscribe", packetId: 2 })
    expect(first.next()).toMatchObject({ _tag: "Subscribe", packetId: 1, subscriptionIdentifier: 5 })
  })
})
