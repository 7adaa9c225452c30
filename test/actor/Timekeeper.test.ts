import { describe, expect } from "bun:test"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { Deadline } from "../../src/actor/DeadlineWheel.ts"
import { Timekeeper } from "../../src/actor/Timekeeper.ts"
import { effect } from "../support/effect.ts"

class Probe extends Deadline {
  readonly firedAt: Array<number> = []

  constructor(private readonly handler: (nowMs: number) => void = () => {}) {
    super()
  }

  override onDeadline(nowMs: number): void {
    this.firedAt.push(nowMs)
    this.handler(nowMs)
  }
}

const scheduled = (keeper: Timekeeper, delays: ReadonlyArray<number>) => {
  const wheel = keeper.wheel()
  return delays.map((delay) => {
    const probe = new Probe()
    wheel.schedule(probe, keeper.nowMs + delay)
    return probe
  })
}

describe("Timekeeper", () => {
  effect("fires each deadline at the end of its tick, also when it started within one", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(12_340)
      const keeper = yield* Timekeeper.make(100)
      const probes = scheduled(keeper, [0, 10, 60, 70, 160, 700])
      yield* TestClock.adjust(800)
      expect(probes.map((probe) => probe.firedAt)).toEqual([
        [12_400],
        [12_400],
        [12_400],
        [12_500],
        [12_500],
        [13_100]
      ])
      expect(keeper.size).toBe(0)
    })
  )

  effect("turns its wheels at the tick that it was made with", () =>
    Effect.gen(function* () {
      const keeper = yield* Timekeeper.make(10)
      const [probe] = scheduled(keeper, [11])
      yield* TestClock.adjust(30)
      expect(probe?.firedAt).toEqual([20])
    })
  )

  effect("counts the deadlines of all wheels and leaves released ones alone", () =>
    Effect.gen(function* () {
      const keeper = yield* Timekeeper.make()
      const kept = scheduled(keeper, [100, 200])
      const wheel = keeper.wheel()
      const released = new Probe()
      wheel.schedule(released, 100)
      expect(keeper.size).toBe(3)
      keeper.release(wheel)
      expect(keeper.size).toBe(2)
      yield* TestClock.adjust(300)
      expect(kept.map((probe) => probe.firedAt)).toEqual([[100], [200]])
      expect(released.firedAt).toEqual([])
    })
  )

  effect("a wheel is turned when it has something to look at, and not before", () =>
    Effect.gen(function* () {
      const keeper = yield* Timekeeper.make(100)
      const wheel = keeper.wheel()
      const turns: Array<number> = []
      const { advance } = wheel
      wheel.advance = (nowMs) => {
        turns.push(nowMs)
        advance.call(wheel, nowMs)
      }
      const [near, far, nearest] = [new Probe(), new Probe(), new Probe()] as const
      wheel.schedule(far, 3000)
      wheel.schedule(near, 2000)
      yield* TestClock.adjust(1000)
      expect(turns).toEqual([])
      wheel.schedule(nearest, 1200)
      yield* TestClock.adjust(2500)
      expect(turns).toEqual([1200, 2000, 3000])
      expect([nearest, near, far].map((probe) => probe.firedAt)).toEqual([[1200], [2000], [3000]])
    })
  )

  effect("a handler that throws is logged, and stops neither its wheel nor another", () => {
    const causes: Array<unknown> = []
    const recorder = Logger.make(({ cause }) => causes.push(cause))
    return Effect.gen(function* () {
      const keeper = yield* Timekeeper.make()
      const wheel = keeper.wheel()
      const thrower = new Probe(() => {
        throw new RangeError("a bug")
      })
      const sameWheel = [new Probe(), new Probe()] as const
      for (const probe of [sameWheel[0], thrower, sameWheel[1]]) wheel.schedule(probe, 100)
      const [otherWheel] = scheduled(keeper, [100])
      yield* TestClock.adjust(300)
      expect([thrower, ...sameWheel].map((probe) => probe.firedAt.length)).toEqual([1, 1, 1])
      expect(otherWheel?.firedAt).toEqual([100])
      expect(causes.length).toBe(1)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, recorder)))
  })

  effect("ends with its scope, also one that was built uninterruptibly", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const keeper = yield* Effect.uninterruptible(Scope.extend(Timekeeper.make(), scope))
      const [probe] = scheduled(keeper, [400])
      yield* TestClock.adjust(200)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(500)
      expect(probe?.firedAt).toEqual([])
      expect(yield* Clock.currentTimeMillis).toBe(700)
    })
  )
})
