/**
 * Where events go. `report` is synchronous, must not throw and must return at once: a sink that does something slow queues,
 * bounded, and counts what it loses.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Runtime from "effect/Runtime"
import type { Event } from "./Event.ts"

export class EventSink extends Context.Tag("heddle/EventSink")<
  EventSink,
  {
    readonly report: (event: Event) => void
  }
>() {
  /** Nobody listens. */
  static readonly layerNone = Layer.succeed(EventSink, { report: () => {} })

  /** Effect's logger: refusals and defects for everybody, the comings and goings of clients at debug level. Never a line a message. */
  static readonly layerLog = Layer.effect(
    EventSink,
    Effect.map(Effect.runtime<never>(), (runtime) => {
      const log = Runtime.runFork(runtime)
      const minimum = FiberRefs.getOrDefault(runtime.fiberRefs, FiberRef.currentMinimumLogLevel)
      // A fiber for a line that is not logged was a fifth of what it costs to serve a client that comes and goes.
      const isVerbose = LogLevel.lessThanEqual(minimum, LogLevel.Debug)
      return {
        report: (event: Event) => {
          const line = lineOf(event, isVerbose)
          if (line !== undefined) log(line)
        }
      }
    })
  )
}

const lineOf = (event: Event, isVerbose: boolean): Effect.Effect<void> | undefined => {
  const { _tag, ...details } = event
  switch (event._tag) {
    case "MessageDropped":
      return undefined
    case "ActorDefect":
      return Effect.annotateLogs(Effect.logError(_tag, event.defect), {
        actor: event.actor,
        tenant: event.tenant
      })
    case "ConnectRefused":
    case "SubscribeRefused":
    case "PublishRefused":
      return Effect.annotateLogs(Effect.logInfo(_tag), details)
    default:
      return isVerbose ? Effect.annotateLogs(Effect.logDebug(_tag), details) : undefined
  }
}
