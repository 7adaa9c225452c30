/**
 * A broker as those see it who look after it: its live tenants and clients, and what may be asked of them.
 *
 * Nothing here touches what an actor owns: tenants and sessions are asked by message and answer behind all
 * that they were told before. What is live is what clients have come for since the broker began, or what its
 * store has kept.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Identity } from "../auth/Authenticator.ts"
import type { RouteView } from "../router/RouterMessage.ts"
import type { Ending } from "../session/Link.ts"
import type { SessionHandle } from "../session/SessionHandle.ts"
import type { Inquiry, SessionView } from "../session/view.ts"
import type { Follower, FollowOptions } from "../telemetry/follow/Follower.ts"
import type { Followers } from "../telemetry/follow/Followers.ts"
import { type DryRun, dryRun, type PermissionsOf } from "./dryRun.ts"
import type { Tenant } from "./Tenant.ts"
import type { Tenants } from "./Tenants.ts"

/** What is seen of a tenant. Live: read, do not keep. */
export type LiveTenant = Pick<
  Tenant,
  "id" | "state" | "settings" | "counters" | "census" | "policy" | "quota"
>

export interface LiveClient {
  readonly tenant: string
  readonly clientId: string
  readonly principal: string
  readonly username: string | undefined
  /** Of its last connection; "" when the broker has not seen it since it began. */
  readonly address: string
  readonly isConnected: boolean
  /** Messages that wait for it or for its acknowledgement. */
  readonly messages: number
  readonly subscriptions: number
}

export interface ClientListing {
  /** Only this tenant's. */
  readonly tenant?: string | undefined
  /** Only those whose identifier holds this. */
  readonly contains?: string | undefined
  readonly isConnected?: boolean | undefined
  readonly limit: number
}

export interface Closing {
  /** Only this tenant's. */
  readonly tenant?: string | undefined
  /** Only this client. */
  readonly clientId?: string | undefined
  readonly covers: (identity: Identity) => boolean
  readonly ending: Ending
}

/** A live tenant does not answer: it is overloaded, or about to end. */
const ANSWER_MS_MAX = 5000

export interface Administration {
  readonly tenants: () => Iterable<LiveTenant>
  readonly tenant: (id: string) => LiveTenant | undefined
  /** Writes what tenants have used since the last time, so that the ledger is complete. */
  readonly flushUsage: Effect.Effect<void>
  /** See `Tenants`. */
  readonly refresh: Tenants["refresh"]
  readonly remove: Tenants["remove"]
  readonly clients: (listing: ClientListing) => ReadonlyArray<LiveClient>
  /** Closes the connections of those that it covers, those of clients included that are on their way in. */
  readonly close: (closing: Closing) => void
  /** How a session is; undefined when there is none, or when it does not answer. */
  readonly session: (
    tenant: string,
    clientId: string,
    inquiry: Inquiry
  ) => Effect.Effect<SessionView | undefined>
  /**
   * What those permissions would take from the tenant's clients; undefined when it is not live. Changes
   * nothing.
   */
  readonly dryRun: (tenant: string, permissionsOf: PermissionsOf) => Effect.Effect<DryRun | undefined>
  /** Who would get what is published there; undefined when the tenant is not live, or does not answer. */
  readonly route: (tenant: string, topic: string) => Effect.Effect<RouteView | undefined>
  /** Follows a client, connected or not, from now on. Undefined when too many are followed. */
  readonly follow: (options: FollowOptions, nowMs: number) => Follower | undefined
}

export const administrationOf = (
  tenants: Tenants,
  followers: Followers,
  flushUsage: Effect.Effect<void>
): Administration => ({
  flushUsage,
  tenants: () => tenants.all(),
  tenant: (id) => tenants.find(id),
  refresh: (id) => tenants.refresh(id),
  remove: (id, cleanUp) => tenants.remove(id, cleanUp),
  clients: (listing) => clientsOf(tenants, listing),
  close: ({ clientId, covers, ending, tenant }) => {
    for (const each of chosen(tenants, tenant)) each.signal({ _tag: "Close", clientId, covers, ending })
  },
  session: (id, clientId, inquiry) =>
    answer<SessionView | undefined>((reply) => {
      const tenant = tenants.find(id)
      if (tenant === undefined) reply(undefined)
      else tenant.signal({ _tag: "Inspect", clientId, inquiry, reply })
    }),
  dryRun: (id, permissionsOf) =>
    Effect.suspend(() => {
      const tenant = tenants.find(id)
      return tenant === undefined ? Effect.succeed(undefined) : dryRun(tenant, permissionsOf)
    }),
  route: (id, topic) =>
    answer<RouteView | undefined>((reply) => {
      const tenant = tenants.find(id)
      if (tenant === undefined) reply(undefined)
      else tenant.inspectRoute(topic, reply)
    }),
  follow: (options, nowMs) => {
    const { clientId, tenant } = options
    const follower = followers.add(options, nowMs)
    const tap = followers.tap(clientId, tenant)
    if (tap !== undefined) tenants.find(tenant)?.signal({ _tag: "Follow", clientId, tap })
    return follower
  }
})

const answer = <A>(ask: (reply: (answer: A) => void) => void): Effect.Effect<A | undefined> =>
  Effect.async<A>((resume) => ask((given) => resume(Effect.succeed(given)))).pipe(
    Effect.timeoutOption(ANSWER_MS_MAX),
    Effect.map(Option.getOrUndefined)
  )

const chosen = (tenants: Tenants, id: string | undefined): Iterable<Tenant> => {
  if (id === undefined) return tenants.all()
  const tenant = tenants.find(id)
  return tenant === undefined ? [] : [tenant]
}

const clientsOf = (tenants: Tenants, listing: ClientListing): ReadonlyArray<LiveClient> => {
  const { contains = "", isConnected, limit, tenant } = listing
  const found: Array<LiveClient> = []
  for (const each of chosen(tenants, tenant)) {
    for (const session of each.clients()) {
      if (found.length >= limit) return found
      if (isConnected !== undefined && session.isConnected !== isConnected) continue
      if (session.clientId.includes(contains)) found.push(clientOf(each.id, session))
    }
  }
  return found
}

const clientOf = (tenant: string, session: SessionHandle): LiveClient => ({
  tenant,
  clientId: session.clientId,
  principal: session.principal,
  username: session.identity.username,
  address: session.identity.peer.address,
  isConnected: session.isConnected,
  ...session.holdings
})
