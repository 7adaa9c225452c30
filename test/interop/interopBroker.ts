/**
 * A broker on real sockets for clients that nobody here wrote: one listener per transport on a free port of
 * 127.0.0.1, and the files that programs want certificates in.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { Broker } from "../../src/Broker.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { ClientBalancer } from "../../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { type TlsOptions, tlsListener } from "../../src/transport/Tls.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { webSocketListener } from "../../src/transport/WebSocket.ts"
import { testCertificates } from "../support/certificates.ts"

export const transports = ["tcp", "tls", "ws", "wss"] as const

export type Transport = (typeof transports)[number]

export interface InteropBroker {
  readonly port: (transport: Transport | "mtls") => number
  /** PEM files: the authority of the servers' certificates, and a client's certificate with its key. */
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string }
  readonly broker: Broker["Type"]
  readonly stop: () => Promise<void>
}

export const startInteropBroker = async (): Promise<InteropBroker> => {
  const scope = await Effect.runPromise(Scope.make())
  const context = await Effect.runPromise(Layer.buildWithScope(layer(), scope))
  const broker = Effect.runSync(Effect.provide(Broker, context))
  const directory = mkdtempSync(join(tmpdir(), "heddle-interop-"))
  const { authority, client } = testCertificates()
  const file = (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  return {
    broker,
    files: {
      ca: file("ca.pem", authority.cert),
      cert: file("client.pem", client.cert),
      key: file("client.key", client.key)
    },
    port: (transport) => broker.listening.find(({ name }) => name === transport)?.port ?? 0,
    stop: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

const layer = () => {
  const bind = (name: string) => ({ name, hostname: "127.0.0.1", port: 0 })
  const { authority, server } = testCertificates()
  const secure = (name: string, clientCertificates: TlsOptions["clientCertificates"]) =>
    tlsListener({
      ...bind(name),
      clientCertificates,
      credentials: { certificates: [server], clientAuthorities: [authority.cert] }
    })
  const listeners = [
    tcpListener(bind("tcp")),
    secure("tls", "none"),
    webSocketListener(tcpListener(bind("ws"))),
    webSocketListener(secure("wss", "none")),
    secure("mtls", "require")
  ]
  return Broker.layer({ drainMs: 2000 }).pipe(
    Layer.provide([
      Authenticator.layerAnonymous("loopback"),
      Authorizer.layerAllowAll,
      TenantDirectory.layerSingle(),
      ClientBalancer.layerStay,
      EventSink.layerNone,
      layerMemory(),
      Layer.succeed(Transports, listeners)
    ])
  )
}
