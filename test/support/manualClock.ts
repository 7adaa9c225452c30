/**
 * Time that stands still until a test moves it, in one step: what is due fires once, as after a suspended
 * machine wakes. Effect's TestClock would run the timekeeper's every tick in between, which for a session
 * expiry of a day is a long wait.
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Sleeper {
  readonly atMs: number
  readonly wake: () => void
}

export class ManualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private readonly sleepers = new Set<Sleeper>()

  constructor(private nowMs = 1_800_000_000_000) {}

  readonly currentTimeMillis = Effect.sync(() => this.nowMs)
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  unsafeCurrentTimeMillis(): number {
    return this.nowMs
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(this.nowMs) * 1_000_000n
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const sleeper: Sleeper = {
        atMs: this.nowMs + Duration.toMillis(duration),
        wake: () => resume(Effect.void)
      }
      this.sleepers.add(sleeper)
      return Effect.sync(() => this.sleepers.delete(sleeper))
    })
  }

  advance(ms: number): void {
    this.nowMs += ms
    for (const sleeper of this.sleepers) {
      if (sleeper.atMs > this.nowMs) continue
      this.sleepers.delete(sleeper)
      sleeper.wake()
    }
  }
}
