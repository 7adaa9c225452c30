/**
 * A collector for tests: takes OTLP over HTTP, in JSON or protobuf, and keeps the spans and metrics.
 *
 * The protobuf is read from the wire by field numbers (opentelemetry-proto 1.x), not by the library that
 * wrote it.
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly kind: number
  readonly startNs: bigint
  readonly endNs: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: ReadonlyArray<string>
  readonly links: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number
}

export interface OtlpReceiver {
  readonly url: string
  readonly spans: ReadonlyArray<ReceivedSpan>
  /** Names of the metrics of every request. */
  readonly metrics: ReadonlyArray<string>
  readonly requests: ReadonlyArray<{ readonly path: string; readonly headers: Headers }>
  /** What the next requests are answered, in order; 200 when there is none left. */
  readonly answers: Array<number>
  /** When so many spans have come that the test is content. */
  readonly until: (
    isEnough: (spans: ReadonlyArray<ReceivedSpan>) => boolean
  ) => Effect.Effect<ReadonlyArray<ReceivedSpan>>
}

export const otlpReceiver: Effect.Effect<OtlpReceiver, never, Scope.Scope> = Effect.gen(function* () {
  const spans: Array<ReceivedSpan> = []
  const metrics: Array<string> = []
  const requests: Array<{ readonly path: string; readonly headers: Headers }> = []
  const answers: Array<number> = []
  const waiting = new Set<() => void>()
  const server = yield* Effect.acquireRelease(
    Effect.sync(() =>
      Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: async (request) => {
          const path = new URL(request.url).pathname
          requests.push({ path, headers: request.headers })
          const status = answers.shift() ?? 200
          const body = Buffer.from(await request.arrayBuffer())
          if (status === 200) {
            const isJson = request.headers.get("content-type")?.includes("json") === true
            if (path === "/v1/traces") spans.push(...(isJson ? jsonSpans(body) : protobufSpans(body)))
            if (path === "/v1/metrics") metrics.push(...(isJson ? jsonMetrics(body) : protobufMetrics(body)))
          }
          for (const look of waiting) look()
          return new Response(null, { status })
        }
      })
    ),
    (running) => Effect.promise(() => running.stop(true))
  )
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    metrics,
    requests,
    answers,
    until: (isEnough) =>
      Effect.async((resume) => {
        const look = () => {
          if (!isEnough(spans)) return
          waiting.delete(look)
          resume(Effect.succeed(spans))
        }
        waiting.add(look)
        look()
      })
  }
})

// JSON

interface JsonValue {
  readonly stringValue?: string
  readonly intValue?: string
  readonly doubleValue?: number
  readonly boolValue?: boolean
}

interface JsonSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<{ readonly key: string; readonly value: JsonValue }>
  readonly events: ReadonlyArray<{ readonly name: string }>
  readonly links: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
  readonly status: { readonly code: number }
}

const jsonSpans = (body: Buffer): ReadonlyArray<ReceivedSpan> => {
  const { resourceSpans } = JSON.parse(body.toString()) as {
    readonly resourceSpans: ReadonlyArray<{
      readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<JsonSpan> }>
    }>
  }
  return resourceSpans
    .flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
    .map((span) => ({
      traceId: span.traceId,
      spanId: span.spanId,
      parentSpanId: span.parentSpanId ?? "",
      name: span.name,
      kind: span.kind,
      startNs: BigInt(span.startTimeUnixNano),
      endNs: BigInt(span.endTimeUnixNano),
      attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, plainOf(value)])),
      events: span.events.map(({ name }) => name),
      links: span.links.map(({ spanId, traceId }) => ({ spanId, traceId })),
      status: span.status.code
    }))
}

/** An integer that is not a text would be a mistake: it stays one. */
const plainOf = (value: JsonValue): unknown =>
  typeof value.intValue === "string" ? Number(value.intValue) : (Object.values(value)[0] ?? "an integer")

const jsonMetrics = (body: Buffer): ReadonlyArray<string> => {
  const { resourceMetrics } = JSON.parse(body.toString()) as {
    readonly resourceMetrics: ReadonlyArray<{
      readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<{ readonly name: string }> }>
    }>
  }
  return resourceMetrics.flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap((scope) => scope.metrics.map(({ name }) => name))
  )
}

// Protobuf

type Field = bigint | Buffer

/** The fields of a message, by number, in order. */
const fieldsOf = (bytes: Buffer): ReadonlyMap<number, ReadonlyArray<Field>> => {
  const fields = new Map<number, Array<Field>>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(bytes[at++] ?? 0)
      value |= (byte & 0x7fn) << shift
      if (byte < 0x80n) return value
    }
  }
  const take = (length: number): Buffer => {
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const wireType = key & 7
    const value =
      wireType === 0
        ? varint()
        : wireType === 1
          ? take(8).readBigUInt64LE()
          : wireType === 2
            ? take(Number(varint()))
            : BigInt(take(4).readUInt32LE())
    const number = key >>> 3
    const known = fields.get(number)
    if (known === undefined) fields.set(number, [value])
    else known.push(value)
  }
  return fields
}

type Fields = ReturnType<typeof fieldsOf>

const messages = (fields: Fields, number: number): ReadonlyArray<Fields> =>
  (fields.get(number) ?? []).map((value) => fieldsOf(value as Buffer))

const bytesAt = (fields: Fields, number: number): Buffer =>
  (fields.get(number)?.[0] as Buffer | undefined) ?? Buffer.alloc(0)

const numberAt = (fields: Fields, number: number): bigint =>
  (fields.get(number)?.[0] as bigint | undefined) ?? 0n

const hexAt = (fields: Fields, number: number): string => bytesAt(fields, number).toString("hex")

const valueOf = (any: Fields): unknown => {
  if (any.has(1)) return bytesAt(any, 1).toString()
  if (any.has(2)) return numberAt(any, 2) === 1n
  if (any.has(3)) return Number(numberAt(any, 3))
  const double = Buffer.alloc(8)
  double.writeBigUInt64LE(numberAt(any, 4))
  return double.readDoubleLE()
}

const protobufSpans = (body: Buffer): ReadonlyArray<ReceivedSpan> =>
  messages(fieldsOf(body), 1)
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scope) => messages(scope, 2))
    .map((span) => ({
      traceId: hexAt(span, 1),
      spanId: hexAt(span, 2),
      parentSpanId: hexAt(span, 4),
      name: bytesAt(span, 5).toString(),
      kind: Number(numberAt(span, 6)),
      startNs: numberAt(span, 7),
      endNs: numberAt(span, 8),
      attributes: Object.fromEntries(
        messages(span, 9).map((pair) => [
          bytesAt(pair, 1).toString(),
          valueOf(messages(pair, 2)[0] ?? new Map())
        ])
      ),
      events: messages(span, 11).map((event) => bytesAt(event, 2).toString()),
      links: messages(span, 13).map((link) => ({ traceId: hexAt(link, 1), spanId: hexAt(link, 2) })),
      status: Number(numberAt(messages(span, 15)[0] ?? new Map(), 3))
    }))

const protobufMetrics = (body: Buffer): ReadonlyArray<string> =>
  messages(fieldsOf(body), 1)
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scope) => messages(scope, 2))
    .map((metric) => bytesAt(metric, 1).toString())
