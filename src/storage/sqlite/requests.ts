/**
 * What goes between the thread that owns the database and the one that runs the broker. Requests are served
 * in order, and each is answered by one reply; bytes are handed over, not copied.
 */

import type { QueueRequest } from "../SessionStore.ts"
import type { ContentCounts } from "../TenantContents.ts"
import type { Row, Value } from "./Database.ts"

export interface Statement {
  readonly text: string
  readonly parameters: ReadonlyArray<Value>
}

export type Request =
  /** The first. */
  | { readonly _tag: "Open"; readonly file: string; readonly bytesMax: number }
  /** Commits a frame; `isSynced`: it must survive a power cut. */
  | { readonly _tag: "Apply"; readonly frame: Uint8Array<ArrayBuffer>; readonly isSynced: boolean }
  /** Is there room to write something? */
  | { readonly _tag: "Probe" }
  | { readonly _tag: "Queues"; readonly requests: ReadonlyArray<QueueRequest> }
  | { readonly _tag: "Sessions"; readonly after: number; readonly max: number }
  | { readonly _tag: "Retained"; readonly after: number; readonly max: number }
  /** What has expired by this instant, in milliseconds since the epoch, may be given up. */
  | { readonly _tag: "Expire"; readonly nowMs: number }
  /** Runs statements, few and short, in one transaction. */
  | { readonly _tag: "Statements"; readonly statements: ReadonlyArray<Statement>; readonly effort: Effort }
  /** Removes some of what a tenant holds. */
  | { readonly _tag: "Purge"; readonly tenant: string; readonly withUsage: boolean }
  /** Changes how large the database may become. */
  | { readonly _tag: "Limit"; readonly bytesMax: number }
  /** The last: what is in the log goes to the database, which is closed. */
  | { readonly _tag: "Close" }

/** What statements do: read, write, or write what must survive a power cut. */
export type Effort = "read" | "write" | "synced"

/** A failure as it can go from one thread to another. */
export interface FailureReply {
  readonly _tag: "Failed"
  readonly reason: string
  readonly isFull: boolean
}

export interface DoneReply {
  readonly _tag: "Done"
  /** Sequence number of the last frame that is committed. */
  readonly applied: number
  readonly databaseBytes: number
}

/** One for each part of a queue that was asked for. */
export interface QueuesReply {
  readonly _tag: "Queues"
  readonly parts: ReadonlyArray<Uint8Array<ArrayBuffer>>
}

export interface PageReply {
  readonly _tag: "Page"
  readonly bytes: Uint8Array<ArrayBuffer>
  /** To be asked for next; undefined after the last. */
  readonly next: number | undefined
}

/** What each of the statements gave. */
export interface RowsReply {
  readonly _tag: "Rows"
  readonly rows: ReadonlyArray<ReadonlyArray<Row>>
}

export interface PurgedReply {
  readonly _tag: "Purged"
  /** What this step removed. */
  readonly removed: ContentCounts
  /** Nothing is left, and all steps survive a power cut. */
  readonly isDone: boolean
}

export type Reply = DoneReply | QueuesReply | PageReply | RowsReply | PurgedReply | FailureReply
