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
 * - Fair in what leaves as well: while several tenants are at work, a queue flushes what it wrote in its own
 *   rounds and pays for that, a write with a few messages' worth and more for many bytes, so that a tenant
 *   with ten thousand receivers does not take the tick with their sockets.
 * - Yielding: a tick that has run for `tickMs` flushes and returns to the event loop, so sockets are always
 *   served. The queue whose round that cut short goes on first, with the credit it had.
 * - Prompt: a queue that was idle has its first round before those that wait for their next one, so that a
 *   tenant with little to do does not stand behind one that floods. It counts as idle only when it has been
 *   found empty among the others, so nobody gets more than one round in advance. While there are several
 *   tenants at work, a tick lasts `sharedTickMs`, so that the sockets of the others are looked at; what a
 *   queue wrote is flushed when it has nothing more to do, or after `tickMs`, because half a batch costs as
 *   many writes as a whole one. Beside a tenant that sends two million messages a second over one connection,
 *   another's median was 1.5 ms and its p99 9; so they are 0.2 and 1.8, of which 1.1 to 1.8 are pauses of the
 *   collector, forty a second at that rate (Bun 1.4.5, 2026-11).
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
  /** The same while several queues have work: how long one may wait until its sockets are looked at. */
  readonly sharedTickMs: number
  /** Monotonic milliseconds, for the length of ticks alone. */
  readonly elapsed: () => number
}

export const defaultDispatcherOptions: DispatcherOptions = {
  quantum: 512,
  turnBudget: 256,
  tickMs: 8,
  sharedTickMs: 0.5,
  elapsed: () => performance.now()
}

/**
 * What a write to a socket costs, and what the bytes in it do: some 4 µs and 1 µs for 4 KB, where a unit is
 * about half a microsecond (Bun 1.4.5, 2026-11).
 */
const FLUSH_UNITS = 8
const BYTES_PER_UNIT = 2048

/** Units of work between two looks at the clock, which costs about as much as a small turn. */
const LOOK_EVERY = 64
/** Ticks are short for this long after a queue has come that is not the one that came before it. */
const SHARED_MS = 1000

/** How a queue's round ended: nobody is left, the credit is spent, or the time was up before it was. */
type Round = "idle" | "spent" | "cut short"

/** The actors of one tenant that have mail, and the tenant's account in the round robin. */
export class RunQueue {
  private readonly ready = new Fifo<Turn>()
  private deficit = 0
  private inRound = false
  /** What its turns have written to, and how much of it has been flushed. For `Dispatcher`. */
  readonly written: Array<Flushable> = []
  flushedTo = 0
  /** It has waited long enough: it is flushed before the next turn. */
  isFlushDue = false
  /** It is among those that have something to be flushed. */
  isUnflushed = false

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
    if (this.isFlushDue && !dispatcher.flushWritten(this)) return this.interrupted
    while (this.deficit > 0 && !dispatcher.timeIsUp) {
      const turn = ready.shift()
      if (turn === undefined) break
      // A turn is never free: not when it found nothing to do, not when it miscounts.
      const units = Math.max(1, turn.runTurn(turnBudget))
      this.deficit -= units
      if (turn.staysReady()) ready.push(turn)
      dispatcher.spend(units)
    }
    if (ready.length > 0 || !dispatcher.flushWritten(this)) return this.interrupted
    // What an idle queue did not spend is forfeited: credit is for those who wait, not who were away.
    if (this.deficit > 0) this.deficit = 0
    return "idle"
  }

  private get interrupted(): Round {
    return this.deficit > 0 ? "cut short" : "spent"
  }

  get hasCredit(): boolean {
    return this.deficit > 0
  }

  pay(units: number): void {
    this.deficit -= units
  }

  /** It was found idle among those that wait for their next round. For `Dispatcher`. */
  leave(): void {
    this.inRound = false
  }

  get waiting(): number {
    return this.ready.length
  }
}

export class Dispatcher {
  /** Queues that were idle, before their first round, and those after it. */
  private readonly newcomers = new Fifo<RunQueue>()
  private readonly round = new Fifo<RunQueue>()
  private lastNewcomer: RunQueue | undefined
  private sharedUntilMs = 0
  /** Whose turns are being run, and who pays for what is written. */
  private current: RunQueue | undefined
  private payer: RunQueue | undefined
  /** Several queues share this tick. */
  private isShared = false
  /** Queues that have something written, some of them no more, and when they are to be flushed. */
  private readonly unflushed: Array<RunQueue> = []
  private flushAllAt = 0
  /** Written to between turns. */
  private flushables: Array<Flushable> = []
  private flushed: Array<Flushable> = []
  private armed = false
  private resume: ((effect: Effect.Effect<void>) => void) | undefined
  private now: number
  private tickBeganAt = 0
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
    if (this.lastNewcomer !== queue) {
      if (this.lastNewcomer !== undefined) this.sharedUntilMs = this.now + SHARED_MS
      this.lastNewcomer = queue
    }
    this.newcomers.push(queue)
    this.wake()
  }

  /** Counts work done, and looks at the clock now and then. For `RunQueue`. */
  spend(units: number): void {
    this.untilLook -= units + 1
    if (this.untilLook > 0) return
    this.untilLook = LOOK_EVERY
    this.expired = this.options.elapsed() >= this.tickEndsAt
  }

  /** Bytes have gone to a socket, in a turn or a flush: the queue that is at work pays for them. */
  wrote(bytes: number): void {
    const { payer } = this
    if (payer === undefined || bytes < BYTES_PER_UNIT) return
    const units = Math.floor(bytes / BYTES_PER_UNIT)
    payer.pay(units)
    this.spend(units)
  }

  /** Flushes what a queue has written, as far as its credit and the tick go. True when that was all. */
  flushWritten(queue: RunQueue): boolean {
    const { current } = this
    // What a flush writes to in turn is the next tick's.
    this.current = undefined
    const isAll = this.flushFrom(queue)
    this.current = current
    return isAll
  }

  private flushFrom(queue: RunQueue): boolean {
    const { written } = queue
    while (queue.flushedTo < written.length) {
      if (this.isShared) {
        if (!queue.hasCredit || this.expired) return false
        queue.pay(FLUSH_UNITS)
        this.spend(FLUSH_UNITS)
      }
      const next = written[queue.flushedTo++]
      if (next !== undefined) this.flushOne(next)
    }
    written.length = 0
    queue.flushedTo = 0
    queue.isFlushDue = false
    return true
  }

  /**
   * Flushes `flushable` when the queue whose turn it is has nothing more to do, or after `tickMs`; at the end
   * of the next tick when called between turns. Call once until then.
   */
  flushLater(flushable: Flushable): void {
    const { current } = this
    if (current === undefined) {
      this.flushables.push(flushable)
      return this.wake()
    }
    if (!current.isUnflushed) {
      if (this.unflushed.length === 0) this.flushAllAt = this.tickBeganAt + this.options.tickMs
      current.isUnflushed = true
      this.unflushed.push(current)
    }
    current.written.push(flushable)
  }

  /**
   * Completes when no actor has mail and nothing waits to be flushed. Looks once a turn of the event loop:
   * for a shutdown, when little is left to do.
   */
  readonly untilIdle: Effect.Effect<void> = Effect.async((resume) => {
    let next: NodeJS.Immediate | undefined
    const look = () => {
      if (!this.hasWork) resume(Effect.void)
      else next = setImmediate(look)
    }
    look()
    return Effect.sync(() => clearImmediate(next))
  })

  /** One tick. Public for tests that step the dispatcher by hand. */
  tick(): void {
    const { elapsed, sharedTickMs, tickMs } = this.options
    this.now = this.clock.unsafeCurrentTimeMillis()
    const isShared = this.now < this.sharedUntilMs
    this.isShared = isShared
    this.tickBeganAt = elapsed()
    this.tickEndsAt = this.tickBeganAt + (isShared ? Math.min(tickMs, sharedTickMs) : tickMs)
    this.untilLook = LOOK_EVERY
    this.expired = false
    this.ticks++
    while (!this.expired) {
      const line = this.newcomers.length > 0 ? this.newcomers : this.round
      const queue = line.peek()
      if (queue === undefined) break
      const round = this.serve(queue)
      if (round === "cut short") break
      line.shift()
      if (round === "spent" || line === this.newcomers) this.round.push(queue)
      else queue.leave()
    }
    this.flushQueues()
    this.flushOthers()
    if (this.hasWork) this.wake()
  }

  /** Somebody has mail, or something waits to be flushed. */
  get hasWork(): boolean {
    return this.round.length > 0 || this.newcomers.length > 0 || this.flushables.length > 0
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
      if (this.hasWork) this.wake()
      return Effect.sync(() => {
        this.resume = undefined
      })
    })
    const log = Effect.suspend(() => Effect.forEach(this.takeDefects(), logDefect, { discard: true }))
    return Effect.forever(Effect.zipRight(work, log))
  })

  private serve(queue: RunQueue): Round {
    this.current = queue
    this.payer = this.isShared ? queue : undefined
    try {
      return queue.serve(this.options.quantum, this.options.turnBudget)
    } catch (defect) {
      // Whose turn it was has left the line for good; the queue keeps its place in the round.
      this.defects.push(defect)
      this.spend(1)
      return "spent"
    } finally {
      this.current = undefined
      this.payer = undefined
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

  /**
   * All that is written, when nobody shares the tick; else what has waited long enough is flushed in the next
   * rounds of its queue, which is in line as long as it has something.
   */
  private flushQueues(): void {
    const { isShared, unflushed } = this
    const isDue = this.tickEndsAt >= this.flushAllAt
    let waiting = 0
    for (const queue of unflushed) {
      if (!isShared) this.flushWritten(queue)
      queue.isUnflushed = queue.written.length > 0
      if (!queue.isUnflushed) continue
      if (isDue) queue.isFlushDue = true
      unflushed[waiting++] = queue
    }
    unflushed.length = waiting
    if (isDue) this.flushAllAt = this.tickEndsAt + this.options.tickMs
  }

  private flushOthers(): void {
    // A flush may ask for another (a handler that answers); that one belongs to the next tick.
    const batch = this.flushables
    this.flushables = this.flushed
    this.flush(batch)
    this.flushed = batch
  }

  private flush(batch: Array<Flushable>): void {
    for (const flushable of batch) this.flushOne(flushable)
    batch.length = 0
  }

  private flushOne(flushable: Flushable): void {
    try {
      flushable.flush()
    } catch (defect) {
      this.defects.push(defect)
    }
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
