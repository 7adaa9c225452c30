/**
 * No wake-up is lost: whatever order senders, turns and stops come in, every message that an actor accepted
 * is handled exactly once and in order, unless the actor was stopped first. Once stepped by hand, once with
 * the real fiber.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import { Actor } from "../../src/actor/Actor.ts"
import { Dispatcher, type RunQueue } from "../../src/actor/Dispatcher.ts"
import type { Mailbox } from "../../src/actor/Mailbox.ts"
import { live, nextImmediate } from "../support/effect.ts"
import { handDispatcher } from "./handDispatcher.ts"

const ACTORS = 5
const QUEUES = 2
/** What a message costs: dear, so that the dispatcher looks at the clock after every other one. */
const MESSAGE_UNITS = 40

interface Message {
  readonly serial: number
  /** What the receiver does with it. */
  readonly reaction: Reaction
}

type Reaction =
  | { readonly _tag: "nothing" }
  /** Tells each of these, itself perhaps, while it handles the message; they do nothing further. */
  | { readonly _tag: "relay"; readonly to: ReadonlyArray<number> }
  | { readonly _tag: "stop"; readonly actor: number }
  | { readonly _tag: "throw" }

type Step =
  | { readonly _tag: "tell" | "signal"; readonly to: number; readonly reaction: Reaction }
  | { readonly _tag: "stop"; readonly actor: number }
  | { readonly _tag: "tick" }

const actorIndex = fc.integer({ min: 0, max: ACTORS - 1 })
const reaction: fc.Arbitrary<Reaction> = fc.oneof(
  { weight: 10, arbitrary: fc.constant({ _tag: "nothing" as const }) },
  {
    weight: 10,
    arbitrary: fc.record({ _tag: fc.constant("relay" as const), to: fc.array(actorIndex, { maxLength: 3 }) })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("stop" as const), actor: actorIndex }) },
  { weight: 1, arbitrary: fc.constant({ _tag: "throw" as const }) }
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      _tag: fc.constantFrom("tell" as const, "signal" as const),
      to: actorIndex,
      reaction
    })
  },
  { weight: 1, arbitrary: fc.record({ _tag: fc.constant("stop" as const), actor: actorIndex }) },
  { weight: 4, arbitrary: fc.constant({ _tag: "tick" as const }) }
)

class Member {
  readonly accepted: Array<number> = []
  readonly handled: Array<number> = []
  readonly actor: Actor<Message>
  private handledWhenStopped = -1

  constructor(
    private readonly world: World,
    runQueue: RunQueue
  ) {
    this.actor = new Actor<Message>({
      runQueue,
      limits: { countMax: 6, bytesMax: 1_000, bytesOf: () => 1 },
      behaviour: { turn: (mail, budget) => this.turn(mail, budget), onDefect: () => this.stop() },
      fork: Effect.runFork
    })
  }

  send(_tag: "tell" | "signal", serial: number, reaction: Reaction): void {
    const alive = !this.actor.stopped
    if (_tag === "tell") {
      if (this.actor.tell({ serial, reaction })) this.accepted.push(serial)
    } else {
      this.actor.signal({ serial, reaction })
      if (alive) this.accepted.push(serial)
    }
  }

  stop(): void {
    this.actor.stop()
    if (this.handledWhenStopped < 0) this.handledWhenStopped = this.handled.length
  }

  check(): void {
    const expected = this.actor.stopped ? this.accepted.slice(0, this.handledWhenStopped) : this.accepted
    expect(this.handled).toEqual(expected)
  }

  private turn(mail: Mailbox<Message>, budget: number): number {
    let units = 0
    while (units < budget) {
      const message = mail.take()
      if (message === undefined) break
      units += MESSAGE_UNITS
      this.handled.push(message.serial)
      this.world.react(message.reaction)
    }
    return units
  }
}

class World {
  readonly members: ReadonlyArray<Member>
  private readonly queues: ReadonlyArray<RunQueue>
  private serial = 0

  constructor(dispatcher: Dispatcher) {
    this.queues = Array.from({ length: QUEUES }, (_, i) => dispatcher.runQueue(i + 1))
    this.members = Array.from({ length: ACTORS }, (_, i) => new Member(this, this.queues[i % QUEUES]!))
  }

  get waiting(): number {
    return this.queues.reduce((sum, queue) => sum + queue.waiting, 0)
  }

  perform(step: Exclude<Step, { readonly _tag: "tick" }>): void {
    if (step._tag === "stop") this.members[step.actor]?.stop()
    else this.members[step.to]?.send(step._tag, this.serial++, step.reaction)
  }

  react(reaction: Reaction): void {
    if (reaction._tag === "throw") throw new RangeError("a bug")
    if (reaction._tag === "stop") this.members[reaction.actor]?.stop()
    if (reaction._tag !== "relay") return
    for (const to of reaction.to) this.members[to]?.send("tell", this.serial++, { _tag: "nothing" })
  }

  check(): void {
    for (const member of this.members) member.check()
  }
}

describe("no wake-up is lost", () => {
  test("stepped by hand, with any budgets", () => {
    const budgets = fc.record({
      quantum: fc.integer({ min: 1, max: 8 * MESSAGE_UNITS }),
      turnBudget: fc.integer({ min: 1, max: 4 * MESSAGE_UNITS })
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), budgets, (steps, budgets) => {
        let look = 0
        // The time is up at every look, so each tick is cut short, most within a round.
        const { dispatcher } = handDispatcher({ ...budgets, tickMs: 1, elapsed: () => look++ })
        const world = new World(dispatcher)
        for (const step of steps) {
          if (step._tag === "tick") dispatcher.tick()
          else world.perform(step)
        }
        for (let tick = 0; tick < 500 && world.waiting > 0; tick++) dispatcher.tick()
        expect(world.waiting).toBe(0)
        world.check()
      }),
      { seed: 5, numRuns: 500 }
    )
  })

  live("with the real fiber, between any turns of the event loop", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make({ quantum: 3 * MESSAGE_UNITS, turnBudget: 2 * MESSAGE_UNITS })
      const schedules = fc.sample(fc.array(step, { minLength: 20, maxLength: 60 }), { seed: 6, numRuns: 60 })
      for (const steps of schedules) {
        const world = new World(dispatcher)
        for (const [i, step] of steps.entries()) {
          if (step._tag !== "tick") world.perform(step)
          else if (i % 2 === 0) yield* Effect.yieldNow()
          else yield* nextImmediate
        }
        for (let turn = 0; turn < 500 && world.waiting > 0; turn++) yield* nextImmediate
        expect(world.waiting).toBe(0)
        world.check()
      }
    })
  )
})
