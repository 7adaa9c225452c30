/** Where a broker reports to: sinks that throw, several sinks, what is remembered, what is counted. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { type Drops, DropTally } from "../../src/events/DropTally.ts"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { makeEvents } from "../../src/events/Events.ts"
import { eventBytes, eventJson } from "../../src/events/eventJson.ts"
import { RecentEvents } from "../../src/events/recent.ts"
import { effect } from "../support/effect.ts"
import { clientOf, dropped, ended, pinged, refusedConnect } from "./events.ts"

const recording = (into: Array<string>) =>
  Layer.succeed(EventSink, { report: (event: Event) => void into.push(clientOf(event)) })

const throwing = Layer.succeed(EventSink, {
  report: () => {
    throw new RangeError("a bug")
  }
})

describe("a sink that throws", () => {
  effect("harms nobody, is counted, and the log tells of it once a second", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      const events = yield* makeEvents.pipe(
        Effect.provide(throwing),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      for (let n = 0; n < 100; n++) events.report(ended("c"))
      yield* Effect.yieldNow()
      expect(events.counts()).toMatchObject({ reported: 100, sinkFailures: 100 })
      expect(events.recent.of("acme", "c").length).toBe(4)
      expect(lines.length).toBe(1)
    })
  )

  effect("keeps nothing from the others", () =>
    Effect.gen(function* () {
      const [before, after]: [Array<string>, Array<string>] = [[], []]
      const all = EventSink.layerAll(recording(before), throwing, recording(after))
      const events = yield* makeEvents.pipe(
        Effect.provide(all),
        Effect.provide(Logger.remove(Logger.defaultLogger))
      )
      events.report(ended("a"))
      events.report(ended("b"))
      expect([before, after]).toEqual([
        ["a", "b"],
        ["a", "b"]
      ])
      expect(events.counts().sinkFailures).toBe(2)
    }).pipe(Effect.scoped)
  )
})

effect("a tenant that is deleted leaves nothing in memory", () =>
  Effect.gen(function* () {
    const events = yield* Effect.provide(makeEvents, EventSink.layerNone)
    for (const tenant of ["acme", "other"]) events.report(ended("c", tenant))
    events.report({ _tag: "TenantChanged", tenant: "acme", change: "suspended" })
    expect(events.recent.of("acme", "c").length).toBe(1)
    events.report({ _tag: "TenantChanged", tenant: "acme", change: "deleted" })
    expect([events.recent.of("acme", "c").length, events.recent.of("other", "c").length]).toEqual([0, 1])
  })
)

describe("what is remembered", () => {
  test("is the last of each client, oldest first", () => {
    const recent = new RecentEvents()
    for (let n = 0; n < 6; n++) recent.add(dropped(`t${n}`), n)
    recent.add(ended("other"), 7)
    expect(recent.of("acme", "c").map(({ atMs }) => atMs)).toEqual([2, 3, 4, 5])
    expect(recent.of("acme", "other").map(({ event }) => event._tag)).toEqual(["SessionEnded"])
  })

  test("is trouble and nothing else", () => {
    const recent = new RecentEvents()
    recent.add(pinged, 0)
    recent.add({ _tag: "WillPublished", tenant: "acme", clientId: "c", topic: "w" }, 0)
    expect(recent.of("acme", "c")).toEqual([])
  })

  test("attack 35: is told apart by tenant, also by one that nobody knows", () => {
    const recent = new RecentEvents()
    recent.add(refusedConnect("c"), 1)
    recent.add(refusedConnect("c", ""), 2)
    recent.add(refusedConnect("c", "acme"), 3)
    const instants = [undefined, "", "acme", "other"].map((tenant) =>
      recent.of(tenant, "c").map(({ atMs }) => atMs)
    )
    expect(instants).toEqual([[1], [2], [3], []])
    recent.forget("acme")
    expect(recent.of("acme", "c")).toEqual([])
  })

  test("attack 27: is bounded, and a tenant's clients push out none of another's", () => {
    const recent = new RecentEvents()
    recent.add(ended("quiet", "small"), 0)
    for (let n = 0; n < 10_000; n++) recent.add(ended(`c${n}`, "large"), n)
    expect(recent.of("small", "quiet").length).toBe(1)
    const kept = Array.from({ length: 10_000 }, (_, n) => recent.of("large", `c${n}`).length)
    expect(kept.reduce((sum, count) => sum + count)).toBe(32)
    for (let n = 0; n < 511; n++) recent.add(ended("c", `t${n}`), n)
    expect(recent.of("large", "c9999").length).toBe(1)
    expect(recent.of("small", "quiet").length).toBe(0)
  })
})

describe("the tally of drops", () => {
  const make = () => {
    const told: Array<Drops> = []
    return { told, tally: new DropTally((drops) => told.push(drops)) }
  }

  test("tells of the first at once, then once a second for each reason, with their number", () => {
    const { tally, told } = make()
    for (const atMs of [0, 1, 999]) tally.dropped("a", "queue-full", 1, atMs)
    tally.dropped("b", "expired", 2, 999)
    tally.dropped("c", "queue-full", 0, 1000)
    expect(told).toEqual([
      { reason: "queue-full", topic: "a", qos: 1, count: 1 },
      { reason: "expired", topic: "b", qos: 2, count: 1 },
      { reason: "queue-full", topic: "c", qos: 0, count: 3 }
    ])
  })

  test("tells what it has left out when it may, and all of it in the end", () => {
    const { tally, told } = make()
    tally.dropped("a", "queue-full", 1, 0)
    expect(tally.isTold).toBe(true)
    tally.dropped("a", "queue-full", 1, 10)
    tally.flush(20, false)
    expect([tally.isTold, told.length]).toEqual([false, 1])
    tally.flush(1000, false)
    expect([tally.isTold, told.at(-1)?.count]).toEqual([true, 1])
    tally.dropped("a", "queue-full", 1, 1500)
    tally.flush(1501, true)
    expect(told.map(({ count }) => count)).toEqual([1, 1, 1])
  })

  test("adds up, whatever happens when", () => {
    const { tally, told } = make()
    let nowMs = 0
    for (let n = 0; n < 10_000; n++) {
      nowMs += n % 7
      tally.dropped("a", n % 3 === 0 ? "expired" : "queue-full", 0, nowMs)
      if (n % 11 === 0) tally.flush(nowMs, false)
    }
    tally.flush(nowMs, true)
    expect(told.reduce((sum, { count }) => sum + count, 0)).toBe(10_000)
    expect(told.length).toBeLessThan(80)
  })

  test("is not silenced by a clock that was set back", () => {
    const { tally, told } = make()
    tally.dropped("a", "expired", 0, 10_000)
    tally.dropped("a", "expired", 0, 5000)
    expect(told.length).toBe(2)
  })
})

describe("an event as JSON", () => {
  test("says of a defect what it says itself, not what is in it", () => {
    const defect = Object.assign(new RangeError("a bug"), { password: "hunter2" })
    const told = (value: unknown) =>
      JSON.parse(
        eventJson({ event: { _tag: "ActorDefect", actor: "router", tenant: "t", defect: value }, atMs: 0 })
      )
    expect(told(defect)).toEqual({
      event: "ActorDefect",
      at: "1970-01-01T00:00:00.000Z",
      actor: "router",
      tenant: "t",
      defect: "RangeError: a bug"
    })
    expect(told({ token: "hunter2" }).defect).toBe("object")
  })

  test("weighs what its texts weigh", () => {
    expect(eventBytes(dropped("x".repeat(1000))) - eventBytes(dropped(""))).toBe(1000)
  })
})
