/** What every layer of `Membership` must do. */

import { describe, expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { MemberEvent, Membership } from "../../src/cluster/Membership.ts"
import { effect } from "../support/effect.ts"

type Join = (id: string) => Effect.Effect<Membership["Type"], never, Scope.Scope>

const told = ({ _tag, member }: MemberEvent): string => `${_tag} ${member.id} ${member.state}`

/** The events of a node, one after another. */
const listen = ({ changes }: Membership["Type"]) =>
  Effect.gen(function* () {
    const events = yield* Queue.unbounded<string>()
    yield* Stream.runForEach(changes, (event) => Queue.offer(events, told(event))).pipe(Effect.forkScoped)
    return Queue.take(events)
  })

/** `make` is a membership that has no members yet. */
export const membershipContract = (name: string, make: Effect.Effect<Join, never, Scope.Scope>): void =>
  describe(`membership: ${name}`, () => {
    effect("begins with one Up for each member, this node among them, and then tells of changes", () =>
      Effect.gen(function* () {
        const join = yield* make
        const a = yield* join("a")
        const next = yield* listen(a)
        expect(yield* next).toBe("Up a joining")
        yield* a.setState("up")
        expect(yield* next).toBe("Changed a up")
        const scope = yield* Scope.make()
        const b = yield* Scope.extend(join("b"), scope)
        expect(yield* next).toBe("Up b joining")
        const ofB = yield* listen(b)
        expect([yield* ofB, yield* ofB]).toEqual(["Up a up", "Up b joining"])
        yield* b.setState("draining")
        expect(yield* next).toBe("Changed b draining")
        yield* Scope.close(scope, Exit.void)
        expect(yield* next).toBe("Down b draining")
      })
    )

    effect("tells nobody of a state that is none", () =>
      Effect.gen(function* () {
        const a = yield* (yield* make)("a")
        const next = yield* listen(a)
        yield* next
        yield* a.setState("joining")
        yield* a.setState("up")
        expect(yield* next).toBe("Changed a up")
      })
    )

    effect("members are told apart by index", () =>
      Effect.gen(function* () {
        const join = yield* make
        const [a, b] = [yield* join("a"), yield* join("b")]
        expect(a.self.id).toBe("a")
        expect(a.self.index).not.toBe(b.self.index)
        expect([...a.members().keys()]).toEqual(["a", "b"])
        expect(b.members().get("a")).toEqual({ ...a.self, state: "joining" })
      })
    )
  })
