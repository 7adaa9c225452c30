/** The stored bans, so that a restart lets nobody in who was banned at run time. */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Ban, BanSubject } from "../auth/guard/BanList.ts"
import type { StorageError } from "./StorageError.ts"

export class BanStore extends Context.Tag("heddle/BanStore")<
  BanStore,
  {
    /** Also those that are over. */
    readonly all: Effect.Effect<ReadonlyArray<Ban>, StorageError>
    /** New, or instead of the one on the same subject. */
    readonly put: (ban: Ban) => Effect.Effect<void, StorageError>
    /** False when there was none. */
    readonly remove: (subject: BanSubject) => Effect.Effect<boolean, StorageError>
  }
>() {}

/** A subject as a key. */
export const banKey = (subject: BanSubject): string => {
  switch (subject._tag) {
    case "Address":
      return JSON.stringify(["Address", subject.network])
    case "Client":
      return JSON.stringify(["Client", subject.tenant, subject.clientId])
    case "User":
      return JSON.stringify(["User", subject.tenant, subject.principal])
  }
}

/** The tenant that a ban goes with. */
export const banTenant = (subject: BanSubject): string | undefined =>
  subject._tag === "Address" ? undefined : subject.tenant
