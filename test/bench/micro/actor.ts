/**
 * What it costs to wake one of 1,000 actors with a message, by the way in which the actor waits: a fiber on
 * an Effect `Queue`, a fiber on an Effect `Mailbox`, our actors on the dispatcher. It is the fan-out of one
 * PUBLISH to 1,000 sessions, and the reason why the kernel has a dispatcher. One actor alone shows what a
 * whole tick of the dispatcher costs, as in a broker that is nearly idle. A figure is for a wake with all its
 * messages. The ratios count; absolute times depend on the machine.
 */

import * as Effect from "effect/Effect"
import * as EffectMailbox from "effect/Mailbox"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Actor } from "../../../src/actor/Actor.ts"
import { Dispatcher } from "../../../src/actor/Dispatcher.ts"
import type { Mailbox } from "../../../src/actor/Mailbox.ts"
import type { Figure, RunOptions } from "./run.ts"
import { sampleOf } from "./Sampling.ts"

/** Actors woken in a round of a fan-out. */
const FAN_OUT = 1_000

interface Message {
  readonly _tag: "Message"
  readonly bytes: number
}
const message: Message = { _tag: "Message", bytes: 64 }

/** Counts what all actors of a contender have handled. */
class Tally {
  handled = 0
}

/** A number of actors that wait in one way. */
interface Contender {
  readonly name: string
  readonly actors: number
  readonly messagesPerWake: number
  readonly start: (tally: Tally) => Effect.Effect<(actor: number) => void, never, Scope.Scope>
}

const onQueue: Contender = {
  name: "fiber on Queue.takeBetween",
  actors: FAN_OUT,
  messagesPerWake: 1,
  start: Effect.fnUntraced(function* (tally) {
    const queues = yield* Effect.replicateEffect(Queue.unbounded<Message>(), FAN_OUT)
    for (const queue of queues) {
      const turn = Effect.map(Queue.takeBetween(queue, 1, FAN_OUT), (batch) => {
        for (const _ of batch) tally.handled++
      })
      yield* Effect.forkScoped(Effect.forever(turn))
    }
    return (actor) => void queues[actor]?.unsafeOffer(message)
  })
}

const onMailbox: Contender = {
  name: "fiber on Mailbox.takeAll",
  actors: FAN_OUT,
  messagesPerWake: 1,
  start: Effect.fnUntraced(function* (tally) {
    const mailboxes = yield* Effect.replicateEffect(EffectMailbox.make<Message>(), FAN_OUT)
    for (const mailbox of mailboxes) {
      const turns = Effect.whileLoop({
        while: () => true,
        body: () => mailbox.takeAll,
        step: ([batch]) => {
          for (const _ of batch) tally.handled++
        }
      })
      yield* Effect.forkScoped(turns)
    }
    return (actor) => void mailboxes[actor]?.unsafeOffer(message)
  })
}

/** The behaviour of a session that does nothing but count. */
class Counter {
  constructor(private readonly tally: Tally) {}

  turn(mail: Mailbox<Message>, budget: number): number {
    let units = 0
    while (units < budget && mail.take() !== undefined) units++
    this.tally.handled += units
    return units
  }

  onDefect(defect: unknown): void {
    throw defect
  }
}

interface Shape {
  readonly name: string
  readonly actors?: number
  readonly tenants?: number
  readonly messagesPerWake?: number
}

const onDispatcher = ({ name, actors = FAN_OUT, tenants = 1, messagesPerWake = 1 }: Shape): Contender => ({
  name: `actor on the dispatcher${name}`,
  actors,
  messagesPerWake,
  start: Effect.fnUntraced(function* (tally) {
    const dispatcher = yield* Dispatcher.make()
    const runQueues = Array.from({ length: tenants }, () => dispatcher.runQueue(1))
    const limits = { countMax: 1_000, bytesMax: 1 << 20, bytesOf: (message: Message) => message.bytes }
    const fork = Effect.runFork
    const all = Array.from({ length: actors }, (_, i) => {
      const behaviour = new Counter(tally)
      return new Actor({ runQueue: runQueues[i % tenants]!, limits, behaviour, fork })
    })
    return (actor) => {
      for (let i = 0; i < messagesPerWake; i++) all[actor]?.tell(message)
    }
  })
})

const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Wakes every actor `rounds` times, each round after the one before was handled; nanoseconds a wake. */
const wakeAll = async (contender: Contender, tell: (actor: number) => void, tally: Tally, rounds: number) => {
  const { actors, messagesPerWake } = contender
  const startedAt = performance.now()
  for (let round = 0; round < rounds; round++) {
    const target = tally.handled + actors * messagesPerWake
    for (let actor = 0; actor < actors; actor++) tell(actor)
    while (tally.handled < target) await eventLoopTurn()
  }
  return ((performance.now() - startedAt) * 1e6) / (rounds * actors)
}

/** The median of several samples: one that another process fell into does not count. */
const measure = (contender: Contender, sampleMs: number): Effect.Effect<Figure> =>
  Effect.gen(function* () {
    const tally = new Tally()
    const tell = yield* contender.start(tally)
    const sample = (rounds: number) => Effect.promise(() => wakeAll(contender, tell, tally, rounds))
    const warmUpRounds = Math.ceil(20_000 / contender.actors)
    yield* sample(warmUpRounds)
    const estimate = yield* sample(warmUpRounds)
    const rounds = Math.max(3, Math.round((sampleMs * 1e6) / (estimate * contender.actors)))
    const samples = yield* Effect.replicateEffect(sample(rounds), 9)
    return { name: contender.name, unit: "ns", ...sampleOf(samples) }
  }).pipe(Effect.scoped)

const contenders = [
  onQueue,
  onMailbox,
  onDispatcher({ name: "" }),
  onDispatcher({ name: ", 100 tenants", tenants: 100 }),
  onDispatcher({ name: ", 20 messages a wake", messagesPerWake: 20 }),
  onDispatcher({ name: ", a turn's 256 messages a wake", messagesPerWake: 256 }),
  onDispatcher({ name: ", alone: a whole tick", actors: 1 })
]

export const run = (options: RunOptions): Promise<ReadonlyArray<Figure>> =>
  Effect.runPromise(Effect.forEach(contenders, (contender) => measure(contender, options.quick ? 10 : 100)))
