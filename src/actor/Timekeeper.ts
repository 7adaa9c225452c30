/**
 * The one fiber that turns all deadline wheels, so that ten thousand tenants with a million sessions between them cost one
 * timer. A wheel without deadlines costs nothing but its place in the set.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DeadlineWheel } from "./DeadlineWheel.ts"

export class Timekeeper {
  private readonly wheels = new Set<DeadlineWheel>()

  constructor(private readonly clock: Clock.Clock) {}

  get nowMs(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** A new wheel, turned until `release`. */
  wheel(): DeadlineWheel {
    const wheel = new DeadlineWheel(this.nowMs)
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

  private advance(): void {
    const now = this.nowMs
    for (const wheel of this.wheels) wheel.advance(now)
  }

  /** A timekeeper whose fiber lives in the caller's scope. */
  static readonly make = (tickMs = 100): Effect.Effect<Timekeeper, never, Scope.Scope> =>
    Effect.gen(function* () {
      const timekeeper = new Timekeeper(yield* Clock.clockWith(Effect.succeed))
      yield* Effect.sleep(tickMs).pipe(
        Effect.zipRight(Effect.sync(() => timekeeper.advance())),
        Effect.forever,
        Effect.tapDefect((cause) =>
          Effect.logFatal("the timekeeper died; no deadline will fire again", cause)
        ),
        Effect.forkScoped
      )
      return timekeeper
    })
}
