import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * A fiber in the caller's scope that calls `ring` some time after it was set, and costs nothing in between.
 * Setting it again before it has rung changes nothing.
 */
export const makeAlarm = (
  delay: Duration.DurationInput,
  ring: () => void
): Effect.Effect<{ readonly set: () => void }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.clockWith(Effect.succeed)
    const latch = yield* Effect.makeLatch(false)
    yield* latch.await.pipe(
      Effect.zipRight(Effect.suspend(() => clock.sleep(Duration.decode(delay)))),
      Effect.zipRight(
        Effect.sync(() => {
          latch.unsafeClose()
          ring()
        })
      ),
      Effect.forever,
      Effect.tapDefect((cause) => Effect.logFatal("an alarm of the storage died", cause)),
      Effect.interruptible,
      Effect.forkScoped
    )
    return { set: () => latch.unsafeOpen() }
  })
