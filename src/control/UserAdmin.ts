/**
 * The users of the directory, as an operator has them in hand. Nothing that is shown has anything of a
 * password in it but how it is kept; what comes in is a hash already, so that no password is ever on its way.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AclRule } from "../auth/Acl.ts"
import { problemOfName } from "../auth/password/PasswordFile.ts"
import { parsePasswordHash } from "../auth/password/PasswordHash.ts"
import { Rules } from "../auth/ruleSchema.ts"
import { type UserChange, UserDirectory } from "../auth/users/UserDirectory.ts"
import { USERS_METHOD } from "../auth/users/UserMethod.ts"
import { Broker } from "../Broker.ts"
import { tenantNamePattern } from "../config/TenantsSchema.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { StorageError } from "../storage/StorageError.ts"
import type { StoredUser } from "../storage/UserStore.ts"
import { type AdministrationError, refused, unstored } from "./AdministrationError.ts"

type Answer<A> = Effect.Effect<A, AdministrationError>

export const UserDetails = Schema.Struct({
  username: Schema.String,
  tenant: Schema.String,
  isDisabled: Schema.Boolean,
  /** How its password is kept. */
  kept: Schema.Literal("argon2id", "PBKDF2", "SCRAM-SHA-256", "unreadable"),
  /** Undefined leaves that to the authorizer. */
  rules: Schema.optional(Rules),
  createdAtMs: Schema.Number,
  changedAtMs: Schema.Number
})

export type UserDetails = typeof UserDetails.Type

/** `password` is a hash as `heddle passwd` writes it. */
export const UserAddition = Schema.Struct({
  username: Schema.String,
  tenant: Schema.String,
  password: Schema.String,
  rules: Schema.optional(Rules)
})

/** What is named changes; rules are taken away by `null`. */
export const UserAlteration = Schema.Struct({
  password: Schema.optional(Schema.String),
  rules: Schema.optional(Schema.NullOr(Rules)),
  isDisabled: Schema.optional(Schema.Boolean)
})

export interface UserQuery {
  /** Only this tenant's. */
  readonly tenant?: string | undefined
  /** The last name of the part before; "" begins. */
  readonly after: string
}

/** Users of a part of the list. */
export const usersPerPage = 500

export class UserAdmin extends Context.Tag("heddle/UserAdmin")<
  UserAdmin,
  {
    /** Part of the users by name; one of less than `usersPerPage` is the last. */
    readonly list: (query: UserQuery) => Answer<ReadonlyArray<UserDetails>>
    readonly get: (username: string) => Answer<UserDetails>
    readonly add: (user: typeof UserAddition.Type) => Answer<UserDetails>
    readonly edit: (username: string, changes: typeof UserAlteration.Type) => Answer<UserDetails>
    readonly remove: (username: string) => Answer<void>
  }
>() {
  static readonly layer: Layer.Layer<UserAdmin, never, UserDirectory> = Layer.effect(
    UserAdmin,
    Effect.map(UserDirectory, (directory) => userAdminOf(directory))
  )
}

const userAdminOf = (directory: UserDirectory["Type"]): UserAdmin["Type"] => ({
  list: ({ after, tenant }) =>
    directory.list({ tenant, after, limit: usersPerPage }).pipe(
      Effect.map((users) => users.map(detailsOf)),
      Effect.mapError(unstored)
    ),
  get: (username) => found(username, directory.find(username)),
  add: (user) =>
    Effect.gen(function* () {
      const problems = problemsOf(user)
      if (problems.length > 0) return yield* refused("invalid", "this is no user", problems)
      const { password, rules, tenant, username } = user
      const isNew = yield* Effect.mapError(directory.add({ username, tenant, password, rules }), unstored)
      if (!isNew) return yield* refused("exists", `there is a user ${username} already`)
      return yield* found(username, directory.find(username))
    }),
  edit: (username, changes) => {
    const problems = problemsOf(changes)
    return problems.length > 0
      ? refused("invalid", "this is no change of a user", problems)
      : found(username, directory.edit(username, changes))
  },
  remove: (username) =>
    Effect.flatMap(Effect.mapError(directory.remove(username), unstored), (isGone) =>
      isGone ? Effect.void : unknownUser(username)
    )
})

const unknownUser = (username: string): AdministrationError => refused("not-found", `no user ${username}`)

const found = (
  username: string,
  user: Effect.Effect<StoredUser | undefined, StorageError>
): Answer<UserDetails> =>
  Effect.flatMap(Effect.mapError(user, unstored), (stored) =>
    stored === undefined ? unknownUser(username) : Effect.succeed(detailsOf(stored))
  )

const keptAs = {
  Argon2id: "argon2id",
  Pbkdf2: "PBKDF2",
  Scram: "SCRAM-SHA-256"
} as const

const detailsOf = ({ password, rules, ...user }: StoredUser): UserDetails => {
  const hash = parsePasswordHash(password)
  return {
    ...user,
    kept: hash === undefined ? "unreadable" : keptAs[hash._tag],
    ...(rules !== undefined && { rules: rules.map(withoutSource) })
  }
}

const withoutSource = ({ source: _, ...rule }: AclRule) => rule

interface Problem {
  readonly key: string
  readonly message: string
}

const problemsOf = (given: {
  readonly username?: string
  readonly tenant?: string
  readonly password?: string | undefined
}): ReadonlyArray<Problem> => {
  const { password, tenant, username } = given
  const wrongName = username === undefined ? undefined : problemOfName("user", username)
  return [
    ...(wrongName === undefined ? [] : [{ key: "username", message: wrongName }]),
    ...(tenant === undefined || tenantNamePattern.test(tenant)
      ? []
      : [{ key: "tenant", message: `${JSON.stringify(tenant)} is no name of a tenant` }]),
    // Not repeated: it is a secret.
    ...(password === undefined || parsePasswordHash(password) !== undefined
      ? []
      : [{ key: "password", message: "is none of the hashes that are known" }])
  ]
}

/**
 * Changes of users act on those who are connected: who was removed or disabled, or whose password is another,
 * is disconnected. (Other rules are the authorizer's to act on.)
 */
export const layerUsersInForce: Layer.Layer<never, never, Broker | UserDirectory> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { administration } = yield* Broker
    const changes = yield* Effect.flatMap(UserDirectory, (directory) => directory.changes)
    const act = (change: UserChange) =>
      Effect.sync(() => {
        const reason = endings[change.what]
        if (reason !== undefined) disconnect(administration, change, reason)
      })
    yield* Effect.forkScoped(Effect.interruptible(Stream.runForEach(changes, act)))
  })
)

const endings: Readonly<Partial<Record<UserChange["what"], string>>> = {
  removed: "the user was removed",
  disabled: "the user was disabled",
  password: "the user's password was changed"
}

const disconnect = (
  administration: Broker["Type"]["administration"],
  { tenant, username }: UserChange,
  reason: string
): void =>
  administration.close({
    tenant,
    covers: (identity) => identity.method === USERS_METHOD && identity.principal === username,
    ending: { reasonCode: ReasonCode.AdministrativeAction, reason }
  })
