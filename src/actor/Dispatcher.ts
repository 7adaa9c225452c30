/**
 * The dispatcher: one Effect fiber whose ticks give every actor with mail its turn.
 *
 * Why not a fiber an actor: waking a fiber that waits on an Effect `Mailbox` or `Queue` costs 4-10 µs, and a
 * PUBLISH that fans out to 1,000 sessions wakes 1,000 of them; a turn from a run queue costs 0.04-0.06 µs and
 * a whole tick with one turn 1-2 µs (Bun 1.4.5, effect 3.22.4, test/bench/micro/actor.ts, 2026-11).
 *
 * - Fair: a run queue a tenant, served by deficit round robin. A queue earns `quantum * weight` each round
 *   and pays what its turns cost, so a tenant that floods waits in its own queue. A turn may cost at most
 *   `turnBudget`.
 * - Batched: a tick comes by `setImmediate`, after the event loop has read every ready socket; what
 *   they brought is one tick's work, and what the tick wrote is flushed once, at its end.
 * - Yielding: a tick that has run for `tickMs` flushes and returns to the event loop, so sockets are always
 *   served. The queue whose round that cut short goes on first, with the credit it had.
 *
 * The dispatcher knows neither messages nor supervision: a `Turn` that throws is the actor's to handle. One
 * that throws all the same is logged and the others run on: the loop outlives every bug in what it runs.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Fifo } from "./Fifo.ts"

/** Something that can be scheduled: an actor. */
export interface Turn {
  /** Runs one turn of at most `budget` units (about one a message); returns those spent. Must not throw. */
  readonly runTurn: (budget: number) => number
  /** After a turn: true when it has mail left and stays in line, false when it leaves the line. */
  readonly staysReady: () => boolean
}

/** Something that collects output in a tick and hands it over at the end: a connection. Must not throw. */
export interface Flushable {
  readonly flush: () => void
}

export interface DispatcherOptions {
  /** Units that a run queue of weight 1 earns in a round. */
  readonly quantum: number
  /** Units that one turn may spend before the next actor of its queue gets its own. */
  readonly turnBudget: number
  /** Milliseconds after which a tick returns to the event loop. */
  readonly tickMs: number
  /** Monotonic milliseconds, for `tickMs` alone. */
  readonly elapsed: () => number
}

export const defaultDispatcherOptions: DispatcherOptions = {
  quantum: 512,
  turnBudget: 256,
  tickMs: 8,
  elapsed: () => performance.now()
}

/** Units of work between two looks at the clock, which costs about as much as a small turn. */
const LOOK_EVERY = 64

/** How a queue's round ended: nobody is left, the credit is spent, or the time was up before it was. */
type Round = "idle" | "spent" | "cut short"

/** The actors of one tenant that have mail, and the tenant's account in the round robin. */
export class RunQueue {
  private readonly ready = new Fifo<Turn>()
  private deficit = 0
  private inRound = false

  constructor(
    private readonly dispatcher: Dispatcher,
    /** Share of the processor relative to other queues; 1 is normal. A round earns at least one unit. */
    public weight: number
  ) {}

  /** Puts an actor that has mail in line. The caller sees to it that it stands there once. */
  schedule(turn: Turn): void {
    this.ready.push(turn)
    if (this.inRound) return
    this.inRound = true
    this.dispatcher.enter(this)
  }

  /** One round, or the rest of one: spends the credit on turns. For `Dispatcher`. */
  serve(quantum: number, turnBudget: number): Round {
    const { dispatcher, ready } = this
    // Credit that is left means that the last tick cut this round short: it goes on, it does not earn again.
    if (this.deficit <= 0) this.deficit += Math.max(1, quantum * this.weight)
    while (this.deficit > 0 && !dispatcher.timeIsUp) {
      const turn = ready.shift()
      if (turn === undefined) break
      // A turn is never free: not when it found nothing to do, not when it miscounts.
      const units = Math.max(1, turn.runTurn(turnBudget))
      this.deficit -= units
      if (turn.staysReady()) ready.push(turn)
      dispatcher.spend(units)
    }
    if (ready.length > 0) return this.deficit > 0 ? "cut short" : "spent"
    // What an idle queue did not spend is forfeited: credit is for those who wait, not who were away.
    if (this.deficit > 0) this.deficit = 0
    this.inRound = false
    return "idle"
  }

  get waiting(): number {
    return this.ready.length
  }
}

export class Dispatcher {
  private readonly round = new Fifo<RunQueue>()
  private flushables: Array<Flushable> = []
  private flushed: Array<Flushable> = []
  private armed = false
  private resume: ((effect: Effect.Effect<void>) => void) | undefined
  private now: number
  private tickEndsAt = 0
  private untilLook = LOOK_EVERY
  private expired = false
  private defects: Array<unknown> = []
  /** Ticks run so far; for metrics. */
  ticks = 0

  constructor(
    private readonly clock: Clock.Clock,
    private readonly options: DispatcherOptions
  ) {
    this.now = clock.unsafeCurrentTimeMillis()
  }

  /**
   * The instant of the current tick, in milliseconds since the epoch: read once a tick, the same for all its
   * turns and flushes. Between ticks it is the last tick's, which may be long ago: event handlers ask their
   * own clock.
   */
  get nowMs(): number {
    return this.now
  }

  /** True when the tick should return to the event loop. For `RunQueue`. */
  get timeIsUp(): boolean {
    return this.expired
  }

  runQueue(weight: number): RunQueue {
    return new RunQueue(this, weight)
  }

  /** Puts a run queue in the round and wakes the fiber. For `RunQueue`. */
  enter(queue: RunQueue): void {
    this.round.push(queue)
    this.wake()
  }

  /** Counts work done, and looks at the clock now and then. For `RunQueue`. */
  spend(units: number): void {
    this.untilLook -= units + 1
    if (this.untilLook > 0) return
    this.untilLook = LOOK_EVERY
    this.expired = this.options.elapsed() >= this.tickEndsAt
  }

  /**
   * Flushes `flushable` at the end of this tick (of the next, when called between ticks). Call once a tick.
   */
  flushLater(flushable: Flushable): void {
    this.flushables.push(flushable)
    this.wake()
  }

  /**
   * Completes when no actor has mail and nothing waits to be flushed. Looks once a turn of the event loop:
   * for a shutdown, when little is left to do.
   */
  readonly untilIdle: Effect.Effect<void> = Effect.async((resume) => {
    let next: NodeJS.Immediate | undefined
    const look = () => {
      if (this.round.length === 0 && this.flushables.length === 0) resume(Effect.void)
      else next = setImmediate(look)
    }
    look()
    return Effect.sync(() => clearImmediate(next))
  })

  /** One tick. Public for tests that step the dispatcher by hand. */
  tick(): void {
    this.tickEndsAt = this.options.elapsed() + this.options.tickMs
    this.untilLook = LOOK_EVERY
    this.expired = false
    this.now = this.clock.unsafeCurrentTimeMillis()
    this.ticks++
    while (!this.expired) {
      const queue = this.round.peek()
      if (queue === undefined) break
      const round = this.serve(queue)
      if (round === "cut short") break
      this.round.shift()
      if (round === "spent") this.round.push(queue)
    }
    this.flushAll()
    if (this.round.length > 0) this.wake()
  }

  /** What turns and flushes threw since it was last asked. The fiber logs it; empty unless there is a bug. */
  takeDefects(): ReadonlyArray<unknown> {
    const { defects } = this
    if (defects.length > 0) this.defects = []
    return defects
  }

  /**
   * The fiber's life: while it waits, ticks run; it is woken to log what they threw, and its end is theirs.
   * A tick is run by the event loop's own callback and not by the fiber, because to wake the fiber cost more
   * than a tick with one turn: 3.0 µs with it, 1.2 to 2.0 without; a message that comes alone cost 64 µs of
   * processor time and now 52 (medians of runs side by side, Bun 1.4.5, effect 3.22.4, 2026-11).
   */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const work = Effect.async<void>((resume) => {
      this.resume = resume
      if (this.round.length > 0 || this.flushables.length > 0) this.wake()
      return Effect.sync(() => {
        this.resume = undefined
      })
    })
    const log = Effect.suspend(() => Effect.forEach(this.takeDefects(), logDefect, { discard: true }))
    return Effect.forever(Effect.zipRight(work, log))
  })

  private serve(queue: RunQueue): Round {
    try {
      return queue.serve(this.options.quantum, this.options.turnBudget)
    } catch (defect) {
      // Whose turn it was has left the line for good; the queue keeps its place in the round.
      this.defects.push(defect)
      this.spend(1)
      return "spent"
    }
  }

  private wake(): void {
    if (this.armed || this.resume === undefined) return
    this.armed = true
    setImmediate(this.fire)
  }

  private readonly fire = (): void => {
    this.armed = false
    const { resume } = this
    if (resume === undefined) return
    try {
      this.tick()
    } catch (defect) {
      this.resume = undefined
      return resume(Effect.die(defect))
    }
    if (this.defects.length === 0) return
    this.resume = undefined
    resume(Effect.void)
  }

  private flushAll(): void {
    // A flush may ask for another (a handler that answers); that one belongs to the next tick.
    const batch = this.flushables
    this.flushables = this.flushed
    for (const flushable of batch) {
      try {
        flushable.flush()
      } catch (defect) {
        this.defects.push(defect)
      }
    }
    batch.length = 0
    this.flushed = batch
    if (this.flushables.length > 0) this.wake()
  }

  /** A dispatcher whose fiber lives in the caller's scope. */
  static readonly make = (
    options: Partial<DispatcherOptions> = {}
  ): Effect.Effect<Dispatcher, never, Scope.Scope> =>
    Effect.gen(function* () {
      const clock = yield* Clock.clockWith(Effect.succeed)
      const dispatcher = new Dispatcher(clock, { ...defaultDispatcherOptions, ...options })
      yield* dispatcher.run.pipe(
        Effect.tapDefect((cause) => Effect.logFatal("the dispatcher died; no actor will run again", cause)),
        // Also where the caller is building uninterruptibly: else the scope could never close.
        Effect.interruptible,
        Effect.forkScoped
      )
      return dispatcher
    })
}

const logDefect = (defect: unknown): Effect.Effect<void> =>
  Effect.logError("a turn or flush threw; the dispatcher goes on", Cause.die(defect))
