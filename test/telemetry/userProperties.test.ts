import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { encodeForwardedProperties } from "../../src/protocol/Properties.ts"
import { parseTraceContext } from "../../src/telemetry/tracing/TraceContext.ts"
import { traceContextOf, withTraceContext } from "../../src/telemetry/tracing/userProperties.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const parent = `00-${traceId}-00f067aa0ba902b7-01`
const other = `00-${traceId}-b7ad6b7169203331-01`

type Pairs = ReadonlyArray<readonly [string, string]>

const encoded = (userProperties: Pairs, more: Parameters<typeof encodeForwardedProperties>[0] = {}) =>
  encodeForwardedProperties({ ...more, userProperties })

describe("the trace of a publisher", () => {
  test("is read from wherever it stands", () => {
    const bytes = encoded(
      [
        ["a", "b"],
        ["tracestate", "x=1"],
        ["traceparent", parent],
        ["z", "y".repeat(300)]
      ],
      {
        payloadFormatIndicator: 1,
        contentType: "text/plain",
        responseTopic: "answers",
        correlationData: new Uint8Array([38, 0, 11])
      }
    )
    expect(traceContextOf(bytes)).toEqual(parseTraceContext(parent, "x=1"))
  })

  test("may spell its name in any case", () => {
    expect(traceContextOf(encoded([["TraceParent", parent]]))?.traceId).toBe(traceId)
  })

  const none: ReadonlyArray<{ readonly name: string; readonly pairs: Pairs }> = [
    { name: "no property", pairs: [] },
    { name: "another property of that size", pairs: [["traceparens", parent]] },
    { name: "a name that only begins so", pairs: [["traceparent2", parent]] },
    {
      name: "two of them",
      pairs: [
        ["traceparent", parent],
        ["traceparent", other]
      ]
    },
    { name: "a value that is not one", pairs: [["traceparent", "x".repeat(55)]] },
    { name: "a state without a parent", pairs: [["tracestate", "x=1".padEnd(80)]] }
  ]
  for (const { name, pairs } of none) {
    test(`${name} is none`, () => {
      expect(traceContextOf(encoded(pairs))).toBeUndefined()
    })
  }
})

describe("the broker's own context", () => {
  const own = { traceId, spanId: "b7ad6b7169203331", isSampled: true, traceState: "x=1" }

  test("takes the place of the publisher's, and everything else stays", () => {
    const before = encoded(
      [
        ["a", "1"],
        ["traceparent", parent],
        ["b", "2"],
        ["tracestate", "old=1"],
        ["c", "3"]
      ],
      {
        contentType: "json"
      }
    )
    const after = encoded(
      [
        ["a", "1"],
        ["b", "2"],
        ["c", "3"],
        ["traceparent", other],
        ["tracestate", "x=1"]
      ],
      {
        contentType: "json"
      }
    )
    expect(Buffer.from(withTraceContext(before, own))).toEqual(Buffer.from(after))
  })

  test("is added where there was none", () => {
    expect(traceContextOf(withTraceContext(encoded([]), own))).toEqual(own)
  })

  test("that is none takes the publisher's away", () => {
    const stripped = withTraceContext(
      encoded([
        ["traceparent", parent],
        ["a", "1"]
      ]),
      undefined
    )
    expect(Buffer.from(stripped)).toEqual(Buffer.from(encoded([["a", "1"]])))
  })

  test("that is none leaves properties without a trace as they are, without a copy", () => {
    const bytes = encoded([["a", "1".repeat(100)]])
    expect(withTraceContext(bytes, undefined)).toBe(bytes)
  })

  test("is found again, whatever else is there", () => {
    const text = FastCheck.string({ maxLength: 80 })
    const pairs = FastCheck.array(FastCheck.tuple(text, text), { maxLength: 5 })
    FastCheck.assert(
      FastCheck.property(
        pairs,
        FastCheck.uint8Array({ maxLength: 40 }),
        (userProperties, correlationData) => {
          const bytes = encoded(userProperties, { correlationData })
          const traced = withTraceContext(bytes, own)
          expect(traceContextOf(traced)).toEqual(own)
          expect(Buffer.from(withTraceContext(traced, undefined))).toEqual(
            Buffer.from(withTraceContext(bytes, undefined))
          )
        }
      )
    )
  })
})
