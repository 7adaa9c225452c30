/**
 * Wires under test: a listener started for one test, a recorder that waits for events instead of sleeping,
 * and a plain client socket.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Acceptor, Listener, Listening, Wire, WireHandler } from "../../src/transport/Transport.ts"

/** Starts a listener; `stop` closes its scope. */
export const start = async <A extends Listening>(
  listener: Omit<Listener, "listen"> & {
    readonly listen: (acceptor: Acceptor) => Effect.Effect<A, unknown, Scope.Scope>
  },
  acceptor: Acceptor
): Promise<{ readonly listening: A; readonly stop: () => Promise<void> }> => {
  const scope = await Effect.runPromise(Scope.make())
  const listening = await Effect.runPromise(Scope.extend(listener.listen(acceptor), scope))
  return { listening, stop: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

/** Resolves waiters as soon as a condition on what was recorded holds. */
export class Recorder implements WireHandler {
  readonly chunks: Array<Uint8Array> = []
  readonly closeReasons: Array<string> = []
  drains = 0
  private readonly waiters = new Set<() => void>()

  constructor(private readonly react?: (chunk: Uint8Array) => void) {}

  readonly onData = (chunk: Uint8Array): void => {
    this.chunks.push(chunk)
    this.react?.(chunk)
    this.changed()
  }
  readonly onDrain = (): void => {
    this.drains += 1
    this.changed()
  }
  readonly onClose = (reason: string): void => {
    this.closeReasons.push(reason)
    this.changed()
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.chunks)
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1")
  }
  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  /** Waits until the condition holds; it is looked at after every event. */
  readonly until = (condition: (recorder: Recorder) => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = () => {
        if (!condition(this)) return
        this.waiters.delete(look)
        resolve()
      }
      this.waiters.add(look)
      look()
    })

  private changed(): void {
    for (const look of [...this.waiters]) look()
  }
}

/** An acceptor that keeps every wire and its recorder, in order of arrival. */
export class Accepted {
  readonly wires: Array<Wire> = []
  readonly recorders: Array<Recorder> = []
  private readonly waiters: Array<() => void> = []

  constructor(private readonly react?: (wire: Wire, chunk: Uint8Array) => void) {}

  readonly acceptor: Acceptor = (wire) => {
    const recorder = new Recorder((chunk) => this.react?.(wire, chunk))
    this.wires.push(wire)
    this.recorders.push(recorder)
    for (const resolve of this.waiters.splice(0)) resolve()
    return recorder
  }

  /** The n-th accepted wire, waiting for it. */
  readonly nth = async (index: number): Promise<{ readonly wire: Wire; readonly recorder: Recorder }> => {
    for (;;) {
      const wire = this.wires[index]
      const recorder = this.recorders[index]
      if (wire !== undefined && recorder !== undefined) return { wire, recorder }
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
  }
}

/** Writes every chunk back, whole: what a short write left waits for `onDrain`. */
export const echoAcceptor: Acceptor = (wire) => {
  const waiting: Array<Uint8Array> = []
  const flush = () => {
    for (let chunk = waiting[0]; chunk !== undefined; chunk = waiting[0]) {
      const taken = wire.write(chunk, 0, chunk.length)
      if (taken < 0) return
      if (taken < chunk.length) {
        waiting[0] = chunk.subarray(taken)
        wire.pause()
        return
      }
      waiting.shift()
    }
    wire.resume()
  }
  return {
    onData: (chunk) => {
      waiting.push(chunk)
      flush()
    },
    onDrain: flush,
    onClose: () => undefined
  }
}
