/**
 * Draws `otel/trace.svg`: one message from a publisher to a subscriber who was away while the broker was
 * restarted, as spans on a line of time, from a real run over SQLite and OTLP.
 *
 *     bun test/otel/draw.ts
 */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { connect, connectAsync } from "mqtt"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { Broker } from "../../src/Broker.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { defaultTelemetryOptions, Telemetry } from "../../src/telemetry/Telemetry.ts"
import { ClientBalancer } from "../../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { otlpReceiver, type ReceivedSpan } from "../support/otlpReceiver.ts"

const folder = mkdtempSync(join(tmpdir(), "heddle-otel-"))

const brokerTo = (url: string) => {
  const telemetry = Telemetry.layerOtlp({
    ...defaultTelemetryOptions,
    url,
    encoding: "json",
    headers: {},
    timeoutMs: 5000,
    resource: { "service.name": "heddle" },
    ratio: 1,
    spansMax: 1000,
    intervalMs: 20
  })
  return Broker.layer().pipe(
    Layer.provide([
      Authenticator.layerAnonymous("loopback"),
      Authorizer.layerAllowAll,
      TenantDirectory.layerSingle(),
      ClientBalancer.layerStay,
      EventSink.layerNone,
      layerSqlite({ path: folder }),
      Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
    ]),
    Layer.provide(telemetry)
  )
}

/** Runs a broker, and what a client does with it. */
const during = (url: string, act: (port: number) => Promise<void>) =>
  Effect.gen(function* () {
    const { listening } = yield* Broker
    yield* Effect.promise(() => act(listening[0]?.port ?? 0))
  }).pipe(Effect.provide(brokerTo(url)))

const client = (port: number, clientId: string) =>
  ({ host: "127.0.0.1", port, protocolVersion: 5, clientId }) as const

const sleeper = (port: number) =>
  ({ ...client(port, "sleeper"), clean: false, properties: { sessionExpiryInterval: 3600 } }) as const

const spansOfARun = Effect.scoped(
  Effect.gen(function* () {
    const { spans, url } = yield* otlpReceiver
    yield* during(url, async (port) => {
      const absent = await connectAsync(sleeper(port))
      await absent.subscribeAsync("alarm/#", { qos: 1 })
      await absent.endAsync()
      const sensor = await connectAsync(client(port, "sensor"))
      await sensor.publishAsync("alarm/door", "open", { qos: 1 })
      await sensor.endAsync()
    })
    yield* during(url, async (port) => {
      const awake = connect(sleeper(port))
      // Before it is connected: what waits comes right behind CONNACK.
      await new Promise<void>((resolve) => awake.once("message", () => resolve()))
      await awake.endAsync()
    })
    return spans
  })
)

const WIDTH = 900
const ROW = 30
const LEFT = 190
const COLORS: Readonly<Record<string, string>> = {
  publish: "#4c78a8",
  route: "#72b7b2",
  store: "#f58518",
  commit: "#e45756",
  deliver: "#54a24b"
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/**
 * Two stretches of time, that of the publisher and that of the delivery, side by side: the night between them
 * is left out.
 */
const draw = (all: ReadonlyArray<ReceivedSpan>): string => {
  const publish = all.find(({ name }) => name === "publish")
  if (publish === undefined) throw new TypeError("nothing was published")
  const inTrace = all.filter(({ traceId }) => traceId === publish.traceId)
  const commits = all.filter(
    ({ links, name }) => name === "commit" && links.some(({ traceId }) => traceId === publish.traceId)
  )
  const rows = [...inTrace, ...commits].sort((one, two) => (one.startNs < two.startNs ? -1 : 1))
  const evening = rows.filter(({ name }) => name !== "deliver")
  const morning = rows.filter(({ name }) => name === "deliver")
  const half = (WIDTH - LEFT - 60) / 2
  const scaled = (group: ReadonlyArray<ReceivedSpan>, from: number) => {
    const startNs = Math.min(...group.map((span) => Number(span.startNs - publish.startNs)))
    const endNs = Math.max(...group.map((span) => Number(span.endNs - publish.startNs)))
    const x = (ns: bigint) => from + ((Number(ns - publish.startNs) - startNs) / (endNs - startNs)) * half
    return { x, ms: (endNs - startNs) / 1e6 }
  }
  const first = scaled(evening, LEFT)
  const second = scaled(morning, LEFT + half + 60)
  const bars = rows.map((span, index) => {
    const { x } = morning.includes(span) ? second : first
    const y = 50 + index * ROW
    const [from, to] = [x(span.startNs), x(span.endNs)]
    const indent = span === publish ? 0 : span.name === "commit" ? 0 : 16
    const label = span.name === "commit" ? "commit (linked)" : span.name
    const ms = Number(span.endNs - span.startNs) / 1e6
    const width = Math.max(3, to - from).toFixed(1)
    const end = Math.min(to + 6, WIDTH - 60).toFixed(1)
    return [
      `<text x="${16 + indent}" y="${y + 15}">${escape(label)}</text>`,
      `<rect x="${from.toFixed(1)}" y="${y}" width="${width}" height="20" rx="3" `,
      `fill="${COLORS[span.name] ?? "#999"}"/>`,
      `<text x="${end}" y="${y + 15}" class="ms">${ms.toFixed(2)} ms</text>`
    ].join("")
  })
  const height = 60 + rows.length * ROW
  const gap = LEFT + half + 30
  const box = `viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13"`
  const morningHead = `sleeper is back, after a restart (${second.ms.toFixed(1)} ms)`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${box}>
<style>.ms{fill:#666;font-size:11px}.head{fill:#666}</style>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="${LEFT}" y="30" class="head">sensor publishes alarm/door (${first.ms.toFixed(1)} ms)</text>
<text x="${LEFT + half + 60}" y="30" class="head">${morningHead}</text>
<line x1="${gap}" y1="16" x2="${gap}" y2="${height - 10}" stroke="#bbb" stroke-dasharray="4 4"/>
${bars.join("\n")}
</svg>
`
}

const spans = await Effect.runPromise(Logger.withMinimumLogLevel(spansOfARun, LogLevel.None))
await Bun.write(join(import.meta.dir, "../../otel/trace.svg"), draw(spans))
rmSync(folder, { recursive: true })
