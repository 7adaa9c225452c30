/**
 * A broker inside a program: the default services, a listener on a free port, and a scope that ends it.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync } from "mqtt"
import { Broker } from "../src/Broker.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const broker = Broker.layer().pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })]))
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const port = listening[0]?.port
  yield* Effect.promise(async () => {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`)
    const arrived = new Promise<string>((resolve) => {
      client.on("message", (topic, payload) => resolve(`${topic}: ${payload}`))
    })
    await client.subscribeAsync("greetings/#", { qos: 1 })
    await client.publishAsync("greetings/world", "hello from inside", { qos: 1 })
    console.log(await arrived)
    await client.endAsync()
  })
})

await Effect.runPromise(Effect.provide(program, broker))
