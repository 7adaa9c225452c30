/**
 * The listeners that a configuration describes, built from the transports: TCP or TLS below, PROXY protocol
 * and WebSocket on top where the configuration says so. Certificates are read again when their files change.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Config } from "../config/Config.ts"
import { bindAddress, type Listener as ListenerConfig } from "../config/ListenerSchema.ts"
import { AdmissionLimit } from "../transport/AdmissionLimit.ts"
import { CidrSet } from "../transport/Cidr.ts"
import { proxyProtocolListener } from "../transport/ProxyProtocol.ts"
import { tcpListener, unixListener } from "../transport/Tcp.ts"
import { type TlsCertificate, type TlsCredentials, type TlsListener, tlsListener } from "../transport/Tls.ts"
import type { Listener } from "../transport/Transport.ts"
import { webSocketListener } from "../transport/WebSocket.ts"

/** A file that a listener needs cannot be read. */
export class FileUnreadable extends Data.TaggedError("FileUnreadable")<{
  readonly key: string
  readonly path: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `${this.key}: cannot read ${this.path}`
  }
}

/** Several of them. */
export class FilesUnreadable extends Data.TaggedError("FilesUnreadable")<{
  readonly problems: ReadonlyArray<FileUnreadable>
}> {
  override get message(): string {
    return this.problems.map((problem) => problem.message).join("\n")
  }
}

/**
 * How often certificate files are looked at: reading a few small files costs nothing that could be measured.
 */
const RELOAD_EVERY = Duration.seconds(1)

/** Fails unless every file that the enabled listeners need can be read; tells of all that cannot. */
export const checkFiles = (config: Config): Effect.Effect<void, FilesUnreadable, FileSystem.FileSystem> =>
  Effect.partition(enabled(config).flatMap(filesOf), ([key, path]) => read(key, path)).pipe(
    Effect.flatMap(([problems]) =>
      problems.length === 0 ? Effect.void : Effect.fail(new FilesUnreadable({ problems }))
    )
  )

/** The files of a listener, with the keys that name them. */
const filesOf = ([name, { tls }]: readonly [string, ListenerConfig]): ReadonlyArray<
  readonly [string, string]
> => {
  if (tls === undefined) return []
  const key = `listeners.${name}.tls`
  return [
    [`${key}.cert`, tls.cert],
    [`${key}.key`, tls.key],
    ...(tls.ca === undefined ? [] : [[`${key}.ca`, tls.ca] as const]),
    ...tls.sni.flatMap(({ cert, key: privateKey }, index) => [
      [`${key}.sni.${index}.cert`, cert] as const,
      [`${key}.sni.${index}.key`, privateKey] as const
    ])
  ]
}

const enabled = (config: Config) =>
  Object.entries(config.listeners).filter(([, listener]) => listener.enabled)

/** A listener as the configuration describes it. */
export interface Described {
  readonly name: string
  readonly listener: ListenerConfig
  /** Those in force: asked for each time, as they may change. */
  readonly limits: () => Config["limits"]
}

/** Certificates are watched while the scope is open. */
export const listenerOf: (
  described: Described
) => Effect.Effect<Listener, FileUnreadable, FileSystem.FileSystem | Scope.Scope> = Effect.fnUntraced(
  function* (described: Described) {
    const { limits, listener, name } = described
    const networks = [...listener.proxyProtocol.networks, ...listener.forwardedFor.networks]
    const admission = admissionOf(limits, new CidrSet(networks))
    const handshakeTimeoutMs = () => Duration.toMillis(limits().handshakeTimeout)
    if (listener.transport === "unix") return unixListener({ name, path: listener.path ?? "", admission })
    const bind = { name, hostname: bindAddress(listener.host), port: listener.port, admission }
    const proxies =
      listener.proxyProtocol.networks.length > 0 ? new CidrSet(listener.proxyProtocol.networks) : undefined
    const isSecure = listener.transport === "tls" || listener.transport === "wss"
    const stream = isSecure
      ? yield* secureListener(described, { ...bind, handshakeTimeoutMs, proxies })
      : proxies === undefined
        ? tcpListener(bind)
        : proxyProtocolListener(tcpListener(bind), { trusted: proxies, handshakeTimeoutMs, admission })
    if (listener.transport !== "ws" && listener.transport !== "wss") return stream
    return webSocketListener(stream, {
      paths: [listener.path ?? "/mqtt"],
      origins: listener.origins.length > 0 ? listener.origins : undefined,
      trustedProxies:
        listener.forwardedFor.networks.length > 0 ? new CidrSet(listener.forwardedFor.networks) : undefined,
      handshakeTimeoutMs,
      admission
    })
  }
)

const admissionOf = (limits: () => Config["limits"], proxies: CidrSet): AdmissionLimit =>
  new AdmissionLimit({
    get acceptsPerSecond() {
      return limits().acceptRate
    },
    get acceptsBurst() {
      return limits().acceptBurst
    },
    get acceptsPerSecondPerAddress() {
      return limits().acceptRatePerAddress || Number.POSITIVE_INFINITY
    },
    get acceptsBurstPerAddress() {
      const { acceptBurstPerAddress, acceptRatePerAddress } = limits()
      return acceptRatePerAddress === 0 ? Number.POSITIVE_INFINITY : acceptBurstPerAddress
    },
    get pendingMax() {
      return limits().pendingHandshakes
    },
    get pendingMaxPerAddress() {
      return limits().pendingHandshakesPerAddress || Number.POSITIVE_INFINITY
    },
    get addressesMax() {
      return limits().pendingHandshakes * 2
    },
    proxies
  })

const secureListener = Effect.fnUntraced(function* (
  described: Described,
  options: Omit<Parameters<typeof tlsListener>[0], "credentials" | "clientCertificates">
) {
  const credentials = yield* readCredentials(described)
  const listener = tlsListener({
    ...options,
    credentials,
    clientCertificates: described.listener.tls?.clientCertificates
  })
  yield* Effect.forkScoped(watch(described, listener, credentials))
  return listener
})

/**
 * Looks at the files now and then and reloads when their content has changed. What cannot be used is logged
 * once; the old stays.
 */
const watch = (
  described: Described,
  listener: TlsListener,
  first: TlsCredentials
): Effect.Effect<never, never, FileSystem.FileSystem> => {
  let current = JSON.stringify(first)
  let complaint = ""
  const look = Effect.gen(function* () {
    const credentials = yield* readCredentials(described)
    const content = JSON.stringify(credentials)
    if (content !== current) yield* listener.reload(credentials)
    complaint = ""
    if (content === current) return
    current = content
    yield* Effect.logInfo(`listener ${described.name} uses the new certificates`)
  })
  return look.pipe(
    Effect.catchAll((error) => {
      if (error.message === complaint) return Effect.void
      complaint = error.message
      return Effect.logWarning(`certificates not reloaded: ${complaint}`)
    }),
    Effect.delay(RELOAD_EVERY),
    Effect.forever
  )
}

const readCredentials = (
  described: Described
): Effect.Effect<TlsCredentials, FileUnreadable, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const { listener, name } = described
    const key = `listeners.${name}.tls`
    const tls = listener.tls
    const main: TlsCertificate = {
      cert: yield* read(`${key}.cert`, tls?.cert ?? ""),
      key: yield* read(`${key}.key`, tls?.key ?? ""),
      passphrase: tls?.passphrase === undefined ? undefined : Redacted.value(tls.passphrase)
    }
    const others = yield* Effect.forEach(tls?.sni ?? [], (sni, index) =>
      Effect.all({
        cert: read(`${key}.sni.${index}.cert`, sni.cert),
        key: read(`${key}.sni.${index}.key`, sni.key),
        serverNames: Effect.succeed(sni.names)
      })
    )
    const clientAuthorities = tls?.ca === undefined ? undefined : [yield* read(`${key}.ca`, tls.ca)]
    return { certificates: [main, ...others], clientAuthorities }
  })

const read = (key: string, path: string): Effect.Effect<string, FileUnreadable, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    Effect.mapError(files.readFileString(path), (cause) => new FileUnreadable({ key, path, cause }))
  )
