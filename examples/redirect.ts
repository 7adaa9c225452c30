/**
 * Server redirection: a `ClientBalancer` sends the clients of one tenant to another server. (MQTT 5.0,
 * section 4.11)
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connect } from "mqtt"
import type { IConnackPacket } from "mqtt-packet"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const balancer = Layer.succeed(ClientBalancer, {
  redirect: ({ clientId }) =>
    Effect.succeed(
      clientId.startsWith("eu-") ? { permanent: false, serverReference: "eu.example.com:1883" } : undefined
    )
})

const broker = Broker.layer().pipe(
  Layer.provide([
    Authenticator.layerAnonymous("loopback"),
    Authorizer.layerAllowAll,
    TenantDirectory.layerSingle(),
    balancer,
    EventSink.layerLog,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  const connack = yield* Effect.async<IConnackPacket>((resume) => {
    const client = connect(url, { clientId: "eu-1", protocolVersion: 5, reconnectPeriod: 0 })
    client.on("error", () => {})
    client.on("packetreceive", (packet) => {
      if (packet.cmd === "connack") resume(Effect.succeed(packet))
    })
  })
  const { properties, reasonCode } = connack
  console.log(`CONNACK 0x${reasonCode?.toString(16)}, go to ${properties?.serverReference}`)
})

await Effect.runPromise(Effect.provide(program, broker))
