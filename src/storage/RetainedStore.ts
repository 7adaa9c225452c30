/** The stored retained messages, read once when a broker starts. */

import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { StoredMessage } from "./DurableRecord.ts"
import type { StorageError } from "./StorageError.ts"

export interface StoredRetained {
  readonly tenant: string
  readonly message: StoredMessage
}

export class RetainedStore extends Context.Tag("heddle/RetainedStore")<
  RetainedStore,
  {
    /** The last message of every topic, in no particular order. */
    readonly messages: Stream.Stream<StoredRetained, StorageError>
  }
>() {}
