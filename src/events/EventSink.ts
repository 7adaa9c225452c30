/**
 * Where events go. `report` is synchronous and must return at once: a sink that does something slow queues,
 * bounded, and counts what it loses (`bounded.ts`). One that throws is counted, and harms nobody.
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import { loggable } from "../telemetry/redaction.ts"
import type { Event } from "./Event.ts"
import { type EventKind, eventKinds } from "./eventKinds.ts"
import { LineLimit } from "./LineLimit.ts"

/** What a sink that takes its time has done so far. */
export interface SinkCounts {
  readonly name: string
  readonly delivered: number
  readonly lost: number
  readonly waiting: number
}

export class EventSink extends Context.Tag("heddle/EventSink")<
  EventSink,
  {
    readonly report: (event: Event) => void
    /** For metrics, where there is something to count. */
    readonly counts?: () => ReadonlyArray<SinkCounts>
  }
>() {
  /** Nobody listens. */
  static readonly layerNone = Layer.succeed(EventSink, { report: () => {} })

  /** Each of these sinks gets every event. */
  static readonly layerAll = <E, R>(
    ...layers: ReadonlyArray<Layer.Layer<EventSink, E, R>>
  ): Layer.Layer<EventSink, E, R> =>
    Layer.scoped(
      EventSink,
      Effect.map(
        Effect.forEach(layers, (layer) => Effect.map(Layer.build(layer), Context.get(EventSink))),
        (sinks) => ({
          report: (event: Event) => reportToAll(sinks, event),
          counts: () => sinks.flatMap(({ counts }) => counts?.() ?? [])
        })
      )
    )

  /**
   * Effect's logger: refusals, connections that the broker closed, limits that were reached and defects for
   * everybody, the comings and goings of clients at debug level. Never a line a message, and at most 20 lines
   * a second of what strangers can cause.
   */
  static readonly layerLog = Layer.effect(
    EventSink,
    Effect.map(Effect.runtime<never>(), (runtime) => {
      const log = Runtime.runFork(runtime)
      const clock = Context.get(
        FiberRefs.getOrDefault(runtime.fiberRefs, DefaultServices.currentServices),
        Clock.Clock
      )
      const minimum = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentMinimumLogLevel)
      // A fiber for a line that is not logged was a fifth of the cost of a client that comes and goes.
      const isVerbose = LogLevel.lessThanEqual(minimum, LogLevel.Debug)
      const limit = new LineLimit(LINES_PER_SECOND, clock.unsafeCurrentTimeMillis())
      return {
        report: (event: Event) => {
          const level = levelOf(event)
          if (level === undefined || (level === "debug" && !isVerbose)) return
          const suppressed = isLimited(event, level) ? limit.admit(clock.unsafeCurrentTimeMillis()) : 0
          if (suppressed !== undefined) log(lineOf(event, level, suppressed))
        }
      }
    })
  )
}

const LINES_PER_SECOND = 20

type Level = Exclude<EventKind["level"], undefined>

/** Undefined is not logged. */
const levelOf = (event: Event): Level | undefined =>
  event._tag === "ClientDisconnected" && event.by === "server" ? "info" : eventKinds[event._tag].level

/** What strangers cannot cause is never held back, and what is not logged by default need not be. */
const isLimited = (event: Event, level: Level): boolean =>
  (level === "info" || level === "warning") && event._tag !== "TenantChanged"

const writers = {
  debug: Effect.logDebug,
  info: Effect.logInfo,
  warning: Effect.logWarning,
  error: Effect.logError
} as const

const lineOf = (event: Event, level: Level, suppressed: number): Effect.Effect<void> => {
  const { _tag, ...details } = event
  if (event._tag === "ActorDefect") {
    return Effect.annotateLogs(Effect.logError(_tag, loggable(Cause.die(event.defect))), {
      actor: event.actor,
      tenant: event.tenant
    })
  }
  const notes = suppressed > 0 ? { ...details, linesLeftOut: suppressed } : details
  return Effect.annotateLogs(writers[level](_tag), notes)
}

/** All of them get it, also when one throws; that is thrown in the end. */
const reportToAll = (sinks: ReadonlyArray<EventSink["Type"]>, event: Event): void => {
  const defects: Array<unknown> = []
  for (const sink of sinks) {
    try {
      sink.report(event)
    } catch (defect) {
      defects.push(defect)
    }
  }
  if (defects.length > 0) throw defects[0]
}
