/**
 * The spans of what is sampled, over whatever Effect `Tracer` the broker is given: OTLP's, or that of an
 * application that the broker is embedded in.
 *
 * A message that is traced carries its place in the trace as text (`traceContext`): through the router, into
 * the queues of those who sleep and onto the disk, so that a delivery the next morning is a child of the
 * PUBLISH of the evening. Attributes are those of the semantic conventions for messaging, and `heddle.*`.
 */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { TelemetryCounters } from "../TelemetryCounters.ts"
import type { Candidate, Sampler } from "./Sampler.ts"
import { formatStored, parseStored, type TraceContext } from "./TraceContext.ts"

type AttributeValue = string | number | boolean

export type Attributes = Readonly<Record<string, AttributeValue | undefined>>

export interface TracingOptions {
  readonly tracer: Tracer.Tracer
  readonly sampler: Sampler
  readonly counters: TelemetryCounters
  /** Traces begun in a second; more are not sampled, and counted. */
  readonly tracesPerSecondMax: number
  readonly nowNs: () => bigint
}

export interface SpanOptions {
  readonly kind: Tracer.SpanKind
  readonly attributes?: Attributes
  /** Other traces that it has to do with. */
  readonly links?: ReadonlyArray<string>
  /** When it began, if that was before now. */
  readonly startNs?: bigint
}

/** Deliveries and the like in a second, for each trace that may be begun in it. */
const SPANS_PER_TRACE = 20

export class Tracing {
  readonly sampler: Sampler
  readonly counters: TelemetryCounters
  private readonly tracer: Tracer.Tracer
  private readonly now: () => bigint
  private readonly tracesPerSecondMax: number
  private secondOf = 0
  private begunInSecond = 0
  private secondBelow = 0n
  private belowInSecond = 0

  constructor({ counters, nowNs, sampler, tracer, tracesPerSecondMax }: TracingOptions) {
    this.sampler = sampler
    this.counters = counters
    this.tracer = tracer
    this.now = nowNs
    this.tracesPerSecondMax = tracesPerSecondMax
  }

  /** Nanoseconds since the epoch. */
  nowNs(): bigint {
    return this.now()
  }

  /**
   * The first span of a message, or of what else a client does. Undefined when it is not sampled: nothing was
   * made for it.
   */
  begin(name: string, candidate: Candidate, nowMs: number, options: SpanOptions): LiveSpan | undefined {
    const decision = this.sampler.decide(candidate, nowMs)
    if (decision === false || !this.hasRoom(nowMs)) return undefined
    this.counters.tracesBegun++
    return this.fromContext(name, decision === true ? undefined : decision, options)
  }

  /**
   * A span below one that is known by its text only: of a message that was traced when it came. Undefined
   * when there are too many in this second: one message may have ten thousand subscribers.
   */
  below(traceContext: string, name: string, options: SpanOptions): LiveSpan | undefined {
    if (!this.hasRoomBelow()) return undefined
    const parent = parseStored(traceContext)
    return parent === undefined ? undefined : this.fromContext(name, parent, options)
  }

  /** A span that belongs to no one's trace, but is linked to many. */
  linked(name: string, options: SpanOptions): LiveSpan {
    return this.fromContext(name, undefined, options)
  }

  private fromContext(name: string, parent: TraceContext | undefined, options: SpanOptions): LiveSpan {
    return this.make(name, parent && external(parent), parent?.traceState ?? "", options)
  }

  /** For `LiveSpan.child`. */
  make(
    name: string,
    parent: Tracer.AnySpan | undefined,
    traceState: string,
    { attributes, kind, links, startNs = this.now() }: SpanOptions
  ): LiveSpan {
    const above = Option.fromNullable(parent)
    const linked = links === undefined ? [] : links.flatMap(linkTo)
    const span = this.tracer.span(name, above, Context.empty(), linked, startNs, kind)
    const live = new LiveSpan(this, span, traceState)
    if (attributes !== undefined) live.set(attributes)
    return live
  }

  private hasRoomBelow(): boolean {
    const second = this.now() / 1_000_000_000n
    if (second !== this.secondBelow) {
      this.secondBelow = second
      this.belowInSecond = 0
    }
    if (this.belowInSecond < this.tracesPerSecondMax * SPANS_PER_TRACE) {
      this.belowInSecond++
      return true
    }
    this.counters.spansLimited++
    return false
  }

  private hasRoom(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000)
    if (second !== this.secondOf) {
      this.secondOf = second
      this.begunInSecond = 0
    }
    if (this.begunInSecond < this.tracesPerSecondMax) {
      this.begunInSecond++
      return true
    }
    this.counters.tracesLimited++
    return false
  }
}

const external = ({ isSampled, spanId, traceId }: TraceContext): Tracer.ExternalSpan =>
  Tracer.externalSpan({ traceId, spanId, sampled: isSampled })

const linkTo = (traceContext: string): ReadonlyArray<Tracer.SpanLink> => {
  const context = parseStored(traceContext)
  return context === undefined ? [] : [{ _tag: "SpanLink", span: external(context), attributes: {} }]
}

const hexadecimal = (code: number): string => code.toString(16).padStart(2, "0")

/** A span that has begun. Whoever has it ends it, once. */
export class LiveSpan {
  constructor(
    private readonly tracing: Tracing,
    private readonly span: Tracer.Span,
    private readonly traceState: string
  ) {}

  /** Its place in the trace, for the user properties of a client. */
  get context(): TraceContext {
    const { sampled, spanId, traceId } = this.span
    return { traceId, spanId, isSampled: sampled, traceState: this.traceState }
  }

  /** The same as text, to be stored: what those who have only that are below. */
  get traceContext(): string {
    return formatStored(this.context)
  }

  set(attributes: Attributes): void {
    for (const key in attributes) {
      const value = attributes[key]
      if (value !== undefined) this.span.attribute(key, value)
    }
  }

  event(name: string, attributes?: Readonly<Record<string, AttributeValue>>): void {
    this.span.event(name, this.tracing.nowNs(), attributes)
  }

  child(name: string, options: SpanOptions): LiveSpan {
    return this.tracing.make(name, this.span, this.traceState, options)
  }

  end(): void {
    this.span.end(this.tracing.nowNs(), Exit.void)
  }

  /** `reasonCode`: what the client was told, or has told us; undefined where it is nobody's answer. */
  fail(reason: string, reasonCode?: number): void {
    this.span.attribute("error.type", reasonCode === undefined ? "_OTHER" : `0x${hexadecimal(reasonCode)}`)
    this.span.end(this.tracing.nowNs(), Exit.failCause(Cause.fail(reason)))
  }
}
