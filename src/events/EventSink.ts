/**
 * Where events go. `report` is synchronous, must not throw and must return at once: a sink that does
 * something slow queues, bounded, and counts what it loses.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import type { Event } from "./Event.ts"
import { LineLimit } from "./LineLimit.ts"

export class EventSink extends Context.Tag("heddle/EventSink")<
  EventSink,
  {
    readonly report: (event: Event) => void
  }
>() {
  /** Nobody listens. */
  static readonly layerNone = Layer.succeed(EventSink, { report: () => {} })

  /**
   * Effect's logger: refusals, connections that the broker closed and defects for everybody, the comings and
   * goings of clients at debug level. Never a line a message, and at most 20 lines a second of what strangers
   * can cause.
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
          const suppressed = level === "info" ? limit.admit(clock.unsafeCurrentTimeMillis()) : 0
          if (suppressed !== undefined) log(lineOf(event, level, suppressed))
        }
      }
    })
  )
}

const LINES_PER_SECOND = 20

type Level = "debug" | "info" | "error"

/** Undefined is not logged. */
const levelOf = (event: Event): Level | undefined => {
  switch (event._tag) {
    case "MessageDropped":
      return undefined
    case "ActorDefect":
      return "error"
    case "ConnectRefused":
    case "SubscribeRefused":
    case "PublishRefused":
      return "info"
    case "ClientDisconnected":
      return event.by === "server" ? "info" : "debug"
    default:
      return "debug"
  }
}

const lineOf = (event: Event, level: Level, suppressed: number): Effect.Effect<void> => {
  const { _tag, ...details } = event
  if (event._tag === "ActorDefect") {
    return Effect.annotateLogs(Effect.logError(_tag, event.defect), {
      actor: event.actor,
      tenant: event.tenant
    })
  }
  const notes = suppressed > 0 ? { ...details, linesLeftOut: suppressed } : details
  return Effect.annotateLogs(level === "info" ? Effect.logInfo(_tag) : Effect.logDebug(_tag), notes)
}
