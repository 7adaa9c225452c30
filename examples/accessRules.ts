/**
 * Access rules for each client: an ordered list, the first rule that applies decides, nothing applies means
 * no. A device may publish below its own name only; a dashboard may read everything but the secrets in it.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync } from "mqtt"
import type { AclRule } from "../src/auth/Acl.ts"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const dashboard: ReadonlyArray<AclRule> = [
  { permission: "deny", action: "subscribe", topicFilter: "devices/+/secret" },
  { permission: "allow", action: "subscribe", topicFilter: "devices/#" }
]

const device = (clientId: string): ReadonlyArray<AclRule> =>
  // A client identifier is the client's own choice: one that is not a plain level gets no rule at all.
  /^[\w-]+$/.test(clientId)
    ? [{ permission: "allow", action: "publish", topicFilter: `devices/${clientId}/#` }]
    : []

const broker = Broker.layer().pipe(
  Layer.provide([
    Authenticator.layerAnonymous("loopback"),
    Authorizer.layerRules(({ clientId }) => (clientId === "dashboard" ? dashboard : device(clientId))),
    TenantDirectory.layerSingle(),
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  yield* Effect.promise(async () => {
    const reader = await connectAsync(url, { clientId: "dashboard", protocolVersion: 5 })
    const lamp = await connectAsync(url, { clientId: "lamp", protocolVersion: 5 })
    const received = new Promise<string>((resolve) => {
      reader.on("message", (topic, payload) => resolve(`dashboard received ${topic}: ${payload}`))
    })
    await reader.subscribeAsync("devices/#", { qos: 1 })
    await lamp.publishAsync("devices/lamp/secret", "1234", { qos: 1 })
    const refusal = await lamp.publishAsync("devices/door/open", "yes", { qos: 1 }).then(String, String)
    console.log(`lamp at the door: ${refusal}`)
    await lamp.publishAsync("devices/lamp/state", "on", { qos: 1 })
    console.log(await received)
    await Promise.all([reader.endAsync(), lamp.endAsync()])
  })
})

await Effect.runPromise(Effect.provide(program, broker))
