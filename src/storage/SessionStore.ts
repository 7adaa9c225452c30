/** The stored sessions, read once when a broker starts: it opens its listeners when all of them are back. */

import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { StoredSession } from "./DurableState.ts"
import type { StorageError } from "./StorageError.ts"

export class SessionStore extends Context.Tag("heddle/SessionStore")<
  SessionStore,
  {
    /** Every session that the journal has made durable, in no particular order. */
    readonly sessions: Stream.Stream<StoredSession, StorageError>
  }
>() {}
