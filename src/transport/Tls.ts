/**
 * MQTT over TLS 1.2 and 1.3: certificates by server name, client certificates as identities, reload without a
 * pause.
 *
 * The acceptor is called when the handshake is complete; a connection that does not complete it in time is
 * destroyed. A server name picks its certificate exactly, else by a wildcard for one label, else the first
 * certificate answers. `reload` changes what new connections see; the ones that are open keep their session.
 * Session tickets belong to one generation of certificates, so that a client certificate is verified anew
 * against a new authority. `Peer.certificate` is present only when the client's certificate verified.
 */

import { X509Certificate } from "node:crypto"
import type { SecureContextOptions } from "node:tls"
import { createSecureContext } from "node:tls"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { SecureAccept, SocketListener, SocketListenerOptions, TlsUpgrade } from "./BunListener.ts"
import { addressOf, BunAccept, bindBun } from "./BunListener.ts"
import type { BunSocket } from "./BunSocket.ts"
import type { CidrSet } from "./Cidr.ts"
import { type HandshakeTimeout, makeHandshakes } from "./Handshakes.ts"
import { identityOf } from "./PeerIdentity.ts"
import { hostName } from "./ProxyProtocol.ts"
import type { Acceptor, Peer } from "./Transport.ts"
import { ListenError } from "./Transport.ts"

/** A certificate of this server, in PEM. */
export interface TlsCertificate {
  /** The certificate, followed by intermediate ones. */
  readonly cert: string
  readonly key: string
  readonly passphrase?: string | undefined
  /** Names that it answers to, `*.example.org` included. By default the DNS names in the certificate. */
  readonly serverNames?: ReadonlyArray<string> | undefined
}

/** Everything that `reload` replaces. */
export interface TlsCredentials {
  /** The first one answers clients that ask for no name or an unknown one. */
  readonly certificates: readonly [TlsCertificate, ...ReadonlyArray<TlsCertificate>]
  /** Authorities of client certificates, in PEM. Required unless client certificates are not asked for. */
  readonly clientAuthorities?: ReadonlyArray<string> | undefined
  /** Revocation lists for client certificates, in PEM. */
  readonly revocationLists?: ReadonlyArray<string> | undefined
}

export interface TlsOptions extends SocketListenerOptions {
  readonly hostname: string
  /** 0 asks for any free port. */
  readonly port: number
  readonly reusePort?: boolean | undefined
  readonly credentials: TlsCredentials
  /** `request` lets clients without a valid certificate in, without an identity. `none` by default. */
  readonly clientCertificates?: "none" | "request" | "require" | undefined
  /** TLS 1.2 by default; nothing older is offered. */
  readonly minVersion?: "TLSv1.2" | "TLSv1.3" | undefined
  /** OpenSSL cipher list for TLS 1.2. */
  readonly ciphers?: string | undefined
  /** From accept to the complete handshake, PROXY header included. 10 s by default. */
  readonly handshakeTimeoutMs?: HandshakeTimeout | undefined
  /** Load balancers whose connections begin with a PROXY header, before TLS. */
  readonly proxies?: CidrSet | undefined
}

/**
 * Certificates that cannot be used. At start the listener fails with it as the cause; `reload` keeps the old
 * ones.
 */
export class CertificateError extends Data.TaggedError("CertificateError")<{
  readonly listener: string
  /** Which one: its first server name, or its position. */
  readonly certificate: string
  readonly cause: unknown
}> {
  override get message(): string {
    const why = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `certificate ${this.certificate} of listener ${this.listener} cannot be used: ${why}`
  }
}

/** Client certificates are asked for, but nothing says who may sign them. */
export class ClientAuthorityMissing extends Data.TaggedError("ClientAuthorityMissing") {
  override readonly message = "client certificates are asked for without an authority (CA) that signs them"
}

export interface TlsListener extends SocketListener {
  /** Replaces the certificates for new connections, all or nothing. */
  readonly reload: (credentials: TlsCredentials) => Effect.Effect<void, CertificateError>
}

/** Listens on TLS over TCP. */
export const tlsListener = (options: TlsOptions): TlsListener => {
  let credentials = options.credentials
  let current: TlsUpgrade | undefined

  const listen = Effect.fnUntraced(function* (acceptor: Acceptor) {
    const { admission, hostname, name, proxies } = options
    const bind = { hostname, port: options.port, reusePort: options.reusePort }
    const first = yield* makeUpgrade(options, credentials).pipe(
      Effect.mapError((cause) => new ListenError({ listener: name, address: addressOf(bind), cause }))
    )
    current = first
    const secure: SecureAccept = {
      handshakes: yield* makeHandshakes(options.handshakeTimeoutMs),
      upgrade: () => current ?? first,
      identify: (socket, peer) => identify(socket, peer, options.clientCertificates === "require"),
      proxies
    }
    const clock = yield* Effect.clock
    const accept = new BunAccept({
      name,
      admission,
      transport: "tls",
      isUnix: false,
      acceptor,
      clock,
      secure
    })
    const { port } = yield* bindBun(name, bind, accept)
    return { name, transport: "tls" as const, address: addressOf(bind, port), port, stats: accept.stats }
  })

  const reload = (next: TlsCredentials) =>
    Effect.map(makeUpgrade(options, next), (upgrade) => {
      credentials = next
      current = upgrade
    })

  return { listen, reload }
}

/** Parses everything once, so that a connection only picks a context. */
const makeUpgrade = (
  options: TlsOptions,
  credentials: TlsCredentials
): Effect.Effect<TlsUpgrade, CertificateError> =>
  Effect.gen(function* () {
    const names = new Map<string, unknown>()
    const contexts: Array<unknown> = []
    for (const [index, certificate] of credentials.certificates.entries()) {
      const built = yield* Effect.try({
        try: () => ({
          context: makeContext(options, credentials, certificate),
          serverNames: certificate.serverNames ?? dnsNames(certificate.cert)
        }),
        catch: (cause) =>
          new CertificateError({
            listener: options.name,
            certificate: certificate.serverNames?.[0] ?? `number ${index + 1}`,
            cause
          })
      })
      contexts.push(built.context)
      for (const name of built.serverNames) {
        const key = name.toLowerCase()
        if (!names.has(key)) names.set(key, built.context)
      }
    }
    const requestCert = (options.clientCertificates ?? "none") !== "none"
    const rejectUnauthorized = options.clientCertificates === "require"
    return {
      tls: withContext({ requestCert, rejectUnauthorized }, contexts[0]),
      serverName: (_listener, name) => contextFor(names, name)
    }
  })

/**
 * Bun reads the native context from `secureContext`, as its `node:tls` passes it; its types do not name it.
 */
const withContext = <A extends object>(tls: A, secureContext: unknown): A =>
  Object.assign({}, tls, { secureContext })

const makeContext = (
  options: TlsOptions,
  credentials: TlsCredentials,
  certificate: TlsCertificate
): unknown => {
  const isAsked = (options.clientCertificates ?? "none") !== "none"
  const { clientAuthorities = [], revocationLists = [] } = credentials
  if (isAsked && clientAuthorities.length === 0) throw new ClientAuthorityMissing()
  const settings: SecureContextOptions = {
    cert: certificate.cert,
    key: certificate.key,
    minVersion: options.minVersion ?? "TLSv1.2"
  }
  if (certificate.passphrase !== undefined) settings.passphrase = certificate.passphrase
  if (options.ciphers !== undefined) settings.ciphers = options.ciphers
  if (isAsked) settings.ca = [...clientAuthorities]
  if (isAsked && revocationLists.length > 0) settings.crl = [...revocationLists]
  return createSecureContext(settings).context
}

const dnsNames = (pem: string): ReadonlyArray<string> => {
  const names = new X509Certificate(pem).subjectAltName?.split(", ") ?? []
  return names.filter((name) => name.startsWith("DNS:")).map((name) => name.slice(4))
}

/** RFC 6125, 6.4.3: a wildcard stands for exactly one label. */
const contextFor = (names: ReadonlyMap<string, unknown>, serverName: string): unknown => {
  const name = serverName.toLowerCase()
  const exact = names.get(name)
  if (exact !== undefined) return exact
  const dot = name.indexOf(".")
  return dot <= 0 ? undefined : names.get(`*${name.slice(dot)}`)
}

/** Undefined when a certificate is required and did not verify, whatever the runtime made of it. */
const identify = (socket: BunSocket, peer: Peer, isRequired: boolean): Peer | undefined => {
  const certificate = socket.authorized ? identityOf(socket.getPeerX509Certificate()) : undefined
  if (isRequired && certificate === undefined) return undefined
  return { ...peer, serverName: hostName(socket.getServername() ?? "") ?? peer.serverName, certificate }
}
