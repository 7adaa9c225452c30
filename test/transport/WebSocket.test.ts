/** WebSocket on real sockets: Bun's own client, bad clients, deadlines, limits and proxies. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { AdmissionLimit } from "../../src/transport/AdmissionLimit.ts"
import { CidrSet } from "../../src/transport/Cidr.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import type { Wire } from "../../src/transport/Transport.ts"
import type { WebSocketOptions } from "../../src/transport/WebSocket.ts"
import { webSocketListener } from "../../src/transport/WebSocket.ts"
import { isOpensslAvailable, testCertificates } from "../support/certificates.ts"
import { Accepted, echoAcceptor, Recorder, start } from "../support/wires.ts"
import {
  clientFrame,
  connectMemory,
  connectTcp,
  overWebSocket,
  serverFrames,
  upgradeRequest
} from "./clients.ts"

const onTcp = (options?: WebSocketOptions) =>
  webSocketListener(tcpListener({ name: "w", hostname: "127.0.0.1", port: 0 }), options)

const text = (characters: string): Uint8Array => Buffer.from(characters, "latin1")

/** Bun's WebSocket client, with its events recorded; a close is `code`. */
const browser = async (url: string, protocols: ReadonlyArray<string>, tls?: { readonly ca: string }) => {
  const received = new Recorder()
  const socket = new WebSocket(url, { protocols: [...protocols], ...(tls === undefined ? {} : { tls }) })
  socket.binaryType = "arraybuffer"
  socket.onmessage = ({ data }) => {
    if (data instanceof ArrayBuffer) received.onData(new Uint8Array(data))
  }
  const opened = new Promise<boolean>((resolve) => {
    socket.onopen = () => resolve(true)
    socket.onclose = ({ code }) => {
      received.onClose(String(code))
      resolve(false)
    }
  })
  return { isOpen: await opened, received, socket }
}

describe("a standard client", () => {
  const kinds = [
    { scheme: "ws", skip: false },
    { scheme: "wss", skip: !isOpensslAvailable }
  ] as const
  for (const { scheme, skip } of kinds) {
    test.skipIf(skip)(`${scheme}: subprotocol, echo of small and large messages, close`, async () => {
      const name = { name: "w", hostname: "127.0.0.1", port: 0 }
      const certificates = () => ({ certificates: [testCertificates().server] as const })
      const inner =
        scheme === "ws" ? tcpListener(name) : tlsListener({ ...name, credentials: certificates() })
      const { listening, stop } = await start(webSocketListener(inner), echoAcceptor)
      expect(listening.address).toBe(`${scheme}://127.0.0.1:${listening.port}/mqtt`)
      const url = `${scheme}://localhost:${listening.port}/mqtt?client=1`
      const tls = scheme === "ws" ? undefined : { ca: testCertificates().authority.cert }
      const { isOpen, received, socket } = await browser(url, ["mqtt"], tls)
      expect(isOpen).toBe(true)
      expect(socket.protocol).toBe("mqtt")
      const large = new Uint8Array(300_000).map((_, index) => (index * 7) & 0xff)
      const sent = [text("a"), text("b".repeat(200)), text("c".repeat(2000)), large]
      for (const each of sent) socket.send(each)
      const expected = Buffer.concat(sent)
      await received.until(() => received.length === expected.length)
      expect(Buffer.compare(received.bytes, expected)).toBe(0)
      socket.close(1000)
      await received.until(() => received.closeReasons.length > 0)
      expect(received.closeReasons).toEqual(["1000"])
      await stop()
    })
  }

  test("[MQTT-6.0.0-4] a client that offers no known subprotocol is not connected", async () => {
    const { listening, stop } = await start(onTcp(), echoAcceptor)
    const { isOpen } = await browser(`ws://127.0.0.1:${listening.port}/mqtt`, ["chat"])
    expect(isOpen).toBe(false)
    expect(listening.webSocketStats()).toMatchObject({ refused: 1, upgraded: 0, upgrading: 0 })
    await stop()
  })

  test("[MQTT-6.0.0-1] a text message closes with 1003", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(), accepted.acceptor)
    const { received, socket } = await browser(`ws://127.0.0.1:${listening.port}/mqtt`, ["mqtt"])
    socket.send("text")
    await received.until(() => received.closeReasons.length > 0)
    expect(received.closeReasons).toEqual(["1003"])
    const { recorder } = await accepted.nth(0)
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(recorder.closeReasons).toEqual(["WebSocket: text frame"])
    expect(recorder.chunks).toEqual([])
    await stop()
  })

  test("the broker's end is a close with 1000", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(), accepted.acceptor)
    const { received } = await browser(`ws://127.0.0.1:${listening.port}/mqtt`, ["mqttv3.1"])
    const { wire } = await accepted.nth(0)
    wire.write(text("last words"), 0, 10)
    wire.end()
    await received.until(() => received.closeReasons.length > 0)
    expect(received.text).toBe("last words")
    expect(received.closeReasons).toEqual(["1000"])
    await stop()
  })

  test("each write is one binary frame", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(), accepted.acceptor)
    const { received } = await browser(`ws://127.0.0.1:${listening.port}/mqtt`, ["mqtt"])
    const { wire } = await accepted.nth(0)
    for (const size of [1, 125, 126, 65_536]) expect(wire.write(new Uint8Array(size), 0, size)).toBe(size)
    await received.until(() => received.length === 1 + 125 + 126 + 65_536)
    expect(received.chunks.map((chunk) => chunk.length)).toEqual([1, 125, 126, 65_536])
    wire.destroy()
    await stop()
  })
})

/** Everything a raw client gets after it sent these bytes, until it is closed. */
const answerTo = async (
  bytes: ReadonlyArray<Uint8Array>,
  options?: WebSocketOptions
): Promise<Uint8Array> => {
  const accepted = new Accepted()
  const { listening, stop } = await start(onTcp(options), accepted.acceptor)
  const client = await connectTcp(listening.port)
  for (const each of bytes) client.send(each)
  await client.received.until((received) => received.closeReasons.length > 0)
  await stop()
  return client.received.bytes
}

const closeCodeOf = (answer: Uint8Array): number => {
  const afterHead = answer.subarray(Buffer.from(answer).indexOf("\r\n\r\n") + 4)
  const last = serverFrames(afterHead).at(-1)
  return last?.first === 0x88 ? (last.payload[0]! << 8) | last.payload[1]! : -1
}

describe("[attack 29] bad clients", () => {
  test("a head that never ends is answered with 431 at its limit", async () => {
    const endless = [upgradeRequest().subarray(0, -2), text(`Cookie: ${"x".repeat(9000)}`)]
    const answer = Buffer.from(await answerTo(endless)).toString()
    expect(answer).toStartWith("HTTP/1.1 431 ")
    expect(answer).toContain("8192 bytes")
  })

  test("a head of exactly the limit is accepted, of one byte more is not", async () => {
    const bare = upgradeRequest({ Cookie: "" }).length
    for (const extra of [0, 1]) {
      const request = upgradeRequest({ Cookie: "x".repeat(1024 - bare + extra) })
      const closing = clientFrame(Uint8Array.of(3, 232), { opcode: 8 })
      const answer = Buffer.from(await answerTo([request, closing], { headBytesMax: 1024 })).toString(
        "latin1"
      )
      expect(answer).toStartWith(extra === 0 ? "HTTP/1.1 101 " : "HTTP/1.1 431 ")
    }
  })

  test("MQTT or TLS on a WebSocket port is cut off without an answer", async () => {
    for (const first of ["100c00044d5154540402003c0000", "16030100c8010000c4"])
      expect((await answerTo([Buffer.from(first, "hex")])).length).toBe(0)
  })

  test("a path that is not MQTT is answered with 404", async () => {
    const answer = await answerTo([upgradeRequest({}, "GET /other HTTP/1.1")])
    expect(Buffer.from(answer).toString()).toStartWith("HTTP/1.1 404 Not Found\r\n")
  })

  const frames: ReadonlyArray<readonly [name: string, frame: Uint8Array, code: number]> = [
    ["an unmasked frame", Uint8Array.of(0x82, 1, 0), 1002],
    ["a compressed frame", Uint8Array.of(0xc2, 0x81, 0, 0, 0, 0, 0), 1002],
    ["a frame that declares 4 GiB", Uint8Array.of(0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4), 1009],
    ["a text frame", clientFrame(text("x"), { opcode: 1 }), 1003]
  ]
  test.each(frames)("%s is closed with its code", async (_name, frame, code) => {
    expect(closeCodeOf(await answerTo([upgradeRequest(), frame], { frameBytesMax: 100_000 }))).toBe(code)
  })

  test("the peer's close is answered with its own code", async () => {
    const closing = clientFrame(Uint8Array.of(0x0f, 0xa1), { opcode: 8 })
    expect(closeCodeOf(await answerTo([upgradeRequest(), closing]))).toBe(4001)
  })

  test("a request and frames byte by byte, an MQTT packet over many frames", async () => {
    const accepted = new Accepted()
    const inner = memoryListener({ name: "w" })
    const { stop } = await start(webSocketListener(inner), accepted.acceptor)
    const client = connectMemory(inner)
    const packet = text("an MQTT packet")
    const stream = Buffer.concat([
      upgradeRequest(),
      ...[...packet].map((byte, index) =>
        clientFrame(Uint8Array.of(byte), {
          isFinal: index === packet.length - 1,
          opcode: index === 0 ? 2 : 0
        })
      )
    ])
    for (const byte of stream) client.send(Uint8Array.of(byte))
    const { recorder } = await accepted.nth(0)
    await recorder.until(() => recorder.length === packet.length)
    expect(recorder.text).toBe("an MQTT packet")
    client.destroy()
    await stop()
  })

  test("pings are answered, also when the client does not read: with the latest one only", async () => {
    const accepted = new Accepted()
    const inner = memoryListener({ name: "w", bufferBytesMax: 400 })
    const { stop } = await start(webSocketListener(inner), accepted.acceptor)
    const client = connectMemory(inner)
    client.send(upgradeRequest())
    const { recorder, wire } = await accepted.nth(0)
    await client.received.until((received) => received.text.endsWith("\r\n\r\n"))
    const headLength = client.received.length
    client.pause()
    // 398 bytes of payload and 4 of header: two bytes of the frame wait.
    expect(wire.write(new Uint8Array(398), 0, 398)).toBe(398)
    for (let n = 0; n < 100; n++) client.send(clientFrame(text(`ping ${n}`), { opcode: 9 }))
    client.send(clientFrame(text("end of pings")))
    await recorder.until(() => recorder.text === "end of pings")
    expect(wire.write(text("no room"), 0, 7)).toBe(0)
    client.resume()
    await recorder.until(() => recorder.drains === 1)
    expect(wire.write(text("after"), 0, 5)).toBe(5)
    await client.received.until((received) => received.text.endsWith("after"))
    const frames = serverFrames(client.received.bytes.subarray(headLength))
    expect(frames.map(({ first }) => first)).toEqual([0x82, 0x8a, 0x82])
    expect(Buffer.from(frames[1]?.payload ?? []).toString()).toBe("ping 99")
    client.destroy()
    await stop()
  })
})

describe("[attack 3] half a WebSocket handshake", () => {
  test("ends at its deadline, however many bytes keep coming", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp({ handshakeTimeoutMs: 60 }), accepted.acceptor)
    const silent = await connectTcp(listening.port)
    const dripping = await connectTcp(listening.port)
    dripping.send(upgradeRequest().subarray(0, -2))
    const drip = setInterval(() => dripping.send(text("X")), 5)
    for (const client of [silent, dripping])
      await client.received.until((received) => received.closeReasons.length > 0)
    clearInterval(drip)
    expect(listening.webSocketStats()).toEqual({
      handshakeTimeouts: 2,
      refused: 0,
      upgraded: 0,
      upgrading: 0
    })
    expect(accepted.wires).toEqual([])
    await stop()
  })

  test("an upgraded connection has no deadline", async () => {
    const { listening, stop } = await start(onTcp({ handshakeTimeoutMs: 40 }), echoAcceptor)
    const silent = await connectTcp(listening.port)
    const client = await overWebSocket(await connectTcp(listening.port))
    // The silent one goes at the deadline; the upgraded one is as old and stays.
    await silent.received.until((received) => received.closeReasons.length > 0)
    client.send(text("still here"))
    await client.received.until((received) => received.text === "still here")
    client.destroy()
    await stop()
  })

  test("closing the scope ends it, and leaves upgraded connections alone", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(), accepted.acceptor)
    const half = await connectTcp(listening.port)
    const client = await overWebSocket(await connectTcp(listening.port))
    const { wire } = await accepted.nth(0)
    await stop()
    await half.received.until((received) => received.closeReasons.length > 0)
    wire.write(text("live"), 0, 4)
    await client.received.until((received) => received.text === "live")
    client.destroy()
  })
})

describe("behind a reverse proxy", () => {
  const peerOf = async (
    headers: Readonly<Record<string, string>>,
    options: WebSocketOptions
  ): Promise<Wire["peer"]> => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(options), accepted.acceptor)
    const client = await connectTcp(listening.port)
    client.send(upgradeRequest(headers))
    const { wire } = await accepted.nth(0)
    client.destroy()
    await stop()
    return wire.peer
  }
  const trustedProxies = new CidrSet(["127.0.0.0/8"])

  test("the client's address is the one left of the trusted hops", async () => {
    const peer = await peerOf({ "X-Forwarded-For": "6.6.6.6, 203.0.113.9, 127.0.0.1" }, { trustedProxies })
    expect(peer).toMatchObject({ address: "203.0.113.9", port: 0, isLoopback: false, transport: "ws" })
  })

  test("[attack 30] from anybody else the header is not believed, and loopback is not granted either", async () => {
    const peer = await peerOf({ "X-Forwarded-For": "203.0.113.9" }, {})
    expect(peer).toMatchObject({ address: "127.0.0.1", isLoopback: false })
  })

  test("a trusted proxy that does not say for whom is not a local client", async () => {
    const peer = await peerOf({}, { trustedProxies })
    expect(peer).toMatchObject({ address: "127.0.0.1", isLoopback: false })
  })

  test("X-Forwarded-Proto changes nothing", async () => {
    const peer = await peerOf({ "X-Forwarded-Proto": "https" }, { trustedProxies })
    expect(peer.transport).toBe("ws")
  })

  test("address limits are those of the clients behind it", async () => {
    const admission = new AdmissionLimit({
      ...{ acceptsPerSecond: 1000, acceptsBurst: 1000, pendingMax: 1000, addressesMax: 1000 },
      ...{ acceptsPerSecondPerAddress: 1000, acceptsBurstPerAddress: 1000, pendingMaxPerAddress: 1 }
    })
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp({ trustedProxies, admission }), accepted.acceptor)
    const from = async (address: string) => {
      const client = await connectTcp(listening.port)
      client.send(upgradeRequest({ "X-Forwarded-For": address }))
      return client
    }
    const first = await from("203.0.113.9")
    const { wire } = await accepted.nth(0)
    const second = await from("203.0.113.9")
    await second.received.until((received) => received.closeReasons.length > 0)
    expect(second.received.text).toStartWith("HTTP/1.1 503 ")
    wire.settled?.()
    const third = await from("203.0.113.9")
    await accepted.nth(1)
    for (const client of [first, third]) client.destroy()
    await stop()
  })
})

test("a listener that cannot bind fails with the inner listener's error", async () => {
  const taken = await start(tcpListener({ name: "w", hostname: "127.0.0.1", port: 0 }), echoAcceptor)
  const listener = webSocketListener(
    tcpListener({ name: "w", hostname: "127.0.0.1", port: taken.listening.port })
  )
  const error = await Effect.runPromise(Effect.flip(Effect.scoped(listener.listen(echoAcceptor))))
  expect(error.message).toStartWith(`listener w cannot listen on 127.0.0.1:${taken.listening.port}: `)
  await taken.stop()
})
