/**
 * Sends a tenant's clients away one after another, so that they do not all come to the next server at once.
 *
 * A deadline of the tenant's wheel: each time it is due it takes the next few, until it has found nobody any
 * more. Nobody new is let in meanwhile, so it comes to an end.
 */

import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"

export interface DrainOptions<S> {
  readonly wheel: DeadlineWheel
  readonly nowMs: () => number
  /** Clients a second. */
  readonly rate: number
  readonly clients: () => Iterable<S>
  readonly isThere: (client: S) => boolean
  readonly send: (client: S) => void
}

/** The time between two steps, or a little more for a rate below ten a second. */
const STEP_MS = 100

export class Drain<S> extends Deadline {
  private rest: Iterator<S>
  private readonly each: number
  private readonly everyMs: number

  constructor(private readonly options: DrainOptions<S>) {
    super()
    this.each = Math.max(1, Math.round((options.rate * STEP_MS) / 1000))
    this.everyMs = (this.each * 1000) / options.rate
    this.rest = options.clients()[Symbol.iterator]()
    this.step()
  }

  onDeadline(): void {
    this.step()
  }

  stop(): void {
    this.options.wheel.cancel(this)
  }

  private step(): void {
    const { nowMs, send, wheel } = this.options
    for (let sent = 0; sent < this.each; sent++) {
      const client = this.following()
      if (client === undefined) {
        if (!this.beginAgain()) return
        break
      }
      send(client)
    }
    wheel.schedule(this, nowMs() + this.everyMs)
  }

  private following(): S | undefined {
    for (let next = this.rest.next(); next.done !== true; next = this.rest.next()) {
      if (this.options.isThere(next.value)) return next.value
    }
    return undefined
  }

  /** From the beginning once more: somebody may have been on the way in. False when nobody is left. */
  private beginAgain(): boolean {
    const { clients, isThere } = this.options
    this.rest = clients()[Symbol.iterator]()
    for (const client of clients()) if (isThere(client)) return true
    return false
  }
}
