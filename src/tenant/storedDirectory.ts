/**
 * The directory of a broker whose tenants are written in its configuration, or made while it runs.
 *
 * The configuration has the first word, then the store, then the rule for tenants that nobody has made. Of a
 * tenant that is configured the store is asked for its state alone: an operator may suspend it at once, but
 * what it is granted stands in one place.
 */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type { StorageError } from "../storage/StorageError.ts"
import { type StoredTenant, type TenantState, TenantStore } from "../storage/TenantStore.ts"
import { ConfiguredTenants, type TenantTable } from "./ConfiguredTenants.ts"
import { applyOverrides, decodeOverrides } from "./settings/overrides.ts"
import { DEFAULT_TENANT, TenantDirectory, TenantUnavailable, unknownTenant } from "./TenantDirectory.ts"
import type { TenantSettings } from "./TenantSettings.ts"

export const layerStoredDirectory: Layer.Layer<TenantDirectory, never, ConfiguredTenants | TenantStore> =
  Layer.effect(
    TenantDirectory,
    Effect.gen(function* () {
      const { table } = yield* ConfiguredTenants
      const store = yield* TenantStore
      const find = (tenant: string) =>
        Effect.mapError(store.find(tenant), (error) => unreadable(tenant, error))
      return {
        settings: (tenant) => {
          const configured = table().tenants.get(tenant)
          return configured === undefined
            ? Effect.flatMap(find(tenant), (stored) => settingsOf(tenant, table(), stored))
            : Effect.succeed(configured.settings)
        },
        state: (tenant) => Effect.map(find(tenant), (stored) => stateOf(tenant, table(), stored))
      }
    })
  )

/** What a tenant that is not configured is granted. */
const settingsOf = (
  tenant: string,
  table: TenantTable,
  stored: StoredTenant | undefined
): Effect.Effect<TenantSettings, TenantUnavailable> => {
  // A tombstone keeps something else there than settings.
  if (stored?.state === "deleting") return unknownTenant(tenant)
  if (stored === undefined) {
    const isServed = table.firstSight === "create" || tenant === DEFAULT_TENANT
    return isServed ? Effect.succeed(table.base) : unknownTenant(tenant)
  }
  return Either.match(decodeOverrides(stored.settings), {
    onRight: (overrides) => Effect.succeed(applyOverrides(table.base, overrides)),
    onLeft: (problems) => {
      const list = problems.map(({ key, message }) => `${key}: ${message}`).join("; ")
      return new TenantUnavailable({ tenant, reason: `its stored settings cannot be used: ${list}` })
    }
  })
}

/** The state that serves fewer, where configuration and store do not agree. */
export const stateOf = (
  tenant: string,
  { tenants }: TenantTable,
  stored: Pick<StoredTenant, "state"> | undefined
): TenantState => {
  const configured = tenants.get(tenant)?.state ?? "active"
  return stored === undefined || stored.state === "active" ? configured : stored.state
}

const unreadable = (tenant: string, { reason }: StorageError): TenantUnavailable =>
  new TenantUnavailable({ tenant, reason })
