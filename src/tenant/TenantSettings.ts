/**
 * What a tenant's clients may do and how much of it: the settings that sessions and the router obey, in one
 * table. Everything else is made from it: the type, the defaults, the configuration's `session` and `tenants`
 * sections, the overrides of stored tenants, the manual.
 *
 * A tenant has one settings object, which all that is the tenant's shares. The tenant alone changes it, in
 * place, so a setting whose changes are `live` is read where it is used and never copied. Limits are
 * announced to MQTT 5 clients where CONNACK has a property for them, and enforced for all.
 */

import { protocolSettings } from "./settings/protocolSettings.ts"
import {
  connectionRates,
  tenantCounts,
  tenantRates,
  tenantShare,
  tenantWindows
} from "./settings/quotaSettings.ts"
import type { Setting } from "./settings/Setting.ts"
import { sessionSettings } from "./settings/sessionSettings.ts"
import { topicSettings } from "./settings/topicSettings.ts"

export { NEVER_EXPIRES } from "./settings/sessionSettings.ts"

/** Every setting, in the order of the manual. */
export const settingsTable = {
  ...protocolSettings,
  ...sessionSettings,
  ...topicSettings,
  ...connectionRates,
  ...tenantCounts,
  ...tenantRates,
  ...tenantWindows,
  ...tenantShare
} as const

/** The settings by what they are about. */
export const settingGroups = [
  { title: "The protocol", names: namesOf(protocolSettings) },
  { title: "Sessions, queues and wills", names: namesOf(sessionSettings) },
  { title: "Topics, subscriptions and retained messages", names: namesOf(topicSettings) },
  { title: "Rates of one connection", names: namesOf(connectionRates) },
  { title: "What a tenant may hold", names: namesOf(tenantCounts) },
  { title: "Rates of a tenant", names: namesOf(tenantRates) },
  { title: "What a tenant may use up in days and months", names: namesOf(tenantWindows) },
  { title: "A tenant's share, and what it is told", names: namesOf(tenantShare) }
] as const

type SettingsTable = typeof settingsTable

type ValueOf<S> = S extends Setting<infer A, infer _> ? A : never

export type TenantSettings = { readonly [Name in keyof SettingsTable]: ValueOf<SettingsTable[Name]> }

export type SettingName = keyof TenantSettings

export type QueuePolicy = TenantSettings["queuePolicy"]

export type SharedSubscriptionStrategy = TenantSettings["sharedSubscriptionStrategy"]

export const settingNames: ReadonlyArray<SettingName> = namesOf(settingsTable)

export const defaultTenantSettings = Object.fromEntries(
  Object.entries(settingsTable).map(([name, row]) => [name, row.default])
) as TenantSettings

function namesOf<Rows extends object>(settings: Rows): ReadonlyArray<keyof Rows> {
  return Object.keys(settings) as Array<keyof Rows>
}
