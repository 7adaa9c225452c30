/**
 * A sink that takes its time: events wait in a queue, bounded in number and in bytes, and one fiber delivers
 * them in batches.
 *
 * What does not fit is lost and counted, and an `EventsLost` follows as soon as there is room again, so that
 * whoever reads the events knows what is missing. When its scope closes it takes no more, and has `flushMs`
 * to deliver what waits.
 */

import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { loggable } from "../telemetry/redaction.ts"
import type { Event } from "./Event.ts"
import type { EventSink, SinkCounts } from "./EventSink.ts"
import { eventBytes, type Happened } from "./eventJson.ts"

export interface BoundedSinkOptions {
  /** For `EventsLost` and the log. */
  readonly name: string
  /** Events that wait, and what they weigh. */
  readonly countMax: number
  readonly bytesMax: number
  readonly batchMax: number
  readonly flushMs: number
  readonly takes: (event: Event) => boolean
  /** Delivers a batch, in its order; false when it had to be given up. */
  readonly deliver: (batch: ReadonlyArray<Happened>) => Effect.Effect<boolean>
}

export const boundedSink = (
  options: BoundedSinkOptions
): Effect.Effect<EventSink["Type"] & Required<Pick<EventSink["Type"], "counts">>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const queue = new EventQueue(options, clock)
    const fiber = yield* Effect.forkScoped(Effect.interruptible(deliverAll(queue, options)))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        queue.close()
        // A finalizer cannot be interrupted, and a wait that cannot be interrupted would outlast its limit.
        return Effect.timeoutOption(Effect.interruptible(Fiber.join(fiber)), options.flushMs)
      }).pipe(
        Effect.zipRight(
          Effect.suspend(() => (queue.unsent === 0 ? Effect.void : logLost(options, queue.unsent)))
        )
      )
    )
    return { report: (event) => queue.offer(event), counts: () => [queue.counts] }
  })

/** Until the queue is closed and empty. */
const deliverAll = (queue: EventQueue, { deliver, name }: BoundedSinkOptions): Effect.Effect<void> =>
  Effect.suspend(() => queue.next()).pipe(
    Effect.flatMap((batch) =>
      Effect.suspend(() => (batch.length === 0 ? Effect.succeed(true) : deliver(batch))).pipe(
        Effect.catchAllCause((cause) =>
          Effect.as(Effect.logError(`events: ${name} failed to deliver`, loggable(cause)), false)
        ),
        Effect.map((isTaken) => queue.settle(batch, isTaken))
      )
    ),
    Effect.repeat({ until: () => queue.isDone }),
    Effect.asVoid
  )

const logLost = ({ name }: BoundedSinkOptions, count: number): Effect.Effect<void> =>
  Effect.logWarning(`events: ${name} could not deliver the last ${count} events`)

type Waiter = (effect: Effect.Effect<ReadonlyArray<Happened>>) => void

class EventQueue {
  private events: Array<Happened> = []
  private bytes = 0
  private lost = 0
  /** Lost, and not told of by an `EventsLost`. */
  private untold = 0
  private sent = 0
  private underWay = 0
  private isClosed = false
  private waiter: Waiter | undefined

  constructor(
    private readonly options: BoundedSinkOptions,
    private readonly clock: Clock.Clock
  ) {}

  get counts(): SinkCounts {
    return { name: this.options.name, delivered: this.sent, lost: this.lost, waiting: this.unsent }
  }

  get unsent(): number {
    return this.events.length + this.underWay
  }

  get isDone(): boolean {
    return this.isClosed && this.unsent === 0
  }

  offer(event: Event): void {
    const { bytesMax, countMax, takes } = this.options
    if (this.isClosed || !takes(event)) return
    const bytes = eventBytes(event)
    // What is being delivered is held as well.
    if (this.unsent >= countMax || this.bytes + bytes > bytesMax) return this.lose(1)
    this.push(event, bytes)
    this.wake()
  }

  /** The next events, as soon as there are some; none when there will be none. */
  next(): Effect.Effect<ReadonlyArray<Happened>> {
    return Effect.async((resume: Waiter) => {
      this.waiter = resume
      this.wake()
    })
  }

  /**
   * A batch was delivered, or given up. What was lost is told of when one was delivered: told to nobody, it
   * would be lost again and again.
   */
  settle(batch: ReadonlyArray<Happened>, isTaken: boolean): void {
    this.underWay = 0
    for (const { event } of batch) this.bytes -= eventBytes(event)
    if (!isTaken) {
      for (const { event } of batch) {
        // What it tells of was counted when it was lost.
        if (event._tag === "EventsLost") this.untold += event.count
        else this.lose(1)
      }
      return
    }
    this.sent += batch.length
    const count = this.untold
    if (count === 0) return
    this.untold = 0
    const event: Event = { _tag: "EventsLost", sink: this.options.name, tenant: undefined, count }
    this.push(event, eventBytes(event))
  }

  close(): void {
    this.isClosed = true
    this.wake()
  }

  private push(event: Event, bytes: number): void {
    this.events.push({ event, atMs: this.clock.unsafeCurrentTimeMillis() })
    this.bytes += bytes
  }

  private lose(count: number): void {
    this.lost += count
    this.untold += count
  }

  private wake(): void {
    const { events, waiter } = this
    if (waiter === undefined || (events.length === 0 && !this.isClosed)) return
    this.waiter = undefined
    const batch = events.splice(0, this.options.batchMax)
    this.underWay = batch.length
    waiter(Effect.succeed(batch))
  }
}
