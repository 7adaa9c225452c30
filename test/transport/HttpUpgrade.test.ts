/** Upgrade requests as a table: what is accepted, and what each bad one is told. */

import { describe, expect, test } from "bun:test"
import { CidrSet } from "../../src/transport/Cidr.ts"
import { forwardedAddress, isForwarded, judgeUpgrade } from "../../src/transport/HttpUpgrade.ts"
import { upgradeRequest } from "./clients.ts"

const rules = { paths: ["/mqtt", "/ws"] }

const judge = (
  changes: Readonly<Record<string, string | undefined>> = {},
  line = "GET /mqtt HTTP/1.1",
  given: Parameters<typeof judgeUpgrade>[1] = rules
) => judgeUpgrade(upgradeRequest(changes, line).toString("latin1").slice(0, -4), given)

const statusOf = (verdict: ReturnType<typeof judgeUpgrade>): number =>
  Number(/^HTTP\/1\.1 (\d{3}) /.exec(verdict.response)?.[1])

const protocolOf = (verdict: ReturnType<typeof judgeUpgrade>): string | undefined =>
  /Sec-WebSocket-Protocol: (.*)\r\n/.exec(verdict.response)?.[1]

describe("upgrade", () => {
  test("RFC 6455, 1.3: the accept value of the specification's example", () => {
    const { response } = judge()
    expect(response).toStartWith("HTTP/1.1 101 Switching Protocols\r\n")
    expect(response).toContain("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    expect(response).toEndWith("\r\n\r\n")
    expect(response.toLowerCase()).not.toContain("sec-websocket-extensions")
  })

  const protocols: ReadonlyArray<readonly [offered: string, chosen: string]> = [
    ["mqtt", "mqtt"],
    ["mqttv3.1", "mqttv3.1"],
    ["mqttv3.1, mqtt", "mqtt"],
    ["chat,mqtt", "mqtt"]
  ]
  test.each(protocols)("[MQTT-6.0.0-4] offered %s, chosen %s", (offered, chosen) => {
    expect(protocolOf(judge({ "Sec-WebSocket-Protocol": offered }))).toBe(chosen)
  })

  const accepted: ReadonlyArray<readonly [string, Parameters<typeof judge>]> = [
    ["another path", [{}, "GET /ws HTTP/1.1"]],
    ["a query", [{}, "GET /mqtt?token=1 HTTP/1.1"]],
    ["the absolute form", [{}, "GET http://broker.test/mqtt HTTP/1.1"]],
    ["other case and more connection options", [{ Connection: "keep-alive, UPGRADE", Upgrade: "WebSocket" }]],
    ["offered extensions, which are ignored", [{ "Sec-WebSocket-Extensions": "permessage-deflate" }]],
    ["an origin, when none is required", [{ Origin: "https://anywhere.test" }]],
    [
      "an allowed origin",
      [{ Origin: "https://App.test" }, undefined, { ...rules, origins: ["https://app.test"] }]
    ],
    ["no origin, when some are required", [{}, undefined, { ...rules, origins: ["https://app.test"] }]]
  ]
  test.each(accepted)("accepts %s", (_name, args) => {
    expect(judge(...args)._tag).toBe("Accepted")
  })

  const refused: ReadonlyArray<readonly [string, number, Parameters<typeof judge>]> = [
    ["another path", 404, [{}, "GET /elsewhere HTTP/1.1"]],
    ["a path that only begins right", 404, [{}, "GET /mqtt/x HTTP/1.1"]],
    ["a path in another case", 404, [{}, "GET /MQTT HTTP/1.1"]],
    ["a WebSocket on /", 404, [{}, "GET / HTTP/1.1"]],
    ["POST", 405, [{}, "POST /mqtt HTTP/1.1"]],
    ["HTTP/1.0", 400, [{}, "GET /mqtt HTTP/1.0"]],
    ["HTTP/2's preface", 400, [{}, "PRI * HTTP/2.0"]],
    ["no upgrade", 426, [{ Upgrade: undefined }]],
    ["an upgrade to something else", 426, [{ Upgrade: "h2c" }]],
    ["no Connection", 400, [{ Connection: undefined }]],
    ["Connection without Upgrade", 400, [{ Connection: "keep-alive" }]],
    ["no Host", 400, [{ Host: undefined }]],
    ["version 8", 426, [{ "Sec-WebSocket-Version": "8" }]],
    ["no version", 426, [{ "Sec-WebSocket-Version": undefined }]],
    ["no key", 400, [{ "Sec-WebSocket-Key": undefined }]],
    ["a short key", 400, [{ "Sec-WebSocket-Key": "AAAA" }]],
    ["no subprotocol", 400, [{ "Sec-WebSocket-Protocol": undefined }]],
    ["an unknown subprotocol", 400, [{ "Sec-WebSocket-Protocol": "chat, MQTTX" }]],
    ["a body", 400, [{ "Content-Length": "5" }]],
    ["a chunked body", 400, [{ "Transfer-Encoding": "chunked" }]],
    [
      "a foreign origin",
      403,
      [{ Origin: "https://evil.test" }, undefined, { ...rules, origins: ["https://app.test"] }]
    ],
    ["the null origin", 403, [{ Origin: "null" }, undefined, { ...rules, origins: ["https://app.test"] }]],
    ["a folded header", 400, [{ "X-A": "b\r\n c" }]],
    ["a bare line feed in a header", 400, [{ "X-A": "b\nX-C: d" }]],
    ["a NUL in a header", 400, [{ "X-A": "b\0" }]],
    ["a space before the colon", 400, [{ "X-A ": "b" }]],
    ["two hosts", 400, [{ host: "other.test" }]],
    ["two keys", 400, [{ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" }]],
    [
      "a hundred and one headers",
      400,
      [Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`X-${n}`, "y"]))]
    ],
    ["a header named __proto__ and no key", 400, [{ __proto__x: "1", "Sec-WebSocket-Key": undefined }]]
  ]
  test.each(refused)("refuses %s with %i", (_name, status, args) => {
    const verdict = judge(...args)
    expect(statusOf(verdict)).toBe(status)
    expect(verdict.response).toContain("\r\nConnection: close\r\n")
    const [head, body] = verdict.response.split("\r\n\r\n")
    expect(head).toContain(`\r\nContent-Length: ${body?.length}`)
  })

  test("somebody who opens the address in a browser is told how to connect", () => {
    for (const line of ["GET / HTTP/1.1", "GET /mqtt HTTP/1.1"]) {
      const { response } = judge({ Upgrade: undefined, Connection: "keep-alive" }, line)
      expect(response).toStartWith("HTTP/1.1 426 Upgrade Required\r\n")
      expect(response).toContain("MQTT")
      expect(response).toContain("/mqtt or /ws")
    }
  })
})

describe("X-Forwarded-For", () => {
  const trusted = new CidrSet(["10.0.0.0/8", "2001:db8::/32"])
  const table: ReadonlyArray<
    readonly [name: string, header: string | undefined, client: string | undefined]
  > = [
    ["one hop", "203.0.113.9", "203.0.113.9"],
    ["a client that forged a hop", "127.0.0.1, 203.0.113.9", "203.0.113.9"],
    ["a chain of trusted hops", "203.0.113.9, 10.1.1.1, 10.2.2.2", "203.0.113.9"],
    ["a forged hop before a chain", "127.0.0.1, 203.0.113.9, 10.1.1.1, 2001:db8::7", "203.0.113.9"],
    ["only trusted hops", "10.3.3.3, 10.1.1.1", "10.3.3.3"],
    ["an IPv6 client", "2001:DB9:0:0::1", "2001:db9::1"],
    ["ports", "203.0.113.9:4711, [2001:db8::1]:80", "203.0.113.9"],
    ["an IPv4-mapped address", "::ffff:203.0.113.9", "203.0.113.9"],
    ["nonsense before a good hop", "evil\tname, 10.1.1.1", "10.1.1.1"],
    ["nonsense", "unknown", undefined],
    ["nothing", undefined, undefined]
  ]
  test.each(table)("[attack 30] %s", (_name, header, client) => {
    const headers = new Map(header === undefined ? [] : [["x-forwarded-for", header]])
    expect(forwardedAddress(headers, trusted)).toBe(client)
    expect(isForwarded(headers)).toBe(header !== undefined)
  })
})
