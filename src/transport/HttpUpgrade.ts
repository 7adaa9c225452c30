/**
 * The HTTP/1.1 request that opens a WebSocket (RFC 6455, 4.2), without I/O: the head of a request in, a
 * verdict out.
 *
 * It accepts one request: GET on a configured path that upgrades to WebSocket 13 with a subprotocol of MQTT.
 * Everything else gets a short plain-text answer that says what was wrong, and the connection ends. It is
 * stricter than HTTP: bare line feeds, folded headers, request bodies and repeated single-valued headers are
 * refused, so that no proxy in front can read the request differently.
 */

import { createHash } from "node:crypto"
import type { CidrSet } from "./Cidr.ts"
import { canonicalAddress } from "./Cidr.ts"

export interface UpgradeRules {
  /** Paths that are MQTT end points, such as `/mqtt`. The query is ignored. */
  readonly paths: ReadonlyArray<string>
  /**
   * Origins of web pages that may connect, such as `https://example.org`. Undefined admits all.
   * Who sends no Origin is no page.
   */
  readonly origins?: ReadonlyArray<string> | undefined
}

export type UpgradeVerdict =
  | { readonly _tag: "Accepted"; readonly response: string; readonly headers: HttpHeaders }
  | { readonly _tag: "Refused"; readonly response: string; readonly status: number; readonly reason: string }

/** Header fields by lower-case name; values of repeated ones joined by a comma. */
export type HttpHeaders = ReadonlyMap<string, string>

const HEADERS_MAX = 100
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Visible ASCII, space, tab and opaque bytes: no control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the control characters are what is refused
const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/
/** Fields that decide what the request means: two of them are two requests. */
const SINGLE = new Set(["host", "sec-websocket-key", "sec-websocket-version", "origin", "content-length"])

const STATUS_TEXT: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  426: "Upgrade Required",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable"
}

/** A complete plain-text response that ends the connection. */
export const refuse = (
  status: number,
  reason: string,
  extraHeaders = ""
): Extract<UpgradeVerdict, { _tag: "Refused" }> => {
  const body = `${reason}\n`
  const response =
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? "Error"}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
    `Connection: close\r\nX-Content-Type-Options: nosniff\r\n${extraHeaders}\r\n${body}`
  return { _tag: "Refused", response, status, reason }
}

/** Judges the head of a request: the text up to, not including, the empty line. */
export const judgeUpgrade = (head: string, rules: UpgradeRules): UpgradeVerdict => {
  const lines = head.split("\r\n")
  const request = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP\/1\.([01])$/.exec(lines[0] ?? "")
  if (request === null || request[2] === undefined) return refuse(400, "This is not an HTTP/1.1 request.")
  const headers = parseHeaders(lines)
  if (typeof headers === "string") return refuse(400, headers)
  if (headers.has("transfer-encoding") || (headers.get("content-length") ?? "0") !== "0")
    return refuse(400, "A WebSocket upgrade has no body.")
  const path = pathOf(request[2])
  const isUpgrade = hasToken(headers.get("upgrade"), "websocket")
  if (!rules.paths.includes(path) && !(path === "/" && !isUpgrade)) return refuse(404, "Not found.")
  if (request[1] !== "GET") return refuse(405, "Only GET opens a WebSocket.", "Allow: GET\r\n")
  if (!isUpgrade) return explain(rules)
  if (request[3] !== "1") return refuse(400, "A WebSocket needs HTTP/1.1.")
  return judgeWebSocket(headers, rules)
}

const judgeWebSocket = (headers: HttpHeaders, rules: UpgradeRules): UpgradeVerdict => {
  if (!headers.has("host")) return refuse(400, "Header Host is missing.")
  if (!hasToken(headers.get("connection"), "upgrade"))
    return refuse(400, "Header Connection must be Upgrade.")
  if (headers.get("sec-websocket-version") !== "13")
    return refuse(426, "Header Sec-WebSocket-Version must be 13.", "Sec-WebSocket-Version: 13\r\n")
  const key = headers.get("sec-websocket-key")
  if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key))
    return refuse(400, "Header Sec-WebSocket-Key must be 16 bytes in base64.")
  const origin = headers.get("origin")?.toLowerCase()
  const isKnownOrigin = rules.origins?.some((allowed) => allowed.toLowerCase() === origin) ?? true
  if (origin !== undefined && !isKnownOrigin) return refuse(403, "This origin may not connect.")
  const protocol = chooseProtocol(headers.get("sec-websocket-protocol"))
  if (protocol === undefined)
    return refuse(400, 'Header Sec-WebSocket-Protocol must offer "mqtt" (or "mqttv3.1").')
  const accept = createHash("sha1")
    .update(key + WEBSOCKET_GUID)
    .digest("base64")
  const response =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`
  return { _tag: "Accepted", response, headers }
}

/** Somebody opened the address in a browser. */
const explain = (rules: UpgradeRules): UpgradeVerdict =>
  refuse(
    426,
    `This is an MQTT broker's WebSocket end point. Connect an MQTT client to ${rules.paths.join(" or ")} ` +
      'with the WebSocket subprotocol "mqtt".',
    "Upgrade: websocket\r\n"
  )

/** [MQTT-6.0.0-4]: "mqtt" names 3.1.1 and 5.0; "mqttv3.1" is what clients of 3.1 offer. */
const chooseProtocol = (offered: string | undefined): string | undefined => {
  const names = (offered ?? "").split(",").map((name) => name.trim())
  return ["mqtt", "mqttv3.1"].find((known) => names.includes(known))
}

const parseHeaders = (lines: ReadonlyArray<string>): HttpHeaders | string => {
  const headers = new Map<string, string>()
  if (lines.length > HEADERS_MAX + 1) return "Too many headers."
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":")
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (!TOKEN.test(name) || !FIELD_VALUE.test(value)) return "A header is ill-formed."
    const known = headers.get(name)
    if (known !== undefined && SINGLE.has(name)) return "A header is repeated."
    headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  return headers
}

const hasToken = (value: string | undefined, token: string): boolean =>
  (value ?? "").split(",").some((part) => part.trim().toLowerCase() === token)

/** The path of `/mqtt?x` and of the absolute form `http://host/mqtt`. */
const pathOf = (target: string): string => {
  const afterScheme = /^(?:https?|wss?):\/\/[^/?#]*(.*)$/i.exec(target)?.[1] ?? target
  const path = afterScheme.split(/[?#]/, 1)[0] ?? ""
  return path === "" ? "/" : path
}

/**
 * The client's address according to X-Forwarded-For, for a request whose own peer is a trusted proxy: going
 * from the right, the first hop that is not trusted, since everything to the left of it is only that hop's
 * word. Undefined without the header; the nearest good hop when one is ill-formed.
 */
export const forwardedAddress = (headers: HttpHeaders, trusted: CidrSet): string | undefined => {
  const hops = headers.get("x-forwarded-for")?.split(",") ?? []
  let nearest: string | undefined
  for (const hop of hops.reverse()) {
    const address = canonicalAddress(withoutPort(hop.trim()))
    if (address === undefined) return nearest
    nearest = address
    if (!trusted.contains(address)) return address
  }
  return nearest
}

/** True when the request says that a proxy passed it on. */
export const isForwarded = (headers: HttpHeaders): boolean =>
  headers.has("x-forwarded-for") || headers.has("forwarded") || headers.has("via")

const withoutPort = (hop: string): string =>
  /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^([\d.]+):\d+$/.exec(hop)?.[1] ?? hop
