/**
 * What a tenant holds in storage, as a whole: counted, and removed for good.
 *
 * Whoever removes it has to see to it first that nothing more comes: the tenant is a tombstone in the
 * `TenantStore`, its clients are gone, its actors have stopped. What they handed to the journal before is
 * removed, too; what comes after would stay.
 */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { StorageError } from "./StorageError.ts"

export interface ContentCounts {
  readonly sessions: number
  /** Of them, those with a will. */
  readonly wills: number
  readonly subscriptions: number
  readonly queuedMessages: number
  /** Packet identifiers of QoS 2 messages that were received and not released. */
  readonly inbound: number
  readonly retainedMessages: number
  readonly users: number
  /** Rows of the ledger. */
  readonly usageRows: number
}

export interface PurgeOptions {
  /** Whether the usage ledger goes, too; else it stays for whoever writes the last bill. */
  readonly withUsage: boolean
}

export class TenantContents extends Context.Tag("heddle/TenantContents")<
  TenantContents,
  {
    /** Looks at everything that the tenant holds. */
    readonly count: (tenant: string) => Effect.Effect<ContentCounts, StorageError>
    /**
     * Removes everything, bans on its clients included, in steps between which others' changes are stored:
     * what it removed. May be run again after a failure. Survives a power cut when it succeeds. The
     * `StoredTenant` stays.
     */
    readonly purge: (tenant: string, options: PurgeOptions) => Effect.Effect<ContentCounts, StorageError>
  }
>() {}

export const noContents: ContentCounts = {
  sessions: 0,
  wills: 0,
  subscriptions: 0,
  queuedMessages: 0,
  inbound: 0,
  retainedMessages: 0,
  users: 0,
  usageRows: 0
}

export const addContents = (a: ContentCounts, b: ContentCounts): ContentCounts => ({
  sessions: a.sessions + b.sessions,
  wills: a.wills + b.wills,
  subscriptions: a.subscriptions + b.subscriptions,
  queuedMessages: a.queuedMessages + b.queuedMessages,
  inbound: a.inbound + b.inbound,
  retainedMessages: a.retainedMessages + b.retainedMessages,
  users: a.users + b.users,
  usageRows: a.usageRows + b.usageRows
})
