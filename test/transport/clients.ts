/**
 * Clients for transport tests: one interface over plain sockets, TLS, memory and WebSocket, so that one
 * contract suite runs against every adapter. What arrives is recorded as it comes; nothing here waits by
 * time.
 */

import * as net from "node:net"
import * as tls from "node:tls"
import type { MemoryListener } from "../../src/transport/Memory.ts"
import { testCertificates } from "../support/certificates.ts"
import { Recorder } from "../support/wires.ts"

export interface TestClient {
  /** Bytes that arrived, and one close. */
  readonly received: Recorder
  readonly send: (bytes: Uint8Array) => void
  readonly pause: () => void
  readonly resume: () => void
  readonly end: () => void
  readonly destroy: () => void
}

const socketClient = (socket: net.Socket, event: string): Promise<TestClient> =>
  new Promise((resolve, reject) => {
    const received = new Recorder()
    socket.on("data", (chunk: Uint8Array) => received.onData(chunk))
    socket.on("close", () => received.onClose("closed"))
    socket.once("error", reject)
    socket.on("error", () => undefined)
    socket.once(event, () =>
      resolve({
        received,
        send: (bytes) => socket.write(bytes),
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        end: () => socket.end(),
        destroy: () => socket.resetAndDestroy()
      })
    )
  })

/** A TCP client. */
export const connectTcp = (port: number, host = "127.0.0.1"): Promise<TestClient> =>
  socketClient(net.connect(port, host), "connect")

export const connectUnix = (path: string): Promise<TestClient> => socketClient(net.connect(path), "connect")

export const connectTls = (port: number): Promise<TestClient> => {
  const ca = testCertificates().authority.cert
  return socketClient(tls.connect({ port, host: "127.0.0.1", servername: "localhost", ca }), "secureConnect")
}

export const connectMemory = (listener: MemoryListener): TestClient => {
  const received = new Recorder()
  const waiting: Array<Uint8Array> = []
  const flush = () => {
    for (let chunk = waiting[0]; chunk !== undefined; chunk = waiting[0]) {
      const taken = wire.write(chunk, 0, chunk.length)
      if (taken < 0) return
      waiting[0] = chunk.subarray(taken)
      if (taken < chunk.length) return
      waiting.shift()
    }
    if (isEnding) wire.end()
  }
  let isEnding = false
  const wire = listener.connectWire({ onData: received.onData, onDrain: flush, onClose: received.onClose })
  return {
    received,
    send: (bytes) => {
      waiting.push(bytes)
      if (waiting.length === 1) flush()
    },
    pause: () => wire.pause(),
    resume: () => wire.resume(),
    end: () => {
      isEnding = true
      if (waiting.length === 0) wire.end()
    },
    destroy: () => wire.destroy()
  }
}

/** One masked frame, as a client sends it. */
export const clientFrame = (
  payload: Uint8Array,
  options: {
    readonly opcode?: number
    readonly isFinal?: boolean
    readonly mask?: ReadonlyArray<number>
  } = {}
): Uint8Array => {
  const { isFinal = true, mask = [0x37, 0xfa, 0x21, 0x3d], opcode = 2 } = options
  const first = (isFinal ? 0x80 : 0) | opcode
  const { length } = payload
  const header = [first]
  if (length < 126) header.push(0x80 | length)
  else if (length < 65_536) header.push(0x80 | 126, length >> 8, length & 0xff)
  else
    header.push(
      0x80 | 127,
      0,
      0,
      0,
      0,
      length >>> 24,
      (length >> 16) & 0xff,
      (length >> 8) & 0xff,
      length & 0xff
    )
  header.push(...mask)
  const frame = new Uint8Array(header.length + length)
  frame.set(header)
  for (let at = 0; at < length; at++) frame[header.length + at] = payload[at]! ^ mask[at & 3]!
  return frame
}

export const upgradeRequest = (
  changes: Readonly<Record<string, string | undefined>> = {},
  line = "GET /mqtt HTTP/1.1"
) => {
  const headers: Record<string, string | undefined> = {
    Host: "broker.test",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
    ...changes
  }
  const lines = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Buffer.from(
    `${line}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
    "latin1"
  )
}

/** Takes server frames apart. */
export const serverFrames = (
  bytes: Uint8Array
): ReadonlyArray<{ readonly first: number; readonly payload: Uint8Array }> => {
  const frames: Array<{ readonly first: number; readonly payload: Uint8Array }> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at + 2 <= bytes.length; ) {
    const short = bytes[at + 1]!
    const headerLength = short < 126 ? 2 : short === 126 ? 4 : 10
    if (at + headerLength > bytes.length) break
    const length =
      short < 126 ? short : short === 126 ? view.getUint16(at + 2) : Number(view.getBigUint64(at + 2))
    if (at + headerLength + length > bytes.length) break
    frames.push({ first: bytes[at]!, payload: bytes.subarray(at + headerLength, at + headerLength + length) })
    at += headerLength + length
  }
  return frames
}

/** Speaks WebSocket over another client: `received` is the payload of binary frames. */
export const overWebSocket = async (below: TestClient, request = upgradeRequest()): Promise<TestClient> => {
  below.send(request)
  const headEnd = () => Buffer.from(below.received.bytes).indexOf("\r\n\r\n")
  await below.received.until(({ closeReasons }) => headEnd() >= 0 || closeReasons.length > 0)
  if (headEnd() < 0) return below
  const received = new Recorder()
  let seen = headEnd() + 4
  let pending: Uint8Array = new Uint8Array(0)
  const look = () => {
    const bytes = below.received.bytes
    pending = Buffer.concat([pending, bytes.subarray(seen)])
    seen = bytes.length
    for (const { first, payload } of serverFrames(pending)) {
      if (first === 0x82) received.onData(payload)
      pending = pending.subarray(
        payload.length + (payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10)
      )
    }
    below.received.chunks.splice(0)
    seen = 0
  }
  look()
  void below.received.until((recorder) => {
    if (recorder.chunks.length > 0) look()
    if (recorder.closeReasons.length > 0) received.onClose("closed")
    return recorder.closeReasons.length > 0
  })
  return {
    ...below,
    received,
    send: (bytes) => below.send(clientFrame(bytes)),
    end: () => {
      below.send(clientFrame(Uint8Array.of(0x03, 0xe8), { opcode: 8 }))
      below.end()
    }
  }
}
