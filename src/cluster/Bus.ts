/**
 * The bus: frames from node to node, on two lanes, and calls that are answered.
 *
 * The fast lane may lose a frame (QoS 0). The sure lane (QoS 1 and 2) says what became of it. Frames on one
 * lane from one sender to one destination are handed over in the order they were sent, and each once: a layer
 * over something that repeats them knows them by the number in their head. A frame belongs to the bus once it
 * was given, and then to who receives it.
 *
 * Sending never waits and never throws. How much is on its way is bounded by the senders, who wait for an
 * answer before they acknowledge: at most Receive Maximum messages a client.
 *
 * The embedded layer calls the receiver directly; nodes that share it share a process.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Destination } from "./Destination.ts"
import type { ClusterUnavailable } from "./Membership.ts"

/** Nobody serves there, or not any more. What was sent may have arrived. Publishers send it again. */
export class NoDestination extends Data.TaggedError("NoDestination")<{ readonly to: Destination }> {
  override get message(): string {
    return `nobody serves ${this.to}`
  }
}

/** A call was not answered in time; it may have been carried out. */
export class CallTimedOut extends Data.TaggedError("CallTimedOut")<{
  readonly to: Destination
  readonly timeoutMs: number
}> {
  override get message(): string {
    return `${this.to} did not answer within ${this.timeoutMs} ms`
  }
}

/** Some records of a frame, by their place in it, or all could not be taken; the others were. */
export interface Refused {
  readonly _tag: "Refused"
  readonly records: ReadonlyArray<number> | "all"
}

/** What became of a frame on the sure lane; undefined when all of it was taken. */
export type SureOutcome = Refused | NoDestination | ClusterUnavailable | undefined

export interface SureFrame {
  readonly to: Destination
  readonly frame: Uint8Array
  /** Called once, perhaps before `sure` returns. */
  readonly settled: (outcome: SureOutcome) => void
}

/** Who receives. */
export interface BusHandler {
  readonly fast: (frame: Uint8Array) => void
  /** `taken` is called once, when what is in the frame is as safe here as it was promised to be. */
  readonly sure: (frame: Uint8Array, taken: (outcome: Refused | undefined) => void) => void
  /** Absent where nothing can be asked: a call finds nobody. */
  readonly call?: (request: Uint8Array) => Effect.Effect<Uint8Array>
}

export class Bus extends Context.Tag("heddle/Bus")<
  Bus,
  {
    readonly fast: (to: Destination, frame: Uint8Array) => void
    readonly sure: (sent: SureFrame) => void
    /** Asks, and waits for the answer. */
    readonly call: (
      to: Destination,
      request: Uint8Array,
      timeoutMs: number
    ) => Effect.Effect<Uint8Array, NoDestination | CallTimedOut | ClusterUnavailable>
    /** Receives what is sent there, instead of whoever did before, until the scope ends. */
    readonly serve: (
      at: Destination,
      handler: BusHandler
    ) => Effect.Effect<void, ClusterUnavailable, Scope.Scope>
  }
>() {
  /** A bus within this process. */
  static readonly layer: Layer.Layer<Bus> = Layer.sync(Bus, () => makeBus())
}

interface Served {
  readonly handler: BusHandler
  /** What it has been given and not said to have taken. */
  readonly unsettled: Set<(outcome: NoDestination) => void>
  readonly ended: Deferred.Deferred<never, NoDestination>
}

const makeBus = (): Bus["Type"] => {
  const places = new Map<Destination, Served>()
  return {
    fast: (to, frame) => places.get(to)?.handler.fast(frame),
    sure: ({ frame, settled, to }) => {
      const served = places.get(to)
      if (served === undefined) return settled(new NoDestination({ to }))
      const { handler, unsettled } = served
      const settleOnce = (outcome: SureOutcome) => {
        if (unsettled.delete(settleOnce)) settled(outcome)
      }
      unsettled.add(settleOnce)
      handler.sure(frame, settleOnce)
    },
    call: (to, request, timeoutMs) =>
      Effect.suspend(() => {
        const served = places.get(to)
        if (served?.handler.call === undefined) return new NoDestination({ to })
        return Effect.raceFirst(served.handler.call(request), Deferred.await(served.ended)).pipe(
          Effect.timeoutFail({ duration: timeoutMs, onTimeout: () => new CallTimedOut({ to, timeoutMs }) })
        )
      }),
    serve: (at, handler) =>
      Effect.acquireRelease(
        Effect.map(Deferred.make<never, NoDestination>(), (ended) => {
          const served: Served = { handler, unsettled: new Set(), ended }
          places.set(at, served)
          return served
        }),
        (served) => {
          if (places.get(at) === served) places.delete(at)
          const gone = new NoDestination({ to: at })
          for (const settle of served.unsettled) settle(gone)
          return Deferred.fail(served.ended, gone)
        }
      )
  }
}
