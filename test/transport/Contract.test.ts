/** The rules of a wire, run against every adapter of the transport port. */

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { networkInterfaces, tmpdir } from "node:os"
import { join } from "node:path"
import { CidrSet } from "../../src/transport/Cidr.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import { proxyProtocolListener } from "../../src/transport/ProxyProtocol.ts"
import { tcpListener, unixListener } from "../../src/transport/Tcp.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import type { Listener, Listening, TransportKind } from "../../src/transport/Transport.ts"
import { webSocketListener } from "../../src/transport/WebSocket.ts"
import { isOpensslAvailable, testCertificates } from "../support/certificates.ts"
import { Accepted, echoAcceptor, start } from "../support/wires.ts"
import type { TestClient } from "./clients.ts"
import { connectMemory, connectTcp, connectTls, connectUnix, overWebSocket } from "./clients.ts"

interface Adapter {
  readonly name: string
  readonly kind: TransportKind
  readonly skip?: string | undefined
  readonly make: () => {
    readonly listener: Listener
    readonly connect: (listening: Listening) => Promise<TestClient> | TestClient
  }
}

const directory = mkdtempSync(join(tmpdir(), "heddle-wires-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let socketCount = 0

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === "::1")
)
const noOpenssl = isOpensslAvailable ? undefined : "no openssl command"
const tcp = (hostname = "127.0.0.1") => tcpListener({ name: "t", hostname, port: 0 })
const secure = () =>
  tlsListener({
    name: "t",
    hostname: "127.0.0.1",
    port: 0,
    credentials: { certificates: [testCertificates().server] }
  })

const proxied = async (listening: Listening): Promise<TestClient> => {
  const client = await connectTcp(listening.port)
  client.send(Buffer.from("PROXY TCP4 198.51.100.7 192.0.2.1 4000 1883\r\n"))
  return client
}

const overMemory = (
  wrap: (inner: Listener) => Listener,
  connect: (client: TestClient) => Promise<TestClient>
) => {
  const inner = memoryListener({ name: "t", bufferBytesMax: 1500 })
  return { listener: wrap(inner), connect: () => connect(connectMemory(inner)) }
}

const adapters: ReadonlyArray<Adapter> = [
  {
    name: "tcp over IPv4",
    kind: "tcp",
    make: () => ({ listener: tcp(), connect: ({ port }) => connectTcp(port) })
  },
  {
    name: "tcp over IPv6",
    kind: "tcp",
    skip: hasIpv6 ? undefined : "this machine has no ::1",
    make: () => ({ listener: tcp("::1"), connect: ({ port }) => connectTcp(port, "::1") })
  },
  {
    name: "unix socket",
    kind: "unix",
    make: () => {
      const path = join(directory, `${(socketCount += 1)}.sock`)
      return { listener: unixListener({ name: "t", path }), connect: () => connectUnix(path) }
    }
  },
  {
    name: "tcp behind PROXY protocol",
    kind: "tcp",
    make: () => ({
      listener: proxyProtocolListener(tcp(), { trusted: new CidrSet(["127.0.0.1"]) }),
      connect: proxied
    })
  },
  {
    name: "tls",
    kind: "tls",
    skip: noOpenssl,
    make: () => ({ listener: secure(), connect: ({ port }) => connectTls(port) })
  },
  {
    name: "WebSocket over tcp",
    kind: "ws",
    make: () => ({
      listener: webSocketListener(tcp()),
      connect: async ({ port }) => overWebSocket(await connectTcp(port))
    })
  },
  {
    name: "WebSocket over tls",
    kind: "wss",
    skip: noOpenssl,
    make: () => ({
      listener: webSocketListener(secure()),
      connect: async ({ port }) => overWebSocket(await connectTls(port))
    })
  },
  {
    name: "memory",
    kind: "memory",
    make: () => {
      const listener = memoryListener({ name: "t", bufferBytesMax: 1500 })
      return { listener, connect: () => connectMemory(listener) }
    }
  },
  {
    name: "WebSocket over memory with small buffers",
    kind: "ws",
    make: () => overMemory((inner) => webSocketListener(inner), overWebSocket)
  }
]

const pattern = (length: number): Uint8Array =>
  new Uint8Array(length).map((_, index) => (index * 31 + (index >> 11)) & 0xff)

const open = async (adapter: Adapter, accepted: Accepted) => {
  const { connect, listener } = adapter.make()
  const { listening, stop } = await start(listener, accepted.acceptor)
  const client = await connect(listening)
  const { recorder, wire } = await accepted.nth(0)
  const finish = async () => {
    client.destroy()
    await stop()
  }
  return { client, connect: () => connect(listening), finish, listening, recorder, stop, wire }
}

for (const adapter of adapters) {
  const title = adapter.skip === undefined ? adapter.name : `${adapter.name} (skipped: ${adapter.skip})`
  describe.skipIf(adapter.skip !== undefined)(title, () => {
    test("says what it is", async () => {
      const { finish, listening, wire } = await open(adapter, new Accepted())
      expect(listening.transport).toBe(adapter.kind)
      expect(wire.peer.transport).toBe(adapter.kind)
      expect(wire.peer.listener).toBe("t")
      expect(wire.peer.isLoopback).toBe(adapter.name !== "tcp behind PROXY protocol")
      expect(wire.acceptedAtMs).toBeGreaterThan(0)
      await finish()
    })

    test("echoes bytes in order, with back-pressure both ways", async () => {
      const { connect, listener } = adapter.make()
      const { listening, stop } = await start(listener, echoAcceptor)
      const client = await connect(listening)
      const sent = pattern(400_000)
      for (let at = 0, size = 1; at < sent.length; at += size, size = (size * 7 + 3) % 20_011)
        client.send(sent.subarray(at, at + size))
      await client.received.until((received) => received.length === sent.length)
      expect(Buffer.compare(client.received.bytes, sent)).toBe(0)
      client.destroy()
      await stop()
    })

    test("chunks belong to the handler: nobody writes to them again", async () => {
      const copies: Array<Uint8Array> = []
      const accepted = new Accepted((_wire, chunk) => copies.push(Uint8Array.from(chunk)))
      const { client, finish, recorder } = await open(adapter, accepted)
      for (let round = 1; round <= 40; round++) {
        client.send(new Uint8Array(1000).fill(round))
        await recorder.until(() => recorder.length === round * 1000)
      }
      expect(recorder.chunks.length).toBeGreaterThan(1)
      expect(Buffer.compare(Buffer.concat(recorder.chunks), Buffer.concat(copies))).toBe(0)
      await finish()
    })

    test("a paused wire gets nothing; after resume it gets everything", async () => {
      const { client, connect, finish, recorder, wire } = await open(adapter, new Accepted())
      wire.pause()
      wire.pause()
      client.send(pattern(1000))
      // A round trip of another connection: what was sent before it has arrived.
      const witness = await connect()
      witness.destroy()
      expect(recorder.length).toBe(0)
      wire.resume()
      wire.resume()
      expect(recorder.length).toBe(0)
      await recorder.until(() => recorder.length === 1000)
      expect(Buffer.compare(recorder.bytes, pattern(1000))).toBe(0)
      await finish()
    })

    test("pausing from inside onData stops at that chunk", async () => {
      const accepted = new Accepted((wire) => wire.pause())
      const { client, finish, recorder, wire } = await open(adapter, accepted)
      const sent = pattern(3000)
      for (let at = 0; at < sent.length; at += 500) client.send(sent.subarray(at, at + 500))
      for (let chunks = 1; recorder.length < sent.length; chunks++) {
        await recorder.until(() => recorder.chunks.length === chunks)
        await Promise.resolve()
        expect(recorder.chunks.length).toBe(chunks)
        wire.resume()
      }
      expect(Buffer.compare(recorder.bytes, sent)).toBe(0)
      await finish()
    })

    test("a slow reader makes writes short, and onDrain says when to go on", async () => {
      const { client, finish, recorder, wire } = await open(adapter, new Accepted())
      const sent = pattern(6_000_000)
      client.pause()
      let at = 0
      while (at < sent.length) {
        const taken = wire.write(sent, at, sent.length)
        expect(taken).toBeGreaterThanOrEqual(0)
        at += taken
        if (taken === 0) break
      }
      expect(at).toBeLessThan(sent.length)
      while (at < sent.length) {
        const drains = recorder.drains
        client.resume()
        await recorder.until(() => recorder.drains > drains)
        at += wire.write(sent, at, sent.length)
      }
      await client.received.until((received) => received.length === sent.length)
      expect(Buffer.compare(client.received.bytes, sent)).toBe(0)
      await finish()
    })

    test("written bytes may be reused at once", async () => {
      const { client, finish, wire } = await open(adapter, new Accepted())
      // A Buffer, whose `slice` does not copy.
      const buffer = Buffer.alloc(1300)
      const taken = wire.write(buffer.fill(1), 100, 1300)
      buffer.fill(9)
      await client.received.until((received) => received.length === taken)
      expect(client.received.bytes.every((byte) => byte === 1)).toBe(true)
      await finish()
    })

    test("end: what was written arrives, then both ends close, once", async () => {
      const { client, finish, recorder, wire } = await open(adapter, new Accepted())
      expect(wire.write(pattern(1000), 0, 1000)).toBe(1000)
      wire.end()
      wire.end()
      expect(wire.write(pattern(1), 0, 1)).toBe(-1)
      expect(recorder.closeReasons).toEqual([])
      await client.received.until((received) => received.closeReasons.length > 0)
      expect(Buffer.compare(client.received.bytes, pattern(1000))).toBe(0)
      await recorder.until(() => recorder.closeReasons.length > 0)
      wire.end()
      wire.destroy()
      await finish()
      expect(recorder.closeReasons).toEqual(["ended"])
    })

    test("destroy: closes once, not from inside the call, and later calls are harmless", async () => {
      const { client, finish, recorder, wire } = await open(adapter, new Accepted())
      wire.destroy()
      expect(recorder.closeReasons).toEqual([])
      expect(wire.write(pattern(1), 0, 1)).toBe(-1)
      await recorder.until(() => recorder.closeReasons.length > 0)
      await client.received.until((received) => received.closeReasons.length > 0)
      for (const call of [wire.pause, wire.resume, wire.end, wire.destroy, wire.settled]) call?.call(wire)
      expect(wire.write(pattern(1), 0, 1)).toBe(-1)
      await finish()
      expect(recorder.closeReasons).toEqual(["destroyed"])
    })

    test("destroy from inside onData: no more data, one close", async () => {
      const accepted = new Accepted((wire) => wire.destroy())
      const { client, finish, recorder } = await open(adapter, accepted)
      for (let round = 0; round < 5; round++) client.send(pattern(200))
      await recorder.until(() => recorder.closeReasons.length > 0)
      expect(recorder.chunks.length).toBe(1)
      expect(recorder.closeReasons).toEqual(["destroyed"])
      await finish()
    })

    test("the peer ends: its last bytes come first, then one close", async () => {
      const { client, finish, recorder } = await open(adapter, new Accepted())
      client.send(pattern(1000))
      client.end()
      await recorder.until(() => recorder.closeReasons.length > 0)
      expect(Buffer.compare(recorder.bytes, pattern(1000))).toBe(0)
      await finish()
      expect(recorder.closeReasons).toEqual(["closed by peer"])
    })

    test("the peer ends while the wire is paused: its last bytes come after resume", async () => {
      const { client, connect, finish, recorder, wire } = await open(adapter, new Accepted())
      wire.pause()
      client.send(pattern(1000))
      client.end()
      const witness = await connect()
      witness.destroy()
      expect(recorder.chunks).toEqual([])
      expect(recorder.closeReasons).toEqual([])
      wire.resume()
      await recorder.until(() => recorder.closeReasons.length > 0)
      expect(Buffer.compare(recorder.bytes, pattern(1000))).toBe(0)
      expect(recorder.closeReasons).toEqual(["closed by peer"])
      await finish()
    })

    test("the peer vanishes: one close", async () => {
      const { client, finish, recorder } = await open(adapter, new Accepted())
      client.destroy()
      await recorder.until(() => recorder.closeReasons.length > 0)
      await finish()
      expect(recorder.closeReasons.length).toBe(1)
    })

    test("an acceptor that refuses closes the client", async () => {
      const { connect, listener } = adapter.make()
      const { listening, stop } = await start(listener, () => undefined)
      const client = await connect(listening)
      client.send(pattern(10))
      await client.received.until((received) => received.closeReasons.length > 0)
      expect(client.received.length).toBe(0)
      await stop()
    })

    test("stopping leaves live wires alone", async () => {
      const { client, recorder, stop, wire } = await open(adapter, new Accepted())
      await stop()
      client.send(pattern(10))
      await recorder.until(() => recorder.length === 10)
      wire.write(pattern(20), 0, 20)
      await client.received.until((received) => received.length === 20)
      client.destroy()
    })
  })
}
