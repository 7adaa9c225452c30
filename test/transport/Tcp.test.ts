/**
 * What is particular to plain sockets and to memory: binding, stale files, admission, counting, lingering.
 */

import { afterAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { AdmissionOptions } from "../../src/transport/AdmissionLimit.ts"
import { AdmissionLimit } from "../../src/transport/AdmissionLimit.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import { tcpListener, unixListener } from "../../src/transport/Tcp.ts"
import type { Listener } from "../../src/transport/Transport.ts"
import { Accepted, echoAcceptor, start } from "../support/wires.ts"
import { connectTcp, connectUnix } from "./clients.ts"

const text = (characters: string): Uint8Array => Buffer.from(characters, "latin1")
const failureOf = (listener: Listener) =>
  Effect.runPromise(Effect.flip(Effect.scoped(listener.listen(echoAcceptor))))

const directory = mkdtempSync(join(tmpdir(), "heddle-sockets-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let fileCount = 0
const inTemp = (name: string): string => join(directory, `${(fileCount += 1)}-${name}`)

const unlimited: AdmissionOptions = {
  ...{
    acceptsPerSecond: 1e6,
    acceptsBurst: 1e6,
    acceptsPerSecondPerAddress: 1e6,
    acceptsBurstPerAddress: 1e6
  },
  ...{ pendingMax: 1e6, pendingMaxPerAddress: 1e6, addressesMax: 100 }
}

describe("tcp", () => {
  test("a port that is taken is an error that names the listener and the address", async () => {
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0 }),
      echoAcceptor
    )
    const error = await failureOf(tcpListener({ name: "b", hostname: "127.0.0.1", port: listening.port }))
    expect(error._tag).toBe("ListenError")
    expect(error.message).toStartWith(`listener b cannot listen on 127.0.0.1:${listening.port}: `)
    await stop()
  })

  test("the port is free again when the scope is closed, also with a live wire", async () => {
    const accepted = new Accepted()
    const first = await start(tcpListener({ name: "a", hostname: "127.0.0.1", port: 0 }), accepted.acceptor)
    const client = await connectTcp(first.listening.port)
    await accepted.nth(0)
    await first.stop()
    const second = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: first.listening.port }),
      echoAcceptor
    )
    expect(second.listening.port).toBe(first.listening.port)
    client.destroy()
    await second.stop()
  })

  test("an IPv4 client of a dual-stack listener has its IPv4 address", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "::", port: 0 }),
      accepted.acceptor
    )
    expect(listening.address).toBe(`[::]:${listening.port}`)
    const client = await connectTcp(listening.port)
    expect((await accepted.nth(0)).wire.peer).toMatchObject({ address: "127.0.0.1", isLoopback: true })
    client.destroy()
    await stop()
  })

  test("counts its sockets", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0 }),
      accepted.acceptor
    )
    const client = await connectTcp(listening.port)
    const { recorder } = await accepted.nth(0)
    expect(listening.stats()).toMatchObject({ sockets: 1, accepted: 1, refused: 0 })
    client.destroy()
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(listening.stats()).toMatchObject({ sockets: 0, accepted: 1 })
    await stop()
  })

  test("[attack 4] a refused connection is cut off at accept, before the acceptor", async () => {
    const admission = new AdmissionLimit({ ...unlimited, acceptsBurst: 1, acceptsPerSecond: 0 })
    const accepted = new Accepted()
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0, admission }),
      accepted.acceptor
    )
    const admitted = await connectTcp(listening.port)
    await accepted.nth(0)
    const refused = await connectTcp(listening.port).catch(() => undefined)
    await refused?.received.until((received) => received.closeReasons.length > 0)
    expect(accepted.wires.length).toBe(1)
    expect(listening.stats()).toMatchObject({ sockets: 1, refused: 1 })
    admitted.destroy()
    await stop()
  })

  test("[attack 3] a connection is pending until it is settled or gone, and settles once", async () => {
    const admission = new AdmissionLimit({ ...unlimited, pendingMaxPerAddress: 2 })
    const accepted = new Accepted()
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0, admission }),
      accepted.acceptor
    )
    const clients = [await connectTcp(listening.port), await connectTcp(listening.port)]
    const first = await accepted.nth(0)
    const second = await accepted.nth(1)
    expect(admission.pending).toBe(2)
    const third = await connectTcp(listening.port).catch(() => undefined)
    await third?.received.until((received) => received.closeReasons.length > 0)
    first.wire.settled?.()
    first.wire.settled?.()
    expect(admission.pending).toBe(1)
    for (const client of clients) client.destroy()
    await first.recorder.until(() => first.recorder.closeReasons.length > 0)
    await second.recorder.until(() => second.recorder.closeReasons.length > 0)
    expect(admission.pending).toBe(0)
    await stop()
  })

  test("a handler that throws ends its own wire and nobody else's", async () => {
    const accepted = new Accepted((_wire, chunk) => {
      if (chunk.length === 1) throw new RangeError("a bug in a handler")
    })
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0 }),
      accepted.acceptor
    )
    const broken = await connectTcp(listening.port)
    const other = await connectTcp(listening.port)
    const { recorder } = await accepted.nth(0)
    broken.send(text("x"))
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(recorder.closeReasons).toEqual(["a bug in a handler"])
    other.send(text("fine"))
    const second = (await accepted.nth(1)).recorder
    await second.until(() => second.text === "fine")
    other.destroy()
    await stop()
  })

  test("an ended wire hears nothing more, and waits for the peer's FIN", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(
      tcpListener({ name: "a", hostname: "127.0.0.1", port: 0 }),
      accepted.acceptor
    )
    const client = await connectTcp(listening.port)
    const { recorder, wire } = await accepted.nth(0)
    // What the client sends after our end must not turn into a reset that destroys our last words.
    client.pause()
    wire.write(text("goodbye"), 0, 7)
    wire.end()
    for (let n = 0; n < 20; n++) client.send(text("too late"))
    client.resume()
    await client.received.until((received) => received.closeReasons.length > 0)
    expect(client.received.text).toBe("goodbye")
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(recorder.chunks).toEqual([])
    expect(recorder.closeReasons).toEqual(["ended"])
    await stop()
  })
})

describe("unix", () => {
  test("permissions, and the socket is gone with its scope", async () => {
    const path = inTemp("mqtt.sock")
    const accepted = new Accepted()
    const { listening, stop } = await start(unixListener({ name: "u", path, mode: 0o600 }), accepted.acceptor)
    expect(listening).toMatchObject({ address: path, port: 0, transport: "unix" })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const client = await connectUnix(path)
    expect((await accepted.nth(0)).wire.peer).toMatchObject({ address: "", port: 0, isLoopback: true })
    client.destroy()
    await stop()
    expect(existsSync(path)).toBe(false)
  })

  test("a socket that a killed process left behind is replaced", async () => {
    const path = inTemp("mqtt.sock")
    const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, "SIGKILL")`
    spawnSync(process.execPath, ["-e", script])
    expect(existsSync(path)).toBe(true)
    const { stop } = await start(unixListener({ name: "u", path }), echoAcceptor)
    const client = await connectUnix(path)
    client.send(text("hello"))
    await client.received.until((received) => received.text === "hello")
    client.destroy()
    await stop()
  })

  test("a socket in use and a file that is no socket stay, and are errors", async () => {
    const path = inTemp("mqtt.sock")
    const { stop } = await start(unixListener({ name: "u", path }), echoAcceptor)
    expect((await failureOf(unixListener({ name: "v", path }))).message).toStartWith(
      `listener v cannot listen on ${path}`
    )
    const client = await connectUnix(path)
    client.send(text("still mine"))
    await client.received.until((received) => received.text === "still mine")
    client.destroy()
    await stop()
    const file = inTemp("plain")
    writeFileSync(file, "precious")
    expect((await failureOf(unixListener({ name: "v", path: file })))._tag).toBe("ListenError")
    expect(statSync(file).size).toBe(8)
  })
})

describe("memory", () => {
  test("a conversation with promises: what fits, what waits, what closes", async () => {
    const listener = memoryListener({ name: "m", bufferBytesMax: 8 })
    const { listening, stop } = await start(listener, echoAcceptor)
    expect(listening).toEqual({ name: "m", transport: "memory", address: "memory:m", port: 0 })
    const client = listener.connect()
    expect(client.write(text("0123456789"))).toBe(8)
    expect(client.write(text("89"))).toBe(0)
    expect(Buffer.from((await client.receive()) ?? []).toString()).toBe("01234567")
    const sent = client.send(text("x".repeat(50)))
    let received = 0
    while (received < 50) received += (await client.receive())?.length ?? 50
    expect(received).toBe(50)
    expect(await sent).toBe(true)
    client.close()
    expect(await client.receive()).toBeUndefined()
    expect(client.closeReason()).toBe("ended")
    expect(client.write(text("x"))).toBe(-1)
    expect(await client.send(text("x"))).toBe(false)
    await stop()
  })

  test("the broker's last words are received before the close", async () => {
    const listener = memoryListener({ name: "m" })
    const { stop } = await start(listener, (wire) => {
      wire.write(text("goodbye"), 0, 7)
      wire.end()
      return { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined }
    })
    const client = listener.connect()
    expect(Buffer.from((await client.receive()) ?? []).toString()).toBe("goodbye")
    expect(await client.receive()).toBeUndefined()
    expect(client.closeReason()).toBe("closed by peer")
    await stop()
  })

  test("nobody listens, or the acceptor refuses: the client is closed", async () => {
    const listener = memoryListener({ name: "m" })
    expect(await listener.connect().receive()).toBeUndefined()
    const { stop } = await start(listener, () => undefined)
    expect(await listener.connect().receive()).toBeUndefined()
    await stop()
    expect(await listener.connect().receive()).toBeUndefined()
  })
})
