/**
 * Where everything in a broker reports to: the sink, guarded, so that one that throws harms nobody; the
 * memory of what went wrong lately; the tenants' own topics.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import { loggable } from "../telemetry/redaction.ts"
import type { Event } from "./Event.ts"
import { EventSink, type SinkCounts } from "./EventSink.ts"
import { LineLimit } from "./LineLimit.ts"
import { RecentEvents } from "./recent.ts"
import { type EventOutlet, EventTopics } from "./topics.ts"

export interface EventCounts {
  readonly reported: number
  /** Reports that the sink has thrown at. */
  readonly sinkFailures: number
  /** Events that tenants did not get below `$SYS/events/`. */
  readonly topicLosses: number
  readonly sinks: ReadonlyArray<SinkCounts>
}

export interface Events {
  readonly report: (event: Event) => void
  readonly recent: RecentEvents
  readonly counts: () => EventCounts
  /** Where to find tenants, once there are some. */
  readonly publishTo: (find: (tenant: string) => EventOutlet | undefined) => void
  /** Who else wants to know of every event; one, which does not throw. */
  readonly watchBy: (watch: (event: Event, atMs: number) => void) => void
}

const sinkFailed = (defect: unknown): Effect.Effect<void> =>
  Effect.logError("events: the sink has thrown", loggable(Cause.die(defect)))

/** Of a sink that throws, how often the log tells. */
const FAILURES_LOGGED_PER_SECOND = 1

export const makeEvents: Effect.Effect<Events, never, EventSink> = Effect.gen(function* () {
  const sink = yield* EventSink
  const clock = yield* Effect.clock
  const log = Runtime.runFork(yield* Effect.runtime<never>())
  const recent = new RecentEvents()
  const counts = { reported: 0, sinkFailures: 0, topicLosses: 0 }
  const limit = new LineLimit(FAILURES_LOGGED_PER_SECOND, clock.unsafeCurrentTimeMillis())
  let topics = new EventTopics(() => undefined)
  let watch: (event: Event, atMs: number) => void = () => {}

  const failed = (defect: unknown, nowMs: number): void => {
    counts.sinkFailures++
    if (limit.admit(nowMs) !== undefined) log(sinkFailed(defect))
  }
  return {
    recent,
    counts: () => ({ ...counts, sinks: sink.counts?.() ?? [] }),
    publishTo: (find) => {
      topics = new EventTopics(find)
    },
    watchBy: (watcher) => {
      watch = watcher
    },
    report: (event) => {
      const nowMs = clock.unsafeCurrentTimeMillis()
      counts.reported++
      try {
        sink.report(event)
      } catch (defect) {
        failed(defect, nowMs)
      }
      recent.add(event, nowMs)
      // Of a tenant that is deleted no trace is kept.
      if (event._tag === "TenantChanged" && event.change === "deleted") recent.forget(event.tenant)
      watch(event, nowMs)
      counts.topicLosses += topics.report(event, nowMs)
    }
  }
})
