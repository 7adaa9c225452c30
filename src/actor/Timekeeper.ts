/**
 * The one fiber that turns all deadline wheels, so that ten thousand tenants with a million sessions between
 * them cost one timer. A wheel is turned when it has something to look at and not before: to turn those of
 * ten thousand tenants ten times a second took a sixtieth of a processor (Bun 1.4.5, 2026-11). A handler that
 * throws is logged and delays the rest of its own wheel by a tick; nobody else notices.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Deadline, DeadlineWheel } from "./DeadlineWheel.ts"

export class Timekeeper {
  private readonly alarms = new Map<DeadlineWheel, Alarm>()
  /** When which wheel is to be turned. */
  private readonly turns: DeadlineWheel
  private lastMs: number
  private defects: Array<unknown> = []
  /** Told how much later than it should a tick began, in milliseconds. */
  onTick: (lateMs: number) => void = () => {}
  private dueMs = 0

  constructor(
    private readonly clock: Clock.Clock,
    private readonly tickMs: number = 100
  ) {
    this.lastMs = this.nowMs
    this.turns = new DeadlineWheel(this.lastMs, tickMs)
  }

  get nowMs(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** A new wheel, turned until `release`. */
  wheel(): DeadlineWheel {
    const wheel = new DeadlineWheel(this.nowMs, this.tickMs)
    const alarm = new Alarm((nowMs) => this.turn(wheel, nowMs))
    wheel.wakeAt = (atMs) => {
      if (this.alarms.has(wheel)) this.turns.schedule(alarm, atMs)
    }
    this.alarms.set(wheel, alarm)
    return wheel
  }

  release(wheel: DeadlineWheel): void {
    const alarm = this.alarms.get(wheel)
    if (alarm !== undefined) this.turns.cancel(alarm)
    this.alarms.delete(wheel)
  }

  /** Deadlines scheduled in all wheels; for metrics and leak tests. */
  get size(): number {
    let size = 0
    for (const wheel of this.alarms.keys()) size += wheel.size
    return size
  }

  /** Sleeps until the wheels' next tick begins, so that nothing is later than the tick that it is due in. */
  private readonly sleep = Effect.suspend(() => {
    const now = this.nowMs
    const restMs = this.tickMs - (now % this.tickMs)
    this.dueMs = now + restMs
    return Effect.sleep(restMs)
  })

  private readonly advance = Effect.suspend(() => {
    const now = this.nowMs
    this.onTick(Math.max(0, now - this.dueMs))
    // A clock that was set back: every wheel has to go back with it.
    if (now < this.lastMs) for (const wheel of this.alarms.keys()) this.turn(wheel, now)
    this.lastMs = now
    this.turns.advance(now)
    const { defects } = this
    if (defects.length === 0) return Effect.void
    this.defects = []
    return Effect.forEach(defects, logDefect, { discard: true })
  })

  private turn(wheel: DeadlineWheel, nowMs: number): void {
    try {
      wheel.advance(nowMs)
    } catch (defect) {
      this.defects.push(defect)
    }
    // One that was released by its own handler is not turned again.
    if (this.alarms.has(wheel)) wheel.rest()
  }

  /** A timekeeper whose fiber lives in the caller's scope. */
  static readonly make = (tickMs = 100): Effect.Effect<Timekeeper, never, Scope.Scope> =>
    Effect.gen(function* () {
      const timekeeper = new Timekeeper(yield* Clock.clockWith(Effect.succeed), tickMs)
      yield* timekeeper.sleep.pipe(
        Effect.zipRight(timekeeper.advance),
        Effect.forever,
        Effect.tapDefect((cause) =>
          Effect.logFatal("the timekeeper died; no deadline will fire again", cause)
        ),
        Effect.interruptible,
        Effect.forkScoped
      )
      return timekeeper
    })
}

const logDefect = (defect: unknown): Effect.Effect<void> =>
  Effect.logError("a deadline's handler threw; the timekeeper goes on", Cause.die(defect))

class Alarm extends Deadline {
  constructor(private readonly ring: (nowMs: number) => void) {
    super()
  }

  onDeadline(nowMs: number): void {
    this.ring(nowMs)
  }
}
