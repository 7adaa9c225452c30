import { describe, expect, test } from "bun:test"
import type * as Tracer from "effect/Tracer"
import { encodeForwardedProperties } from "../../src/protocol/Properties.ts"
import { TelemetryCounters } from "../../src/telemetry/TelemetryCounters.ts"
import { type Candidate, Sampler } from "../../src/telemetry/tracing/Sampler.ts"
import { Tracing } from "../../src/telemetry/tracing/Tracing.ts"
import { recordedSpans } from "../support/recordedSpans.ts"

const message: Candidate = {
  tenant: "acme",
  clientId: "c",
  topic: "a",
  forwardedProperties: new Uint8Array(0)
}

const tracingOver = (tracer: Tracer.Tracer, tracesPerSecondMax = 1000) => {
  let ns = 1000n
  return new Tracing({
    tracer,
    sampler: new Sampler({ ratio: 1, honoursParent: true, rules: [], random: () => 0.5 }),
    counters: new TelemetryCounters(),
    tracesPerSecondMax,
    nowNs: () => ns++
  })
}

describe("a trace", () => {
  test("goes on below a stored context, whoever holds it by then", () => {
    const { spans, tracer } = recordedSpans()
    const tracing = tracingOver(tracer)
    const first = tracing.begin("publish", message, 0, { kind: "server" })
    first?.end()
    const later = tracing.below(first?.traceContext ?? "", "deliver", { kind: "producer" })
    later?.event("acknowledged")
    later?.end()
    const [publish, deliver] = spans
    expect(deliver).toMatchObject({ traceId: publish?.traceId ?? "", parentId: publish?.spanId })
    expect(deliver?.events).toEqual(["acknowledged"])
    expect(deliver?.end?.atNs).toBeGreaterThan(Number(publish?.end?.atNs))
  })

  test("continues the publisher's own, and hands on its state", () => {
    const { spans, tracer } = recordedSpans()
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
    const forwardedProperties = encodeForwardedProperties({
      userProperties: [
        ["traceparent", `00-${traceId}-00f067aa0ba902b7-01`],
        ["tracestate", "vendor=1"]
      ]
    })
    const span = tracingOver(tracer).begin("publish", { ...message, forwardedProperties }, 0, {
      kind: "server"
    })
    expect(spans[0]).toMatchObject({ traceId, parentId: "00f067aa0ba902b7" })
    expect(span?.context).toEqual({
      traceId,
      spanId: "0000000000000001",
      isSampled: true,
      traceState: "vendor=1"
    })
  })

  test("has what it is told: attributes, links, when it began, whether it failed", () => {
    const { spans, tracer } = recordedSpans()
    const tracing = tracingOver(tracer)
    const traced = tracing.begin("publish", message, 0, { kind: "server" })
    const commit = tracing.linked("commit", {
      kind: "internal",
      attributes: { records: 3, empty: undefined },
      links: [traced?.traceContext ?? "", "rubbish"],
      startNs: 5n
    })
    commit.fail("the disk is full")
    expect(spans[1]).toMatchObject({ links: [spans[0]?.traceId], startNs: 5n, end: { isFailure: true } })
    expect([...(spans[1]?.attributes ?? [])]).toEqual([
      ["records", 3],
      ["error.type", "_OTHER"]
    ])
  })

  test("[attack 37] is not begun below what is no context", () => {
    const { spans, tracer } = recordedSpans()
    expect(tracingOver(tracer).below("rubbish", "deliver", { kind: "producer" })).toBeUndefined()
    expect(spans).toEqual([])
  })
})

test("only so many traces are begun in a second, and the rest are counted", () => {
  const { spans, tracer } = recordedSpans()
  const tracing = tracingOver(tracer, 2)
  const begin = (nowMs: number) => tracing.begin("publish", message, nowMs, { kind: "server" }) !== undefined
  expect([begin(0), begin(500), begin(999), begin(1000), begin(1001), begin(1002)]).toEqual([
    true,
    true,
    false,
    true,
    true,
    false
  ])
  expect(spans).toHaveLength(4)
  expect(tracing.counters).toMatchObject({ tracesBegun: 4, tracesLimited: 2 })
})

test("[attack 37] a message of many subscribers has only so many spans, and the rest are counted", () => {
  const { spans, tracer } = recordedSpans()
  const tracing = tracingOver(tracer, 2)
  const first = tracing.begin("publish", message, 0, { kind: "server" })
  const delivered = Array.from({ length: 100 }, () =>
    tracing.below(first?.traceContext ?? "", "deliver", { kind: "producer" })
  )
  expect(delivered.filter((span) => span !== undefined)).toHaveLength(40)
  expect(first?.child("route", { kind: "internal" })).toBeDefined()
  expect(spans).toHaveLength(1 + 40 + 1)
  expect(tracing.counters.spansLimited).toBe(60)
})
