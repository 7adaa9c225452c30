/**
 * What operators and their tools ask over HTTP: `/metrics` for Prometheus, `/health/live` and `/health/ready`
 * for whoever keeps the broker running. It answers from memory, at once, and takes nothing in.
 */

import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Collector } from "./metrics/Metric.ts"
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "./metrics/prometheus.ts"

/** It cannot listen where it should. Handled by whoever starts the broker: an error with the address. */
export class MetricsUnavailable extends Data.TaggedError("MetricsUnavailable")<{
  readonly address: string
  readonly reason: string
}> {
  override get message(): string {
    return `metrics cannot be served at ${this.address}: ${this.reason}`
  }
}

/** How somebody is, and why not better. */
export interface Health {
  readonly isWell: boolean
  readonly reasons: ReadonlyArray<string>
}

export interface MetricsServerOptions {
  readonly hostname: string
  /** 0 takes any free one. */
  readonly port: number
  readonly collect: Collector
  /** Whether it does its work at all: who says no is to be started again. */
  readonly live: () => Health
  /** Whether clients should be sent here. */
  readonly ready: () => Health
}

export interface MetricsServer {
  /** As `http://127.0.0.1:9464`. */
  readonly url: string
}

/** Serves until the scope ends. */
export const serveMetrics = (
  options: MetricsServerOptions
): Effect.Effect<MetricsServer, MetricsUnavailable, Scope.Scope> => {
  const { hostname, port } = options
  const listen = Effect.try({
    try: () => Bun.serve({ hostname, port, idleTimeout: 10, fetch: (request) => answer(request, options) }),
    catch: (cause) =>
      new MetricsUnavailable({
        address: `${hostname}:${port}`,
        reason: cause instanceof Error ? cause.message : String(cause)
      })
  })
  return Effect.acquireRelease(listen, (server) => Effect.promise(() => server.stop(true))).pipe(
    Effect.map((server) => ({ url: server.url.href.replace(/\/$/, "") }))
  )
}

const answer = (request: Request, { collect, live, ready }: MetricsServerOptions): Response => {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("only GET is answered here\n", { status: 405, headers: { allow: "GET, HEAD" } })
  }
  switch (new URL(request.url).pathname) {
    case "/metrics":
      return new Response(prometheusText(collect()), { headers: { "content-type": PROMETHEUS_CONTENT_TYPE } })
    case "/health/live":
      return healthAnswer(live())
    case "/health/ready":
      return healthAnswer(ready())
    default:
      return new Response("there are /metrics, /health/live and /health/ready\n", { status: 404 })
  }
}

const healthAnswer = ({ isWell, reasons }: Health): Response =>
  Response.json({ status: isWell ? "ok" : "unavailable", reasons }, { status: isWell ? 200 : 503 })
