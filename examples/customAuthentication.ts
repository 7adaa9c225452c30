/**
 * Your own authentication: a user table whose rows say which tenant a user belongs to. Two tenants use the
 * same topics and the same client identifiers, and never see each other.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { connectAsync, type MqttClient } from "mqtt"
import { type AuthenticationStep, Authenticator, unknownMethod } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { ReasonCode } from "../src/protocol/ReasonCode.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../src/tenant/TenantSettings.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const users = new Map([
  ["ada", { tenant: "acme", passwordHash: await Bun.password.hash("lovelace") }],
  ["grace", { tenant: "globex", passwordHash: await Bun.password.hash("hopper") }]
])

const refused: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.BadUserNameOrPassword,
  reason: "unknown user or wrong password"
}

const authenticator = Layer.succeed(Authenticator, {
  authenticate: ({ password, username }) =>
    Effect.gen(function* () {
      const user = users.get(username ?? "")
      if (user === undefined || password === undefined || username === undefined) return refused
      // Bun hashes on a thread of its own: the event loop goes on meanwhile.
      const matches = yield* Effect.promise(() =>
        Bun.password.verify(Redacted.value(password), user.passwordHash)
      )
      return matches ? { _tag: "Accepted", tenant: user.tenant, principal: username } : refused
    }),
  reauthenticate: () => Effect.succeed(unknownMethod)
})

const broker = Broker.layer().pipe(
  Layer.provide([
    authenticator,
    Authorizer.layerAllowAll,
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory(),
    TenantDirectory.layerTable((tenant) =>
      tenant === "acme" || tenant === "globex" ? defaultTenantSettings : undefined
    ),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

/** Connects as a user and subscribes to everything; the client identifier is the same for both users. */
const connect = async (port: number, username: string, password: string): Promise<MqttClient> => {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "sensor", username, password })
  client.on("message", (topic, payload) => console.log(`${username} received ${topic}: ${payload}`))
  await client.subscribeAsync("#", { qos: 1 })
  return client
}

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const port = listening[0]?.port ?? 0
  yield* Effect.promise(async () => {
    const ada = await connect(port, "ada", "lovelace")
    const grace = await connect(port, "grace", "hopper")
    const received = new Promise((resolve) => ada.on("message", resolve))
    await ada.publishAsync("temperature", "21", { qos: 1 })
    await grace.publishAsync("humidity", "40", { qos: 1 })
    await received
    const stranger = connectAsync(`mqtt://127.0.0.1:${port}`, { username: "ada", password: "guess" }, false)
    console.log(await stranger.then(String, (error: Error) => `stranger: ${error.message}`))
    await Promise.all([ada.endAsync(), grace.endAsync()])
  })
})

await Effect.runPromise(Effect.provide(program, broker))
