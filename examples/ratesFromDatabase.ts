/**
 * What a tenant may do, from a database: each tenant has a plan, each plan its rates. A policy reads them
 * when the tenant's first client comes. The one with the smaller plan is slowed down; nothing it sends is
 * lost.
 */

import * as SqliteClient from "@effect/sql-sqlite-bun/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync } from "mqtt"
import { type AuthenticationStep, Authenticator, unknownMethod } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantPolicy } from "../src/tenant/policy/TenantPolicy.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../src/tenant/TenantSettings.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

interface Plan {
  readonly publishRate: number
  readonly weight: number
}

const plans = TenantPolicy.layerEffect(
  Effect.gen(function* () {
    const sql = yield* SqliteClient.SqliteClient
    yield* sql`CREATE TABLE plans (name TEXT PRIMARY KEY, publishRate INTEGER, weight INTEGER)`
    yield* sql`CREATE TABLE tenants (name TEXT PRIMARY KEY, plan TEXT REFERENCES plans)`
    yield* sql`INSERT INTO plans VALUES ('free', 20, 1), ('business', 0, 10)`
    yield* sql`INSERT INTO tenants VALUES ('hobby', 'free'), ('acme', 'business')`
    return {
      settings: (tenant: string) =>
        sql<Plan>`
          SELECT publishRate, weight FROM tenants JOIN plans ON plans.name = plan
          WHERE tenants.name = ${tenant}
        `.pipe(
          Effect.map(([plan]) => ({ burstSeconds: 1, ...plan })),
          // A database that cannot be read means no: the tenant's clients are told to come back later.
          Effect.orDie
        )
    }
  })
).pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))

/** Believes what a client says of itself. For passwords see customAuthentication.ts. */
const authenticator = Layer.succeed(Authenticator, {
  authenticate: ({ username = "" }) =>
    Effect.succeed<AuthenticationStep>({ _tag: "Accepted", tenant: username, principal: "device" }),
  reauthenticate: () => Effect.succeed(unknownMethod)
})

const broker = Broker.layer().pipe(
  Layer.provide([
    plans,
    authenticator,
    Authorizer.layerAllowAll,
    TenantDirectory.layerTable(() => defaultTenantSettings),
    ClientBalancer.layerStay,
    EventSink.layerNone,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const MESSAGES = 40

/** Seconds until the tenant's broker has taken them all. */
const secondsFor = async (url: string, tenant: string): Promise<number> => {
  const client = await connectAsync(url, { username: tenant, protocolVersion: 5 })
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: MESSAGES }, (_, index) => client.publishAsync("state", String(index), { qos: 1 }))
  )
  const seconds = (performance.now() - startedAt) / 1000
  await client.endAsync()
  return seconds
}

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  yield* Effect.promise(async () => {
    await secondsFor(url, "acme")
    console.log(`acme: ${MESSAGES} messages taken`)
    const seconds = await secondsFor(url, "hobby")
    console.log(`hobby: ${MESSAGES} messages taken, ${seconds > 0.9 ? "20 a second" : "all at once"}`)
  })
})

await Effect.runPromise(Effect.provide(program, broker))
