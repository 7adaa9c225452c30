/**
 * A broker inside a program: the default services, a listener of your choice, and a scope that ends it.
 *
 *     bun examples/embedded.ts
 */

import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../src/Broker.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const port = Number(process.env.PORT ?? 1883)

const broker = Broker.layer().pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port })]))
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  for (const { address, name } of listening) yield* Effect.log(`${name} listens on ${address}`)
  yield* Effect.never
})

BunRuntime.runMain(Effect.provide(program, broker))
