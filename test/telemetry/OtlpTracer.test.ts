import { describe, expect } from "bun:test"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import { makeOtlpEndpoint, type OtlpOptions } from "../../src/telemetry/otlp/OtlpEndpoint.ts"
import { TelemetryCounters } from "../../src/telemetry/TelemetryCounters.ts"
import { makeOtlpTracer } from "../../src/telemetry/tracing/OtlpTracer.ts"
import { effect, live } from "../support/effect.ts"
import { otlpReceiver } from "../support/otlpReceiver.ts"

const optionsFor = (url: string): OtlpOptions => ({
  url,
  encoding: "json",
  headers: {},
  timeoutMs: 5000,
  resource: { "service.name": "heddle" }
})

const tracerTo = (options: OtlpOptions, counters: TelemetryCounters, spansMax = 1000) =>
  Effect.gen(function* () {
    const endpoint = yield* Effect.provide(makeOtlpEndpoint(options, counters), FetchHttpClient.layer)
    return yield* makeOtlpTracer({ endpoint, counters, spansMax, intervalMs: 10 })
  })

/** What is logged becomes an event of the span; the console need not have it. */
const silent = Logger.replace(Logger.defaultLogger, Logger.tracerLogger)

describe("spans reach the collector", () => {
  for (const encoding of ["json", "protobuf"] as const) {
    live(`whole, in ${encoding}`, () =>
      Effect.gen(function* () {
        const receiver = yield* otlpReceiver
        const counters = new TelemetryCounters()
        const headers = { authorization: Redacted.make("Bearer secret") }
        const options = { ...optionsFor(receiver.url), encoding, headers }
        const child = Effect.fail("broken").pipe(Effect.withSpan("child"), Effect.ignore)
        yield* Effect.flatMap(tracerTo(options, counters), (tracer) =>
          Effect.zipRight(Effect.logInfo("a word"), child).pipe(
            Effect.withSpan("root", {
              kind: "server",
              attributes: { text: "a", whole: 3, part: 0.5, yes: true }
            }),
            Effect.withTracer(tracer)
          )
        ).pipe(Effect.scoped, Effect.provide(silent))
        const { spans } = receiver
        const [inner, outer] = [
          spans.find(({ name }) => name === "child"),
          spans.find(({ name }) => name === "root")
        ]
        expect(outer).toMatchObject({
          kind: 2,
          parentSpanId: "",
          status: 0,
          events: ["a word"],
          attributes: { text: "a", whole: 3, part: 0.5, yes: true }
        })
        expect(outer?.traceId).toMatch(/^[0-9a-f]{32}$/)
        expect(inner).toMatchObject({
          traceId: outer?.traceId ?? "",
          parentSpanId: outer?.spanId ?? "",
          status: 2
        })
        expect((outer?.endNs ?? 0n) >= (inner?.endNs ?? 1n)).toBe(true)
        expect(receiver.requests[0]?.headers.get("authorization")).toBe("Bearer secret")
        expect(counters).toMatchObject({ spansExported: 2, spansLost: 0, exportFailures: 0 })
      })
    )
  }

  live("at the end of the scope at the latest", () =>
    Effect.gen(function* () {
      const receiver = yield* otlpReceiver
      const counters = new TelemetryCounters()
      yield* Effect.scoped(
        Effect.flatMap(tracerTo(optionsFor(receiver.url), counters), (tracer) =>
          Effect.void.pipe(Effect.withSpan("last"), Effect.withTracer(tracer))
        )
      )
      expect(receiver.spans.map(({ name }) => name)).toEqual(["last"])
    })
  )
})

describe("a collector that does not take them", () => {
  effect("is asked again, and what it never takes is counted", () =>
    Effect.gen(function* () {
      const receiver = yield* otlpReceiver
      const counters = new TelemetryCounters()
      receiver.answers.push(503, 429, 200, 503, 502, 504, 503, 400)
      const endpoint = yield* Effect.provide(
        makeOtlpEndpoint(optionsFor(receiver.url), counters),
        FetchHttpClient.layer
      )
      const patiently = Effect.fnUntraced(function* (requests: number) {
        const asked = yield* Effect.fork(Effect.either(endpoint.spans([])))
        // The clock of the test moves on as long as the next request has not come.
        while (receiver.requests.length < requests) {
          yield* TestClock.adjust("1 second")
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        return yield* Fiber.join(asked)
      })
      expect(yield* patiently(3)).toMatchObject({ _tag: "Right" })
      expect(counters).toMatchObject({ exportFailures: 2, exportsGivenUp: 0 })
      expect(yield* patiently(7)).toMatchObject({ _tag: "Left", left: { _tag: "ExportFailed" } })
      expect(counters).toMatchObject({ exportFailures: 6, exportsGivenUp: 1 })
      // What it says no to once is not sent again.
      expect(yield* patiently(8)).toMatchObject({ _tag: "Left" })
      expect(counters).toMatchObject({ exportFailures: 7, exportsGivenUp: 2 })
      expect(receiver.requests).toHaveLength(8)
    })
  )

  live("fills a buffer that is bounded: what does not fit is counted, and nobody waits", () =>
    Effect.gen(function* () {
      const counters = new TelemetryCounters()
      const idle = { spans: () => Effect.void, metrics: () => Effect.void }
      const tracer = yield* makeOtlpTracer({
        endpoint: idle,
        counters,
        spansMax: 100,
        intervalMs: 3_600_000
      })
      yield* Effect.forEach(
        Array.from({ length: 150 }),
        () => Effect.void.pipe(Effect.withSpan("one"), Effect.withTracer(tracer)),
        { discard: true }
      )
      expect(counters.spansLost).toBe(50)
    })
  )

  live("has what it was asked to take when the broker ended, once more and no more than once", () =>
    Effect.gen(function* () {
      const counters = new TelemetryCounters()
      const asked: Array<number> = []
      const hanging = {
        spans: (spans: ReadonlyArray<unknown>) => {
          asked.push(spans.length)
          return asked.length === 1 ? Effect.never : Effect.void
        },
        metrics: () => Effect.void
      }
      const isAsked = Effect.repeat(Effect.yieldNow(), { until: () => asked.length > 0 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const options = { endpoint: hanging, counters, spansMax: 100, intervalMs: 1 }
          const tracer = yield* makeOtlpTracer(options)
          yield* Effect.void.pipe(Effect.withSpan("one"), Effect.withTracer(tracer))
          yield* isAsked
          yield* Effect.void.pipe(Effect.withSpan("two"), Effect.withTracer(tracer))
        })
      )
      expect(asked).toEqual([1, 2])
      expect(counters).toMatchObject({ spansExported: 2, spansLost: 0 })
    })
  )

  live("is sent spans of a bounded size", () =>
    Effect.gen(function* () {
      const receiver = yield* otlpReceiver
      const counters = new TelemetryCounters()
      const event = Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) =>
        Effect.sync(() => span.event("queued", 1n, { topic: "t".repeat(5000) }))
      )
      yield* Effect.scoped(
        Effect.flatMap(tracerTo(optionsFor(receiver.url), counters), (tracer) =>
          Effect.repeatN(event, 999).pipe(
            Effect.withSpan("large", { attributes: { topic: "x".repeat(65_535) } }),
            Effect.withTracer(tracer)
          )
        )
      )
      expect(receiver.spans[0]?.attributes.topic).toBe("x".repeat(1024))
      expect(receiver.spans[0]?.events).toHaveLength(128)
    })
  )
})
