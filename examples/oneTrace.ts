/**
 * One trace from an application through the broker to a consumer: the application's own span, made with
 * `@opentelemetry/api`, the broker's spans, and the span of whoever got the message.
 *
 * The application hands its place in the trace over as the user property `traceparent`; the broker, which
 * reports to the same OpenTelemetry provider, hands on its own, a different one to each subscriber.
 */

import * as OtelResource from "@effect/opentelemetry/Resource"
import * as OtelTracer from "@effect/opentelemetry/Tracer"
import { context, type SpanContext, SpanKind, trace } from "@opentelemetry/api"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync } from "mqtt"
import { Broker } from "../src/Broker.ts"
import { Telemetry } from "../src/telemetry/Telemetry.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

// The application's OpenTelemetry: here it keeps its spans to show them; else an OTLP exporter stands here.
const finished = new InMemorySpanExporter()
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(finished)] })
)
const shop = trace.getTracer("shop")

// The broker's spans go the same way. It traces what its publishers trace.
const telemetry = Telemetry.layer({ honoursParent: true }).pipe(
  Layer.provide(OtelTracer.layerGlobal),
  Layer.provide(OtelResource.layer({ serviceName: "heddle" }))
)

const broker = Broker.layer().pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])),
  Layer.provide(telemetry)
)

const traceparentOf = ({ spanId, traceId }: SpanContext): string => `00-${traceId}-${spanId}-01`

const contextOf = (traceparent: string): SpanContext => {
  const [, traceId = "", spanId = ""] = traceparent.split("-")
  return { traceId, spanId, traceFlags: 1, isRemote: true }
}

const run = async (port: number) => {
  const options = { host: "127.0.0.1", port, protocolVersion: 5 } as const
  const warehouse = await connectAsync({ ...options, clientId: "warehouse" })
  await warehouse.subscribeAsync("orders/#", { qos: 1 })
  const shipped = new Promise<void>((resolve) => {
    warehouse.on("message", (_topic, _payload, { properties }) => {
      const traceparent = String(properties?.userProperties?.traceparent)
      const parent = trace.setSpanContext(context.active(), contextOf(traceparent))
      shop.startSpan("ship the order", { kind: SpanKind.CONSUMER }, parent).end()
      resolve()
    })
  })
  const till = await connectAsync({ ...options, clientId: "till" })
  const order = shop.startSpan("take an order", { kind: SpanKind.PRODUCER })
  const userProperties = { traceparent: traceparentOf(order.spanContext()) }
  await till.publishAsync("orders/1", "a lamp", { qos: 1, properties: { userProperties } })
  order.end()
  await shipped
  await Promise.all([till.endAsync(), warehouse.endAsync()])
}

/** The spans of the trace as a tree, in the order in which they began. */
const show = () => {
  const spans = finished.getFinishedSpans()
  const lines = (parentId: string | undefined, depth: number): ReadonlyArray<string> =>
    spans
      .filter((span) => span.parentSpanContext?.spanId === parentId)
      .flatMap((span) => [
        `${"  ".repeat(depth)}${span.name}`,
        ...lines(span.spanContext().spanId, depth + 1)
      ])
  console.log(lines(undefined, 0).join("\n"))
}

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  yield* Effect.promise(() => run(listening[0]?.port ?? 0))
})

await Effect.runPromise(Effect.provide(program, broker))
show()
