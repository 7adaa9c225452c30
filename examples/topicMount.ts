/**
 * A topic mount: every user of the tenant `homes` lives below `users/<name>/` and does not know it. Two users
 * with the same devices keep apart; the access rules see the whole names, as the message log does.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync, type MqttClient } from "mqtt"
import { type AuthenticationStep, Authenticator, unknownMethod } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { composed } from "../src/tenant/policy/composed.ts"
import { mount } from "../src/tenant/policy/mount.ts"
import { type Policy, TenantPolicy } from "../src/tenant/policy/TenantPolicy.ts"
import { allow } from "../src/tenant/policy/Verdict.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../src/tenant/TenantSettings.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

/** Behind the mount: sees names as the broker has them. */
const messageLog: Policy = {
  publish: ({ topic }) => {
    console.log(`the broker has ${topic}`)
    return allow
  }
}

const mounts = composed(mount(`users/\${principal}/`), messageLog)

/** Believes what a client says of itself: `tenant/user`. For passwords see customAuthentication.ts. */
const authenticator = Layer.succeed(Authenticator, {
  authenticate: ({ username = "" }) => {
    const [tenant = "", principal = ""] = username.split("/")
    return Effect.succeed<AuthenticationStep>({ _tag: "Accepted", tenant, principal })
  },
  reauthenticate: () => Effect.succeed(unknownMethod)
})

const broker = Broker.layer().pipe(
  Layer.provide([
    authenticator,
    TenantPolicy.forTenant((tenant) => (tenant === "homes" ? mounts : undefined)),
    Authorizer.layerRules(({ principal }) => [
      { permission: "allow", action: "all", topicFilter: `users/${principal}/#` }
    ]),
    TenantDirectory.layerTable((tenant) => (tenant === "homes" ? defaultTenantSettings : undefined)),
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const connect = async (url: string, user: string): Promise<MqttClient> => {
  const client = await connectAsync(url, { username: `homes/${user}`, protocolVersion: 5 })
  await client.subscribeAsync("#")
  return client
}

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  yield* Effect.promise(async () => {
    const ada = await connect(url, "ada")
    const grace = await connect(url, "grace")
    const received = (
      [
        ["ada", ada],
        ["grace", grace]
      ] as const
    ).map(
      ([user, client]) =>
        new Promise<string>((resolve) =>
          client.on("message", (topic, payload) => resolve(`${user} received ${topic}: ${payload}`))
        )
    )
    await ada.publishAsync("lamp/state", "on", { qos: 1 })
    await grace.publishAsync("lamp/state", "off", { qos: 1 })
    for (const line of await Promise.all(received)) console.log(line)
    await Promise.all([ada.endAsync(), grace.endAsync()])
  })
})

await Effect.runPromise(Effect.provide(program, broker))
