import { describe, expect, test } from "bun:test"
import {
  formatStored,
  formatTraceparent,
  parseStored,
  parseTraceContext
} from "../../src/telemetry/tracing/TraceContext.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const spanId = "00f067aa0ba902b7"

describe("traceparent", () => {
  const sound: ReadonlyArray<{ readonly text: string; readonly isSampled: boolean }> = [
    { text: `00-${traceId}-${spanId}-01`, isSampled: true },
    { text: `00-${traceId}-${spanId}-00`, isSampled: false },
    { text: `00-${traceId}-${spanId}-03`, isSampled: true },
    { text: `01-${traceId}-${spanId}-01-what-a-later-version-adds`, isSampled: true }
  ]
  for (const { isSampled, text } of sound) {
    test(`${text} is sound`, () => {
      expect(parseTraceContext(text)).toEqual({ traceId, spanId, isSampled, traceState: "" })
    })
  }

  const unsound = [
    "",
    "00",
    `00-${traceId}-${spanId}`,
    `00-${traceId}-${spanId}-01-more`,
    `ff-${traceId}-${spanId}-01`,
    `00-${"0".repeat(32)}-${spanId}-01`,
    `00-${traceId}-${"0".repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    `00-${traceId}-${spanId}-1`,
    ` 00-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\n`
  ]
  for (const text of unsound) {
    test(`${JSON.stringify(text)} is not`, () => {
      expect(parseTraceContext(text)).toBeUndefined()
    })
  }

  test("is written as it was read", () => {
    const text = `00-${traceId}-${spanId}-01`
    const context = parseTraceContext(text)
    expect(context && formatTraceparent(context)).toBe(text)
  })
})

describe("tracestate", () => {
  const stateOf = (state: string) => parseTraceContext(`00-${traceId}-${spanId}-01`, state)?.traceState

  test("is handed on as it is", () => {
    expect(stateOf("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")).toBe("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
  })

  test("is left out when it is too long or not printable", () => {
    expect(stateOf("a".repeat(512))).toBe("a".repeat(512))
    expect(stateOf("a".repeat(513))).toBe("")
    expect(stateOf("a=\u0000")).toBe("")
    expect(stateOf("a=\r\nb")).toBe("")
  })
})

describe("the stored form", () => {
  for (const traceState of ["", "a=1", "a=1, b=2"]) {
    test(`keeps ${JSON.stringify(traceState)}`, () => {
      const context = { traceId, spanId, isSampled: true, traceState }
      expect(parseStored(formatStored(context))).toEqual(context)
    })
  }

  test("that is not sound is none", () => {
    expect(parseStored("rubbish")).toBeUndefined()
    expect(parseStored("")).toBeUndefined()
  })
})
