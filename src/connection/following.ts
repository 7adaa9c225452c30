/** Clients that somebody follows, as their connections learn who they are. */

import type { Identity } from "../auth/Authenticator.ts"
import type { Followers } from "../telemetry/follow/Followers.ts"
import type { Connection } from "./Connection.ts"

/**
 * It is known who the client is. Called again before it gets its session, because it may take long until
 * then, and somebody may have begun to follow it.
 */
export const followIdentified = (
  connection: Connection,
  { clientId, tenant }: Identity,
  { followers, nowMs }: { readonly followers: Followers; readonly nowMs: () => number }
): void => {
  const { tap } = connection
  if (tap === undefined) {
    if (followers.isAny) connection.tap = followers.tap(clientId, tenant)
    return
  }
  tap.identified(clientId, tenant, nowMs())
  if (tap.isOver) connection.tap = undefined
}
