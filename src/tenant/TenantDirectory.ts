/**
 * The directory of tenants: which exist and what each is granted. Asked once when a tenant's first client
 * connects.
 *
 * `layerSingle` is the directory of a broker without tenancy: one tenant, named `default`, is everybody's.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { defaultTenantSettings, type TenantSettings } from "./TenantSettings.ts"

/** The tenant of clients whose authenticator names no other. */
export const DEFAULT_TENANT = "default"

/**
 * The directory does not know the tenant, or cannot say now. Handled by the connection: CONNACK 0x88 (v3: 3).
 */
export class TenantUnavailable extends Data.TaggedError("TenantUnavailable")<{
  readonly tenant: string
  readonly reason: string
}> {}

export class TenantDirectory extends Context.Tag("heddle/TenantDirectory")<
  TenantDirectory,
  {
    /** The settings of a tenant. A defect or a failure refuses the connection; it never grants defaults. */
    readonly settings: (tenant: string) => Effect.Effect<TenantSettings, TenantUnavailable>
  }
>() {
  /** One tenant with the given settings; every other name is unknown. */
  static readonly layerSingle = (settings: TenantSettings = defaultTenantSettings) =>
    Layer.succeed(TenantDirectory, {
      settings: (tenant) =>
        tenant === DEFAULT_TENANT
          ? Effect.succeed(settings)
          : new TenantUnavailable({ tenant, reason: "there is no such tenant" })
    })

  /**
   * Any number of tenants, with the settings that `settings` gives by name; undefined is an unknown tenant.
   */
  static readonly layerTable = (settings: (tenant: string) => TenantSettings | undefined) =>
    Layer.succeed(TenantDirectory, {
      settings: (tenant) => {
        const found = settings(tenant)
        return found === undefined
          ? new TenantUnavailable({ tenant, reason: "there is no such tenant" })
          : Effect.succeed(found)
      }
    })
}
