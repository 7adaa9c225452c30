/**
 * A collector: where OTLP goes to, over HTTP. A request that fails is tried again a few times and then given
 * up; one that hangs is cut off. Nobody but the fiber that exports waits for it.
 */

import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import type * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { publicUrl, withPublicUrls } from "../../values/publicUrl.ts"
import type { TelemetryCounters } from "../TelemetryCounters.ts"

export interface OtlpOptions {
  /** The collector's base URL, as `http://localhost:4318`; `/v1/traces` and `/v1/metrics` follow it. */
  readonly url: string
  /** JSON takes the broker 2 µs a span, protobuf 65, and a third of the bytes. (Bun 1.4.5, 2026-11) */
  readonly encoding: "json" | "protobuf"
  /** Sent with every request: where a token goes. */
  readonly headers: Readonly<Record<string, Redacted.Redacted>>
  readonly timeoutMs: number
  /** How this broker is called among its like: `service.name` and other attributes of the resource. */
  readonly resource: Readonly<Record<string, string>>
}

/** The collector has not taken a batch, and will not. Handled by the exporter, which counts what is lost. */
export class ExportFailed extends Data.TaggedError("ExportFailed")<{
  readonly url: string
  readonly reason: string
  /** Whether it may be taken when it is asked again. */
  readonly isFinal: boolean
}> {}

export interface OtlpEndpoint {
  readonly spans: (spans: ReadonlyArray<unknown>) => Effect.Effect<void, ExportFailed>
  readonly metrics: (metrics: ReadonlyArray<unknown>) => Effect.Effect<void, ExportFailed>
}

const RETRIES = 3
const FIRST_WAIT = "500 millis"

/** Not all brokers of a fleet at once. */
const again = Schedule.intersect(
  Schedule.jittered(Schedule.exponential(FIRST_WAIT)),
  Schedule.recurs(RETRIES)
)

/** Statuses of which the specification says that the request may be sent again. (OTLP 1.5, 2.3.2) */
const TRANSIENT: ReadonlySet<number> = new Set([429, 502, 503, 504])

const isFinal = (error: HttpClientError.HttpClientError): boolean =>
  error._tag === "ResponseError" && error.reason === "StatusCode" && !TRANSIENT.has(error.response.status)

const SCOPE = { name: "heddle" }

export const makeOtlpEndpoint = (
  options: OtlpOptions,
  counters: TelemetryCounters
): Effect.Effect<OtlpEndpoint, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const layer = options.encoding === "json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf
    const serialization = yield* Effect.provide(OtlpSerialization.OtlpSerialization, layer)
    const resource = { attributes: attributesOf(options.resource), droppedAttributesCount: 0 }
    const headers = Object.fromEntries(
      Object.entries(options.headers).map(([name, value]) => [name, Redacted.value(value)])
    )
    const post = (path: string, body: HttpBody.HttpBody): Effect.Effect<void, ExportFailed> => {
      const address = `${options.url.replace(/\/$/, "")}${path}`
      const url = publicUrl(address)
      const request = HttpClientRequest.post(address, { headers }).pipe(HttpClientRequest.setBody(body))
      return client.execute(request).pipe(
        Effect.asVoid,
        Effect.timeoutFail({
          duration: Duration.millis(options.timeoutMs),
          onTimeout: () =>
            new ExportFailed({ url, reason: `no answer within ${options.timeoutMs} ms`, isFinal: false })
        }),
        Effect.mapError((error) =>
          error._tag === "ExportFailed"
            ? error
            : new ExportFailed({ url, reason: withPublicUrls(error.message), isFinal: isFinal(error) })
        ),
        Effect.tapError(() => Effect.sync(() => counters.exportFailures++)),
        Effect.retry({ schedule: again, while: (error) => !error.isFinal }),
        Effect.tapError(() => Effect.sync(() => counters.exportsGivenUp++)),
        // What reports spans must not make any.
        Effect.withTracerEnabled(false)
      )
    }
    return {
      spans: (spans) =>
        Effect.suspend(() =>
          post(
            "/v1/traces",
            serialization.traces({ resourceSpans: [{ resource, scopeSpans: [{ scope: SCOPE, spans }] }] })
          )
        ),
      metrics: (metrics) =>
        Effect.suspend(() =>
          post(
            "/v1/metrics",
            serialization.metrics({
              resourceMetrics: [{ resource, scopeMetrics: [{ scope: SCOPE, metrics }] }]
            })
          )
        )
    }
  })

export interface KeyValue {
  readonly key: string
  readonly value: OtlpValue
}

type OtlpValue =
  | { readonly stringValue: string }
  /** A text: JSON has no integers of 64 bits. */
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }

export const otlpValue = (value: unknown): OtlpValue => {
  switch (typeof value) {
    case "boolean":
      return { boolValue: value }
    case "number":
      if (Number.isSafeInteger(value)) return { intValue: String(value) }
      return Number.isFinite(value) ? { doubleValue: value } : { stringValue: String(value) }
    default:
      return { stringValue: String(value) }
  }
}

const attributesOf = (attributes: Readonly<Record<string, string>>): ReadonlyArray<KeyValue> =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: otlpValue(value) }))
