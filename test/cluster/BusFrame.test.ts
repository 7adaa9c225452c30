import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import {
  type BusFrame,
  decodeBusFrame,
  type ForwardedMessage,
  OpenFrame
} from "../../src/cluster/BusFrame.ts"
import { MalformedFrame } from "../../src/storage/frame/MalformedFrame.ts"
import { storedMessage } from "../storage/records.ts"
import { seeded } from "../topic/reference.ts"

const record: fc.Arbitrary<ForwardedMessage> = fc.record({
  tenant: fc.constantFrom("default", "", "ä€😀", "t".repeat(200)),
  group: fc.constantFrom(undefined, "$share/g/a/#", "$oshare/ä/+"),
  message: storedMessage
})

const frame: fc.Arbitrary<BusFrame> = fc.record({
  lane: fc.constantFrom("fast", "sure"),
  origin: fc.integer({ min: 0, max: 0xffff }),
  incarnation: fc.maxSafeNat(),
  sequence: fc.maxSafeNat(),
  records: fc.array(record)
})

const encode = ({ records, ...head }: BusFrame): Uint8Array => {
  const open = new OpenFrame()
  for (const [place, each] of records.entries()) expect(open.add(each)).toBe(place)
  return open.seal(head)
}

/** Bytes of whatever class they are. */
const plain = (decoded: BusFrame): unknown => ({
  ...decoded,
  records: decoded.records.map(({ message, ...rest }) => ({
    ...rest,
    message: {
      ...message,
      topic: { name: message.topic.name, bytes: [...message.topic.bytes] },
      payload: [...message.payload],
      forwardedProperties: [...message.forwardedProperties]
    }
  }))
})

/** What is wrong with it; undefined when it can be read. Anything else that is thrown goes on. */
const fault = (bytes: Uint8Array): string | undefined => {
  try {
    decodeBusFrame(bytes)
    return undefined
  } catch (error) {
    if (error instanceof MalformedFrame) return error.reason
    throw error
  }
}

describe("a frame of the bus", () => {
  test("gives back what was put in", () =>
    fc.assert(
      fc.property(frame, (each) => {
        expect(plain(decodeBusFrame(encode(each)))).toEqual(plain(each))
      }),
      seeded(300)
    ))

  test("gives back messages that do not share its bytes", () => {
    const [each] = fc.sample(
      record.filter(({ message }) => message.payload.length > 0),
      seeded(1)
    )
    const bytes = encode({ lane: "fast", origin: 0, incarnation: 1, sequence: 1, records: [each!] })
    const decoded = decodeBusFrame(bytes)
    const before = structuredClone(plain(decoded))
    bytes.fill(0)
    expect(plain(decoded)).toEqual(before)
  })

  test("that ends anywhere too early cannot be read", () =>
    fc.assert(
      fc.property(frame, fc.nat(), (each, cut) => {
        const bytes = encode(each)
        expect(fault(bytes.subarray(0, cut % bytes.length))).toBeString()
      }),
      seeded(300)
    ))

  test("whose bytes were changed is read or refused, and nothing worse", () =>
    fc.assert(
      fc.property(frame, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1 }), (each, changes) => {
        const bytes = encode(each)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        fault(bytes)
      }),
      seeded(1000)
    ))

  const empty = () => encode({ lane: "sure", origin: 1, incarnation: 2, sequence: 3, records: [] })
  for (const [name, at, value] of [
    ["something else", 0, 0xc7],
    ["of another version", 1, 2],
    ["on an unknown lane", 2, 2],
    ["with flags of a later version", 3, 1],
    ["with fewer records than it says", 6, 1]
  ] as const) {
    test(`is refused when it is ${name}`, () => {
      const bytes = empty()
      expect(fault(bytes)).toBeUndefined()
      bytes[at] = value
      expect(fault(bytes)).toBeString()
    })
  }

  test("is refused when something follows its last record", () => {
    expect(fault(Buffer.concat([empty(), Buffer.alloc(1)]))).toBeString()
  })

  test("is laid out as it is described", () => {
    const bytes = encode({ lane: "sure", origin: 0x0102, incarnation: 0x03, sequence: 0x0405, records: [] })
    const head = "b7 01 01 00 0201 0000 0300000000000000 0504000000000000"
    expect(Buffer.from(bytes).toString("hex")).toBe(head.replaceAll(" ", ""))
  })
})
