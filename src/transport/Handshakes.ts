/**
 * Deadlines of connections that are not established yet: an absolute one from accept, that no byte prolongs,
 * so that a peer that sends a byte a second holds a place no longer than one that sends nothing.
 *
 * One sweep looks at all of them; there is no timer per socket. A wire overstays by a quarter of its time at
 * most. Closing the scope ends the sweep and destroys what is still here: nobody else owns these wires.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** What can be given a deadline. */
export interface Expiring {
  readonly acceptedAtMs?: number
  readonly destroy: () => void
}

export class Handshakes {
  private readonly deadlines = new Map<Expiring, number>()
  /** Those among them that are established and end: they are no handshake timeouts. */
  private readonly ending = new Set<Expiring>()
  private expired = 0
  private isOver = false

  constructor(
    private readonly timeoutMs: () => number,
    private readonly clock: Clock.Clock
  ) {}

  get pending(): number {
    return this.deadlines.size - this.ending.size
  }

  get timeouts(): number {
    return this.expired
  }

  /** No sweep will come: the listener's scope is closed. */
  get isStopped(): boolean {
    return this.isOver
  }

  nowMs(): number {
    return this.clock.unsafeCurrentTimeMillis()
  }

  /** Starts the time of a wire, from its accept. */
  add(wire: Expiring): void {
    this.deadlines.set(wire, (wire.acceptedAtMs ?? this.nowMs()) + this.timeoutMs())
  }

  /** An established wire ends: it is destroyed unless that is done in `withinMs` from now. */
  addEnding(wire: Expiring, withinMs: number): void {
    this.deadlines.set(wire, this.nowMs() + withinMs)
    this.ending.add(wire)
  }

  /** Established or gone. False when it was not here. */
  delete(wire: Expiring): boolean {
    this.ending.delete(wire)
    return this.deadlines.delete(wire)
  }

  expire(nowMs: number): void {
    for (const [wire, deadlineMs] of this.deadlines) {
      if (nowMs < deadlineMs) continue
      if (!this.ending.has(wire)) this.expired += 1
      this.delete(wire)
      wire.destroy()
    }
  }

  stop(): void {
    this.isOver = true
    for (const wire of [...this.deadlines.keys()]) wire.destroy()
    this.deadlines.clear()
    this.ending.clear()
  }
}

/** How long a handshake may take; a function is asked for each. */
export type HandshakeTimeout = number | (() => number)

/** Deadlines that are swept while the scope is open. */
export const makeHandshakes = (
  timeout: HandshakeTimeout = 10_000
): Effect.Effect<Handshakes, never, Scope.Scope> =>
  Effect.gen(function* () {
    const timeoutMs = typeof timeout === "number" ? () => timeout : timeout
    const handshakes = new Handshakes(timeoutMs, yield* Effect.clock)
    yield* Effect.addFinalizer(() => Effect.sync(() => handshakes.stop()))
    const periodMs = Math.max(10, Math.min(1000, timeoutMs() / 4))
    yield* Effect.map(Clock.currentTimeMillis, (nowMs) => handshakes.expire(nowMs)).pipe(
      // A sweep that died would let every slow peer stay for ever.
      Effect.catchAllCause((cause) => Effect.logError("handshake sweep failed", Cause.pretty(cause))),
      Effect.repeat(Schedule.spaced(periodMs)),
      Effect.forkScoped
    )
    return handshakes
  })
