/**
 * Effects as tests. `effect` runs one in a scope of its own with the test services, so time stands still
 * until the test moves `TestClock`; `live` runs it in a scope with the real clock. Either way the scope is
 * closed before the test ends, and what a finalizer does wrong fails the test as well.
 */

import { test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as TestContext from "effect/TestContext"
import type * as TestServices from "effect/TestServices"

/** A test with `TestClock` and the other test services. */
export const effect = <A, E>(
  name: string,
  self: () => Effect.Effect<A, E, Scope.Scope | TestServices.TestServices>,
  timeoutMs?: number
): void =>
  test(
    name,
    () => run(Effect.suspend(self).pipe(Effect.scoped, Effect.provide(TestContext.TestContext))),
    timeoutMs
  )

/** A test with the real clock. */
export const live = <A, E>(
  name: string,
  self: () => Effect.Effect<A, E, Scope.Scope>,
  timeoutMs?: number
): void => test(name, () => run(Effect.suspend(self).pipe(Effect.scoped)), timeoutMs)

/**
 * Waits for the next turn of the event loop: what was due before it, immediates included, has run by then.
 */
export const nextImmediate: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Runs an effect to its end; a failure is thrown with its whole cause. For hooks such as `beforeAll`. */
export const run = async <A, E>(self: Effect.Effect<A, E>): Promise<A> => {
  const exit = await Effect.runPromiseExit(self)
  if (Exit.isSuccess(exit)) return exit.value
  throw toError(exit.cause)
}

const toError = (cause: Cause.Cause<unknown>): unknown => {
  // A lone failed `expect` is thrown as it is: the runner then shows the line and the difference.
  const [defect, ...more] = Cause.defects(cause)
  if (defect instanceof Error && more.length === 0 && !Cause.isFailure(cause)) return defect
  return new Error(Cause.pretty(cause, { renderErrorCause: true }))
}
