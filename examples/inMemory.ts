/**
 * No socket at all: the memory transport, for tests and for programs that are their own clients. MQTT.js
 * speaks over any Node.js stream, so a small Duplex joins the two.
 */

import { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { MqttClient } from "mqtt"
import { Broker } from "../src/Broker.ts"
import { type MemoryListener, memoryListener } from "../src/transport/Memory.ts"
import { Transports } from "../src/transport/Transport.ts"

const memory = memoryListener({ name: "memory" })

const broker = Broker.layer().pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [memory]))
)

/**
 * A stream to the broker. Back-pressure holds in both directions: the wire takes what fits and says when it
 * takes more.
 */
const connectStream = (listener: MemoryListener): Duplex => {
  const client = listener.connect()
  const pump = async () => {
    for (let chunk = await client.receive(); chunk !== undefined; chunk = await client.receive())
      stream.push(chunk)
    stream.push(null)
  }
  const stream = new Duplex({
    read: () => {},
    write: (chunk: Uint8Array, _encoding, done) => {
      client.send(chunk).then((sent) => done(sent ? null : new Error("the wire closed")), done)
    },
    destroy: (error, done) => {
      client.close()
      done(error)
    }
  })
  void pump()
  return stream
}

const program = Effect.promise(async () => {
  const client = new MqttClient(() => connectStream(memory), { reconnectPeriod: 0 })
  await new Promise((resolve) => client.once("connect", resolve))
  const arrived = new Promise<string>((resolve) => {
    client.on("message", (topic, payload) => resolve(`${topic}: ${payload}`))
  })
  await client.subscribeAsync("inside")
  await client.publishAsync("inside", "no socket was harmed")
  console.log(await arrived)
  await client.endAsync()
})

await Effect.runPromise(Effect.provide(Effect.zipRight(Broker, program), broker))
