/** PROXY headers as a table, each also byte by byte, and on real sockets: who is believed and who is not. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { AdmissionLimit } from "../../src/transport/AdmissionLimit.ts"
import { CidrSet } from "../../src/transport/Cidr.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import type { ProxyOutcome } from "../../src/transport/ProxyProtocol.ts"
import { ProxyHeaderReader, proxyProtocolListener } from "../../src/transport/ProxyProtocol.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { webSocketListener } from "../../src/transport/WebSocket.ts"
import { Accepted, echoAcceptor, start } from "../support/wires.ts"
import { connectMemory, connectTcp } from "./clients.ts"

const SIGNATURE = "0d0a0d0a000d0a515549540a"
const v2 = (rest: string): Uint8Array => Buffer.from(SIGNATURE + rest.replaceAll(" ", ""), "hex")
const v1 = (line: string): Uint8Array => Buffer.from(line, "latin1")

const read = (chunks: ReadonlyArray<Uint8Array>): ProxyOutcome => {
  const reader = new ProxyHeaderReader()
  const rest: Array<Uint8Array> = []
  let outcome: ProxyOutcome = { _tag: "More" }
  for (const chunk of chunks) {
    if (outcome._tag === "More") {
      outcome = reader.push(chunk)
      if (outcome._tag === "Header") rest.push(outcome.rest)
    } else rest.push(chunk)
  }
  return outcome._tag === "Header" ? { ...outcome, rest: Buffer.concat(rest) } : outcome
}

const cut = (input: Uint8Array, size: number): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < input.length; at += size) chunks.push(input.subarray(at, at + size))
  return chunks
}

const IPV4 = "cb007109 c0000201 1f90 075b"
const IPV6 = "20010db8000000000000000000000007 20010db8000000000000000000000001 ffff 075b"

interface Good {
  readonly name: string
  readonly header: Uint8Array
  readonly source: { readonly address: string; readonly port: number } | undefined
  readonly isLocal?: boolean
  readonly authority?: string
}

const good: ReadonlyArray<Good> = [
  {
    name: "v1 TCP4",
    header: v1("PROXY TCP4 203.0.113.9 192.0.2.1 8080 1883\r\n"),
    source: { address: "203.0.113.9", port: 8080 }
  },
  {
    name: "v1 TCP6",
    header: v1("PROXY TCP6 2001:DB8:0::7 2001:db8::1 65535 0\r\n"),
    source: { address: "2001:db8::7", port: 65_535 }
  },
  { name: "v1 UNKNOWN", header: v1("PROXY UNKNOWN\r\n"), source: undefined },
  {
    name: "v1 UNKNOWN of the longest kind, 107 bytes",
    header: v1(`PROXY UNKNOWN ${"ffff:f...f:ffff ".repeat(6).slice(0, 91)}\r\n`),
    source: undefined
  },
  { name: "v2 TCP4", header: v2(`21 11 000c ${IPV4}`), source: { address: "203.0.113.9", port: 8080 } },
  { name: "v2 TCP6", header: v2(`21 21 0024 ${IPV6}`), source: { address: "2001:db8::7", port: 65_535 } },
  { name: "v2 unix", header: v2(`21 31 00d8 ${"61".repeat(216)}`), source: undefined },
  { name: "v2 LOCAL", header: v2("20 00 0000"), source: undefined, isLocal: true },
  {
    name: "v2 LOCAL with addresses, which are ignored",
    header: v2(`20 11 000c ${IPV4}`),
    source: undefined,
    isLocal: true
  },
  { name: "v2 PROXY of an unspecified family", header: v2("21 00 0003 040000"), source: undefined },
  {
    name: "v2 with TLVs: NOOP, and the host name in lower case",
    header: v2(`21 11 001b ${IPV4} 040001 00 020008 ${Buffer.from("A.b.Test").toString("hex")}`),
    source: { address: "203.0.113.9", port: 8080 },
    authority: "a.b.test"
  },
  {
    name: "[attack 30] v2 with CR and LF in the host name: there is none",
    header: v2(`21 11 0013 ${IPV4} 020004 61 0d0a 62`),
    source: { address: "203.0.113.9", port: 8080 }
  }
]

const bad: ReadonlyArray<readonly [name: string, header: Uint8Array]> = [
  ["MQTT", Buffer.from("100c00044d5154540402003c0000", "hex")],
  ["TLS", Buffer.from("1603010200", "hex")],
  ["v1 in lower case", v1("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n")],
  ["v1 without CR", v1("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n")],
  ["v1 with a family of its own", v1("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n")],
  ["v1 with two spaces", v1("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n")],
  ["v1 with a trailing space", v1("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n")],
  ["v1 with too few fields", v1("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n")],
  ["v1 with an IPv6 address as TCP4", v1("PROXY TCP4 ::1 1.2.3.4 1 1\r\n")],
  ["v1 with an IPv4 address as TCP6", v1("PROXY TCP6 1.2.3.4 ::1 1 1\r\n")],
  ["v1 with an octal address", v1("PROXY TCP4 010.2.3.4 1.2.3.4 1 1\r\n")],
  ["v1 with a port beyond 65535", v1("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n")],
  ["v1 with a leading zero in a port", v1("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n")],
  ["v1 with a negative port", v1("PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n")],
  ["v1 with a CR inside", v1("PROXY TCP4 1.2.3.4\r1.2.3.4 1 1\r\n")],
  ["v1 of 108 bytes", v1(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`)],
  ["v1 that never ends", v1(`PROXY TCP4 ${"1".repeat(300)}`)],
  ["v2 with a wrong signature", Buffer.from(`${SIGNATURE.slice(0, -2)}0b2111000c`, "hex")],
  ["v2 of version 1", v2(`11 11 000c ${IPV4}`)],
  ["v2 of version 3", v2(`31 11 000c ${IPV4}`)],
  ["v2 with an unknown command", v2(`22 11 000c ${IPV4}`)],
  ["v2 with an unknown family", v2(`21 41 000c ${IPV4}`)],
  ["v2 with an unknown protocol", v2(`21 13 000c ${IPV4}`)],
  ["v2 with a short address block", v2("21 11 000b cb007109c00002011f9007")],
  ["v2 TCP6 with an IPv4 block", v2(`21 21 000c ${IPV4}`)],
  ["[attack 30] v2 with a TLV that overruns the header", v2(`21 11 0010 ${IPV4} 02000200`)],
  ["[attack 30] v2 with half a TLV header", v2(`21 11 000e ${IPV4} 0200`)],
  ["v2 longer than 4 KiB", v2("21 11 ffff")]
]

describe("PROXY header", () => {
  test.each(good.map((each) => [each.name, each] as const))(
    "%s",
    (_name, { authority, header, isLocal, source }) => {
      const following = Buffer.from("100c00", "hex")
      const stream = Buffer.concat([header, following])
      const expected = { _tag: "Header", isLocal: isLocal ?? false, source, authority, rest: following }
      for (const size of [stream.length, 1, 2, 3, 7, 15, 17])
        expect(read(cut(stream, size))).toEqual(expected as ProxyOutcome)
      // Without its last byte a header is not a header yet.
      expect(read([header.subarray(0, -1)])._tag).toBe("More")
    }
  )

  test.each(bad)("malformed: %s", (_name, header) => {
    for (const size of [header.length, 1, 5]) expect(read(cut(header, size))._tag).toBe("Malformed")
  })

  test("any bytes after the signature are judged without a throw, within the bounds", () => {
    const property = FastCheck.property(FastCheck.uint8Array({ minLength: 4, maxLength: 300 }), (tail) => {
      const whole = read([v2(""), tail])
      expect(read(cut(Buffer.concat([v2(""), tail]), 1))).toEqual(whole)
    })
    FastCheck.assert(property, { seed: 30, numRuns: 300 })
  })
})

const trusted = new CidrSet(["127.0.0.0/8"])
const header = v1("PROXY TCP4 203.0.113.9 192.0.2.1 8080 1883\r\n")
const CONNECT = Buffer.from("100c00044d5154540402003c0000", "hex")

describe("listener behind a load balancer", () => {
  const onTcp = (networks: CidrSet) =>
    proxyProtocolListener(tcpListener({ name: "p", hostname: "127.0.0.1", port: 0 }), { trusted: networks })

  test("the peer is the client; what follows the header in its segment is not lost", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(trusted), accepted.acceptor)
    const client = await connectTcp(listening.port)
    client.send(Buffer.concat([header, CONNECT]))
    const { recorder, wire } = await accepted.nth(0)
    expect(wire.peer).toMatchObject({
      address: "203.0.113.9",
      port: 8080,
      isLoopback: false,
      transport: "tcp"
    })
    await recorder.until(() => recorder.length === CONNECT.length)
    expect(Buffer.compare(recorder.bytes, CONNECT)).toBe(0)
    client.destroy()
    await stop()
  })

  test("an acceptor that pauses at once gets those bytes after resume", async () => {
    const accepted = new Accepted()
    const memory = memoryListener({ name: "p" })
    const { stop } = await start(proxyProtocolListener(memory, { trusted }), (wire) => {
      wire.pause()
      return accepted.acceptor(wire)
    })
    const client = connectMemory(memory)
    client.send(Buffer.concat([header, CONNECT]))
    client.end()
    const { recorder, wire } = await accepted.nth(0)
    // Twice as many turns of the microtask queue as delivery takes.
    for (let turn = 0; turn < 8; turn++) await Promise.resolve()
    expect(recorder.chunks).toEqual([])
    expect(recorder.closeReasons).toEqual([])
    wire.resume()
    await recorder.until(() => recorder.closeReasons.length > 0)
    expect(Buffer.compare(recorder.bytes, CONNECT)).toBe(0)
    await stop()
  })

  test("[attack 30] from another network a header is just bytes", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(new CidrSet(["10.0.0.0/8"])), accepted.acceptor)
    const client = await connectTcp(listening.port)
    client.send(header)
    const { recorder, wire } = await accepted.nth(0)
    expect(wire.peer).toMatchObject({ address: "127.0.0.1", isLoopback: true })
    await recorder.until(() => recorder.length === header.length)
    expect(Buffer.compare(recorder.bytes, header)).toBe(0)
    client.destroy()
    await stop()
  })

  test("a load balancer that sends no header is cut off before the acceptor", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(trusted), accepted.acceptor)
    const client = await connectTcp(listening.port)
    client.send(CONNECT)
    await client.received.until((received) => received.closeReasons.length > 0)
    expect(accepted.wires).toEqual([])
    await stop()
  })

  test("a health check (LOCAL) keeps the balancer's own address", async () => {
    const accepted = new Accepted()
    const { listening, stop } = await start(onTcp(trusted), accepted.acceptor)
    const client = await connectTcp(listening.port)
    client.send(v2("20 00 0000"))
    expect((await accepted.nth(0)).wire.peer.address).toBe("127.0.0.1")
    client.destroy()
    await stop()
  })

  test("[attack 3] half a header ends at its deadline", async () => {
    const inner = tcpListener({ name: "p", hostname: "127.0.0.1", port: 0 })
    const listener = proxyProtocolListener(inner, { trusted, handshakeTimeoutMs: 40 })
    const { listening, stop } = await start(listener, echoAcceptor)
    const client = await connectTcp(listening.port)
    client.send(header.subarray(0, 10))
    await client.received.until((received) => received.closeReasons.length > 0)
    await stop()
  })

  test("address limits are those of the clients behind it", async () => {
    const admission = new AdmissionLimit({
      ...{ acceptsPerSecond: 1000, acceptsBurst: 1000, pendingMax: 1000, addressesMax: 1000 },
      ...{
        acceptsPerSecondPerAddress: 1000,
        acceptsBurstPerAddress: 1000,
        pendingMaxPerAddress: 1,
        proxies: trusted
      }
    })
    const accepted = new Accepted()
    const inner = tcpListener({ name: "p", hostname: "127.0.0.1", port: 0, admission })
    const { listening, stop } = await start(
      proxyProtocolListener(inner, { trusted, admission }),
      accepted.acceptor
    )
    const first = await connectTcp(listening.port)
    first.send(header)
    const { recorder, wire } = await accepted.nth(0)
    const second = await connectTcp(listening.port)
    second.send(header)
    await second.received.until((received) => received.closeReasons.length > 0)
    wire.settled?.()
    const third = await connectTcp(listening.port)
    third.send(header)
    await accepted.nth(1)
    expect(admission.pending).toBe(1)
    for (const client of [first, third]) client.destroy()
    await recorder.until(() => recorder.closeReasons.length > 0)
    await accepted.nth(1).then((last) => last.recorder.until(() => last.recorder.closeReasons.length > 0))
    expect(admission.pending).toBe(0)
    await stop()
  })

  test("headers above WebSocket are a configuration error that says what to do", async () => {
    const listener = proxyProtocolListener(webSocketListener(memoryListener({ name: "p" })), { trusted })
    const error = await Effect.runPromise(Effect.flip(Effect.scoped(listener.listen(echoAcceptor))))
    expect(error.message).toContain("wrap the TCP listener below")
  })
})
