/** TLS on real sockets: handshakes, names, identities, reload, deadlines, and PROXY headers before TLS. */

import { describe, expect, test } from "bun:test"
import * as net from "node:net"
import * as tls from "node:tls"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CidrSet } from "../../src/transport/Cidr.ts"
import type { TlsOptions } from "../../src/transport/Tls.ts"
import { tlsListener } from "../../src/transport/Tls.ts"
import { isOpensslAvailable, testCertificates } from "../support/certificates.ts"
import { Accepted, echoAcceptor, start } from "../support/wires.ts"

const optionsWith = (options: Partial<TlsOptions> = {}): TlsOptions => ({
  name: "secure",
  hostname: "127.0.0.1",
  port: 0,
  credentials: { certificates: [testCertificates().server] },
  ...options
})

const connectTls = (port: number, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = tls.connect(
      {
        port,
        host: "127.0.0.1",
        servername: "localhost",
        ca: testCertificates().authority.cert,
        checkServerIdentity: () => undefined,
        ...options
      },
      () => resolve(socket)
    )
    socket.on("error", reject)
  })

const once = (socket: NodeJS.EventEmitter, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, resolve))

const commonNameSeenBy = (socket: tls.TLSSocket): unknown => socket.getPeerCertificate().subject.CN

const asksForClients = (clientCertificates: "request" | "require"): TlsOptions =>
  optionsWith({
    clientCertificates,
    credentials: {
      certificates: [testCertificates().server, testCertificates().other],
      clientAuthorities: [testCertificates().authority.cert]
    }
  })

describe.skipIf(!isOpensslAvailable)("TLS listener (needs the openssl command)", () => {
  test("echoes, and chunks of plain text belong to the handler", async () => {
    const { listening, stop } = await start(tlsListener(optionsWith()), echoAcceptor)
    const client = await connectTls(listening.port)
    const sent = Buffer.alloc(3_000_000, "0123456789abcdef-")
    const received: Array<Buffer> = []
    const whole = new Promise<void>((resolve) => {
      let length = 0
      client.on("data", (chunk: Buffer) => {
        received.push(chunk)
        length += chunk.length
        if (length === sent.length) resolve()
      })
    })
    client.write(sent)
    await whole
    expect(Buffer.concat(received).equals(sent)).toBe(true)
    client.destroy()
    await stop()
  })

  test("a short write goes on after drain with every byte in order", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(optionsWith()), accepted.acceptor)
    const client = await connectTls(listening.port)
    client.pause()
    const { recorder, wire } = await accepted.nth(0)
    const sent = new Uint8Array(12_000_000).map((_, index) => (index * 31 + (index >> 13)) & 0xff)
    let at = 0
    let drains = 0
    const received: Array<Buffer> = []
    client.on("data", (chunk: Buffer) => received.push(chunk))
    client.pause()
    while (at < sent.length) {
      const taken = wire.write(sent, at, sent.length)
      expect(taken).toBeGreaterThanOrEqual(0)
      at += taken
      if (at === sent.length) break
      // A second try without a drain takes nothing and breaks nothing.
      expect(wire.write(sent, at, at + 10)).toBe(0)
      drains += 1
      client.resume()
      await recorder.until(() => recorder.drains >= drains)
    }
    expect(drains).toBeGreaterThan(0)
    wire.end()
    await once(client, "end")
    expect(Buffer.concat(received).equals(sent)).toBe(true)
    client.destroy()
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(recorder.closeReasons).toEqual(["ended"])
    await stop()
  })

  test("a paused wire gets nothing until it resumes, then everything before the close", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(optionsWith()), accepted.acceptor)
    const client = await connectTls(listening.port)
    const { recorder, wire } = await accepted.nth(0)
    wire.pause()
    client.end("last words")
    // Another connection's round trip: whatever the first one sent has arrived by then.
    const second = await connectTls(listening.port)
    second.write("x")
    await (await accepted.nth(1)).recorder.until((other) => other.length === 1)
    expect(recorder.chunks).toEqual([])
    expect(recorder.closeReasons).toEqual([])
    wire.resume()
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(recorder.text).toBe("last words")
    expect(recorder.closeReasons).toEqual(["closed by peer"])
    second.destroy()
    await stop()
  })

  const names: ReadonlyArray<readonly [asked: string, seen: string]> = [
    ["localhost", "server"],
    ["b.test", "other"],
    ["B.TEST", "other"],
    ["x.wild.test", "wildcard"],
    ["y.x.wild.test", "server"],
    ["wild.test", "server"],
    ["unknown.test", "server"]
  ]
  test.each(names)("server name %s sees certificate %s", async (asked, seen) => {
    const { other, server, wildcard } = testCertificates()
    const accepted = new Accepted()
    const listener = tlsListener(optionsWith({ credentials: { certificates: [server, other, wildcard] } }))
    const { listening, stop } = await start(listener, accepted.acceptor)
    const client = await connectTls(listening.port, { servername: asked })
    expect(commonNameSeenBy(client)).toBe(seen)
    expect((await accepted.nth(0)).wire.peer.serverName).toBe(asked.toLowerCase())
    client.destroy()
    await stop()
  })

  test("without a server name the first certificate answers", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(optionsWith()), accepted.acceptor)
    const client = await connectTls(listening.port, { servername: "" })
    expect(commonNameSeenBy(client)).toBe("server")
    expect((await accepted.nth(0)).wire.peer.serverName).toBeUndefined()
    client.destroy()
    await stop()
  })

  test.each(["localhost", "b.test"])(
    "a required client certificate is an identity (%s)",
    async (servername) => {
      const accepted = new Accepted()
      const { listening, stop } = await start(tlsListener(asksForClients("require")), accepted.acceptor)
      const client = await connectTls(listening.port, { servername, ...testCertificates().client })
      const { certificate } = (await accepted.nth(0)).wire.peer
      expect(certificate).toMatchObject({
        commonName: "device-1",
        subject: "CN=device-1,O=acme",
        subjectAltNames: ["DNS:dev.test", "URI:urn:dev:1", "email:dev@acme.test", "IP:192.0.2.7"]
      })
      expect(certificate?.fingerprint256).toMatch(/^[0-9a-f]{64}$/)
      client.destroy()
      await stop()
    }
  )

  test("a revoked client certificate is refused, another one of the same authority is not", async () => {
    const { authority, client, revocationList, revokedClient, server } = testCertificates()
    const credentials = {
      certificates: [server] as const,
      clientAuthorities: [authority.cert],
      revocationLists: [revocationList]
    }
    const accepted = new Accepted()
    const listener = tlsListener(optionsWith({ clientCertificates: "require", credentials }))
    const { listening, stop } = await start(listener, accepted.acceptor)
    const port = listening.port
    const revoked = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...revokedClient })
    revoked.on("error", () => undefined)
    await once(revoked, "close")
    expect(accepted.wires).toEqual([])
    const valid = await connectTls(port, client)
    expect((await accepted.nth(0)).wire.peer.certificate?.commonName).toBe("device-1")
    valid.destroy()
    await stop()
  })

  test("a client certificate cannot smuggle names", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(asksForClients("require")), accepted.acceptor)
    const client = await connectTls(listening.port, testCertificates().hostileClient)
    const { certificate } = (await accepted.nth(0)).wire.peer
    expect(certificate?.commonName).toBeUndefined()
    expect(certificate?.subject).toBe("CN=device-1\\0ACN=admin,O=a\\,b")
    expect(certificate?.subjectAltNames).toEqual(["URI:urn:x, DNS:admin.test"])
    client.destroy()
    await stop()
  })

  const strangers: ReadonlyArray<readonly [string, () => tls.ConnectionOptions]> = [
    ["no certificate", () => ({})],
    ["a certificate of another authority", () => testCertificates().rogueClient]
  ]
  for (const [what, options] of strangers) {
    test(`required: a client with ${what} never reaches the acceptor`, async () => {
      const accepted = new Accepted()
      const { listening, stop } = await start(tlsListener(asksForClients("require")), accepted.acceptor)
      const client = tls.connect({
        ...{ port: listening.port, host: "127.0.0.1", servername: "b.test", rejectUnauthorized: false },
        ...options()
      })
      client.on("error", () => undefined)
      await once(client, "close")
      expect(accepted.wires).toEqual([])
      expect(listening.stats()).toMatchObject({ accepted: 0, sockets: 0, handshakeFailures: 1 })
      await stop()
    })

    test(`requested: a client with ${what} comes in without an identity`, async () => {
      const accepted = new Accepted()
      const { listening, stop } = await start(tlsListener(asksForClients("request")), accepted.acceptor)
      const client = await connectTls(listening.port, options())
      expect((await accepted.nth(0)).wire.peer.certificate).toBeUndefined()
      client.destroy()
      await stop()
    })
  }

  test("a resumed session still has its identity, and reload ends resumption", async () => {
    const accepted = new Accepted()
    const options = asksForClients("require")
    const listener = tlsListener(options)
    const { listening, stop } = await start(listener, accepted.acceptor)
    const client = { ...testCertificates().client, maxVersion: "TLSv1.2" as const }
    const first = await connectTls(listening.port, client)
    const session = first.getSession()
    const resuming = session === undefined ? client : { ...client, session }
    const second = await connectTls(listening.port, resuming)
    expect(second.isSessionReused()).toBe(true)
    expect((await accepted.nth(1)).wire.peer.certificate?.commonName).toBe("device-1")
    await Effect.runPromise(listener.reload(options.credentials))
    const third = await connectTls(listening.port, resuming)
    expect(third.isSessionReused()).toBe(false)
    for (const socket of [first, second, third]) socket.destroy()
    await stop()
  })

  test("reload: new clients see the new certificate, live ones go on", async () => {
    const { authority, other, renewed, server } = testCertificates()
    const listener = tlsListener(optionsWith({ credentials: { certificates: [server, other] } }))
    const { listening, stop } = await start(listener, echoAcceptor)
    const before = await connectTls(listening.port)
    expect(commonNameSeenBy(before)).toBe("server")
    await Effect.runPromise(listener.reload({ certificates: [renewed], clientAuthorities: [authority.cert] }))
    before.write("still here")
    expect(String(await once(before, "data"))).toBe("still here")
    const after = await connectTls(listening.port)
    expect(commonNameSeenBy(after)).toBe("renewed")
    const named = await connectTls(listening.port, { servername: "b.test" })
    expect(commonNameSeenBy(named)).toBe("renewed")
    for (const client of [before, after, named]) client.destroy()
    await stop()
  })

  test("reload: certificates that cannot be used change nothing", async () => {
    const { other, server } = testCertificates()
    const listener = tlsListener(optionsWith())
    const { listening, stop } = await start(listener, echoAcceptor)
    const wrongKey = { cert: other.cert, key: server.key, serverNames: ["b.test"] }
    const failed = await Effect.runPromise(Effect.flip(listener.reload({ certificates: [other, wrongKey] })))
    expect(failed._tag).toBe("CertificateError")
    expect(failed.certificate).toBe("b.test")
    const client = await connectTls(listening.port)
    expect(commonNameSeenBy(client)).toBe("server")
    client.destroy()
    await stop()
  })

  test("start fails with the listener and the reason", async () => {
    const broken: ReadonlyArray<Partial<TlsOptions>> = [
      { credentials: { certificates: [{ cert: "not PEM", key: "not PEM" }] } },
      { clientCertificates: "require" }
    ]
    for (const options of broken) {
      const exit = await Effect.runPromiseExit(
        Effect.scoped(tlsListener(optionsWith(options)).listen(echoAcceptor))
      )
      expect(Exit.isFailure(exit)).toBe(true)
      if (Exit.isFailure(exit)) expect(Cause.pretty(exit.cause)).toContain("listener secure cannot listen on")
    }
  })

  test("TLS 1.1 and plain text are refused before the acceptor", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(optionsWith()), accepted.acceptor)
    const old = tls.connect({
      ...{ port: listening.port, host: "127.0.0.1", rejectUnauthorized: false },
      ...{ minVersion: "TLSv1" as const, maxVersion: "TLSv1.1" as const }
    })
    old.on("error", () => undefined)
    await once(old, "close")
    const plain = net.connect(listening.port, "127.0.0.1")
    plain.on("error", () => undefined)
    plain.resume()
    plain.write(Buffer.from("101000044d5154540502003c00000361616100", "hex"))
    await once(plain, "close")
    expect(accepted.wires).toEqual([])
    expect(listening.stats()).toMatchObject({ sockets: 0, handshaking: 0, handshakeFailures: 2 })
    await stop()
  })

  test("[attack 3] half a handshake ends at its deadline, however many bytes keep coming", async () => {
    const { listening, stop } = await start(
      tlsListener(optionsWith({ handshakeTimeoutMs: 60 })),
      echoAcceptor
    )
    const silent = net.connect(listening.port, "127.0.0.1")
    const dripping = net.connect(listening.port, "127.0.0.1")
    for (const client of [silent, dripping]) client.on("error", () => undefined)
    // A record header that promises 512 bytes, then a byte at a time.
    dripping.write(Buffer.from([22, 3, 1, 2, 0]))
    const drip = setInterval(() => dripping.write(Buffer.from([1])), 5)
    await Promise.all([once(silent, "close"), once(dripping, "close")])
    clearInterval(drip)
    expect(listening.stats()).toMatchObject({ sockets: 0, handshaking: 0, accepted: 0, handshakeTimeouts: 2 })
    await stop()
  })

  test("closing the scope ends unfinished handshakes and leaves live wires alone", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(tlsListener(optionsWith()), accepted.acceptor)
    const live = await connectTls(listening.port)
    const half = net.connect(listening.port, "127.0.0.1")
    half.on("error", () => undefined)
    await once(half, "connect")
    // The live connection's round trip: the listener has seen the half-open one by then.
    live.write("1")
    const { recorder, wire } = await accepted.nth(0)
    await recorder.until(() => recorder.length === 1)
    await stop()
    await once(half, "close")
    wire.write(Buffer.from("2"), 0, 1)
    expect(String(await once(live, "data"))).toBe("2")
    live.destroy()
  })

  const proxied: ReadonlyArray<readonly [string, (socket: net.Socket) => void]> = [
    ["in a segment of its own", () => undefined],
    ["in one segment with the ClientHello", (socket) => socket.cork()]
  ]
  test.each(proxied)("a PROXY header before TLS, %s", async (_how, prepare) => {
    const accepted = new Accepted((wire, chunk) => wire.write(chunk, 0, chunk.length))
    const options = { ...asksForClients("require"), proxies: new CidrSet(["127.0.0.0/8"]) }
    const { listening, stop } = await start(tlsListener(options), accepted.acceptor)
    const raw = net.connect(listening.port, "127.0.0.1")
    await once(raw, "connect")
    prepare(raw)
    raw.write("PROXY TCP4 198.51.100.7 192.0.2.1 40000 8883\r\n")
    const client = tls.connect({
      ...{ socket: raw, servername: "b.test", ca: testCertificates().authority.cert },
      ...testCertificates().client
    })
    process.nextTick(() => raw.uncork())
    await once(client, "secureConnect")
    const { wire } = await accepted.nth(0)
    expect(wire.peer).toMatchObject({
      ...{ transport: "tls", address: "198.51.100.7", port: 40000, isLoopback: false, serverName: "b.test" },
      certificate: { commonName: "device-1" }
    })
    client.write("through")
    expect(String(await once(client, "data"))).toBe("through")
    client.destroy()
    await stop()
  })

  test("[attack 30] behind a proxy network, TLS without a header is refused", async () => {
    const options = optionsWith({ proxies: new CidrSet(["127.0.0.0/8"]) })
    const { listening, stop } = await start(tlsListener(options), echoAcceptor)
    const client = tls.connect({ port: listening.port, host: "127.0.0.1", rejectUnauthorized: false })
    client.on("error", () => undefined)
    await once(client, "close")
    expect(listening.stats()).toMatchObject({ sockets: 0, accepted: 0, handshakeFailures: 1 })
    await stop()
  })

  test("outside the proxy network TLS begins at once", async () => {
    const options = optionsWith({ proxies: new CidrSet(["10.0.0.0/8"]) })
    const { listening, stop } = await start(tlsListener(options), echoAcceptor)
    const client = await connectTls(listening.port)
    client.write("direct")
    expect(String(await once(client, "data"))).toBe("direct")
    client.destroy()
    await stop()
  })
})
