/** Metrics and traces as a configuration asks for them, of a broker that runs. */

import { expect } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { connectAsync, type IClientOptions } from "mqtt"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { type Lookout, lookOut } from "../../src/cli/telemetry.ts"
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

const healthOf = (url: string | undefined, which: "live" | "ready") =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/health/${which}`)
    const { reasons } = (await response.json()) as { readonly reasons: Array<string> }
    return { status: response.status, reasons }
  })

/** Runs with a broker as configured, which is watched from before it is there until it is gone. */
const withHeddle = <A, E>(
  resolved: ReturnType<typeof configured>,
  body: (lookout: Lookout) => Effect.Effect<A, E, Running>
) =>
  Effect.gen(function* () {
    const lookout = yield* lookOut(resolved.config, 0)
    yield* Effect.zipRight(lookout.watch, body(lookout)).pipe(
      Effect.scoped,
      Effect.provide(runningLayer(resolved, { level: LogLevel.None })),
      Effect.provide(BunContext.layer),
      Logger.withMinimumLogLevel(LogLevel.None)
    )
    return lookout
  })

const clientOf = (clientId: string, more: IClientOptions = {}) =>
  Effect.gen(function* () {
    const { listening } = yield* Running
    const port = Number(/:(\d+)$/.exec(listening()[0]?.address ?? "")?.[1])
    const properties = { sessionExpiryInterval: 3600 }
    const options = {
      host: "127.0.0.1",
      port,
      clientId,
      protocolVersion: 5,
      clean: false,
      properties,
      ...more
    } as const
    return yield* Effect.promise(() => connectAsync(options))
  })

live("a configured broker serves metrics that count its messages, and sends spans and metrics", () =>
  Effect.gen(function* () {
    const receiver = yield* otlpReceiver
    const tracing = { endpoint: receiver.url, ratio: 1, interval: "10ms" }
    yield* withHeddle(configured({ tracing }), ({ server }) =>
      Effect.gen(function* () {
        const client = yield* clientOf("c")
        yield* Effect.promise(() => client.publishAsync("t", "x", { qos: 1 }))
        yield* Effect.promise(() => client.endAsync())
        const text = yield* Effect.promise(async () => (await fetch(`${server?.url}/metrics`)).text())
        expect(text).toContain('heddle_messages_received_total{tenant="default"} 1\n')
        const spans = yield* receiver.until((all) => all.some(({ name }) => name === "publish"))
        expect(spans.map(({ name }) => name)).toContain("connect")
      })
    )
    expect(receiver.metrics).toContain("heddle.messages.received")
    expect(receiver.metrics).toContain("process.cpu.time")
  })
)

live("spans of storage are sent, and those that the end of the broker ends", () =>
  Effect.gen(function* () {
    const receiver = yield* otlpReceiver
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "heddle-"))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true }))
    )
    const tracing = { endpoint: receiver.url, ratio: 1, interval: "10m" }
    const storage = { kind: "sqlite", path: folder }
    yield* withHeddle(configured({ tracing, storage }), () =>
      Effect.gen(function* () {
        const sleeper = yield* clientOf("sleeper")
        yield* Effect.promise(() => sleeper.subscribeAsync("t", { qos: 1 }))
        yield* Effect.promise(() => sleeper.endAsync())
        const publisher = yield* clientOf("publisher")
        yield* Effect.promise(() => publisher.publishAsync("t", "x", { qos: 1 }))
        // It gets its message and never says so.
        const mute = Promise.withResolvers<void>()
        yield* clientOf("sleeper", { customHandleAcks: () => mute.resolve() })
        yield* Effect.promise(() => mute.promise)
        expect(receiver.spans).toEqual([])
      })
    )
    const { spans } = receiver
    const publish = spans.find(({ name }) => name === "publish")
    const commits = spans.filter(({ name }) => name === "commit")
    expect(commits.flatMap(({ links }) => links.map(({ traceId }) => traceId))).toContain(
      publish?.traceId ?? ""
    )
    expect(spans.find(({ name }) => name === "deliver")).toMatchObject({ status: 2 })
  })
)

live("who asks is told that a broker starts, that it is ready, and that it stops", () =>
  Effect.gen(function* () {
    const resolved = configured({})
    const early = yield* lookOut(resolved.config, 0)
    expect(yield* healthOf(early.server?.url, "live")).toMatchObject({ status: 200 })
    expect(yield* healthOf(early.server?.url, "ready")).toMatchObject({
      status: 503,
      reasons: ["it starts: what is stored is taken up"]
    })
    const { server } = yield* withHeddle(resolved, ({ server: own }) =>
      Effect.gen(function* () {
        expect(yield* healthOf(own?.url, "live")).toMatchObject({ status: 200, reasons: [] })
        expect(yield* healthOf(own?.url, "ready")).toMatchObject({ status: 200, reasons: [] })
      })
    )
    expect(yield* healthOf(server?.url, "live")).toMatchObject({ status: 200 })
    expect(yield* healthOf(server?.url, "ready")).toMatchObject({
      status: 503,
      reasons: ["it stops: clients are sent away"]
    })
  })
)
