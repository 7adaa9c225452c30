/** Sinks that take their time: order, bounds, what is told of losses, the end. */

import { describe, expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { type BoundedSinkOptions, boundedSink } from "../../src/events/bounded.ts"
import type { Happened } from "../../src/events/eventJson.ts"
import { effect } from "../support/effect.ts"
import { clientOf, ended, pinged } from "./events.ts"

/** Delivers when the test opens the gate; keeps what it was given. */
const makeReceiver = () => {
  const batches: Array<ReadonlyArray<Happened>> = []
  let gate = Effect.runSync(Deferred.make<boolean>())
  let isOpen = true
  return {
    batches,
    get clients() {
      return batches.flat().map(({ event }) => clientOf(event))
    },
    shut: () => {
      isOpen = false
      gate = Effect.runSync(Deferred.make<boolean>())
    },
    open: (isTaken = true) => {
      isOpen = true
      return Deferred.succeed(gate, isTaken)
    },
    deliver: (batch: ReadonlyArray<Happened>) =>
      Effect.suspend(() => {
        batches.push(batch)
        return isOpen ? Effect.succeed(true) : Deferred.await(gate)
      })
  }
}

const make = (receiver: Pick<BoundedSinkOptions, "deliver">, options: Partial<BoundedSinkOptions> = {}) =>
  boundedSink({
    name: "test",
    countMax: 10,
    bytesMax: 1_000_000,
    batchMax: 100,
    flushMs: 1000,
    takes: () => true,
    deliver: receiver.deliver,
    ...options
  })

const settle = Effect.repeatN(Effect.yieldNow(), 10)

describe("a bounded sink", () => {
  effect("delivers in order, in batches, with the instant of the report", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const sink = yield* make(receiver, { batchMax: 2 })
      yield* TestClock.setTime(5000)
      receiver.shut()
      for (const id of ["a", "b", "c", "d"]) sink.report(ended(id))
      yield* settle
      yield* receiver.open()
      yield* settle
      expect(receiver.clients).toEqual(["a", "b", "c", "d"])
      // The first is taken at once, because nobody was busy.
      expect(receiver.batches.map(({ length }) => length)).toEqual([1, 2, 1])
      expect(receiver.batches[0]?.[0]?.atMs).toBe(5000)
      expect(sink.counts()).toEqual([{ name: "test", delivered: 4, lost: 0, waiting: 0 }])
    })
  )

  effect("takes only what concerns it", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const sink = yield* make(receiver, { takes: ({ _tag }) => _tag !== "PingReceived" })
      sink.report(pinged)
      sink.report(ended("a"))
      yield* settle
      expect(receiver.clients).toEqual(["a"])
    })
  )

  const bounds = [
    { name: "number", options: { countMax: 3 } },
    { name: "bytes", options: { bytesMax: 3 * (200 + "SessionEnded".length + "acme".length + 1 + 7) } }
  ]
  for (const { name, options } of bounds) {
    effect(`loses what is beyond its bound in ${name}, and tells when there is room again`, () =>
      Effect.gen(function* () {
        const receiver = makeReceiver()
        const sink = yield* make(receiver, options)
        receiver.shut()
        for (const id of ["a", "b", "c", "d", "e"]) sink.report(ended(id))
        yield* settle
        expect(sink.counts()).toEqual([{ name: "test", delivered: 0, lost: 2, waiting: 3 }])
        yield* receiver.open()
        yield* settle
        expect(receiver.clients).toEqual(["a", "b", "c", "EventsLost"])
        expect(receiver.batches.flat().at(-1)?.event).toEqual({
          _tag: "EventsLost",
          sink: "test",
          tenant: undefined,
          count: 2
        })
        sink.report(ended("f"))
        yield* settle
        expect(receiver.clients.at(-1)).toBe("f")
        expect(sink.counts()).toEqual([{ name: "test", delivered: 5, lost: 2, waiting: 0 }])
      })
    )
  }

  effect("tells of batches that were given up once something is taken, and not before", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const sink = yield* make(receiver)
      receiver.shut()
      sink.report(ended("a"))
      sink.report(ended("b"))
      yield* settle
      yield* receiver.open(false)
      yield* settle
      expect(receiver.clients).toEqual(["a", "b"])
      sink.report(ended("c"))
      yield* settle
      expect(receiver.clients).toEqual(["a", "b", "c", "EventsLost"])
      expect(receiver.batches.flat().at(-1)?.event).toMatchObject({ count: 2 })
    })
  )

  effect("counts a loss once, also when the word of it is lost", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const sink = yield* make(receiver, { countMax: 2 })
      receiver.shut()
      for (const id of ["a", "b", "c"]) sink.report(ended(id))
      yield* settle
      yield* receiver.open()
      receiver.shut()
      yield* settle
      // The word of the first loss is on its way now, and is not taken.
      expect(receiver.clients.at(-1)).toBe("EventsLost")
      yield* receiver.open(false)
      yield* settle
      sink.report(ended("d"))
      yield* settle
      expect(receiver.clients.slice(-2)).toEqual(["d", "EventsLost"])
      expect(receiver.batches.flat().at(-1)?.event).toMatchObject({ count: 1 })
      expect(sink.counts()[0]?.lost).toBe(1)
    })
  )

  effect("outlives a delivery that dies", () =>
    Effect.gen(function* () {
      let deliveries = 0
      const sink = yield* make({
        deliver: () => Effect.suspend(() => (++deliveries === 1 ? Effect.die("bug") : Effect.succeed(true)))
      })
      sink.report(ended("a"))
      yield* settle
      sink.report(ended("b"))
      yield* settle
      expect(deliveries).toBeGreaterThan(1)
      expect(sink.counts()).toEqual([{ name: "test", delivered: 2, lost: 1, waiting: 0 }])
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
  )

  effect("delivers what waits when its scope closes, and takes no more", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const scope = yield* Scope.make()
      const sink = yield* Scope.extend(make(receiver, { batchMax: 1 }), scope)
      for (const id of ["a", "b", "c"]) sink.report(ended(id))
      yield* Scope.close(scope, Exit.void)
      sink.report(ended("d"))
      yield* settle
      expect(receiver.clients).toEqual(["a", "b", "c"])
    })
  )

  effect("waits no longer than its limit for that", () =>
    Effect.gen(function* () {
      const receiver = makeReceiver()
      const scope = yield* Scope.make()
      const sink = yield* Scope.extend(make(receiver), scope)
      receiver.shut()
      sink.report(ended("a"))
      yield* settle
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(999)
      expect(closing.unsafePoll()).toBeNull()
      yield* TestClock.adjust(1)
      yield* Fiber.join(closing)
      expect(sink.counts()[0]?.delivered).toBe(0)
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
  )
})
