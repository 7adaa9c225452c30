/**
 * The dispatcher: one Effect fiber that gives every actor with mail its turn.
 *
 * Why not a fiber an actor: waking a fiber costs 3-35 µs on Bun 1.4 with effect 3.22 and a PUBLISH that fans out to 1,000
 * sessions wakes 1,000 of them; a turn from a run queue costs 0.04-0.3 µs (test/bench/micro/actor.ts, 2026-11).
 *
 * - Fair: a run queue a tenant, served by deficit round robin. A queue earns `quantum * weight` each round and pays what
 *   its turns cost, so a tenant that floods waits in its own queue. A turn may cost at most `turnBudget`.
 * - Batched: the fiber wakes through `setImmediate`, after the event loop has read every ready socket; what they brought
 *   is one tick's work, and what the tick wrote is flushed once, at its end.
 * - Yielding: a tick that has run for `tickMs` flushes and returns to the event loop, so sockets are always served.
 *
 * The dispatcher knows neither messages nor supervision: a `Turn` that throws is the actor's to handle.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Fifo } from "./Fifo.ts"

/** Something that can be scheduled: an actor. */
export interface Turn {
  /** Runs one turn of at most `budget` units (one a message, roughly), returns the units spent. Must not throw. */
  readonly runTurn: (budget: number) => number
  /** After a turn: true when it has mail left and stays in line, false when it has left the line until it is scheduled again. */
  readonly staysReady: () => boolean
}

/** Something that collects output during a tick and hands it over at the end, such as a connection. Must not throw. */
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

/** The actors of one tenant that have mail, and the tenant's account in the round robin. */
export class RunQueue {
  private readonly ready = new Fifo<Turn>()
  private deficit = 0
  private inRound = false

  constructor(
    private readonly dispatcher: Dispatcher,
    /** Share of the processor relative to other queues; 1 is normal. At least 1/512 so that every round earns something. */
    public weight: number
  ) {}

  /** Puts an actor that has mail in line. The caller sees to it that it stands there once. */
  schedule(turn: Turn): void {
    this.ready.push(turn)
    if (this.inRound) return
    this.inRound = true
    this.dispatcher.enter(this)
  }

  /** One round: spends the deficit on turns. True when actors are left waiting for the next one. */
  serve(quantum: number, turnBudget: number): boolean {
    this.deficit += quantum * this.weight
    while (this.deficit > 0) {
      const turn = this.ready.shift()
      if (turn === undefined) break
      this.deficit -= turn.runTurn(turnBudget)
      if (turn.staysReady()) this.ready.push(turn)
    }
    if (this.ready.length > 0) return true
    // What an idle queue did not spend is forfeited: credit is for those who wait, not for those who were away.
    if (this.deficit > 0) this.deficit = 0
    this.inRound = false
    return false
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
  /** Ticks run so far; for metrics. */
  ticks = 0

  constructor(
    private readonly clock: Clock.Clock,
    private readonly options: DispatcherOptions
  ) {
    this.now = clock.unsafeCurrentTimeMillis()
  }

  /** The instant of the current tick, in milliseconds since the epoch: read once a tick, the same for all its turns. */
  get nowMs(): number {
    return this.now
  }

  runQueue(weight: number): RunQueue {
    return new RunQueue(this, weight)
  }

  /** Puts a run queue in the round and wakes the fiber. For `RunQueue`. */
  enter(queue: RunQueue): void {
    this.round.push(queue)
    this.wake()
  }

  /** Flushes `flushable` at the end of this tick (or of the next, when called between ticks). Call once a tick. */
  flushLater(flushable: Flushable): void {
    this.flushables.push(flushable)
    this.wake()
  }

  /** One tick. Public for tests that step the dispatcher by hand. */
  tick(): void {
    const { elapsed, quantum, tickMs, turnBudget } = this.options
    const deadline = elapsed() + tickMs
    this.now = this.clock.unsafeCurrentTimeMillis()
    this.ticks++
    for (;;) {
      const queue = this.round.shift()
      if (queue === undefined) break
      if (queue.serve(quantum, turnBudget)) this.round.push(queue)
      if (elapsed() >= deadline) break
    }
    this.flushAll()
    if (this.round.length > 0) this.wake()
  }

  /** The fiber's life: a tick whenever there is work. */
  readonly run: Effect.Effect<never> = Effect.suspend(() =>
    Effect.forever(
      Effect.zipRight(
        Effect.async<void>((resume) => {
          this.resume = resume
          if (this.round.length > 0 || this.flushables.length > 0) this.wake()
        }),
        Effect.sync(() => this.tick())
      )
    )
  )

  private wake(): void {
    if (this.armed || this.resume === undefined) return
    this.armed = true
    setImmediate(this.fire)
  }

  private readonly fire = (): void => {
    this.armed = false
    const resume = this.resume
    this.resume = undefined
    resume?.(Effect.void)
  }

  private flushAll(): void {
    // A flush may ask for another (a handler that answers); that one belongs to the next tick.
    const batch = this.flushables
    this.flushables = this.flushed
    for (const flushable of batch) flushable.flush()
    batch.length = 0
    this.flushed = batch
    if (this.flushables.length > 0) this.wake()
  }

  /** A dispatcher whose fiber lives in the caller's scope. A defect of the loop itself is logged as fatal: nothing runs after it. */
  static readonly make = (
    options: Partial<DispatcherOptions> = {}
  ): Effect.Effect<Dispatcher, never, Scope.Scope> =>
    Effect.gen(function* () {
      const clock = yield* Clock.clockWith(Effect.succeed)
      const dispatcher = new Dispatcher(clock, { ...defaultDispatcherOptions, ...options })
      yield* dispatcher.run.pipe(
        Effect.tapDefect((cause) => Effect.logFatal("the dispatcher died; no actor will run again", cause)),
        Effect.forkScoped
      )
      return dispatcher
    })
}
