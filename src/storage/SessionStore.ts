/**
 * The stored sessions. All are read when a broker starts: it opens its listeners when they are back. The
 * messages that wait for them stay where they are until their client comes.
 */

import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { StoredDelivery, StoredSession } from "./DurableState.ts"
import type { StorageError } from "./StorageError.ts"

/** A part of a session's queue: from a position on, as much as the limits allow, and at least one message. */
export interface QueueRequest {
  readonly tenant: string
  readonly clientId: string
  readonly from: number
  readonly messagesMax: number
  /** Of payload, properties and topic. */
  readonly bytesMax: number
}

export class SessionStore extends Context.Tag("heddle/SessionStore")<
  SessionStore,
  {
    /** Every session that the journal has made durable, in no particular order. */
    readonly sessions: Stream.Stream<StoredSession, StorageError>
    /**
     * Reads part of a queue, oldest first; empty when nothing is left. It has seen every unit that was
     * appended before. The answer may come before this returns.
     */
    readonly queue: (
      request: QueueRequest,
      answer: (deliveries: ReadonlyArray<StoredDelivery> | StorageError) => void
    ) => void
  }
>() {}
