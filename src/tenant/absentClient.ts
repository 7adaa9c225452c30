/**
 * Who a stored session's client is, and what it may do, until it connects: the broker that knew has gone, so
 * its permissions are asked for anew when its will is due.
 */

import * as Effect from "effect/Effect"
import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { SessionServices } from "../session/SessionServices.ts"
import type { StoredSession } from "../storage/DurableState.ts"
import type { Peer } from "../transport/Transport.ts"

/** The peer of a session that nobody is connected to. */
const nobody: Peer = {
  transport: "memory",
  listener: "",
  address: "",
  port: 0,
  isLoopback: false,
  serverName: undefined,
  certificate: undefined
}

export const absentIdentity = (
  tenant: string,
  { clientId, principal }: Pick<StoredSession, "clientId" | "principal">
): Identity => ({ tenant, principal, clientId, username: undefined, peer: nobody, isAbsent: true })

/** It may publish what it would be allowed to; while nobody can say, nothing. */
export const absentPermissions = (
  identity: Identity,
  { permissions, settle }: Pick<SessionServices, "permissions" | "settle">
): Permissions => ({
  publish: (...message) =>
    Effect.flatMap(permissions(identity), (granted) => settle([granted.publish(...message)])).pipe(
      Effect.map(([allowed]) => allowed === true),
      Effect.catchAll(() => Effect.succeed(false))
    ),
  subscribe: () => false,
  deliver: undefined
})
