/**
 * Brings back what the stores have kept: sessions with their subscriptions, and retained messages. The
 * messages that wait for the sessions stay in the store.
 */

import type * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StoredSession } from "../storage/DurableState.ts"
import { RetainedStore, type StoredRetained } from "../storage/RetainedStore.ts"
import { SessionStore } from "../storage/SessionStore.ts"
import type { StorageError } from "../storage/StorageError.ts"
import type { Tenant } from "./Tenant.ts"
import { TenantUnavailable } from "./TenantDirectory.ts"
import type { Tenants } from "./Tenants.ts"

const PROGRESS_MS = 1000

/** Whoever starts a broker over much is told how far it has come. */
export const restoreTenants = (
  tenants: Tenants
): Effect.Effect<void, StorageError, SessionStore | RetainedStore> =>
  Effect.gen(function* () {
    const { sessions } = yield* SessionStore
    const { messages } = yield* RetainedStore
    const startMs = yield* Clock.currentTimeMillis
    const restored = { sessions: 0, subscriptions: 0, queued: 0, retained: 0 }
    let toldMs = startMs
    const tell = Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      if (nowMs - toldMs < PROGRESS_MS) return
      toldMs = nowMs
      yield* Effect.logInfo(`restoring: ${textOf(restored)}`)
    })
    const tenantOf = tenantLookup(tenants, (tenant) => restoreOne(tenant, sessions, messages))
    yield* Stream.runForEachChunk(sessions, (stored) =>
      Effect.zipRight(
        eachOf(stored, tenantOf, (tenant, session) => {
          tenant.restore(session)
          restored.sessions++
          restored.subscriptions += session.subscriptions.size
          restored.queued += session.queue.positions.length
        }),
        tell
      )
    )
    yield* Stream.runForEachChunk(messages, (stored) =>
      Effect.zipRight(
        eachOf(stored, tenantOf, (tenant, { message }) => {
          tenant.restoreRetained(message)
          restored.retained++
        }),
        tell
      )
    )
    if (restored.sessions + restored.retained === 0) return
    const elapsedMs = (yield* Clock.currentTimeMillis) - startMs
    yield* Effect.logInfo(`restored ${textOf(restored)} in ${(elapsedMs / 1000).toFixed(1)} s`)
  })

/**
 * The same for one tenant, which was not served when the others were restored: before its clients come, who
 * would else find no sessions and have those that are stored replaced.
 */
const restoreOne = (
  tenant: Tenant,
  sessions: SessionStore["Type"]["sessions"],
  messages: RetainedStore["Type"]["messages"]
): Effect.Effect<void, TenantUnavailable> => {
  const isItsOwn = (stored: { readonly tenant: string }) => stored.tenant === tenant.id
  const takeSession = (stored: StoredSession) => Effect.sync(() => tenant.restore(stored))
  const takeRetained = ({ message }: StoredRetained) => Effect.sync(() => tenant.restoreRetained(message))
  return Stream.runForEach(Stream.filter(sessions, isItsOwn), takeSession).pipe(
    Effect.zipRight(Stream.runForEach(Stream.filter(messages, isItsOwn), takeRetained)),
    Effect.mapError(({ reason }) => new TenantUnavailable({ tenant: tenant.id, reason }))
  )
}

const textOf = (restored: {
  readonly sessions: number
  readonly subscriptions: number
  readonly queued: number
  readonly retained: number
}): string =>
  [
    `${restored.sessions} sessions`,
    `${restored.subscriptions} subscriptions`,
    `${restored.queued} waiting messages`,
    `${restored.retained} retained messages`
  ].join(", ")

/** Hands each to its tenant; an effect only where a tenant has to be asked for. */
const eachOf = <A extends { readonly tenant: string }>(
  stored: Chunk.Chunk<A>,
  tenantOf: (id: string) => Tenant | undefined | Effect.Effect<Tenant | undefined>,
  take: (tenant: Tenant, stored: A) => void
): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (const each of stored) {
      const known = tenantOf(each.tenant)
      const tenant = Effect.isEffect(known) ? yield* known : known
      if (tenant !== undefined) take(tenant, each)
    }
  })

/**
 * A tenant by its name; undefined for one that is not served: what belongs to it stays in the store, for when
 * it is again.
 */
const tenantLookup = (tenants: Tenants, restore: Parameters<Tenants["restoreFirst"]>[1]) => {
  const unserved = new Set<string>()
  return (id: string): Tenant | undefined | Effect.Effect<Tenant | undefined> => {
    if (unserved.has(id)) return undefined
    return (
      tenants.find(id) ??
      Effect.catchTag(tenants.get(id), "TenantUnavailable", ({ reason }) => {
        unserved.add(id)
        tenants.restoreFirst(id, restore)
        return Effect.logWarning("the tenant is not restored").pipe(
          Effect.annotateLogs({ tenant: id, reason }),
          Effect.as(undefined)
        )
      })
    )
  }
}
