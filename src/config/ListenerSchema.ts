/**
 * The `listeners` section: where clients can connect, and the rules that hold between the keys of one
 * listener.
 *
 * A listener's name is free; one that is called like a transport has that transport without saying so. A key
 * that a transport has no use for is refused rather than ignored, so that nobody believes in a protection
 * that is not there.
 */

import * as os from "node:os"
import * as Schema from "effect/Schema"
import { boolean, describe, integer, listOf, networks, oneOf, secret, text, texts } from "../values/Key.ts"

export const transports = ["tcp", "tls", "ws", "wss", "unix"] as const

const certificateFile = "the path of a PEM file"

const someText = Schema.String.pipe(Schema.minLength(1))

const Sni = Schema.Struct({
  names: Schema.Array(someText).pipe(Schema.minItems(1)),
  cert: someText,
  key: someText
})

const Tls = Schema.Struct({
  cert: describe(
    text(certificateFile),
    "Certificate chain. Read again when the file changes; clients stay connected"
  ),
  key: describe(text(certificateFile), "Private key of the certificate"),
  passphrase: Schema.optionalWith(
    describe(secret("the passphrase, as text"), "Passphrase of the private key"),
    {
      exact: true
    }
  ),
  ca: Schema.optionalWith(describe(text(certificateFile), "Authorities that sign client certificates"), {
    exact: true
  }),
  clientCertificates: describe(
    oneOf("none", "request", "require"),
    "Whether clients show a certificate. `require` refuses those without a valid one",
    "none"
  ),
  sni: describe(
    listOf(Sni, "a list of { names: [host names], cert: PEM file, key: PEM file }"),
    "Certificates for further server names; a name may begin with `*.`",
    []
  )
})

export const Listener = Schema.Struct({
  enabled: describe(boolean, "False takes the listener out", true),
  transport: describe(
    oneOf(...transports),
    "What is spoken. Default: the listener's name, if it is one of these"
  ),
  host: describe(
    text("an address or host name, or * for all interfaces"),
    "Address to listen on; `*` is every interface, IPv6 and IPv4",
    "*"
  ),
  port: describe(
    integer(0, 65_535),
    "TCP port; 0 takes any free one. Default: 1883 (tcp), 8883 (tls), 8083 (ws), 8084 (wss)"
  ),
  path: Schema.optionalWith(
    describe(text("a path"), "URL path of a WebSocket (default `/mqtt`) or file of a unix socket"),
    { exact: true }
  ),
  tls: Schema.optionalWith(Tls, { exact: true }),
  proxyProtocol: Schema.Struct({
    networks: describe(
      networks,
      "Load balancers whose PROXY protocol header (v1, v2) is required and believed",
      []
    )
  }),
  forwardedFor: Schema.Struct({
    networks: describe(networks, "Reverse proxies whose X-Forwarded-For header is believed", [])
  }),
  origins: describe(
    texts("a list of origins such as https://example.com", /^https?:\/\/[^/]+$/),
    "Web origins that may connect; empty admits all",
    []
  )
})

export type Listener = typeof Listener.Type

export const Listeners = Schema.Record({ key: Schema.String, value: Listener })

/** What a listener may be called: its name is a part of environment variables and of events. */
export const listenerNamePattern = /^[a-z][a-z0-9-]*$/

/** The listeners of a broker whose configuration names none. */
export const defaultListenerNames: ReadonlyArray<string> = ["tcp", "ws"]

const ports: Readonly<Record<string, number>> = { tcp: 1883, tls: 8883, ws: 8083, wss: 8084, unix: 0 }

const isTransport = (name: unknown): boolean => transports.some((transport) => transport === name)

const isWebSocket = (transport: unknown): boolean => transport === "ws" || transport === "wss"

/** The defaults of one listener's keys that follow from its name and its transport. */
export const listenerDefaults = (name: string, givenTransport: unknown): ReadonlyMap<string, unknown> => {
  const transport = givenTransport ?? (isTransport(name) ? name : undefined)
  const defaults = new Map<string, unknown>()
  if (transport !== undefined) defaults.set("transport", transport)
  // A bad transport is one problem; the port that cannot follow from it should not be a second.
  defaults.set("port", ports[String(transport)] ?? 0)
  if (isWebSocket(transport)) defaults.set("path", "/mqtt")
  return defaults
}

const usedOnlyBy: ReadonlyArray<readonly [keyPrefix: string, transports: ReadonlyArray<string>]> = [
  ["host", ["tcp", "tls", "ws", "wss"]],
  ["port", ["tcp", "tls", "ws", "wss"]],
  ["path", ["ws", "wss", "unix"]],
  ["tls.", ["tls", "wss"]],
  ["proxyProtocol.", ["tcp", "tls", "ws", "wss"]],
  ["forwardedFor.", ["ws", "wss"]],
  ["origins", ["ws", "wss"]]
]

/** Why a key cannot stand in a listener of this transport; undefined when it can. */
export const misplacedKey = (key: string, transport: unknown): string | undefined => {
  if (!isTransport(transport)) return undefined
  const rule = usedOnlyBy.find(([prefix]) => (prefix.endsWith(".") ? key.startsWith(prefix) : key === prefix))
  return rule === undefined || rule[1].includes(String(transport))
    ? undefined
    : `has no meaning for transport ${transport}, only for ${rule[1].join(", ")}`
}

/** Keys that a listener of this transport cannot do without. */
export const requiredKeys = (transport: unknown): ReadonlyArray<string> => {
  if (transport === "tls" || transport === "wss") return ["tls.cert", "tls.key"]
  if (transport === "unix") return ["path"]
  return []
}

/**
 * Rules between the keys of one listener, as [key, what is wrong]. `valueOf` answers for keys given or
 * defaulted.
 */
export const listenerConflicts = (
  valueOf: (key: string) => unknown
): ReadonlyArray<readonly [key: string, wrong: string]> => {
  const conflicts: Array<readonly [string, string]> = []
  const path = valueOf("path")
  if (isWebSocket(valueOf("transport")) && typeof path === "string" && !path.startsWith("/")) {
    conflicts.push(["path", "is the URL path of a WebSocket and begins with /"])
  }
  const clientCertificates = valueOf("tls.clientCertificates")
  if (
    (clientCertificates === "request" || clientCertificates === "require") &&
    valueOf("tls.ca") === undefined
  ) {
    conflicts.push(["tls.clientCertificates", "needs tls.ca, the authorities that sign client certificates"])
  }
  return conflicts
}

/**
 * The address to bind for a listener's `host`: `*` is the dual-stack `::` where this machine has IPv6, else
 * `0.0.0.0`.
 */
export const bindAddress = (host: string): string => {
  if (host !== "*") return host
  const interfaces = Object.values(os.networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return interfaces.some((address) => address.family === "IPv6") ? "::" : "0.0.0.0"
}
