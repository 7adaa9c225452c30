/**
 * The requests that have come to the thread, whoever waits for the next, and whether it is quiet: nobody has
 * wanted anything for a while.
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { makeAlarm } from "./alarm.ts"
import type { Request } from "./requests.ts"

/** How long nobody must have wanted anything. */
const quietMs = 50

export class Inbox {
  private readonly requests: Array<Request> = []
  private resume: (() => void) | undefined
  private taken = 0
  /** How many had been taken when the alarm was set. */
  private takenBefore = 0
  private quiet = false

  private constructor(private readonly setAlarm: () => void) {}

  static readonly make: Effect.Effect<Inbox, never, Scope.Scope> = Effect.gen(function* () {
    const alarm = yield* makeAlarm(quietMs, () => inbox.onAlarm())
    const inbox: Inbox = new Inbox(alarm.set)
    return inbox
  })

  get isQuiet(): boolean {
    return this.quiet
  }

  push(request: Request): void {
    this.requests.push(request)
    this.wake()
  }

  /** Undefined when none has come. */
  take(): Request | undefined {
    const request = this.requests.shift()
    if (request === undefined) return undefined
    this.quiet = false
    this.taken++
    return request
  }

  /** Until a request has come. */
  readonly request: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.requests.length > 0) return resume(Effect.void)
    this.resume = () => resume(Effect.void)
  })

  /** Until a request has come or it is quiet. Costs no timer a request: one is looked at when it rings. */
  readonly requestOrQuiet: Effect.Effect<void> = Effect.suspend(() => {
    this.setAlarm()
    return this.request
  })

  private onAlarm(): void {
    if (this.taken === this.takenBefore && this.requests.length === 0) {
      this.quiet = true
      return this.wake()
    }
    this.takenBefore = this.taken
    this.setAlarm()
  }

  private wake(): void {
    const { resume } = this
    this.resume = undefined
    resume?.()
  }
}
