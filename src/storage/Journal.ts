/**
 * The journal: where records become durable. The one writer of what survives.
 *
 * `append` never waits and never throws. A unit's records commit together or not at all, and `committed`
 * tells when they are as durable as the unit's level asks, which may be before `append` returns.
 * Acknowledgements to clients hang on it: PUBACK and PUBREC leave when everything that their message changed
 * is committed.
 *
 * Units of a tenant commit in the order of `append`, except those that may wait: these can be overtaken by
 * others, unless these keep the order. The records of a unit are all of one tenant.
 */

import * as Context from "effect/Context"
import type { DurableRecord } from "./DurableRecord.ts"
import type { StorageCounters } from "./StorageCounters.ts"
import type { StorageError } from "./StorageError.ts"

/**
 * What an acknowledged change survives: `memory` nothing (it is written behind, when there is time), `os` a
 * killed process, `disk` a power cut.
 */
export type DurabilityLevel = "memory" | "os" | "disk"

/** How an append ended; undefined when it is committed. After a failure nothing of the unit is durable. */
export type CommitOutcome = StorageError | undefined

export interface JournalUnit {
  readonly records: ReadonlyArray<DurableRecord>
  readonly level: DurabilityLevel
  /**
   * All are messages on their way to a connected client, whose acknowledgement within moments makes writing
   * them needless.
   */
  readonly mayWait: boolean
  /**
   * It has messages that came after others of the same session, whose units may wait: those are not overtaken
   * by this one. What a crash leaves of a queue then has no gaps. [MQTT-4.6.0-6]
   */
  readonly keepsOrder?: boolean
  /**
   * Somebody waits for these and can be told that they were not stored. The rest are kept and tried again
   * when storing fails.
   */
  readonly isRefusable: boolean
  /** Its tenant's share of what is written when more waits than can be, relative to others; 1 when absent. */
  readonly weight?: number
  readonly committed: (outcome: CommitOutcome) => void
}

/**
 * `congested`: more waits to be written than should; what calls for more writing should wait. `failing`: the
 * last attempt to write has failed; units that can be refused are.
 */
export type JournalStatus = "ready" | "congested" | "failing"

export class Journal extends Context.Tag("heddle/Journal")<
  Journal,
  {
    readonly append: (unit: JournalUnit) => void
    /** As it is for a tenant: one may have to wait while others need not. Without one, as it is for any. */
    readonly status: (tenant?: string) => JournalStatus
    /** Calls back once, when the journal is not congested for a tenant any more. */
    readonly whenRelieved: (resume: () => void, tenant: string) => void
    /** What it has written and how long that took; undefined for one that does not count. */
    readonly counters?: Readonly<StorageCounters>
  }
>() {}
