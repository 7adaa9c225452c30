/**
 * The broker under measurement, in a process of its own: the default services on a port of the loopback.
 *
 *     bun test/bench/server.ts PORT ADDRESS[,ADDRESS]... [CERT KEY]
 *
 * Prints a line when it listens, and runs until it is signalled.
 */

import { readFileSync } from "node:fs"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../../src/Broker.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import { Transports } from "../../src/transport/Transport.ts"

const [port = "", addresses = "", certFile, keyFile] = process.argv.slice(2)

const listeners = addresses.split(",").map((hostname) => {
  const where = { name: `bench ${hostname}`, hostname, port: Number(port) }
  if (certFile === undefined || keyFile === undefined) return tcpListener(where)
  const certificate = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") }
  return tlsListener({ ...where, credentials: { certificates: [certificate] } })
})

const broker = Broker.layer({ drainMs: 500 }).pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, listeners))
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  console.log(`listening on ${listening.length} addresses`)
  yield* Effect.never
})

BunRuntime.runMain(Effect.provide(program, broker))
