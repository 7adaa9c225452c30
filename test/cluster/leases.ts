/** What every layer of `Leases` must do, seen by two nodes. */

import { describe, expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { LeaseHeld, type Leases } from "../../src/cluster/Leases.ts"
import { effect } from "../support/effect.ts"

export interface TwoNodes {
  readonly a: Leases["Type"]
  readonly b: Leases["Type"]
}

/** The nodes are called `a` and `b`. */
export const leasesContract = (name: string, make: Effect.Effect<TwoNodes, never, Scope.Scope>): void =>
  describe(`leases: ${name}`, () => {
    effect("a lease has one holder, and who asks for it hears which", () =>
      Effect.gen(function* () {
        const { a, b } = yield* make
        expect(yield* b.holder("cell/0")).toBeUndefined()
        yield* a.acquire("cell/0")
        expect(yield* b.holder("cell/0")).toBe("a")
        const refused = new LeaseHeld({ key: "cell/0", holder: "a" })
        expect(yield* Effect.flip(b.acquire("cell/0"))).toEqual(refused)
        expect(yield* Effect.flip(a.acquire("cell/0"))).toEqual(refused)
        yield* b.acquire("cell/1")
        expect(yield* a.holder("cell/1")).toBe("b")
      })
    )

    effect("it is free again when the holder's scope ends, and its next token is larger", () =>
      Effect.gen(function* () {
        const { a, b } = yield* make
        const first = yield* Effect.scoped(a.acquire("k"))
        expect(yield* a.holder("k")).toBeUndefined()
        const second = yield* b.acquire("k")
        expect(second.token).toBeGreaterThan(first.token)
      })
    )

    effect("who waits gets it in turn; who gives up waiting is passed over", () =>
      Effect.gen(function* () {
        const { a, b } = yield* make
        const got: Array<string> = []
        const wait = (label: string, node: Leases["Type"]) =>
          Effect.gen(function* () {
            const scope = yield* Scope.make()
            const fiber = yield* node.acquireWhenFree("k").pipe(
              Effect.tap(() => Effect.sync(() => got.push(label))),
              Scope.extend(scope),
              Effect.fork
            )
            yield* Effect.yieldNow()
            return { fiber, scope }
          })
        const holder = yield* wait("holder", a)
        yield* Fiber.join(holder.fiber)
        const [first, second, third] = [yield* wait("1", b), yield* wait("2", a), yield* wait("3", b)]
        yield* Fiber.interrupt(second.fiber)
        expect(got).toEqual(["holder"])
        yield* Scope.close(holder.scope, Exit.void)
        yield* Fiber.join(first.fiber)
        expect(yield* a.holder("k")).toBe("b")
        yield* Scope.close(first.scope, Exit.void)
        yield* Fiber.join(third.fiber)
        expect(got).toEqual(["holder", "1", "3"])
        yield* Scope.close(third.scope, Exit.void)
        expect(yield* a.holder("k")).toBeUndefined()
      })
    )

    effect("deposing the holder tells it, and gives the lease to who waits", () =>
      Effect.gen(function* () {
        const { a, b } = yield* make
        const scope = yield* Scope.make()
        const lease = yield* Scope.extend(a.acquire("k"), scope)
        const lost = yield* Effect.fork(lease.lost)
        const waiter = yield* Effect.fork(b.acquireWhenFree("k"))
        yield* Effect.yieldNow()
        yield* b.depose("k", "b")
        expect(yield* b.holder("k")).toBe("a")
        expect(lost.unsafePoll()).toBeNull()
        yield* b.depose("k", "a")
        yield* Fiber.join(lost)
        const next = yield* Fiber.join(waiter)
        expect(next.token).toBeGreaterThan(lease.token)
        // The one that lost it lets go later: that is none of the new holder's business.
        yield* Scope.close(scope, Exit.void)
        expect(yield* a.holder("k")).toBe("b")
      })
    )
  })
