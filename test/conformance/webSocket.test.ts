/**
 * MQTT over WebSocket (5.0 and 3.1.1, chapter 6): a whole broker behind a real socket, spoken to by a
 * standard client.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../../src/Broker.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { webSocketListener } from "../../src/transport/WebSocket.ts"
import { concat, raw, ServerReader, type Version } from "../support/raw.ts"
import { Recorder } from "../support/wires.ts"

const listener = webSocketListener(tcpListener({ name: "web", hostname: "127.0.0.1", port: 0 }))

const layer = Broker.layer().pipe(
  Layer.provide(Broker.layerDefaultServices),
  Layer.provide(Layer.succeed(Transports, [listener]))
)

const withWebSocket = (
  body: (socket: WebSocket, received: Recorder) => Promise<void>,
  protocols: ReadonlyArray<string> = ["mqtt"]
): Promise<void> =>
  Effect.gen(function* () {
    const { listening } = yield* Broker
    const port = listening[0]?.port ?? 0
    yield* Effect.promise(async () => {
      const received = new Recorder()
      const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, { protocols: [...protocols] })
      socket.binaryType = "arraybuffer"
      const kinds = new Set<string>()
      socket.onmessage = ({ data }) => {
        kinds.add(typeof data)
        if (data instanceof ArrayBuffer) received.onData(new Uint8Array(data))
      }
      socket.onclose = ({ code }) => received.onClose(String(code))
      await new Promise<void>((resolve) => {
        socket.onopen = () => resolve()
      })
      await body(socket, received)
      // Everything that the server sent was binary. [MQTT-6.0.0-1]
      expect([...kinds].filter((kind) => kind !== "object")).toEqual([])
      socket.close()
    })
  }).pipe(Effect.provide(layer), Effect.runPromise)

/** The packets of the server once there are so many. */
const packetsOf = async (received: Recorder, version: Version, count: number) => {
  const read = () => new ServerReader(version).push(received.bytes)
  await received.until(() => read().length >= count)
  return read()
}

describe("over WebSocket", () => {
  test("[MQTT-6.0.0-4] [v3 MQTT-6.0.0-4] the server answers with the subprotocol mqtt", () =>
    withWebSocket(
      async (socket) => {
        expect(socket.protocol).toBe("mqtt")
      },
      ["other", "mqtt"]
    ))

  for (const version of [5, 4] as const) {
    const packets = concat(
      raw.connect({ version }),
      raw.subscribe({ version, packetId: 3 }),
      raw.publish({ version, packetId: 9, qos: 1 }),
      raw.pingreq()
    )
    const answers = ["connack", "pingresp", "puback", "publish", "suback"]

    test(`[MQTT-6.0.0-2] [v3 MQTT-6.0.0-2] level ${version}: several packets in one frame are read`, () =>
      withWebSocket(async (socket, received) => {
        socket.send(new Uint8Array(packets))
        const found = await packetsOf(received, version, answers.length)
        expect<ReadonlyArray<string>>(found.map(({ cmd }) => cmd).sort()).toEqual(answers)
      }))

    test(`[MQTT-6.0.0-2] [v3 MQTT-6.0.0-2] level ${version}: packets cut into a frame a byte are read`, () =>
      withWebSocket(async (socket, received) => {
        for (const byte of packets) socket.send(Uint8Array.of(byte))
        const found = await packetsOf(received, version, answers.length)
        expect<ReadonlyArray<string>>(found.map(({ cmd }) => cmd).sort()).toEqual(answers)
      }))

    test(`[MQTT-6.0.0-1] [v3 MQTT-6.0.0-1] level ${version}: a text frame closes the connection`, () =>
      withWebSocket(async (socket, received) => {
        socket.send(new Uint8Array(raw.connect({ version })))
        await packetsOf(received, version, 1)
        socket.send("\u00c0\u0000")
        await received.until(() => received.closeReasons.length > 0)
        expect(received.closeReasons).toEqual(["1003"])
      }))
  }
})
