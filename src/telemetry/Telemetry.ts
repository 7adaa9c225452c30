/**
 * Whether, and how, a broker traces: the service that a broker asks for when it is made. Without a layer for
 * it nothing is traced, and nothing is spent on it.
 *
 * `layer` reports to the Effect `Tracer` in the context, whichever that is: an application that embeds a
 * broker gives its own (`@effect/opentelemetry`'s `NodeSdk.layer` or `Tracer.layerGlobal`), and its spans and
 * the broker's are in one trace. `layerOtlp` sends spans to a collector by itself.
 */

import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { randomNumbers } from "../values/randomNumbers.ts"
import { makeOtlpEndpoint, type OtlpEndpoint, type OtlpOptions } from "./otlp/OtlpEndpoint.ts"
import { TelemetryCounters } from "./TelemetryCounters.ts"
import { makeOtlpTracer } from "./tracing/OtlpTracer.ts"
import { Sampler, type SamplerOptions } from "./tracing/Sampler.ts"
import { Tracing } from "./tracing/Tracing.ts"

export interface TelemetryOptions extends Omit<SamplerOptions, "random"> {
  /** Traces begun in a second; more are left out, and counted. */
  readonly tracesPerSecondMax: number
}

export const defaultTelemetryOptions: TelemetryOptions = {
  ratio: 0,
  honoursParent: true,
  rules: [],
  tracesPerSecondMax: 1000
}

export interface OtlpTelemetryOptions extends TelemetryOptions, OtlpOptions {
  /** Ended spans that may wait for the collector. */
  readonly spansMax: number
  readonly intervalMs: number
}

interface TelemetryService {
  /** Undefined while nothing is traced at all. */
  readonly tracing: Tracing | undefined
  readonly counters: TelemetryCounters
  /** Where metrics may be sent as well; undefined without a collector. */
  readonly endpoint: OtlpEndpoint | undefined
}

export class Telemetry extends Context.Reference<Telemetry>()("heddle/Telemetry", {
  defaultValue: (): TelemetryService => ({
    tracing: undefined,
    counters: new TelemetryCounters(),
    endpoint: undefined
  })
}) {
  /** Traces with the Effect tracer in the context. */
  static readonly layer = (options: Partial<TelemetryOptions> = {}): Layer.Layer<never> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const counters = new TelemetryCounters()
        const tracing = yield* tracingOver(
          yield* Effect.tracer,
          { ...defaultTelemetryOptions, ...options },
          counters
        )
        return Context.make(Telemetry, { tracing, counters, endpoint: undefined })
      })
    ) as Layer.Layer<never>

  /** Traces by itself, to a collector. */
  static readonly layerOtlp = (options: OtlpTelemetryOptions): Layer.Layer<never> =>
    Layer.scopedContext(
      Effect.map(makeOtlpTelemetry(options), (telemetry) => Context.make(Telemetry, telemetry))
    ) as Layer.Layer<never>
}

const makeOtlpTelemetry = (
  options: OtlpTelemetryOptions
): Effect.Effect<TelemetryService, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { intervalMs, spansMax } = options
    const counters = new TelemetryCounters()
    const endpoint = yield* Effect.provide(makeOtlpEndpoint(options, counters), FetchHttpClient.layer)
    const tracer = yield* makeOtlpTracer({ endpoint, counters, spansMax, intervalMs })
    return { tracing: yield* tracingOver(tracer, options, counters), counters, endpoint }
  })

const tracingOver = (
  tracer: Tracer.Tracer,
  { honoursParent, ratio, rules, tracesPerSecondMax }: TelemetryOptions,
  counters: TelemetryCounters
): Effect.Effect<Tracing> =>
  Effect.gen(function* () {
    const clock = yield* Clock.clockWith(Effect.succeed)
    const sampler = new Sampler({ ratio, honoursParent, rules, random: yield* randomNumbers })
    return new Tracing({
      tracer,
      sampler,
      counters,
      tracesPerSecondMax,
      nowNs: () => clock.unsafeCurrentTimeNanos()
    })
  })
