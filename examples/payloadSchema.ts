/**
 * Payloads that have to be JSON of a certain form, written as an Effect Schema. What is not as it should be
 * is refused with Payload format invalid (0x99) and the reason, and reaches nobody.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { connectAsync } from "mqtt"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { payloadSchema } from "../src/tenant/policy/payloadSchema.ts"
import { TenantPolicy } from "../src/tenant/policy/TenantPolicy.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const Reading = Schema.Struct({
  celsius: Schema.Number.pipe(Schema.between(-60, 60)),
  takenAt: Schema.Date
})

const broker = Broker.layer().pipe(
  Layer.provide([
    TenantPolicy.layer(payloadSchema("readings/#", Reading)),
    Authenticator.layerAnonymous("loopback"),
    Authorizer.layerAllowAll,
    TenantDirectory.layerSingle(),
    ClientBalancer.layerStay,
    EventSink.layerNone,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  yield* Effect.promise(async () => {
    const sensor = await connectAsync(url, { protocolVersion: 5 })
    const explained = new Promise<string>((resolve) => {
      sensor.on("packetreceive", (packet) => {
        if (packet.cmd === "puback" && packet.reasonCode === 0x99)
          resolve(`PUBACK 0x99: ${packet.properties?.reasonString}`)
      })
    })
    const publish = async (payload: object) => {
      const outcome = await sensor
        .publishAsync("readings/cellar", JSON.stringify(payload), { qos: 1 })
        .then(() => "taken", String)
      console.log(`${JSON.stringify(payload)}: ${outcome}`)
    }
    await publish({ celsius: 11.5, takenAt: "2026-11-22T20:00:00Z" })
    await publish({ celsius: 1150, takenAt: "2026-11-22T20:00:00Z" })
    console.log(await explained)
    await sensor.endAsync()
  })
})

await Effect.runPromise(Effect.provide(program, broker))
