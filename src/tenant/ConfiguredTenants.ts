/**
 * The tenants that somebody has written down: what the configuration says of tenants, as long as it says so.
 * A configuration that is read again puts another table in its place.
 */

import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { defaultTenantSettings, type TenantSettings } from "./TenantSettings.ts"

export interface ConfiguredTenant {
  readonly state: "active" | "suspended"
  readonly settings: TenantSettings
}

export interface TenantTable {
  /** What a tenant has where nothing else is said of it. */
  readonly base: TenantSettings
  readonly tenants: ReadonlyMap<string, ConfiguredTenant>
  /** What becomes of a tenant that an authenticator names and nobody has made. */
  readonly firstSight: "create" | "refuse"
}

export const defaultTenantTable: TenantTable = {
  base: defaultTenantSettings,
  tenants: new Map(),
  firstSight: "create"
}

export class ConfiguredTenants extends Context.Tag("heddle/ConfiguredTenants")<
  ConfiguredTenants,
  {
    readonly table: () => TenantTable
    /** From now on; the tenants that are live hear of it by `TenantAdmin.reconfigure`. */
    readonly replace: (table: TenantTable) => void
  }
>() {
  static readonly layer = (first: TenantTable = defaultTenantTable): Layer.Layer<ConfiguredTenants> =>
    Layer.sync(ConfiguredTenants, () => {
      let table = first
      return {
        table: () => table,
        replace: (next) => {
          table = next
        }
      }
    })
}
