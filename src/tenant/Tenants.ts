/**
 * The tenants of a broker that have (or had) clients: each made once, when its first client comes, from what
 * the directory says of it. While one tenant's settings are being asked for, its clients wait and those of
 * the others do not.
 */

import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { Tenant, type TenantContext } from "./Tenant.ts"
import { TenantDirectory, TenantUnavailable } from "./TenantDirectory.ts"
import type { TenantSettings } from "./TenantSettings.ts"

export interface Tenants {
  /** The tenant's supervisor. */
  readonly get: (id: string) => Effect.Effect<Tenant, TenantUnavailable>
  /** One that was made before; undefined when no client of it has come yet. */
  readonly find: (id: string) => Tenant | undefined
  /** Those that were made so far. */
  readonly all: () => Iterable<Tenant>
}

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
    const make = (id: string) =>
      Effect.gen(function* () {
        const known = tenants.get(id)
        if (known !== undefined) return known
        const settings: TenantSettings | undefined = yield* directory.settings(id)
        if (typeof settings !== "object") {
          return yield* new TenantUnavailable({ tenant: id, reason: "the directory answered nonsense" })
        }
        return yield* Scope.extend(Tenant.make(id, settings, context), scope).pipe(
          Effect.tap((tenant) => Effect.sync(() => tenants.set(id, tenant))),
          Effect.uninterruptible
        )
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
      all: () => tenants.values()
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
