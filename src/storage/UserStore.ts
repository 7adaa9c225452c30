/**
 * The stored users, for authentication by the user directory. A user name is given once in a broker,
 * whatever the tenant, as in a password file: a client says who it is before anybody knows where it belongs.
 */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AclRule } from "../auth/Acl.ts"
import type { StorageError } from "./StorageError.ts"

export interface StoredUser {
  readonly username: string
  readonly tenant: string
  /** What is kept of the password, in a form that `parsePasswordHash` reads. */
  readonly password: string
  /** What the user may do; undefined leaves that to the authorizer. */
  readonly rules: ReadonlyArray<AclRule> | undefined
  /** It may not connect, and keeps its name. */
  readonly isDisabled: boolean
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export interface UserListing {
  /** Only this tenant's. */
  readonly tenant?: string | undefined
  /** The last name of the part before; "" begins. */
  readonly after: string
  readonly limit: number
}

export class UserStore extends Context.Tag("heddle/UserStore")<
  UserStore,
  {
    readonly find: (username: string) => Effect.Effect<StoredUser | undefined, StorageError>
    /** Part of the users, in the order of their names. */
    readonly list: (listing: UserListing) => Effect.Effect<ReadonlyArray<StoredUser>, StorageError>
    /** False when the name is taken, in whatever tenant: nothing is changed then. */
    readonly add: (user: StoredUser) => Effect.Effect<boolean, StorageError>
    /** Instead of the user of that name and tenant; false when there is none. */
    readonly replace: (user: StoredUser) => Effect.Effect<boolean, StorageError>
    /** False when there is none of that name. */
    readonly remove: (username: string) => Effect.Effect<boolean, StorageError>
    /**
     * Another number after each change, also after those that may have failed and when all users of a tenant
     * are removed: for whoever keeps at hand what was read.
     */
    readonly revision: () => number
  }
>() {}
