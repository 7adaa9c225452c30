/** [attack 31] [attack 36] Events by HTTP: what is sent, when it is sent again, what is given up. */

import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { type WebhookOptions, webhookLayer } from "../../src/events/webhook.ts"
import { live, nextImmediate } from "../support/effect.ts"
import { ManualClock } from "../support/manualClock.ts"
import { dropped, ended, pinged, refusedConnect } from "./events.ts"

interface Call {
  readonly method: string
  readonly headers: Headers
  readonly events: ReadonlyArray<Record<string, unknown>>
}

let calls: Array<Call> = []
let answer: (call: number) => Response | Promise<Response> = () => new Response()
let awaited: { readonly count: number; readonly come: Deferred.Deferred<void> } | undefined

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    const events = (await request.json()) as Call["events"]
    calls.push({ method: request.method, headers: request.headers, events })
    if (awaited !== undefined && calls.length >= awaited.count) Deferred.unsafeDone(awaited.come, Effect.void)
    return answer(calls.length)
  }
})
afterAll(() => server.stop(true))
beforeEach(() => {
  calls = []
  answer = () => new Response()
  awaited = undefined
})

const untilCalled = (count: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (calls.length >= count) return Effect.void
    const come = Effect.runSync(Deferred.make<void>())
    awaited = { count, come }
    return Deferred.await(come)
  })

const quick = { url: server.url.href, backoffMs: 1, backoffMaxMs: 4, restMs: 1, flushMs: 2000 }

/** `givenUp` completes when the webhook logs that it gives a batch up. */
const webhookWithLog = (options: Partial<WebhookOptions> = {}) =>
  Effect.gen(function* () {
    const givenUp = yield* Deferred.make<void>()
    const logger = Logger.make(() => Deferred.unsafeDone(givenUp, Effect.void))
    const context = yield* Layer.build(webhookLayer({ ...quick, ...options })).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return { sink: Context.get(context, EventSink), givenUp: Deferred.await(givenUp) }
  })

const webhook = (options: Partial<WebhookOptions> = {}) =>
  Effect.map(webhookWithLog(options), ({ sink }) => sink)

const sentEvents = () => calls.flatMap(({ events }) => events)

/** Reports these to a webhook that is closed then, and gives what came. */
const deliver = (events: ReadonlyArray<Event>, options: Partial<WebhookOptions> = {}) =>
  Effect.gen(function* () {
    yield* Effect.scoped(
      Effect.map(webhook(options), (sink) => {
        for (const event of events) sink.report(event)
      })
    )
    return sentEvents()
  })

describe("a webhook", () => {
  live("posts a JSON array, each event flat, with its name and its instant", () =>
    Effect.gen(function* () {
      const [event] = yield* deliver([dropped("a/b")])
      expect(event).toEqual({
        event: "MessageDropped",
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        tenant: "acme",
        clientId: "c",
        topic: "a/b",
        qos: 0,
        reason: "queue-full",
        count: 1
      })
      const [{ headers, method }] = calls as [Call]
      expect(method).toBe("POST")
      expect(headers.get("content-type")).toBe("application/json")
      expect(headers.get("authorization")).toBeNull()
    })
  )

  live("attack 36: sends its secret in the header alone, and shows it to nobody else", () =>
    Effect.gen(function* () {
      const authorization = Redacted.make("Bearer hidden")
      yield* deliver([ended("a")], { authorization })
      expect(calls[0]?.headers.get("authorization")).toBe("Bearer hidden")
      expect(JSON.stringify({ authorization }) + String(authorization)).not.toContain("hidden")
    })
  )

  const filters: ReadonlyArray<
    readonly [name: string, options: Partial<WebhookOptions>, events: ReadonlyArray<string>]
  > = [
    ["all but those of single messages by default", {}, ["SessionEnded", "ConnectRefused", "SessionEnded"]],
    [
      "those that are named",
      { tags: ["ConnectRefused", "PingReceived"] },
      ["ConnectRefused", "PingReceived"]
    ],
    ["those of tenants that are named", { tenants: ["other"] }, ["SessionEnded"]]
  ]
  for (const [name, options, expected] of filters) {
    live(`sends ${name}`, () =>
      Effect.gen(function* () {
        const events = [ended("a"), refusedConnect("b"), pinged, ended("c", "other")]
        expect((yield* deliver(events, options)).map(({ event }) => event)).toEqual([...expected])
      })
    )
  }

  live("sends no more than a batch in a call, in order", () =>
    Effect.gen(function* () {
      const ids = ["a", "b", "c", "d", "e"]
      const events = yield* deliver(
        ids.map((id) => ended(id)),
        { batchMax: 2 }
      )
      expect(events.map(({ clientId }) => clientId)).toEqual(ids)
      expect(calls.map((call) => call.events.length)).toEqual([2, 2, 1])
    })
  )
})

describe("a batch that is not taken", () => {
  const failures: ReadonlyArray<readonly [name: string, answer: () => Response]> = [
    ["500", () => new Response("", { status: 500 })],
    ["503", () => new Response("", { status: 503 })],
    ["429", () => new Response("", { status: 429 })],
    ["408", () => new Response("", { status: 408 })]
  ]
  for (const [name, failure] of failures) {
    live(`is sent again after ${name}, under the same key, before those after it`, () =>
      Effect.gen(function* () {
        answer = (call) => (call < 3 ? failure() : new Response())
        const sink = yield* webhook()
        sink.report(ended("a"))
        yield* untilCalled(1)
        sink.report(ended("b"))
        yield* untilCalled(4)
        expect(calls.map(({ events }) => events.map(({ clientId }) => clientId))).toEqual([
          ["a"],
          ["a"],
          ["a"],
          ["b"]
        ])
        const keys = calls.map(({ headers }) => headers.get("idempotency-key") ?? "")
        expect(new Set(keys.slice(0, 3)).size).toBe(1)
        expect(keys[3]).not.toBe(keys[0])
        expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/)
      })
    )
  }

  live("is sent again when there is no answer in time", () =>
    Effect.gen(function* () {
      const clock = new ManualClock()
      let release = (_: Response) => {}
      answer = (call) =>
        call === 1 ? new Promise<Response>((resolve) => (release = resolve)) : new Response()
      const sink = yield* Effect.withClock(webhook({ timeoutMs: 60_000, backoffMs: 1000 }), clock)
      sink.report(ended("a"))
      yield* untilCalled(1)
      clock.advance(60_000)
      release(new Response())
      // The distance between two attempts passes, and less than the second call may take.
      for (let step = 0; calls.length < 2; step++) {
        yield* nextImmediate
        if (step < 300) clock.advance(10)
      }
      expect(calls[1]?.events).toEqual(calls[0]?.events ?? [])
    })
  )

  for (const status of [400, 401, 404, 413]) {
    live(`is given up at once after ${status}, and told of with the next that is taken`, () =>
      Effect.gen(function* () {
        answer = (call) => new Response("", { status: call === 1 ? status : 200 })
        const sink = yield* webhook()
        sink.report(ended("a"))
        yield* untilCalled(1)
        sink.report(ended("b"))
        yield* untilCalled(3)
        expect(sentEvents().map(({ count, event }) => [event, count])).toEqual([
          ["SessionEnded", undefined],
          ["SessionEnded", undefined],
          ["EventsLost", 1]
        ])
      })
    )
  }

  live("attack 31: is not sent where a redirect leads", () =>
    Effect.gen(function* () {
      let strays = 0
      const elsewhere = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () => {
          strays++
          return new Response()
        }
      })
      yield* Effect.addFinalizer(() => Effect.promise(() => elsewhere.stop(true)))
      answer = (call) => (call === 1 ? Response.redirect(elsewhere.url.href, 307) : new Response())
      const sink = yield* webhook()
      sink.report(ended("a"))
      yield* untilCalled(2)
      expect(strays).toBe(0)
    })
  )

  live("is given up when it has been tried for long enough", () =>
    Effect.gen(function* () {
      let status = 500
      answer = () => new Response("", { status })
      const { givenUp, sink } = yield* webhookWithLog({ retryForMs: 20 })
      sink.report(ended("a"))
      yield* givenUp
      expect(calls.length).toBeGreaterThan(1)
      status = 200
      const before = calls.length
      sink.report(ended("b"))
      yield* untilCalled(before + 2)
      const after = calls.slice(before).flatMap(({ events }) => events.map(({ event }) => event))
      expect(after).toEqual(["SessionEnded", "EventsLost"])
    })
  )

  live("is not sent to a service that has failed too often, until that has rested", () =>
    Effect.gen(function* () {
      answer = () => new Response("", { status: 500 })
      const { givenUp, sink } = yield* webhookWithLog({ failuresMax: 2, restMs: 3_600_000, retryForMs: 50 })
      sink.report(ended("a"))
      yield* givenUp
      expect(calls.length).toBe(2)
    })
  )

  live("loses what finds no room meanwhile, counted", () =>
    Effect.gen(function* () {
      let release = (_: Response) => {}
      answer = (call) =>
        call === 1 ? new Promise<Response>((resolve) => (release = resolve)) : new Response()
      const sink = yield* webhook({ bufferMax: 3 })
      sink.report(ended("a"))
      yield* untilCalled(1)
      for (const id of ["b", "c", "d", "e"]) sink.report(ended(id))
      expect(sink.counts?.()).toEqual([{ name: "webhook", delivered: 0, lost: 2, waiting: 3 }])
      release(new Response())
      yield* untilCalled(2)
      expect(calls[1]?.events.map(({ count, event }) => [event, count])).toEqual([
        ["SessionEnded", undefined],
        ["SessionEnded", undefined],
        ["EventsLost", 2]
      ])
    })
  )
})

test("a webhook's answer is not read", async () => {
  // Of a body that is no text, and longer than anybody would wait for.
  answer = () => new Response(new Uint8Array(1024 * 1024).fill(0xff))
  const events = await Effect.runPromise(deliver([ended("a"), ended("b")], { batchMax: 1 }))
  expect(events.length).toBe(2)
})
