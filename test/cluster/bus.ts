/** What every layer of `Bus` must do. */

import { describe, expect } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import {
  type Bus,
  type BusHandler,
  CallTimedOut,
  NoDestination,
  type Refused
} from "../../src/cluster/Bus.ts"
import type { Destination } from "../../src/cluster/Destination.ts"
import { effect } from "../support/effect.ts"

const ignore: BusHandler = { fast: () => {}, sure: (_frame, taken) => taken(undefined) }

/** Sends on the sure lane and waits for what becomes of it. */
const sendSurely = (bus: Bus["Type"], to: Destination, frame: Uint8Array) =>
  Effect.async<Refused | NoDestination | { readonly _tag: "ClusterUnavailable" } | undefined>((resume) =>
    bus.sure({ to, frame, settled: (outcome) => resume(Effect.succeed(outcome)) })
  )

const frameOf = (number: number) => Uint8Array.of(number)

export const busContract = (name: string, make: Effect.Effect<Bus["Type"], never, Scope.Scope>): void => {
  describe(`the lanes of the bus: ${name}`, () => {
    effect("frames arrive where they were sent, in the order they were sent", () =>
      Effect.gen(function* () {
        const bus = yield* make
        const got: Array<string> = []
        const serve = (at: Destination) =>
          bus.serve(at, {
            fast: ([number]) => void got.push(`${at} fast ${number}`),
            sure: ([number], taken) => {
              got.push(`${at} sure ${number}`)
              taken(undefined)
            }
          })
        yield* serve("node/a")
        yield* serve("cell/7")
        const outcomes = yield* Effect.all(
          [1, 2, 3, 4].map((number) => {
            const to = number % 2 === 0 ? "node/a" : "cell/7"
            bus.fast(to, frameOf(number))
            return sendSurely(bus, to, frameOf(number))
          }),
          { concurrency: "unbounded" }
        )
        expect(outcomes).toEqual([undefined, undefined, undefined, undefined])
        for (const [at, lane, numbers] of [
          ["node/a", "fast", [2, 4]],
          ["node/a", "sure", [2, 4]],
          ["cell/7", "fast", [1, 3]],
          ["cell/7", "sure", [1, 3]]
        ] as const) {
          const prefix = `${at} ${lane} `
          const seen = got.filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length))
          expect(seen.map(Number)).toEqual([...numbers])
        }
      })
    )

    effect("a sure frame is settled when its receiver has taken it, and not before", () =>
      Effect.gen(function* () {
        const bus = yield* make
        const given = yield* Deferred.make<(outcome: Refused | undefined) => void>()
        yield* bus.serve("node/a", {
          ...ignore,
          sure: (_frame, taken) => Deferred.unsafeDone(given, Effect.succeed(taken))
        })
        const sent = yield* Effect.fork(sendSurely(bus, "node/a", frameOf(1)))
        const taken = yield* Deferred.await(given)
        yield* Effect.yieldNow()
        expect(sent.unsafePoll()).toBeNull()
        taken({ _tag: "Refused", records: [2] })
        expect(yield* Fiber.join(sent)).toEqual({ _tag: "Refused", records: [2] })
      })
    )

    effect("where nobody serves, a sure frame fails and a fast one is lost", () =>
      Effect.gen(function* () {
        const bus = yield* make
        bus.fast("node/a", frameOf(1))
        expect(yield* sendSurely(bus, "node/a", frameOf(2))).toEqual(new NoDestination({ to: "node/a" }))
      })
    )

    effect("serving ends with its scope, and what was not taken by then fails, once", () =>
      Effect.gen(function* () {
        const bus = yield* make
        const scope = yield* Scope.make()
        const given = yield* Deferred.make<(outcome: Refused | undefined) => void>()
        const serving = bus.serve("node/a", {
          ...ignore,
          sure: (_frame, taken) => Deferred.unsafeDone(given, Effect.succeed(taken))
        })
        yield* Scope.extend(serving, scope)
        const outcomes: Array<unknown> = []
        bus.sure({ to: "node/a", frame: frameOf(1), settled: (outcome) => outcomes.push(outcome) })
        const taken = yield* Deferred.await(given)
        yield* Scope.close(scope, Exit.void)
        taken(undefined)
        expect(outcomes).toEqual([new NoDestination({ to: "node/a" })])
        expect(yield* sendSurely(bus, "node/a", frameOf(2))).toEqual(new NoDestination({ to: "node/a" }))
      })
    )

    effect("who serves last receives, also when who served before ends later", () =>
      Effect.gen(function* () {
        const bus = yield* make
        const scope = yield* Scope.make()
        yield* Scope.extend(bus.serve("cell/0", ignore), scope)
        yield* bus.serve("cell/0", {
          ...ignore,
          sure: (_frame, taken) => taken({ _tag: "Refused", records: "all" })
        })
        yield* Scope.close(scope, Exit.void)
        expect(yield* sendSurely(bus, "cell/0", frameOf(1))).toEqual({ _tag: "Refused", records: "all" })
      })
    )
  })
  callContract(name, make)
}

const callContract = (name: string, make: Effect.Effect<Bus["Type"], never, Scope.Scope>): void =>
  describe(`calls on the bus: ${name}`, () => {
    effect("are answered", () =>
      Effect.gen(function* () {
        const bus = yield* make
        yield* bus.serve("node/a", { ...ignore, call: (request) => Effect.succeed(request.toReversed()) })
        expect(yield* bus.call("node/a", Uint8Array.of(1, 2), 1000)).toEqual(Uint8Array.of(2, 1))
      })
    )

    effect("time out", () =>
      Effect.gen(function* () {
        const bus = yield* make
        yield* bus.serve("node/a", { ...ignore, call: () => Effect.never })
        const call = yield* Effect.fork(Effect.flip(bus.call("node/a", frameOf(1), 1000)))
        yield* TestClock.adjust(999)
        expect(call.unsafePoll()).toBeNull()
        yield* TestClock.adjust(1)
        expect(yield* Fiber.join(call)).toEqual(new CallTimedOut({ to: "node/a", timeoutMs: 1000 }))
      })
    )

    effect("find nobody where nobody serves, or nobody answers", () =>
      Effect.gen(function* () {
        const bus = yield* make
        yield* bus.serve("node/a", ignore)
        for (const to of ["node/a", "node/b"] as const) {
          expect(yield* Effect.flip(bus.call(to, frameOf(1), 1000))).toEqual(new NoDestination({ to }))
        }
      })
    )

    effect("fail when their receiver ends", () =>
      Effect.gen(function* () {
        const bus = yield* make
        const scope = yield* Scope.make()
        yield* Scope.extend(bus.serve("node/a", { ...ignore, call: () => Effect.never }), scope)
        const call = yield* Effect.fork(Effect.flip(bus.call("node/a", frameOf(1), 1000)))
        yield* Effect.yieldNow()
        yield* Scope.close(scope, Exit.void)
        expect(yield* Fiber.join(call)).toEqual(new NoDestination({ to: "node/a" }))
      })
    )
  })
