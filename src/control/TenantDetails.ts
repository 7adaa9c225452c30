/** What is shown of a tenant: what is said of it, and what it holds at the moment. */

import * as Either from "effect/Either"
import type { StoredTenant, TenantState } from "../storage/TenantStore.ts"
import type { LiveTenant } from "../tenant/administration.ts"
import type { TenantTable } from "../tenant/ConfiguredTenants.ts"
import { applyOverrides, decodeOverrides, encodeOverrides } from "../tenant/settings/overrides.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"

export interface TenantSummary {
  readonly tenant: string
  /** Who has made it: somebody who wrote it down, an operator at run time, or a client that came. */
  readonly madeBy: "configuration" | "operator" | "first client"
  readonly state: TenantState
  readonly clients: number
  readonly sessions: number
  readonly subscriptions: number
  readonly queuedMessages: number
  readonly retainedMessages: number
}

export interface TenantDetails extends TenantSummary {
  /** What it is granted, as a configuration file would say it. */
  readonly settings: Readonly<Record<string, unknown>>
  /** The names of those that are its own, rather than every tenant's. */
  readonly own: ReadonlyArray<string>
  /** Why its settings cannot be used; empty when they can. */
  readonly problems: ReadonlyArray<{ readonly key: string; readonly message: string }>
  /** Since the broker began; empty when no client has come since. */
  readonly counters: Readonly<Record<string, number>>
}

export interface TenantSources {
  readonly tenant: string
  readonly table: TenantTable
  readonly stored: StoredTenant | undefined
  readonly state: TenantState
  readonly live: LiveTenant | undefined
}

export const summaryOf = ({ live, state, stored, table, tenant }: TenantSources): TenantSummary => ({
  tenant,
  madeBy: table.tenants.has(tenant) ? "configuration" : stored === undefined ? "first client" : "operator",
  state,
  clients: live?.counters.connections ?? 0,
  sessions: live?.census.sessions ?? 0,
  subscriptions: live?.census.subscriptions ?? 0,
  queuedMessages: live?.counters.queuedMessages ?? 0,
  retainedMessages: live?.counters.retainedMessages ?? 0
})

export const detailsOf = (sources: TenantSources): TenantDetails => {
  const { live, stored, table, tenant } = sources
  const configured = table.tenants.get(tenant)?.settings
  // A tombstone keeps something else there.
  const own = configured === undefined && stored?.state !== "deleting" ? (stored?.settings ?? {}) : {}
  const overrides = decodeOverrides(own)
  const settings =
    configured ?? (Either.isRight(overrides) ? applyOverrides(table.base, overrides.right) : table.base)
  return {
    ...summaryOf(sources),
    settings: encodeOverrides(settings),
    own: configured === undefined ? Object.keys(own) : differing(configured, table.base),
    problems: Either.isLeft(overrides) ? overrides.left : [],
    counters: numbersOf(live?.counters)
  }
}

/** Counters without what is more than a number. */
const numbersOf = (counters: object = {}): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(counters).filter(([, value]) => typeof value === "number"))

const differing = (settings: TenantSettings, base: TenantSettings): ReadonlyArray<string> =>
  Object.entries(settings).flatMap(([name, value]) =>
    value === base[name as keyof TenantSettings] ? [] : [name]
  )
