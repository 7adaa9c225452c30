import { describe, expect, test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import { Actor, type ForkChild } from "../../src/actor/Actor.ts"
import { Dispatcher, type RunQueue } from "../../src/actor/Dispatcher.ts"
import type { Mailbox, MailboxLimits } from "../../src/actor/Mailbox.ts"
import { effect, live, nextImmediate } from "../support/effect.ts"
import { handDispatcher } from "./handDispatcher.ts"

const roomy: MailboxLimits<unknown> = { countMax: 1_000, bytesMax: 1_000, bytesOf: () => 1 }
const noFork: ForkChild = () => {
  throw new Error("this test has no children")
}

interface SetUp<M> {
  readonly runQueue: RunQueue
  readonly limits?: MailboxLimits<M>
  readonly fork?: ForkChild
  readonly onMessage?: (message: M, actor: Actor<M>) => void
}

/** An actor that keeps what it handled and what it died of, and does what the test says with each message. */
const recording = <M>({ runQueue, limits = roomy, fork = noFork, onMessage = () => {} }: SetUp<M>) => {
  const handled: Array<M> = []
  const defects: Array<unknown> = []
  const counts = { turns: 0 }
  const turn = (mail: Mailbox<M>, budget: number) => {
    counts.turns++
    let units = 0
    while (units < budget) {
      const message = mail.take()
      if (message === undefined) break
      units++
      handled.push(message)
      onMessage(message, actor)
    }
    return units
  }
  const onDefect = (defect: unknown) => void defects.push(defect)
  const actor: Actor<M> = new Actor<M>({ runQueue, limits, behaviour: { turn, onDefect }, fork })
  return { actor, handled, defects, counts }
}

describe("Actor: mail", () => {
  test("handles what it was told, in order, in one turn", () => {
    const { dispatcher } = handDispatcher()
    const { actor, handled } = recording<number>({ runQueue: dispatcher.runQueue(1) })
    for (const message of [1, 2, 3]) expect(actor.tell(message)).toBe(true)
    expect([actor.mailLength, actor.mailBytes]).toEqual([3, 3])
    dispatcher.tick()
    expect(handled).toEqual([1, 2, 3])
    expect([actor.mailLength, actor.mailBytes]).toEqual([0, 0])
  })

  test("stands in line once, however many messages it has", () => {
    const { dispatcher } = handDispatcher()
    const runQueue = dispatcher.runQueue(1)
    const { actor } = recording<number>({ runQueue })
    for (const message of [1, 2, 3]) actor.tell(message)
    expect(runQueue.waiting).toBe(1)
  })

  test("a full mailbox refuses `tell`, takes `signal`, and has room after the turn", () => {
    const { dispatcher } = handDispatcher()
    const limits = { countMax: 2, bytesMax: 10, bytesOf: () => 1 }
    const { actor, handled } = recording<string>({ runQueue: dispatcher.runQueue(1), limits })
    expect(["a", "b", "c"].map((message) => actor.tell(message))).toEqual([true, true, false])
    actor.signal("d")
    dispatcher.tick()
    expect(handled).toEqual(["a", "b", "d"])
    expect(actor.tell("e")).toBe(true)
  })

  test("what it tells itself is handled after what waits, and stays within the budget of a turn", () => {
    const { dispatcher } = handDispatcher({ turnBudget: 2 })
    const { actor, handled } = recording<number>({
      runQueue: dispatcher.runQueue(1),
      onMessage: (message, actor) => void (message < 3 && actor.tell(message + 2))
    })
    actor.tell(1)
    actor.tell(2)
    dispatcher.tick()
    expect(handled).toEqual([1, 2, 3, 4])
  })

  test("what it tells others while they wait in line reaches them in the same tick", () => {
    const { dispatcher } = handDispatcher()
    const receiver = recording<number>({ runQueue: dispatcher.runQueue(1) })
    const sender = recording<number>({
      runQueue: dispatcher.runQueue(1),
      onMessage: (message) => void receiver.actor.tell(message)
    })
    receiver.actor.tell(0)
    sender.actor.tell(1)
    dispatcher.tick()
    expect(receiver.handled).toEqual([0, 1])
  })
})

describe("Actor: end", () => {
  test("after `stop` it handles nothing, takes nothing and drops its mail", () => {
    const { dispatcher } = handDispatcher()
    const runQueue = dispatcher.runQueue(1)
    const { actor, counts, handled } = recording<number>({ runQueue })
    actor.tell(1)
    actor.stop()
    actor.stop()
    expect([actor.stopped, actor.mailLength, actor.mailBytes]).toEqual([true, 0, 0])
    expect(actor.tell(2)).toBe(false)
    actor.signal(3)
    dispatcher.tick()
    expect([handled.length, counts.turns]).toEqual([0, 0])
    expect([actor.mailLength, runQueue.waiting]).toEqual([0, 0])
  })

  test("it may stop itself in a turn; the rest of its mail is not handled", () => {
    const { dispatcher } = handDispatcher()
    const { actor, handled, defects } = recording<number>({
      runQueue: dispatcher.runQueue(1),
      onMessage: (message, actor) => {
        if (message === 2) actor.stop()
      }
    })
    for (const message of [1, 2, 3]) actor.tell(message)
    dispatcher.tick()
    dispatcher.tick()
    expect(handled).toEqual([1, 2])
    expect(defects).toEqual([])
  })

  effect("a defect stops that actor, tells its parent once, ends its children; the others run on", () =>
    Effect.gen(function* () {
      const { dispatcher } = handDispatcher()
      const runQueue = dispatcher.runQueue(1)
      const bug = new RangeError("a bug")
      let interrupted = 0
      const { actor, handled, defects } = recording<string>({
        runQueue,
        fork: Effect.runFork,
        onMessage: (message, actor) => {
          if (message === "throw") throw bug
          actor.spawn(
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)),
            () => "child"
          )
        }
      })
      const neighbour = recording<string>({ runQueue })
      const stranger = recording<string>({ runQueue: dispatcher.runQueue(1) })
      for (const message of ["spawn", "throw", "never"]) actor.tell(message)
      neighbour.actor.tell("a")
      stranger.actor.tell("b")
      dispatcher.tick()
      neighbour.actor.tell("c")
      dispatcher.tick()
      yield* nextImmediate
      expect(handled).toEqual(["spawn", "throw"])
      expect(defects).toEqual([bug])
      expect([actor.stopped, actor.mailLength, actor.tell("late")]).toEqual([true, 0, false])
      expect(interrupted).toBe(1)
      expect([neighbour.handled, stranger.handled]).toEqual([["a", "c"], ["b"]])
      expect(dispatcher.takeDefects()).toEqual([])
    })
  )
})

describe("Actor: children", () => {
  const setUp = (onMessage?: (message: string, actor: Actor<string>) => void) => {
    const { dispatcher } = handDispatcher()
    const options = { runQueue: dispatcher.runQueue(1), fork: Effect.runFork as ForkChild }
    return { dispatcher, ...recording<string>(onMessage === undefined ? options : { ...options, onMessage }) }
  }

  /** Lets fibers that are ready run, then gives the actor its turn. */
  const settle = (dispatcher: Dispatcher) =>
    Effect.zipRight(
      nextImmediate,
      Effect.sync(() => dispatcher.tick())
    )

  const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
    Exit.match(exit, {
      onSuccess: (value) => `success ${value}`,
      onFailure: (cause) => {
        if (Cause.isInterruptedOnly(cause)) return "interrupted"
        return Cause.isDie(cause) ? `defect ${Cause.squash(cause)}` : `failure ${Cause.squash(cause)}`
      }
    })

  const cases: ReadonlyArray<{
    readonly name: string
    readonly child: Effect.Effect<unknown, unknown>
    readonly expected: string
  }> = [
    { name: "success", child: Effect.succeed(7), expected: "success 7" },
    { name: "failure", child: Effect.fail("refused"), expected: "failure refused" },
    { name: "defect", child: Effect.die("bug"), expected: "defect bug" },
    { name: "interruption by itself", child: Effect.interrupt, expected: "interrupted" }
  ]
  for (const { name, child, expected } of cases) {
    for (const [when, suspended] of [
      ["that completes at once", child],
      ["that suspends", Effect.zipRight(Effect.yieldNow(), child)]
    ] as const) {
      effect(`the ${name} of a child ${when} comes back as a message`, () =>
        Effect.gen(function* () {
          const { actor, dispatcher, handled } = setUp()
          actor.spawn(suspended, describeExit)
          yield* settle(dispatcher)
          expect(handled).toEqual([expected])
          yield* settle(dispatcher)
          expect(handled).toEqual([expected])
        })
      )
    }
  }

  effect("a child spawned in a turn that completes at once is answered in the same tick", () =>
    Effect.sync(() => {
      const { actor, dispatcher, handled } = setUp((message, actor) => {
        if (message === "ask") actor.spawn(Effect.succeed("yes"), describeExit)
      })
      actor.tell("ask")
      dispatcher.tick()
      expect(handled).toEqual(["ask", "success yes"])
    })
  )

  effect("a child's answer is taken although the mailbox is full", () =>
    Effect.gen(function* () {
      const { dispatcher } = handDispatcher()
      const limits = { countMax: 1, bytesMax: 1, bytesOf: () => 1 }
      const options = { runQueue: dispatcher.runQueue(1), fork: Effect.runFork as ForkChild, limits }
      const { actor, handled } = recording<string>(options)
      actor.spawn(Effect.succeed(1), describeExit)
      expect(actor.tell("refused")).toBe(false)
      actor.spawn(Effect.succeed(2), describeExit)
      yield* settle(dispatcher)
      expect(handled).toEqual(["success 1", "success 2"])
    })
  )

  effect("`stop` interrupts every child that still runs, and no message comes of it", () =>
    Effect.gen(function* () {
      const { actor, dispatcher, handled } = setUp()
      const ended: Array<string> = []
      const asked: Array<string> = []
      for (const name of ["a", "b"]) {
        const child = Effect.onExit(Effect.never, (exit) => Effect.sync(() => ended.push(describeExit(exit))))
        actor.spawn(child, () => {
          asked.push(name)
          return name
        })
      }
      actor.spawn(Effect.succeed(1), describeExit)
      yield* settle(dispatcher)
      expect(ended).toEqual([])
      actor.stop()
      yield* settle(dispatcher)
      expect(ended).toEqual(["interrupted", "interrupted"])
      expect(handled).toEqual(["success 1"])
      expect([asked, actor.mailLength]).toEqual([[], 0])
    })
  )

  effect("a child that stops its parent before it first suspends is interrupted as well", () =>
    Effect.gen(function* () {
      const { actor } = setUp()
      let interrupted = 0
      const child = Effect.sync(() => actor.stop()).pipe(
        Effect.zipRight(Effect.never),
        Effect.onInterrupt(() => Effect.sync(() => interrupted++))
      )
      actor.spawn(child, describeExit)
      yield* nextImmediate
      expect([actor.stopped, interrupted]).toEqual([true, 1])
    })
  )

  effect("a stopped actor starts no child", () =>
    Effect.gen(function* () {
      const { actor } = setUp()
      let started = 0
      actor.stop()
      actor.spawn(
        Effect.sync(() => started++),
        describeExit
      )
      yield* nextImmediate
      expect(started).toBe(0)
    })
  )

  effect("a throw in making the message is the actor's defect", () =>
    Effect.gen(function* () {
      const { actor, defects, dispatcher } = setUp()
      const bug = new RangeError("a bug")
      actor.spawn(Effect.yieldNow(), () => {
        throw bug
      })
      yield* settle(dispatcher)
      expect(defects).toEqual([bug])
      expect(actor.stopped).toBe(true)
    })
  )
})

describe("Actor: with the dispatcher's fiber", () => {
  effect("a timed child's answer wakes the actor by itself", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make()
      const runtime = yield* Effect.runtime<never>()
      const fork: ForkChild = (effect) => Effect.runFork(Effect.provide(effect, runtime))
      const { actor, handled } = recording<string>({ runQueue: dispatcher.runQueue(1), fork })
      actor.spawn(Effect.sleep("2 seconds"), () => "slept")
      yield* TestClock.adjust("1999 millis")
      yield* nextImmediate
      expect(handled).toEqual([])
      yield* TestClock.adjust("1 millis")
      for (let i = 0; i < 3; i++) yield* nextImmediate
      expect(handled).toEqual(["slept"])
    })
  )

  live("immediates are served while an actor keeps sending itself mail", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make({ tickMs: 1 })
      const { actor, handled } = recording<number>({
        runQueue: dispatcher.runQueue(1),
        onMessage: (message, actor) => void actor.tell(message + 1)
      })
      actor.tell(0)
      const counts: Array<number> = []
      for (let i = 0; i < 5; i++) {
        yield* nextImmediate
        yield* nextImmediate
        counts.push(handled.length)
      }
      actor.stop()
      expect([...counts].sort((a, b) => a - b)).toEqual(counts)
      expect(new Set(counts).size).toBe(5)
      expect(handled).toEqual(handled.map((_, i) => i))
    })
  )
})
