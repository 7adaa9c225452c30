/** Metrics and traces as a configuration asks for them, of a broker that runs. */

import { expect } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { connectAsync } from "mqtt"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { measure } from "../../src/cli/telemetry.ts"
import { resolve } from "../../src/config/Resolution.ts"
import { live } from "../support/effect.ts"
import { otlpReceiver } from "../support/otlpReceiver.ts"

const configured = (content: Readonly<Record<string, unknown>>) =>
  Either.getOrThrow(
    resolve({
      env: {},
      file: {
        name: "test.json",
        content: {
          listeners: { tcp: { host: "127.0.0.1", port: 0 } },
          storage: { kind: "memory" },
          metrics: { port: 0, exportInterval: "1s" },
          ...content
        }
      }
    })
  )

live("a configured broker serves metrics that count its messages, and sends spans and metrics", () =>
  Effect.gen(function* () {
    const receiver = yield* otlpReceiver
    const tracing = { endpoint: receiver.url, ratio: 1, interval: "10ms" }
    const first = configured({ tracing })
    yield* Effect.gen(function* () {
      const served = yield* measure(first.config, 0)
      const { listening } = yield* Running
      const port = Number(/:(\d+)$/.exec(listening()[0]?.address ?? "")?.[1])
      yield* Effect.promise(async () => {
        const client = await connectAsync({ host: "127.0.0.1", port, protocolVersion: 5 })
        await client.publishAsync("t", "x", { qos: 1 })
        await client.endAsync()
      })
      const text = yield* Effect.promise(async () => (await fetch(`${served?.url}/metrics`)).text())
      expect(text).toContain('heddle_messages_received_total{tenant="default"} 1\n')
      const spans = yield* receiver.until((all) => all.some(({ name }) => name === "publish"))
      expect(spans.map(({ name }) => name)).toContain("connect")
    }).pipe(
      Effect.scoped,
      Effect.provide(runningLayer(first, { level: LogLevel.None })),
      Effect.provide(BunContext.layer),
      Logger.withMinimumLogLevel(LogLevel.None)
    )
    expect(receiver.metrics).toContain("heddle.messages.received")
    expect(receiver.metrics).toContain("process.cpu.time")
  })
)
