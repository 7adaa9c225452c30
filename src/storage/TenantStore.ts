/** The stored tenants: those that were made while a broker ran, and what was said of them. */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { StorageError } from "./StorageError.ts"

/**
 * `deleting` is a tombstone: it is written before anything of the tenant is removed and goes last, so that
 * whoever finds one after a crash goes on with the deletion.
 */
export type TenantState = "active" | "suspended" | "draining" | "deleting"

export interface StoredTenant {
  readonly tenant: string
  readonly state: TenantState
  /** What the tenant has instead of the defaults, as it was written: to be judged when it is read. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export class TenantStore extends Context.Tag("heddle/TenantStore")<
  TenantStore,
  {
    /** Every tenant, by name. */
    readonly all: Stream.Stream<StoredTenant, StorageError>
    readonly find: (tenant: string) => Effect.Effect<StoredTenant | undefined, StorageError>
    /** New, or instead of the one of that name. Survives a power cut when it succeeds. */
    readonly put: (tenant: StoredTenant) => Effect.Effect<void, StorageError>
    /**
     * Removes what is said of the tenant, not what it holds: that is `TenantContents.purge`. False when there
     * is none of that name.
     */
    readonly remove: (tenant: string) => Effect.Effect<boolean, StorageError>
  }
>() {}
