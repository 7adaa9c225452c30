/**
 * The broker under measurement, in a process of its own: the default services on a free port of the loopback.
 *
 *     bun test/bench/server.ts [--tls CERT KEY] [--gc]
 *
 * Prints one line of JSON with the port when it listens, and runs until it is signalled. `--gc` collects
 * garbage once a second, for figures of memory that do not depend on when the collector last felt like it.
 */

import { readFileSync } from "node:fs"

import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../../src/Broker.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import { Transports } from "../../src/transport/Transport.ts"

const address = { name: "bench", hostname: "127.0.0.1", port: 0 }

const secure = (certFile: string, keyFile: string) => {
  const certificate = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") }
  return tlsListener({ ...address, credentials: { certificates: [certificate] } })
}

const tlsAt = process.argv.indexOf("--tls")
const listener =
  tlsAt < 0 ? tcpListener(address) : secure(process.argv[tlsAt + 1] ?? "", process.argv[tlsAt + 2] ?? "")

const broker = Broker.layer({ drainMs: 500 }).pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [listener]))
)

const collect = Effect.sync(() => Bun.gc(true)).pipe(Effect.delay("1 second"), Effect.forever)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  console.log(JSON.stringify({ port: listening[0]?.port, pid: process.pid }))
  yield* process.argv.includes("--gc") ? collect : Effect.never
})

BunRuntime.runMain(Effect.provide(program, broker))
