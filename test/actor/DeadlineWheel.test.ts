import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { Deadline, DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"

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

// A revolution of 80 ms, so that random instants lie within one, several and none.
const TICK_MS = 10
const SLOTS = 8
const START_MS = 1_003
const wheelAt = (nowMs: number) => new DeadlineWheel(nowMs, TICK_MS, SLOTS)

/** What a handler does, or what happens between two turns of the wheel. */
type Action =
  | { readonly _tag: "schedule"; readonly index: number; readonly inMs: number }
  | { readonly _tag: "cancel"; readonly index: number }
type Step = Action | { readonly _tag: "advance"; readonly byMs: number }

const PROBES = 6
const index = fc.integer({ min: 0, max: PROBES - 1 })
const inMs = fc.oneof(fc.integer({ min: -30, max: 60 }), fc.integer({ min: 60, max: 400 }))
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("schedule" as const), index, inMs }) },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("cancel" as const), index }) }
)
const byMs = fc.oneof(fc.integer({ min: 0, max: 25 }), fc.integer({ min: 70, max: 500 }))
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: action },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("advance" as const), byMs }) }
)

/** A wheel beside a map from deadline to the instant it is for and the last tick that it may fire in. */
class Checked {
  nowMs = START_MS
  private lastTick = Math.floor(START_MS / TICK_MS)
  private readonly wheel = wheelAt(START_MS)
  private readonly model = new Map<number, { readonly atMs: number; readonly latestTick: number }>()
  private readonly probes: ReadonlyArray<Probe>
  private budget = 200

  /** `reactions[i]` is what deadline `i` does each time it fires. */
  constructor(private readonly reactions: ReadonlyArray<ReadonlyArray<Action>>) {
    this.probes = reactions.map((_, index) => new Probe((nowMs) => this.fired(index, nowMs)))
  }

  perform(action: Action): void {
    if (action._tag === "cancel") {
      this.wheel.cancel(this.probe(action.index))
      this.model.delete(action.index)
      return
    }
    const atMs = this.nowMs + action.inMs
    this.wheel.schedule(this.probe(action.index), atMs)
    const latestTick = Math.max(Math.ceil(atMs / TICK_MS), this.lastTick + 1)
    this.model.set(action.index, { atMs, latestTick })
  }

  advance(byMs: number): void {
    this.nowMs += byMs
    this.lastTick = Math.floor(this.nowMs / TICK_MS)
    this.wheel.advance(this.nowMs)
    for (const { latestTick } of this.model.values()) expect(latestTick).toBeGreaterThan(this.lastTick)
    this.agree()
  }

  agree(): void {
    expect(this.wheel.size).toBe(this.model.size)
    expect(this.probes.map((probe) => probe.scheduled)).toEqual(
      this.probes.map((_, index) => this.model.has(index))
    )
  }

  /** Handlers do nothing more; everything scheduled must fire, and the wheel be empty. */
  finish(): void {
    this.budget = 0
    while (this.model.size > 0) this.advance(TICK_MS)
    this.agree()
  }

  private fired(index: number, nowMs: number): void {
    const expected = this.model.get(index)
    if (expected === undefined) throw new Error(`deadline ${index} fired, but it was not scheduled`)
    expect(nowMs).toBe(this.nowMs)
    expect(nowMs).toBeGreaterThanOrEqual(expected.atMs)
    this.model.delete(index)
    if (this.budget-- <= 0) return
    for (const action of this.reactions[index] ?? []) this.perform(action)
  }

  private probe(index: number): Probe {
    const probe = this.probes[index]
    if (probe === undefined) throw new Error(`no deadline ${index}`)
    return probe
  }
}

describe("DeadlineWheel", () => {
  test("never early, at most one tick late, exactly once, whatever handlers move and cancel", () => {
    const reactions = fc.array(fc.array(action, { maxLength: 2 }), { minLength: PROBES, maxLength: PROBES })
    fc.assert(
      fc.property(reactions, fc.array(step, { maxLength: 50 }), (reactions, steps) => {
        const checked = new Checked(reactions)
        for (const step of steps) {
          if (step._tag === "advance") checked.advance(step.byMs)
          else checked.perform(step)
          checked.agree()
        }
        checked.finish()
      }),
      { seed: 3, numRuns: 400 }
    )
  })

  test("turned every millisecond, fires at the end of the tick that holds the instant", () => {
    const wheel = wheelAt(START_MS)
    const delays = [0, 1, 6, 7, 8, 17, 79, 80, 81, 160, 799, 4_000]
    const probes = delays.map((delay) => {
      const probe = new Probe()
      wheel.schedule(probe, START_MS + delay)
      return probe
    })
    for (let nowMs = START_MS; nowMs <= START_MS + 4_010; nowMs++) wheel.advance(nowMs)
    const expected = delays.map((delay) => [Math.ceil((START_MS + delay) / TICK_MS) * TICK_MS])
    expect(probes.map((probe) => probe.firedAt)).toEqual(expected)
    expect(wheel.size).toBe(0)
  })

  test("a deadline many revolutions away does not fire before its revolution", () => {
    const wheel = wheelAt(0)
    const probe = new Probe()
    wheel.schedule(probe, 10 * TICK_MS * SLOTS)
    for (let nowMs = 0; nowMs < 10 * TICK_MS * SLOTS; nowMs += TICK_MS) wheel.advance(nowMs)
    expect(probe.firedAt).toEqual([])
    wheel.advance(10 * TICK_MS * SLOTS)
    expect(probe.firedAt).toEqual([800])
  })

  test("after a sleep of many revolutions, what is due fires in one turn and the rest waits", () => {
    const wheel = wheelAt(0)
    const due = [5, 85, 4_000, 9_990].map((atMs) => {
      const probe = new Probe()
      wheel.schedule(probe, atMs)
      return probe
    })
    const later = new Probe()
    wheel.schedule(later, 10_075)
    wheel.advance(10_000)
    expect(due.map((probe) => probe.firedAt)).toEqual(due.map(() => [10_000]))
    expect(later.firedAt).toEqual([])
    expect(wheel.size).toBe(1)
  })

  test("after a sleep, a handler that asks for a passed instant fires once in that turn", () => {
    const wheel = wheelAt(0)
    const probe: Probe = new Probe((nowMs) => wheel.schedule(probe, nowMs - 1))
    wheel.schedule(probe, 5)
    wheel.advance(10_000)
    expect(probe.firedAt).toEqual([10_000])
    wheel.advance(10_010)
    expect(probe.firedAt).toEqual([10_000, 10_010])
  })

  test("a deadline that is due can still be cancelled by a handler of the same turn", () => {
    const wheel = wheelAt(0)
    const cancelAll = () => {
      for (const probe of probes) wheel.cancel(probe)
    }
    const probes = [new Probe(cancelAll), new Probe(cancelAll)]
    for (const probe of probes) wheel.schedule(probe, 5)
    wheel.advance(10)
    expect(probes.flatMap((probe) => probe.firedAt)).toEqual([10])
    expect(wheel.size).toBe(0)
  })

  test("cancelling what is not scheduled, and twice, does nothing", () => {
    const wheel = wheelAt(0)
    const [probe, other] = [new Probe(), new Probe()]
    wheel.cancel(probe)
    wheel.schedule(probe, 5)
    wheel.schedule(other, 5)
    wheel.cancel(probe)
    wheel.cancel(probe)
    expect([wheel.size, probe.scheduled]).toEqual([1, false])
    wheel.advance(10)
    expect([probe.firedAt, other.firedAt]).toEqual([[], [10]])
  })

  test("when the clock is set back, deadlines are still met at their instants", () => {
    const wheel = wheelAt(100_000)
    const [old, fresh] = [new Probe(), new Probe()]
    wheel.schedule(old, 100_050)
    wheel.advance(40_000)
    wheel.schedule(fresh, 40_025)
    wheel.advance(40_020)
    expect(fresh.firedAt).toEqual([])
    wheel.advance(40_030)
    expect(fresh.firedAt).toEqual([40_030])
    wheel.advance(100_049)
    expect(old.firedAt).toEqual([])
    wheel.advance(100_050)
    expect(old.firedAt).toEqual([100_050])
  })

  test("a handler that throws does not lose the other deadlines of its turn", () => {
    const wheel = wheelAt(0)
    const thrower = new Probe(() => {
      throw new RangeError("a bug")
    })
    const others = [new Probe(), new Probe()] as const
    for (const probe of [others[0], thrower, others[1]]) wheel.schedule(probe, 5)
    expect(() => wheel.advance(10)).toThrow(RangeError)
    wheel.advance(20)
    expect(others.map((probe) => probe.firedAt.length)).toEqual([1, 1])
    expect([thrower.firedAt.length, wheel.size]).toEqual([1, 0])
  })
})

describe("a wheel that says when to turn it", () => {
  /** Turned only when it asked for it, at the instant that it asked for. */
  const turned = (wheel: DeadlineWheel, untilMs: number): ReadonlyArray<number> => {
    const turns: Array<number> = []
    let wakeMs = Number.POSITIVE_INFINITY
    wheel.wakeAt = (atMs) => {
      wakeMs = atMs
    }
    wheel.rest()
    while (wakeMs <= untilMs) {
      const nowMs = wakeMs
      wakeMs = Number.POSITIVE_INFINITY
      turns.push(nowMs)
      try {
        wheel.advance(nowMs)
      } finally {
        wheel.rest()
      }
    }
    return turns
  }

  test("a deadline further away than a revolution is looked at once a revolution", () => {
    const wheel = wheelAt(0)
    const far = new Probe()
    wheel.schedule(far, 8 * SLOTS * TICK_MS)
    expect(turned(wheel, 10_000).length).toBeLessThanOrEqual(8)
    expect(far.firedAt).toEqual([8 * SLOTS * TICK_MS])
  })

  test("what a handler schedules is asked for as well", () => {
    const wheel = wheelAt(0)
    const again: Probe = new Probe((nowMs) => {
      if (nowMs < 100) wheel.schedule(again, nowMs + 30)
    })
    wheel.schedule(again, 20)
    expect(turned(wheel, 1000)).toEqual([20, 50, 80, 110])
    expect(again.firedAt).toEqual([20, 50, 80, 110])
  })

  test("an empty one asks for nothing", () => {
    const wheel = wheelAt(0)
    const probe = new Probe()
    wheel.schedule(probe, 50)
    wheel.cancel(probe)
    expect(turned(wheel, 1000)).toEqual([])
  })
})

describe("a wheel that grows", () => {
  test("keeps every deadline, those that were scheduled before and those after", () => {
    const wheel = new DeadlineWheel(0, 100, 512)
    const random = fc.sample(fc.integer({ min: 0, max: 200_000 }), { numRuns: 500, seed: 6 })
    const probes = random.map((atMs) => ({ atMs, probe: new Probe() }))
    for (const { atMs, probe } of probes.slice(0, 40)) wheel.schedule(probe, atMs)
    for (let nowMs = 0; nowMs <= 10_000; nowMs += 100) wheel.advance(nowMs)
    for (const { atMs, probe } of probes.slice(40)) wheel.schedule(probe, 10_000 + atMs)
    for (let nowMs = 10_100; nowMs <= 210_100; nowMs += 100) wheel.advance(nowMs)
    expect(wheel.size).toBe(0)
    for (const [index, { atMs, probe }] of probes.entries()) {
      const due = index < 40 ? atMs : 10_000 + atMs
      expect(probe.firedAt).toHaveLength(1)
      // One that was overdue when it was scheduled fires with the next tick.
      const at = probe.firedAt[0] ?? 0
      expect(at - Math.max(due, index < 40 ? 0 : 10_000)).toBeWithin(0, 101)
    }
  })

  test("wants to be turned for few deadlines when one is due, and not to look at what is not", () => {
    const wheel = new DeadlineWheel(0, 100, 512)
    const wakes: Array<number> = []
    wheel.wakeAt = (atMs) => wakes.push(atMs)
    const instants = [90_000, 60_000, 75_050]
    for (const atMs of instants) wheel.schedule(new Probe(), atMs)
    let turns = 0
    for (let next = wakes.at(-1); next !== undefined && turns < 100; next = wakes.shift()) {
      wakes.length = 0
      turns++
      wheel.advance(next)
      wheel.rest()
    }
    expect([turns, wheel.size]).toEqual([3, 0])
  })
})
