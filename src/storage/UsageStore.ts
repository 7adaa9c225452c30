/**
 * The usage ledger: what each tenant has used in each hour, for whoever writes bills and for limits that
 * outlive a restart.
 *
 * A row holds totals, not increments, and belongs to one writer: writing it again changes nothing, and
 * several nodes, or a broker and its next life, never overwrite each other. The sum over the writers is the
 * tenant's, but for peaks, of which the sum is an upper bound.
 */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { StorageError } from "./StorageError.ts"

export interface UsageRow {
  readonly tenant: string
  /** When the hour began, in milliseconds since the epoch. */
  readonly hourMs: number
  readonly writer: string
  readonly messagesIn: number
  readonly bytesIn: number
  readonly messagesOut: number
  readonly bytesOut: number
  readonly connects: number
  /** Summed over the connections. */
  readonly connectionMs: number
  readonly connectionsPeak: number
  readonly sessionsPeak: number
  readonly storedBytesPeak: number
  readonly retainedMessagesPeak: number
}

/** What a row tells. */
export type UsageNumbers = Omit<UsageRow, "tenant" | "hourMs" | "writer">

export const nothingUsed: UsageNumbers = {
  messagesIn: 0,
  bytesIn: 0,
  messagesOut: 0,
  bytesOut: 0,
  connects: 0,
  connectionMs: 0,
  connectionsPeak: 0,
  sessionsPeak: 0,
  storedBytesPeak: 0,
  retainedMessagesPeak: 0
}

export interface UsageSpan {
  /** Only this tenant's. */
  readonly tenant?: string | undefined
  /** Hours that begin at `fromMs` or later, and before `untilMs`. */
  readonly fromMs: number
  readonly untilMs: number
}

export class UsageStore extends Context.Tag("heddle/UsageStore")<
  UsageStore,
  {
    /**
     * Each row is new, or instead of the one of the same tenant, hour and writer. When it fails some may have
     * been written, which does not matter to who writes them again.
     */
    readonly write: (rows: ReadonlyArray<UsageRow>) => Effect.Effect<void, StorageError>
    /** By hour, tenant and writer. */
    readonly read: (span: UsageSpan) => Stream.Stream<UsageRow, StorageError>
    /** Removes the hours that began before an instant; how many rows that were. */
    readonly prune: (beforeMs: number) => Effect.Effect<number, StorageError>
  }
>() {}
