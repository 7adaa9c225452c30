/**
 * Server redirection: the port that sends a client to another server, for now or for good. (5.0, section
 * 4.11) Asked after authentication, for MQTT 5 clients only: earlier versions cannot be told where to go.
 */

import { Buffer } from "node:buffer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Identity } from "../auth/Authenticator.ts"

export interface Redirect {
  /** Server moved (0x9D) rather than Use another server (0x9C). */
  readonly permanent: boolean
  /** UTF-8, space-separated `host` or `host:port`; undefined tells the client only to go elsewhere. */
  readonly serverReference: string | undefined
}

export class ClientBalancer extends Context.Tag("heddle/ClientBalancer")<
  ClientBalancer,
  {
    /** Where a connecting client should go instead; undefined keeps it here. */
    readonly redirect: (identity: Identity) => Effect.Effect<Redirect | undefined>
  }
>() {
  /** Every client stays. */
  static readonly layerStay = Layer.succeed(ClientBalancer, { redirect: () => Effect.succeed(undefined) })
}

/** Whether an answer is one that a client can be told. */
export const isRedirect = (answer: unknown): answer is Redirect => {
  if (typeof answer !== "object" || answer === null) return false
  const { permanent, serverReference }: { readonly [Name in keyof Redirect]?: unknown } = answer
  if (typeof permanent !== "boolean" || serverReference === undefined) return typeof permanent === "boolean"
  // [MQTT-1.5.4-1] [MQTT-1.5.4-2]
  return (
    typeof serverReference === "string" &&
    serverReference.isWellFormed() &&
    !serverReference.includes("\0") &&
    Buffer.byteLength(serverReference) <= 65_535
  )
}
