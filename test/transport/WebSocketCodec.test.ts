/** The WebSocket decoder as tables, each also byte by byte and in random chunks. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import {
  closeFrame,
  NO_STATUS,
  pongFrame,
  WebSocketDecoder,
  writeFrameHeader
} from "../../src/transport/WebSocketCodec.ts"
import { clientFrame, serverFrames } from "./clients.ts"

const FRAME_BYTES_MAX = 70_000

/** Everything that happened, with payload pieces joined: how a stream was cut must not show. */
const decode = (chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<string> => {
  const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
  const events: Array<string> = []
  let data = ""
  const flush = () => {
    if (data !== "") events.push(`data ${data}`)
    data = ""
  }
  for (const chunk of chunks) {
    decoder.feed(Uint8Array.from(chunk))
    for (let token = decoder.next(); token !== "more"; token = decoder.next()) {
      if (token === "payload") data += Buffer.from(decoder.payload).toString("latin1")
      else {
        flush()
        if (token === "close") events.push(`close ${decoder.code}`)
        else if (token === "error") events.push(`error ${decoder.code} ${decoder.reason}`)
        else events.push(`${token} ${Buffer.from(decoder.payload).toString("latin1")}`)
      }
    }
  }
  flush()
  return events
}

const text = (characters: string): Uint8Array => Buffer.from(characters, "latin1")
const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(" ", ""), "hex")
const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat(parts)
const closing = (code: number, reason = "") =>
  clientFrame(join(Uint8Array.of(code >> 8, code & 0xff), text(reason)), { opcode: 8 })

interface Case {
  readonly name: string
  readonly input: Uint8Array
  readonly expected: ReadonlyArray<string>
}

const cases: ReadonlyArray<Case> = [
  { name: "[MQTT-6.0.0-1] a binary frame", input: clientFrame(text("hello")), expected: ["data hello"] },
  {
    name: "[MQTT-6.0.0-1] a text frame closes with 1003",
    input: clientFrame(text("hello"), { opcode: 1 }),
    expected: ["error 1003 text frame"]
  },
  {
    name: "[MQTT-6.0.0-2] packets across frames and frames with several packets are one stream",
    input: join(clientFrame(text("ab")), clientFrame(text("cdef")), clientFrame(text("g"))),
    expected: ["data abcdefg"]
  },
  {
    name: "an empty frame",
    input: join(clientFrame(text("")), clientFrame(text("x"))),
    expected: ["data x"]
  },
  {
    name: "a message of one-byte fragments",
    input: join(
      clientFrame(text("a"), { isFinal: false }),
      clientFrame(text("b"), { isFinal: false, opcode: 0 }),
      clientFrame(text(""), { isFinal: false, opcode: 0 }),
      clientFrame(text("c"), { opcode: 0 }),
      clientFrame(text("d"))
    ),
    expected: ["data abcd"]
  },
  {
    name: "control frames between fragments",
    input: join(
      clientFrame(text("a"), { isFinal: false }),
      clientFrame(text("are you there"), { opcode: 9 }),
      clientFrame(text("b"), { isFinal: false, opcode: 0 }),
      clientFrame(text("pong"), { opcode: 10 }),
      clientFrame(text("c"), { opcode: 0 })
    ),
    expected: ["data a", "ping are you there", "data b", "pong pong", "data c"]
  },
  {
    name: "a 16-bit length",
    input: clientFrame(text("x".repeat(300))),
    expected: [`data ${"x".repeat(300)}`]
  },
  {
    name: "a 64-bit length",
    input: clientFrame(text("y".repeat(66_000))),
    expected: [`data ${"y".repeat(66_000)}`]
  },
  { name: "close with a code", input: closing(1000, "bye"), expected: ["close 1000"] },
  { name: "close with an application's code", input: closing(4321), expected: ["close 4321"] },
  {
    name: "close without a code",
    input: clientFrame(text(""), { opcode: 8 }),
    expected: [`close ${NO_STATUS}`]
  },
  {
    name: "nothing is looked at after a close",
    input: join(closing(1001), clientFrame(text("late"), { opcode: 1 })),
    expected: ["close 1001"]
  },
  {
    name: "close with half a code",
    input: clientFrame(text("x"), { opcode: 8 }),
    expected: ["error 1002 close frame of one byte"]
  },
  ...[0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map((code) => ({
    name: `close with code ${code}`,
    input: closing(code),
    expected: ["error 1002 invalid close code"]
  })),
  { name: "an unmasked frame", input: bytes("82 01 61"), expected: ["error 1002 unmasked frame"] },
  {
    name: "an unmasked frame of a huge length",
    input: bytes("82 7f 7fffffffffffffff"),
    expected: ["error 1002 unmasked frame"]
  },
  ...[0x40, 0x20, 0x10].map((bit) => ({
    name: `reserved bit 0x${bit.toString(16)} (compression was not negotiated)`,
    input: join(Uint8Array.of(0x82 | bit), clientFrame(text("a")).subarray(1)),
    expected: ["error 1002 reserved bit set"]
  })),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => ({
    name: `reserved opcode ${opcode}`,
    input: clientFrame(text("a"), { opcode }),
    expected: ["error 1002 reserved opcode"]
  })),
  {
    name: "a continuation of nothing",
    input: clientFrame(text("a"), { opcode: 0 }),
    expected: ["error 1002 fragment out of order"]
  },
  {
    name: "a new message inside a fragmented one",
    input: join(clientFrame(text("a"), { isFinal: false }), clientFrame(text("b"))),
    expected: ["data a", "error 1002 fragment out of order"]
  },
  {
    name: "a fragmented ping",
    input: clientFrame(text("a"), { isFinal: false, opcode: 9 }),
    expected: ["error 1002 fragmented or long control frame"]
  },
  {
    name: "a ping of 126 bytes",
    input: clientFrame(text("a".repeat(126)), { opcode: 9 }),
    expected: ["error 1002 fragmented or long control frame"]
  },
  {
    name: "a ping of 125 bytes",
    input: clientFrame(text("a".repeat(125)), { opcode: 9 }),
    expected: [`ping ${"a".repeat(125)}`]
  },
  {
    name: "a length beyond the limit, judged by the header alone",
    input: bytes("82 ff 0000000000011171 01020304"),
    expected: ["error 1009 frame too large"]
  },
  {
    name: "a length of 2^63",
    input: bytes("82 ff 8000000000000000 01020304"),
    expected: ["error 1002 ill-formed payload length"]
  },
  {
    name: "a length of 2^63 - 1",
    input: bytes("82 ff 7fffffffffffffff 01020304"),
    expected: ["error 1009 frame too large"]
  },
  {
    name: "a 16-bit length that fits 7 bits",
    input: bytes("82 fe 007d 01020304"),
    expected: ["error 1002 ill-formed payload length"]
  },
  {
    name: "a 64-bit length that fits 16 bits",
    input: bytes("82 ff 000000000000ffff 01020304"),
    expected: ["error 1002 ill-formed payload length"]
  }
]

const cut = (input: Uint8Array, size: number): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < input.length; at += size) chunks.push(input.subarray(at, at + size))
  return chunks
}

/** Pieces of data are joined by `decode`, except around control frames, which do not move. */
describe("WebSocketDecoder", () => {
  for (const { expected, input, name } of cases) {
    test(name, () => {
      expect(decode([input])).toEqual([...expected])
      expect(decode(cut(input, 1))).toEqual([...expected])
      for (const size of [2, 3, 5, 7, 13]) expect(decode(cut(input, size))).toEqual([...expected])
    })
  }

  test("any frames in any chunks decode to what was sent", () => {
    const frame = FastCheck.record({
      payload: FastCheck.uint8Array({ maxLength: 1500 }),
      mask: FastCheck.array(FastCheck.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 }),
      isPing: FastCheck.boolean()
    })
    const property = FastCheck.property(
      FastCheck.array(frame, { maxLength: 12 }),
      FastCheck.array(FastCheck.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 20 }),
      (frames, sizes) => {
        const sent = frames.map(({ isPing, mask, payload }) =>
          clientFrame(isPing ? payload.subarray(0, 125) : payload, { mask, opcode: isPing ? 9 : 2 })
        )
        const stream = join(...sent)
        const chunks: Array<Uint8Array> = []
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1
          chunks.push(stream.subarray(at, at + size))
          at += size
        }
        expect(decode(chunks)).toEqual(decode(sent))
        const data = frames.filter(({ isPing }) => !isPing).map(({ payload }) => Buffer.from(payload))
        const seen = decode(chunks).filter((event) => event.startsWith("data "))
        expect(seen.map((event) => event.slice(5)).join("")).toBe(Buffer.concat(data).toString("latin1"))
      }
    )
    FastCheck.assert(property, { seed: 6455, numRuns: 200 })
  })

  test("any bytes end in at most one close or error and never throw", () => {
    const property = FastCheck.property(
      FastCheck.array(FastCheck.uint8Array({ maxLength: 64 }), { maxLength: 8 }),
      (chunks) => {
        const events = decode(chunks)
        const last = events.findIndex((event) => event.startsWith("error") || event.startsWith("close"))
        expect(last === -1 || last === events.length - 1).toBe(true)
      }
    )
    FastCheck.assert(property, { seed: 6455, numRuns: 500 })
  })

  test("hands on a part of a frame at once, and the frames of a chunk together", () => {
    const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
    const frames = join(clientFrame(text("first")), clientFrame(text("")), clientFrame(text("second")))
    decoder.feed(frames.subarray(0, 8))
    expect(decoder.next()).toBe("payload")
    expect(Buffer.from(decoder.payload).toString()).toBe("fi")
    expect(decoder.next()).toBe("more")
    decoder.feed(frames.subarray(8))
    expect(decoder.next()).toBe("payload")
    expect(Buffer.from(decoder.payload).toString()).toBe("rstsecond")
    expect(decoder.hasInput).toBe(false)
    expect(decoder.next()).toBe("more")
  })

  const followers: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["ping", clientFrame(text(""), { opcode: 9 })],
    ["close", clientFrame(text(""), { opcode: 8 })],
    ["error", clientFrame(text(""), { opcode: 1 })]
  ]
  test.each(followers)(
    "what follows data in a chunk (%s) waits for a handler that pauses",
    (token, frame) => {
      const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
      decoder.feed(join(clientFrame(text("data")), frame))
      expect(decoder.next()).toBe("payload")
      expect(decoder.hasInput).toBe(true)
      expect(decoder.next()).toBe(token as ReturnType<WebSocketDecoder["next"]>)
      expect(decoder.hasInput).toBe(false)
      expect(decoder.next()).toBe("more")
    }
  )

  test("payload that was handed on is not written to again", () => {
    const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
    decoder.feed(
      join(clientFrame(text("one")), clientFrame(text("!"), { opcode: 9 }), clientFrame(text("two")))
    )
    decoder.next()
    const { payload } = decoder
    for (let token = decoder.next(); token !== "more"; ) token = decoder.next()
    expect(Buffer.from(payload).toString()).toBe("one")
  })
})

describe("unmasking", () => {
  test("at every alignment, cut, offset and length around the change to words", () => {
    for (const length of [1, 3, 4, 511, 512, 513, 515, 2000])
      for (let alignment = 0; alignment < 4; alignment++)
        for (let before = 0; before < 4; before++) {
          const payload = new Uint8Array(before + length).map((_, index) => (index * 7) & 0xff)
          const frame = clientFrame(payload, { mask: [0x11, 0x22, 0x44, 0x88] })
          const first = frame.length - length
          const aligned = new Uint8Array(length + 8).subarray(alignment, alignment + length)
          aligned.set(frame.subarray(first))
          const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
          decoder.feed(frame.slice(0, first))
          while (decoder.next() !== "more");
          decoder.feed(aligned)
          expect(decoder.next()).toBe("payload")
          expect(Buffer.compare(decoder.payload, payload.subarray(before))).toBe(0)
        }
  })

  test("payloads that are moved together, long and short", () => {
    const parts = [600, 3, 700, 1, 5000].map((length) =>
      new Uint8Array(length).map((_, index) => (index * 13) & 0xff)
    )
    const decoder = new WebSocketDecoder(FRAME_BYTES_MAX)
    decoder.feed(join(...parts.map((part) => clientFrame(part))))
    expect(decoder.next()).toBe("payload")
    expect(Buffer.compare(decoder.payload, join(...parts))).toBe(0)
  })
})

describe("server frames", () => {
  test.each([0, 1, 125, 126, 65_535, 65_536, 100_000])("a binary frame of %i bytes", (length) => {
    const frame = new Uint8Array(10 + length)
    const headerLength = writeFrameHeader(frame, length)
    expect(serverFrames(frame.subarray(0, headerLength + length))).toEqual([
      { first: 0x82, payload: new Uint8Array(length) }
    ])
  })

  test("pong and close", () => {
    expect(Buffer.from(pongFrame(text("hi"))).toString("hex")).toBe("8a026869")
    expect(Buffer.from(closeFrame(1003)).toString("hex")).toBe("880203eb")
    expect(Buffer.from(closeFrame(NO_STATUS)).toString("hex")).toBe("8800")
  })
})
