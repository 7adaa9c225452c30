/**
 * The broker whose capacity is measured, in a process of its own: what `server.ts` and `checked.ts` share.
 *
 * A client identifier up to its first `|` names the tenant, so that a generator chooses tenants freely, and a
 * number at the end of that name is the tenant's weight. On every line of standard input the broker answers
 * with what it holds; after `gc` it collects its garbage first: figures of memory then do not depend on when
 * the collector last felt like it. It ends with its standard input.
 */

import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator, unknownMethod } from "../../../src/auth/Authenticator.ts"
import type { Authorizer } from "../../../src/auth/Authorizer.ts"
import { Broker } from "../../../src/Broker.ts"
import { layerSqlite } from "../../../src/storage/sqlite.ts"
import type { TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import type { TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { tcpListener } from "../../../src/transport/Tcp.ts"
import { tlsListener } from "../../../src/transport/Tls.ts"
import { Transports } from "../../../src/transport/Transport.ts"

const { data, tls } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly data?: string
  readonly tls?: { readonly cert: string; readonly key: string }
}

const tenantOf = (clientId: string): string => clientId.slice(0, Math.max(0, clientId.indexOf("|")))

const weightOf = (tenant: string): number => Number(/\*(\d+)$/.exec(tenant)?.[1] ?? 1)

const authenticator = Layer.succeed(Authenticator, {
  authenticate: ({ clientId }) =>
    Effect.succeed({ _tag: "Accepted", tenant: tenantOf(clientId), principal: "client" } as const),
  reauthenticate: () => Effect.succeed(unknownMethod)
})

const bind = { name: "bench", hostname: "127.0.0.1", port: 0 }
const listener =
  tls === undefined ? tcpListener(bind) : tlsListener({ ...bind, credentials: { certificates: [tls] } })

export interface SubjectParts {
  readonly authorizer: Layer.Layer<Authorizer>
  readonly policy: Layer.Layer<never> | ReturnType<typeof TenantPolicy.layer>
  readonly telemetry: Layer.Layer<never>
  /** Of every tenant, but for its weight. */
  readonly settings: TenantSettings
}

const brokerOf = ({ authorizer, policy, settings, telemetry }: SubjectParts) =>
  Broker.layer({ drainMs: 500 }).pipe(
    Layer.provide(data === undefined ? Layer.empty : layerSqlite({ path: data })),
    Layer.provide(authenticator),
    Layer.provide(TenantDirectory.layerTable((tenant) => ({ ...settings, weight: weightOf(tenant) }))),
    Layer.provide(authorizer),
    Layer.provide(policy),
    Layer.provide(Broker.layerDefaultServices),
    Layer.provide(Layer.succeed(Transports, [listener])),
    Layer.provide(telemetry)
  )

const program = Effect.gen(function* () {
  const { census, listening } = yield* Broker
  const say = (answer: object) => console.log(JSON.stringify(answer))
  process.stdin.on("data", (line) => {
    if (line.toString().startsWith("gc")) Bun.gc(true)
    say(census())
  })
  process.stdin.on("end", () => process.exit(0))
  say({ port: listening[0]?.port, pid: process.pid })
  yield* Effect.never
})

export const runSubject = (parts: SubjectParts): void =>
  BunRuntime.runMain(Effect.provide(program, brokerOf(parts)))
