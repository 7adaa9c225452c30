/**
 * The tenants of a broker that have (or had) clients: each made once, when its first client comes, from what
 * the directory says of it. While one tenant's settings are being asked for, its clients wait and those of
 * the others do not.
 */

import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Tenant } from "./Tenant.ts"
import type { TenantContext } from "./TenantContext.ts"
import { TenantDirectory, TenantUnavailable } from "./TenantDirectory.ts"
import type { TenantSettings } from "./TenantSettings.ts"

export interface Tenants {
  /** The tenant's supervisor. */
  readonly get: (id: string) => Effect.Effect<Tenant, TenantUnavailable>
  /** One that was made before; undefined when no client of it has come yet. */
  readonly find: (id: string) => Tenant | undefined
  /** Those that were made so far. */
  readonly all: () => Iterable<Tenant>
  /** For one that is not served now: what it takes up before it is. It is not served if that fails. */
  readonly restoreFirst: (id: string, restore: Restore) => void
}

type Restore = (tenant: Tenant) => Effect.Effect<void, TenantUnavailable>

export const makeTenants = (
  context: TenantContext
): Effect.Effect<Tenants, never, TenantDirectory | Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* TenantDirectory
    // A scope as old as this registry: what is acquired later, as the connections are, is released before the
    // tenants, although each of these is made only when its first client comes.
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const tenants = new Map<string, Tenant>()
    const asking = new Map<string, Turns>()
    const unrestored = new Map<string, Restore>()
    const take = (id: string, settings: TenantSettings) =>
      Effect.gen(function* () {
        const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
        const tenant = yield* Scope.extend(Tenant.make(id, settings, context), own)
        const restore = unrestored.get(id)
        if (restore !== undefined) {
          yield* Effect.tapErrorCause(restore(tenant), (cause) => Scope.close(own, Exit.failCause(cause)))
          unrestored.delete(id)
        }
        tenants.set(id, tenant)
        return tenant
      })
    const make = (id: string) =>
      Effect.gen(function* () {
        const known = tenants.get(id)
        if (known !== undefined) return known
        const settings: TenantSettings | undefined = yield* directory.settings(id)
        if (typeof settings !== "object") {
          return yield* new TenantUnavailable({ tenant: id, reason: "the directory answered nonsense" })
        }
        return yield* Effect.uninterruptible(take(id, settings))
      })
    const askInTurn = (id: string) =>
      Effect.acquireUseRelease(
        Effect.sync(() => enter(asking, id)),
        (turns) => turns.semaphore.withPermits(1)(make(id)),
        (turns) => Effect.sync(() => leave(asking, id, turns))
      )
    return {
      get: (id) => {
        const known = tenants.get(id)
        return known === undefined ? askInTurn(id) : Effect.succeed(known)
      },
      find: (id) => tenants.get(id),
      all: () => tenants.values(),
      restoreFirst: (id, restore) => unrestored.set(id, restore)
    }
  })

/**
 * Those who wait for one tenant. Forgotten with the last, so that names of no tenant leave nothing behind.
 */
interface Turns {
  readonly semaphore: Effect.Semaphore
  waiting: number
}

const enter = (asking: Map<string, Turns>, id: string): Turns => {
  const turns = asking.get(id) ?? { semaphore: Effect.unsafeMakeSemaphore(1), waiting: 0 }
  turns.waiting++
  asking.set(id, turns)
  return turns
}

const leave = (asking: Map<string, Turns>, id: string, turns: Turns): void => {
  turns.waiting--
  if (turns.waiting === 0) asking.delete(id)
}
