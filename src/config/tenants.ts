/** What a configuration says of tenants, in the form that their directory takes. */

import type { ConfiguredTenant, TenantTable } from "../tenant/ConfiguredTenants.ts"
import { applyOverrides, type SettingOverrides } from "../tenant/settings/overrides.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Config } from "./ConfigSchema.ts"

type TenantSections = Pick<Config, "session" | "tenancy" | "tenants">

export const tenantTableOf = ({ session, tenancy, tenants }: TenantSections): TenantTable => {
  const configured = Object.entries(tenants).map(
    ([name, { state, ...overrides }]): [string, ConfiguredTenant] => [
      name,
      { state, settings: applyOverrides(session, overrides) }
    ]
  )
  const { firstSight } = tenancy
  const isOpen = configured.length === 0
  return {
    base: session,
    tenants: new Map(configured),
    firstSight: firstSight === "auto" ? (isOpen ? "create" : "refuse") : firstSight
  }
}

/** What a tenant has by the configuration alone. */
export const settingsOf = ({ session, tenants }: TenantSections, tenant: string): TenantSettings => {
  const given: SettingOverrides = Object.hasOwn(tenants, tenant) ? (tenants[tenant] ?? {}) : {}
  return applyOverrides(session, given)
}
