/**
 * Where a message stands in a distributed trace, in the form of the W3C: `traceparent` and `tracestate`.
 * (Trace Context, level 1; for MQTT: W3C draft "Trace Context: MQTT protocol", user properties of 5.0)
 *
 * What comes from a client is anybody's claim. It is read strictly, bounded in size, and what is not sound
 * counts as not there: the message begins a trace of its own. It never grants anything but a place in a
 * picture.
 */

export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string
  readonly isSampled: boolean
  /** What other tracers have to say, handed on as it is; "" when there is nothing. */
  readonly traceState: string
}

/** Bytes of `tracestate` that are handed on; a longer one is dropped. (Trace Context, section 3.3.1.5) */
const TRACE_STATE_MAX = 512

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

const isZero = (digits: string): boolean => /^0+$/.test(digits)

/** Undefined for what is not sound. */
export const parseTraceContext = (traceparent: string, traceState = ""): TraceContext | undefined => {
  const parts = form.exec(traceparent)
  if (parts === null) return undefined
  const [, version, traceId, spanId, flags, rest] = parts
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  // Version ff is invalid; of the present version nothing may follow the flags.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined
  if (isZero(traceId) || isZero(spanId)) return undefined
  return {
    traceId,
    spanId,
    isSampled: (Number.parseInt(flags, 16) & 1) === 1,
    traceState: isTraceState(traceState) ? traceState : ""
  }
}

/** Printable, of a length that may be handed on. */
const isTraceState = (text: string): boolean => text.length <= TRACE_STATE_MAX && /^[\x20-\x7e]*$/.test(text)

export const formatTraceparent = ({ isSampled, spanId, traceId }: TraceContext): string =>
  `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`

/** The form in which it is stored with a message: `traceparent`, and after a space `tracestate` if any. */
export const formatStored = (context: TraceContext): string =>
  context.traceState === ""
    ? formatTraceparent(context)
    : `${formatTraceparent(context)} ${context.traceState}`

export const parseStored = (text: string): TraceContext | undefined => {
  const end = text.indexOf(" ")
  return end === -1 ? parseTraceContext(text) : parseTraceContext(text.slice(0, end), text.slice(end + 1))
}
