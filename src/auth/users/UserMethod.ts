/**
 * The users of the directory as a way to authenticate: by name and password in CONNECT, and by SCRAM-SHA-256
 * where a password is kept for it.
 *
 * As with a password file a bounded number of passwords is verified at a time, off the loop; an unknown user
 * costs what a known one does and fails as a wrong password does. Who was disabled, removed or given another
 * password while the password was verified does not get in.
 */

import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import type { StoredUser } from "../../storage/UserStore.ts"
import { type Accepted, bytesOf, type Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict, wrongCredentials } from "../Chain.ts"
import type { PasswordUser, PasswordUsers } from "../password/PasswordFile.ts"
import { type PasswordHash, parsePasswordHash } from "../password/PasswordHash.ts"
import { busy, makeDecoys, makeVerifier, type Verifier } from "../password/PasswordMethod.ts"
import { parseClientFirst } from "../scram/Scram.ts"
import {
  challengeOf,
  makeDecoys as makeScramDecoys,
  malformed,
  newServerNonce,
  SCRAM_METHOD,
  wrongProof
} from "../scram/ScramMethod.ts"
import type { UserDirectory } from "./UserDirectory.ts"

export const USERS_METHOD = "users"

export interface UserMethodOptions {
  readonly directory: Pick<UserDirectory["Type"], "find" | "list">
  /** Passwords verified at a time, and clients that wait for their turn beyond those. */
  readonly concurrency: number
  readonly waitingMax: number
  /** For tests: how a password is verified, and the server's part of SCRAM's nonce. */
  readonly verify?: (password: Uint8Array, hash: PasswordHash) => Promise<boolean>
  readonly newNonce?: () => string
}

export const userMethod = (options: UserMethodOptions): Effect.Effect<AuthenticationMethod> =>
  Effect.gen(function* () {
    const verified = yield* makeVerifier(options)
    const sample = yield* Effect.cachedWithTTL(sampleOf(options.directory), SAMPLE_TTL)
    const method = new Method(options, verified, sample)
    return {
      name: USERS_METHOD,
      authenticate: ({ authenticationData, authenticationMethod, password, username }) => {
        if (authenticationMethod === SCRAM_METHOD) return method.beginScram(bytesOf(authenticationData))
        return username === undefined || password === undefined || authenticationMethod !== undefined
          ? Effect.succeed(notMine)
          : method.byPassword(username, Redacted.value(password))
      },
      reauthenticate: (_identity, name, data) =>
        name === SCRAM_METHOD ? method.beginScram(bytesOf(data)) : Effect.succeed(notMine)
    }
  })

class Method {
  private readonly decoys = makeDecoys()
  private readonly scramDecoys = makeScramDecoys()

  constructor(
    private readonly options: UserMethodOptions,
    private readonly verified: Verifier,
    /** Users whose hashes are like those of all: unknown ones take their place. */
    private readonly sample: Effect.Effect<PasswordUsers>
  ) {}

  byPassword(username: string, password: Uint8Array): Effect.Effect<Verdict> {
    return Effect.gen(this, function* () {
      const user = yield* this.options.directory.find(username)
      const hash = user && parsePasswordHash(user.password)
      const isRight = yield* this.verified(password, hash ?? this.decoys(username, yield* this.sample))
      if (isRight === "busy") return busy
      if (user === undefined) return notMine
      return isRight && hash !== undefined ? yield* this.stillIs(user) : wrongCredentials
    }).pipe(Effect.catchAll(unavailable))
  }

  beginScram(data: Uint8Array | undefined): Effect.Effect<Verdict> {
    return Effect.gen(this, function* () {
      const first = parseClientFirst(data)
      if (first === undefined) return malformed
      const user = yield* this.options.directory.find(first.username)
      const hash = user && parsePasswordHash(user.password)
      const isKnown = hash?._tag === "Scram"
      const keys = isKnown ? hash : this.scramDecoys(first.username, yield* this.sample)
      const { newNonce = newServerNonce } = this.options
      return challengeOf({ first, keys, serverNonce: newNonce() }, () =>
        user === undefined || !isKnown
          ? Effect.succeed(wrongProof)
          : Effect.catchAll(this.stillIs(user), unavailable)
      )
    }).pipe(Effect.catchAll(unavailable))
  }

  /** The user has proved to know the password that was in force; much may have been said since. */
  private stillIs(proved: StoredUser): Effect.Effect<Accepted | Refused, StorageError> {
    return Effect.map(this.options.directory.find(proved.username), (user) => {
      if (user?.password !== proved.password || user.tenant !== proved.tenant) return wrongCredentials
      return user.isDisabled ? disabled : acceptedAs(user)
    })
  }
}

const acceptedAs = ({ rules, tenant, username }: StoredUser): Accepted => ({
  _tag: "Accepted",
  tenant,
  principal: username,
  ...(rules !== undefined && { rules })
})

const disabled: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the user is disabled"
}

const unavailable = ({ reason }: StorageError): Effect.Effect<Refused> =>
  Effect.as(Effect.logError(`the users cannot be read: ${reason}`), {
    _tag: "Refused",
    reasonCode: ReasonCode.ServerUnavailable,
    reason: "the users cannot be read"
  })

const SAMPLE_SIZE = 64
const SAMPLE_TTL = "1 minute"

const sampleOf = (directory: UserMethodOptions["directory"]): Effect.Effect<PasswordUsers> =>
  directory.list({ after: "", limit: SAMPLE_SIZE }).pipe(
    Effect.map((users) => new Map(users.flatMap(asPasswordUser))),
    // Who cannot read users refuses everybody; nobody learns anything from how long that takes.
    Effect.orElseSucceed(() => new Map())
  )

const asPasswordUser = ({
  password,
  tenant,
  username
}: StoredUser): ReadonlyArray<readonly [string, PasswordUser]> => {
  const hash = parsePasswordHash(password)
  return hash === undefined ? [] : [[username, { username, tenant, hash }]]
}
