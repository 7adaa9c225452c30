/**
 * The tenants of a broker that have (or had) clients: each made once, when its first client comes, from what the directory
 * says of it.
 */

import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { Tenant, type TenantContext } from "./Tenant.ts"
import { TenantDirectory, type TenantUnavailable } from "./TenantDirectory.ts"

export interface Tenants {
  /** The tenant's supervisor. */
  readonly get: (id: string) => Effect.Effect<Tenant, TenantUnavailable>
  /** Those that were made so far. */
  readonly all: () => Iterable<Tenant>
}

export const makeTenants = (
  context: TenantContext
): Effect.Effect<Tenants, never, TenantDirectory | Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* TenantDirectory
    const scope = yield* Effect.scope
    const tenants = new Map<string, Tenant>()
    const oneAtATime = yield* Effect.makeSemaphore(1)
    const make = (id: string) =>
      Effect.gen(function* () {
        const known = tenants.get(id)
        if (known !== undefined) return known
        const settings = yield* directory.settings(id)
        const tenant = yield* Scope.extend(Tenant.make(id, settings, context), scope)
        tenants.set(id, tenant)
        return tenant
      })
    return {
      get: (id) => {
        const known = tenants.get(id)
        return known === undefined ? oneAtATime.withPermits(1)(make(id)) : Effect.succeed(known)
      },
      all: () => tenants.values()
    }
  })
