/**
 * The directory of tenants: which exist, what each is granted and in which state it is. Asked when a tenant's
 * first client connects, and again when it says that something has changed: what then differs holds from that
 * moment for the clients that are there.
 *
 * `layerSingle` is the directory of a broker without tenancy: one tenant, named `default`, is everybody's.
 * `storedDirectory.ts` has the one whose tenants are configured, or made while the broker runs.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { TenantState } from "../storage/TenantStore.ts"
import { defaultTenantSettings, type TenantSettings } from "./TenantSettings.ts"

/** The tenant of clients whose authenticator names no other. */
export const DEFAULT_TENANT = "default"

/**
 * The directory does not know the tenant, or cannot say now. Handled by the connection: CONNACK 0x88 (v3: 3)
 * unless `reasonCode` says otherwise.
 */
export class TenantUnavailable extends Data.TaggedError("TenantUnavailable")<{
  readonly tenant: string
  readonly reason: string
  readonly reasonCode?: ReasonCode
  /** There is no such tenant: those of its clients that are there may not stay. */
  readonly isUnknown?: true
}> {}

export const unknownTenant = (tenant: string): TenantUnavailable =>
  new TenantUnavailable({ tenant, reason: "there is no such tenant", isUnknown: true })

export class TenantDirectory extends Context.Tag("heddle/TenantDirectory")<
  TenantDirectory,
  {
    /** The settings of a tenant. A defect or a failure refuses the connection; it never grants defaults. */
    readonly settings: (tenant: string) => Effect.Effect<TenantSettings, TenantUnavailable>
    /**
     * The state of a tenant that it gives settings for; every one is active where this is absent. `active` is
     * served; of one that is `suspended` nobody is let in and nobody stays; of one that is `draining` nobody
     * is let in, and those who are there leave one after another; one that is `deleting` is as good as gone.
     */
    readonly state?: (tenant: string) => Effect.Effect<TenantState, TenantUnavailable>
    /** Names of tenants that have changed; undefined when any may have. For ever, to one reader. */
    readonly changes?: Stream.Stream<string | undefined>
  }
>() {
  /** One tenant with the given settings; every other name is unknown. */
  static readonly layerSingle = (settings: TenantSettings = defaultTenantSettings) =>
    Layer.succeed(TenantDirectory, {
      settings: (tenant) => (tenant === DEFAULT_TENANT ? Effect.succeed(settings) : unknownTenant(tenant))
    })

  /**
   * Any number of tenants, with the settings that `settings` gives by name; undefined is an unknown tenant.
   */
  static readonly layerTable = (settings: (tenant: string) => TenantSettings | undefined) =>
    Layer.succeed(TenantDirectory, {
      settings: (tenant) => {
        const found = settings(tenant)
        return found === undefined ? unknownTenant(tenant) : Effect.succeed(found)
      }
    })
}
