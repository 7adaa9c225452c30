/**
 * An Effect `Tracer` whose spans go to a collector. Spans that have ended wait in a bounded buffer; one fiber
 * takes them out in batches. When the collector is down or slow the buffer fills, and what finds it full is
 * counted and forgotten: tracing is never felt by clients.
 */

import { randomFillSync } from "node:crypto"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { type KeyValue, type OtlpEndpoint, otlpValue } from "../otlp/OtlpEndpoint.ts"
import type { TelemetryCounters } from "../TelemetryCounters.ts"

export interface OtlpTracerOptions {
  readonly endpoint: OtlpEndpoint
  readonly counters: TelemetryCounters
  /** Ended spans that may wait. */
  readonly spansMax: number
  readonly intervalMs: number
}

/** Spans of one request: to encode them takes half a millisecond of the loop. */
const BATCH_MAX = 250
/** What a span may have: a message of many subscribers has an event for each that is away. */
const EVENTS_MAX = 128
const TEXT_MAX = 1024
/** What is left at the end of the broker may take so long. */
const LAST_FLUSH_MS = 3000

/** Lives as long as the caller's scope, and hands over what it has at its end. */
export const makeOtlpTracer = (
  options: OtlpTracerOptions
): Effect.Effect<Tracer.Tracer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { counters, endpoint, intervalMs, spansMax } = options
    let ended: Array<OtlpSpan> = []
    const send = (batch: ReadonlyArray<OtlpSpan>): Effect.Effect<void> =>
      Effect.suspend(() => endpoint.spans(batch.map(encode))).pipe(
        Effect.tap(() => Effect.sync(() => (counters.spansExported += batch.length))),
        Effect.catchTag("ExportFailed", ({ reason, url }) => {
          counters.spansLost += batch.length
          return Effect.logWarning(`${batch.length} spans lost: ${url}: ${reason}`)
        })
      )
    const flush: Effect.Effect<void> = Effect.suspend(() => {
      if (ended.length === 0) return Effect.void
      const batch = ended.slice(0, BATCH_MAX)
      ended = ended.slice(BATCH_MAX)
      // The end of the broker interrupts what is under way: the last flush has it as well.
      const putBack = Effect.sync(() => {
        ended = [...batch, ...ended]
      })
      return Effect.zipRight(
        Effect.onInterrupt(send(batch), () => putBack),
        flush
      )
    })
    const tellLost = Effect.suspend(() => {
      counters.spansLost += ended.length
      return Effect.logWarning(`${ended.length} spans lost: the collector was too slow for the last of them`)
    })
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        Effect.timeoutOption(Effect.interruptible(flush), LAST_FLUSH_MS),
        Effect.when(tellLost, () => ended.length > 0)
      )
    )
    yield* Effect.forkScoped(Effect.schedule(flush, Schedule.spaced(intervalMs)))
    const ids = new RandomIds()
    const end = (span: OtlpSpan) => {
      if (ended.length < spansMax) ended.push(span)
      else counters.spansLost++
    }
    return Tracer.make({
      span: (name, parent, context, links, startTime, kind) =>
        new OtlpSpan({ name, parent, context, links, kind, startTime, ids, end }),
      context: (run) => run()
    })
  })

interface SpanOptions {
  readonly name: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never>
  readonly links: ReadonlyArray<Tracer.SpanLink>
  readonly kind: Tracer.SpanKind
  readonly startTime: bigint
  readonly ids: RandomIds
  readonly end: (span: OtlpSpan) => void
}

type SpanEvent = readonly [name: string, atNs: bigint, attributes: Record<string, unknown> | undefined]

class OtlpSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly spanId: string
  readonly traceId: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly context: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly sampled: boolean
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink>
  readonly events: Array<SpanEvent> = []
  droppedEvents = 0
  status: Tracer.SpanStatus
  private readonly whenEnded: (span: OtlpSpan) => void

  constructor({ context, end, ids, kind, links, name, parent, startTime }: SpanOptions) {
    const above = Option.getOrUndefined(parent)
    this.name = name
    this.parent = parent
    this.context = context
    this.kind = kind
    this.links = [...links]
    this.sampled = above?.sampled ?? true
    this.traceId = above?.traceId ?? ids.hex(16)
    this.spanId = ids.hex(8)
    this.status = { _tag: "Started", startTime }
    this.whenEnded = end
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.status._tag === "Ended") return
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
    if (this.sampled) this.whenEnded(this)
  }

  attribute(key: string, value: unknown): void {
    this.attributes.set(key, typeof value === "string" ? bounded(value) : value)
  }

  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    if (this.events.length < EVENTS_MAX) this.events.push([name, startTime, attributes])
    else this.droppedEvents++
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    this.links.push(...links)
  }
}

/** In a copy: a part of it would keep the whole, a topic of 64 KB, as long as itself. */
const bounded = (text: string): string =>
  text.length <= TEXT_MAX ? text : Buffer.from(text.slice(0, TEXT_MAX)).toString()

const POOL_BYTES = 4096

/** Random identifiers, drawn many at a time. */
class RandomIds {
  private readonly pool = Buffer.alloc(POOL_BYTES)
  private at = POOL_BYTES

  /** As many bytes in hexadecimal digits. */
  hex(bytes: number): string {
    if (this.at + bytes > POOL_BYTES) {
      randomFillSync(this.pool)
      this.at = 0
    }
    this.at += bytes
    return this.pool.toString("hex", this.at - bytes, this.at)
  }
}

/** OTLP's numbers of Effect's words. */
const kinds: Readonly<Record<Tracer.SpanKind, number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5
}

const encode = (span: OtlpSpan) => {
  const { attributes, events, kind, links, name, spanId, status, traceId } = span
  const parent = Option.getOrUndefined(span.parent)
  return {
    traceId,
    spanId,
    ...(parent !== undefined && { parentSpanId: parent.spanId }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: String(status.startTime),
    endTimeUnixNano: String(status._tag === "Ended" ? status.endTime : status.startTime),
    attributes: keyValues(attributes.entries()),
    droppedAttributesCount: 0,
    events: events.map(([eventName, atNs, more]) => ({
      name: eventName,
      timeUnixNano: String(atNs),
      attributes: keyValues(Object.entries(more ?? {})),
      droppedAttributesCount: 0
    })),
    droppedEventsCount: span.droppedEvents,
    links: links.map((link) => ({
      traceId: link.span.traceId,
      spanId: link.span.spanId,
      attributes: keyValues(Object.entries(link.attributes)),
      droppedAttributesCount: 0
    })),
    droppedLinksCount: 0,
    status: statusOf(status)
  }
}

const keyValues = (entries: Iterable<[string, unknown]>): ReadonlyArray<KeyValue> => {
  const pairs: Array<KeyValue> = []
  for (const [key, value] of entries) {
    pairs.push({ key, value: otlpValue(typeof value === "string" ? bounded(value) : value) })
  }
  return pairs
}

const UNSET = { code: 0 }
const ERROR = 2

/** What a span failed for; success is left unset, as the specification wants it. */
const statusOf = (status: Tracer.SpanStatus): { readonly code: number; readonly message?: string } => {
  if (status._tag === "Started" || status.exit._tag === "Success") return UNSET
  const { cause } = status.exit
  const text = Option.filter(Cause.failureOption(cause), (each) => typeof each === "string")
  return { code: ERROR, message: Option.getOrElse(text, () => Cause.pretty(cause)) }
}
