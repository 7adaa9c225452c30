import { describe, expect } from "bun:test"
import * as Effect from "effect/Effect"
import type { Health, MetricsServerOptions } from "../../src/telemetry/MetricsServer.ts"
import { serveMetrics } from "../../src/telemetry/MetricsServer.ts"
import { processMetrics } from "../../src/telemetry/metrics/process.ts"
import { live } from "../support/effect.ts"

const well: Health = { isWell: true, reasons: [] }

const options = (given: Partial<MetricsServerOptions> = {}): MetricsServerOptions => ({
  hostname: "127.0.0.1",
  port: 0,
  collect: processMetrics(1_700_000_000_000),
  live: () => well,
  ready: () => well,
  ...given
})

const get = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(url, init)
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      text: await response.text()
    }
  })

describe("metrics over HTTP", () => {
  live("are Prometheus's text", () =>
    Effect.gen(function* () {
      const { url } = yield* serveMetrics(options())
      const { status, text, type } = yield* get(`${url}/metrics`)
      expect(status).toBe(200)
      expect(type).toBe("text/plain; version=0.0.4; charset=utf-8")
      expect(text).toContain("# TYPE process_cpu_time_seconds_total counter\n")
      expect(text).toContain("process_start_time_seconds 1700000000\n")
      expect(Number(/^process_memory_resident_bytes (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(1_000_000)
    })
  )

  live("say where they are when somebody looks elsewhere, and take nothing in", () =>
    Effect.gen(function* () {
      const { url } = yield* serveMetrics(options())
      expect((yield* get(`${url}/`)).status).toBe(404)
      expect((yield* get(`${url}/metrics`, { method: "POST", body: "x" })).status).toBe(405)
      expect((yield* get(`${url}/metrics`, { method: "HEAD" })).status).toBe(200)
    })
  )

  live("are not served where somebody else is", () =>
    Effect.gen(function* () {
      const { url } = yield* serveMetrics(options())
      const port = Number(new URL(url).port)
      const failure = yield* Effect.flip(serveMetrics(options({ port })))
      expect(failure.message).toContain(`metrics cannot be served at 127.0.0.1:${port}`)
    })
  )
})

describe("health", () => {
  live("is told as it is, with the reasons", () =>
    Effect.gen(function* () {
      let ready: Health = { isWell: false, reasons: ["nothing can be stored"] }
      const { url } = yield* serveMetrics(options({ ready: () => ready }))
      const before = yield* get(`${url}/health/ready`)
      expect(before.status).toBe(503)
      expect(JSON.parse(before.text)).toEqual({ status: "unavailable", reasons: ["nothing can be stored"] })
      ready = well
      const after = yield* get(`${url}/health/ready`)
      expect(after.status).toBe(200)
      expect(JSON.parse(after.text)).toEqual({ status: "ok", reasons: [] })
      expect((yield* get(`${url}/health/live`)).status).toBe(200)
    })
  )
})
