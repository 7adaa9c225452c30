/**
 * The users of a broker who are kept in its store: looked up by clients that authenticate, and changed while
 * the broker runs. Every change goes through here, is stored first, and is told then, so that clients who are
 * connected feel it.
 *
 * The users of the last look-ups are at hand for a few seconds: a fleet that shares a name and comes back all
 * at once asks the store once. Unknown names are not kept.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StorageError } from "../../storage/StorageError.ts"
import { type StoredUser, type UserListing, UserStore } from "../../storage/UserStore.ts"
import type { AclRule } from "../Acl.ts"
import { BoundedTable } from "../guard/BoundedTable.ts"

export type NewUser = Pick<StoredUser, "username" | "tenant" | "password" | "rules">

/** What is named changes, the rest stays; rules become undefined by `null`. */
export interface UserEdit {
  readonly password?: string | undefined
  readonly rules?: ReadonlyArray<AclRule> | null | undefined
  readonly isDisabled?: boolean | undefined
}

export interface UserChange {
  readonly username: string
  readonly tenant: string
  readonly what: "added" | "password" | "rules" | "disabled" | "enabled" | "removed"
}

export class UserDirectory extends Context.Tag("heddle/UserDirectory")<
  UserDirectory,
  {
    /** A user as it is, or was a few seconds ago if another node has changed it. */
    readonly find: (username: string) => Effect.Effect<StoredUser | undefined, StorageError>
    readonly list: (listing: UserListing) => Effect.Effect<ReadonlyArray<StoredUser>, StorageError>
    /** False when the name is taken, in whatever tenant. */
    readonly add: (user: NewUser) => Effect.Effect<boolean, StorageError>
    /** The user as it is now; undefined when there is none of that name. */
    readonly edit: (username: string, edit: UserEdit) => Effect.Effect<StoredUser | undefined, StorageError>
    /** False when there was none of that name. */
    readonly remove: (username: string) => Effect.Effect<boolean, StorageError>
    /**
     * Listens from now on to what changes, each told after it was stored. Also what could not be, because it
     * may have been stored all the same.
     */
    readonly changes: Effect.Effect<Stream.Stream<UserChange>, never, Scope.Scope>
  }
>() {
  static readonly layer: Layer.Layer<UserDirectory, never, UserStore> = Layer.effect(
    UserDirectory,
    Effect.flatMap(UserStore, (store) => makeUserDirectory(store))
  )
}

const KEPT_MAX = 10_000
const KEPT_MS = 5000

interface Kept {
  readonly user: StoredUser
  readonly untilMs: number
  /** Of the store when it was asked. */
  readonly revision: number
}

export const makeUserDirectory = (store: UserStore["Type"]): Effect.Effect<UserDirectory["Type"]> =>
  Effect.gen(function* () {
    const changes = yield* PubSub.unbounded<UserChange>()
    const inTurn = (yield* Effect.makeSemaphore(1)).withPermits(1)
    const kept = new BoundedTable<Kept>(KEPT_MAX)
    const changed = (
      { tenant, username }: Pick<StoredUser, "username" | "tenant">,
      ...what: ReadonlyArray<UserChange["what"]>
    ) =>
      PubSub.publishAll(
        changes,
        what.map((each) => ({ username, tenant, what: each }))
      )
    const find: UserDirectory["Type"]["find"] = (username) =>
      Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
        const revision = store.revision()
        const at = kept.get(username)
        if (at !== undefined && at.revision === revision && at.untilMs > nowMs) return Effect.succeed(at.user)
        return Effect.tap(store.find(username), (user) =>
          Effect.sync(() => {
            if (user === undefined) kept.delete(username)
            else kept.set(username, { user, revision, untilMs: nowMs + KEPT_MS })
          })
        )
      })
    const edit = (username: string, wanted: UserEdit) =>
      Effect.gen(function* () {
        const before = yield* store.find(username)
        if (before === undefined) return undefined
        const after = { ...edited(before, wanted), changedAtMs: yield* Clock.currentTimeMillis }
        const tell = changed(after, ...differences(before, after))
        if (!(yield* Effect.tapError(store.replace(after), () => tell))) return undefined
        yield* tell
        return after
      })
    return {
      find,
      list: (listing) => store.list(listing),
      add: (user) =>
        Effect.gen(function* () {
          const nowMs = yield* Clock.currentTimeMillis
          const added = { ...user, isDisabled: false, createdAtMs: nowMs, changedAtMs: nowMs }
          const isNew = yield* store.add(added)
          if (isNew) yield* changed(user, "added")
          return isNew
        }).pipe(Effect.uninterruptible, inTurn),
      edit: (username, wanted) => edit(username, wanted).pipe(Effect.uninterruptible, inTurn),
      remove: (username) =>
        Effect.gen(function* () {
          const user = yield* store.find(username)
          if (user === undefined) return false
          const tell = changed(user, "removed")
          const isGone = yield* Effect.tapError(store.remove(username), () => tell)
          if (isGone) yield* tell
          return isGone
        }).pipe(Effect.uninterruptible, inTurn),
      changes: Stream.fromPubSub(changes, { scoped: true })
    }
  })

const edited = (user: StoredUser, { isDisabled, password, rules }: UserEdit): StoredUser => ({
  ...user,
  password: password ?? user.password,
  rules: rules === null ? undefined : (rules ?? user.rules),
  isDisabled: isDisabled ?? user.isDisabled
})

const differences = (before: StoredUser, after: StoredUser): ReadonlyArray<UserChange["what"]> => [
  ...(before.password === after.password ? [] : ["password" as const]),
  ...(JSON.stringify(before.rules) === JSON.stringify(after.rules) ? [] : ["rules" as const]),
  ...(before.isDisabled === after.isDisabled
    ? []
    : [after.isDisabled ? ("disabled" as const) : ("enabled" as const)])
]
