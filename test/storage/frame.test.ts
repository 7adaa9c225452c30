import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { type DurableRecord, Recorded, type StoredMessage } from "../../src/storage/DurableRecord.ts"
import { decodeFrame } from "../../src/storage/frame/FrameReader.ts"
import { checksumOf, encodeFrame, FrameWriter } from "../../src/storage/frame/FrameWriter.ts"
import { MalformedFrame } from "../../src/storage/frame/MalformedFrame.ts"
import { durableRecords } from "./records.ts"

const key = { tenant: "t", clientId: "c", epoch: 1 }

const message = (payload: string): StoredMessage => ({
  topic: { name: "a/b", bytes: Buffer.from("a/b") },
  payload: Buffer.from(payload),
  forwardedProperties: new Uint8Array(0),
  qos: 1,
  retain: false,
  expiresAtMs: 0,
  publisherId: "p",
  traceContext: undefined
})

const enqueue = (position: number, stored: StoredMessage): DurableRecord => ({
  _tag: "Enqueue",
  ...key,
  position,
  message: stored,
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isReleased: false,
  recorded: Recorded.Written
})

/** The records, or the typed error; anything else that is thrown goes on. */
const outcomeOf = (frame: Uint8Array): ReadonlyArray<DurableRecord> | MalformedFrame => {
  try {
    return decodeFrame(frame).records
  } catch (error) {
    if (error instanceof MalformedFrame) return error
    throw error
  }
}

const withRightChecksum = (frame: Uint8Array): Uint8Array => {
  new DataView(frame.buffer, frame.byteOffset).setUint32(1, checksumOf(frame), true)
  return frame
}

describe("a frame", () => {
  test("gives back every record as it was", () => {
    const writer = new FrameWriter()
    FastCheck.assert(
      FastCheck.property(durableRecords(), FastCheck.maxSafeNat(), (records, sequence) => {
        const frame = decodeFrame(encodeFrame(sequence, records, writer))
        expect(frame.sequence).toBe(sequence)
        expect(Bun.deepEquals(plain(frame.records), plain(records), true)).toBe(true)
      }),
      { numRuns: 500, seed: 1 }
    )
  })

  test("holds a message that several records share once, and gives it back as one", () => {
    const shared = message("x".repeat(1000))
    const records = [enqueue(0, shared), enqueue(1, shared), enqueue(2, message("y"))]
    const frame = encodeFrame(1, [...records, { _tag: "Retain", tenant: "t", message: shared }])
    expect(frame.length).toBeLessThan(1200)
    const [first, second, third, retain] = decodeFrame(frame).records.map(
      (record) => "message" in record && record.message
    )
    expect(second).toBe(first!)
    expect(retain).toBe(first!)
    expect(third).not.toBe(first!)
  })

  test("holds a session's key once", () => {
    const clientId = "c".repeat(1000)
    const records = Array.from(
      { length: 100 },
      (_, before): DurableRecord => ({
        _tag: "Advance",
        ...key,
        clientId,
        before
      })
    )
    expect(encodeFrame(1, records).length).toBeLessThan(1500)
    expect(decodeFrame(encodeFrame(1, records)).records).toEqual(records)
  })

  test("of an unknown version is refused by name", () => {
    const frame = encodeFrame(1, [])
    frame[0] = 2
    expect(() => decodeFrame(frame)).toThrow("a frame of version 2 is not known")
  })

  test("that was cut or changed anywhere is refused", () => {
    const records = [enqueue(3, message("x")), enqueue(4, message("y"))]
    const frame = encodeFrame(7, records)
    for (let length = 0; length < frame.length; length++) {
      expect(outcomeOf(frame.slice(0, length))).toBeInstanceOf(MalformedFrame)
    }
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = frame.slice()
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(outcomeOf(changed)).toBeInstanceOf(MalformedFrame)
    }
  })

  test("with nonsense under a right checksum gives records or the typed error, nothing else", () => {
    FastCheck.assert(
      FastCheck.property(
        durableRecords(10),
        FastCheck.array(FastCheck.tuple(FastCheck.nat(), FastCheck.nat(255)), { minLength: 1, maxLength: 4 }),
        FastCheck.option(FastCheck.nat()),
        (records, changes, cut) => {
          const frame = encodeFrame(1, records)
          const part = cut === null ? frame : frame.slice(0, Math.max(5, cut % frame.length))
          for (const [at, value] of changes) part[at % part.length] = value
          part[0] = 1
          const outcome = outcomeOf(withRightChecksum(part))
          expect(outcome instanceof MalformedFrame || Array.isArray(outcome)).toBe(true)
        }
      ),
      { numRuns: 2000, seed: 2 }
    )
  })
})

/** Buffers and other views as what they hold. */
const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}
