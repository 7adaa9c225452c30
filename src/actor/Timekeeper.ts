/**
 * The one fiber that turns all deadline wheels, so that ten thousand tenants with a million sessions between
 * them cost one timer. A wheel without deadlines costs nothing but its place in the set. A handler that
 * throws is logged and delays the rest of its own wheel by a tick; nobody else notices.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DeadlineWheel } from "./DeadlineWheel.ts"

export class Timekeeper {
  private readonly wheels = new Set<DeadlineWheel>()

  constructor(
    private readonly clock: Clock.Clock,
    private readonly tickMs: number = 100
  ) {}

  get nowMs(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** A new wheel, turned until `release`. */
  wheel(): DeadlineWheel {
    const wheel = new DeadlineWheel(this.nowMs, this.tickMs)
    this.wheels.add(wheel)
    return wheel
  }

  release(wheel: DeadlineWheel): void {
    this.wheels.delete(wheel)
  }

  /** Deadlines scheduled in all wheels; for metrics and leak tests. */
  get size(): number {
    let size = 0
    for (const wheel of this.wheels) size += wheel.size
    return size
  }

  /** Sleeps until the wheels' next tick begins, so that nothing is later than the tick that it is due in. */
  private readonly sleep = Effect.suspend(() => Effect.sleep(this.tickMs - (this.nowMs % this.tickMs)))

  private readonly advance = Effect.suspend(() => {
    const now = this.nowMs
    let defects: Array<unknown> | undefined
    for (const wheel of this.wheels) {
      try {
        wheel.advance(now)
      } catch (defect) {
        defects ??= []
        defects.push(defect)
      }
    }
    return defects === undefined ? Effect.void : Effect.forEach(defects, logDefect, { discard: true })
  })

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
