/** A tracer for tests: it remembers the spans that are made with it, in order. */

import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

export interface RecordedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | undefined
  readonly links: ReadonlyArray<string>
  readonly startNs: bigint
  readonly attributes: Map<string, unknown>
  readonly events: Array<string>
  end: { readonly atNs: bigint; readonly isFailure: boolean; readonly times: number } | undefined
}

/** A tracer that remembers; its identifiers count up. */
export const recordedSpans = () => {
  const spans: Array<RecordedSpan> = []
  const hex = (digits: number) => String(spans.length + 1).padStart(digits, "0")
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const above = Option.getOrUndefined(parent)
      const recorded: RecordedSpan = {
        name,
        traceId: above?.traceId ?? hex(32),
        spanId: hex(16),
        parentId: above?.spanId,
        links: links.map(({ span }) => span.traceId),
        startNs: startTime,
        attributes: new Map(),
        events: [],
        end: undefined
      }
      spans.push(recorded)
      return {
        _tag: "Span",
        name,
        parent,
        context,
        kind,
        links,
        sampled: true,
        spanId: recorded.spanId,
        traceId: recorded.traceId,
        attributes: recorded.attributes,
        status: { _tag: "Started", startTime },
        end: (atNs, exit) => {
          recorded.end = { atNs, isFailure: Exit.isFailure(exit), times: (recorded.end?.times ?? 0) + 1 }
        },
        attribute: (key, value) => void recorded.attributes.set(key, value),
        event: (event) => void recorded.events.push(event),
        addLinks: () => {}
      }
    },
    context: (run) => run()
  })
  return { spans, tracer }
}
