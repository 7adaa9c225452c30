/**
 * The broker under measurement, in a process of its own: the default services on a port of the loopback.
 *
 *     bun test/bench/server.ts [--data DIRECTORY --durability LEVEL] PORT ADDRESS[,ADDRESS]... [CERT KEY]
 *
 * Keeps everything in memory, or in a database. Prints a line when it listens, with the port at which storage
 * tells what it has counted, and runs until it is signalled.
 */

import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../../src/Broker.ts"
import type { DurabilityLevel } from "../../src/storage/Journal.ts"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import { Transports } from "../../src/transport/Transport.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { data: { type: "string" }, durability: { type: "string", default: "disk" } }
})
const [port = "", addresses = "", certFile, keyFile] = positionals

const listeners = addresses.split(",").map((hostname) => {
  const where = { name: `bench ${hostname}`, hostname, port: Number(port) }
  if (certFile === undefined || keyFile === undefined) return tcpListener(where)
  const certificate = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") }
  return tlsListener({ ...where, credentials: { certificates: [certificate] } })
})

/** What waits for a client that is absent for a whole run is not to reach a limit. */
const queueMessagesMax = 1_000_000
const queueBytesMax = 256 * 1024 * 1024

const directory = TenantDirectory.layerSingle({
  ...defaultTenantSettings,
  queueMessagesMax,
  queueBytesMax,
  durability: values.durability as DurabilityLevel
})

const broker = Broker.layer({ drainMs: 500 }).pipe(
  Layer.provide(values.data === undefined ? Layer.empty : layerSqlite({ path: values.data })),
  Layer.provide(directory),
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, listeners))
)

const program = Effect.gen(function* () {
  const { listening, storage } = yield* Broker
  const answer = () => Response.json(storage() ?? null)
  const counters = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer })
  console.log(`listening on ${listening.length} addresses, counters at ${counters.port}`)
  yield* Effect.never
})

BunRuntime.runMain(Effect.provide(program, broker))
