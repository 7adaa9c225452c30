/**
 * Something that another can be put in the place of, while it is in use.
 *
 * The next one is built beside the present one. It is in force from `commit` on, all at once; what it
 * replaces is released then. `discard` releases the next one instead, and nothing has happened.
 */

import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/** A change that is ready: either of the two follows, once. */
export interface Prepared {
  readonly commit: Effect.Effect<void>
  readonly discard: Effect.Effect<void>
}

export interface Replaceable<A> {
  readonly current: () => A
  /** Fails when the next one cannot be built. */
  readonly prepare: <E, R>(
    next: Effect.Effect<A, E, R | Scope.Scope>
  ) => Effect.Effect<Prepared, E, Exclude<R, Scope.Scope>>
}

/** The first one is built at once. The last one is released with the caller's scope. */
export const makeReplaceable = <A, E, R>(
  first: Effect.Effect<A, E, R | Scope.Scope>
): Effect.Effect<Replaceable<A>, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    let current = yield* buildIn(parent, first)
    return {
      current: () => current.value,
      prepare: (next) =>
        Effect.map(buildIn(parent, next), (built) => ({
          commit: Effect.suspend(() => {
            const { scope } = current
            current = built
            return Scope.close(scope, Exit.void)
          }),
          discard: Scope.close(built.scope, Exit.void)
        }))
    }
  })

interface Built<A> {
  readonly value: A
  readonly scope: Scope.CloseableScope
}

/** Builds in a scope of its own, which the parent's end closes as well. */
export const buildIn = <A, E, R>(
  parent: Scope.Scope,
  build: Effect.Effect<A, E, R | Scope.Scope>
): Effect.Effect<Built<A>, E, Exclude<R, Scope.Scope>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.fork(parent, ExecutionStrategy.sequential), (scope) =>
      restore(Scope.extend(build, scope)).pipe(
        Effect.map((value) => ({ value, scope })),
        Effect.tapErrorCause((cause) => Scope.close(scope, Exit.failCause(cause)))
      )
    )
  )
