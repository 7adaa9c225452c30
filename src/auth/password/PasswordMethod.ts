/**
 * User name and password against the users of a password file.
 *
 * Hashing is meant to be slow and to take memory, so a bounded number of passwords is verified at a time, and
 * a bounded number waits; beyond that clients are told that the server is busy (0x89). A verification under
 * way is not given up when its client leaves: otherwise clients that come and go could start any number.
 *
 * An unknown user is verified against the hash of some user, always the same one, and so takes as long as a
 * wrong password does.
 */

import { createHmac } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import type { Accepted, Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict, wrongCredentials } from "../Chain.ts"
import type { PasswordUser, PasswordUsers } from "./PasswordFile.ts"
import { type PasswordHash, parsePasswordHash, verifyPassword } from "./PasswordHash.ts"

export interface PasswordMethodOptions {
  /** The users in force. */
  readonly users: () => PasswordUsers
  /** Passwords verified at a time; the memory that hashing takes is this many times a hash's. */
  readonly concurrency: number
  /** Clients that wait for their turn beyond those. */
  readonly waitingMax: number
  /** For tests: how a password is verified. */
  readonly verify?: (password: Uint8Array, hash: PasswordHash) => Promise<boolean>
}

export const passwordMethod = (options: PasswordMethodOptions): Effect.Effect<AuthenticationMethod> =>
  Effect.map(makeVerifier(options), (verified) => {
    const { users } = options
    const decoys = makeDecoys()
    return {
      name: "password-file",
      authenticate: ({ authenticationMethod, password, username }) =>
        Effect.suspend((): Effect.Effect<Verdict> => {
          if (username === undefined || password === undefined || authenticationMethod !== undefined) {
            return Effect.succeed(notMine)
          }
          const user = users().get(username)
          const hash = user?.hash ?? decoys(username, users())
          return Effect.map(verified(Redacted.value(password), hash), (isRight) =>
            isRight === "busy" ? busy : verdictOn(user, isRight)
          )
        })
    }
  })

/** Whether a password is the one that was hashed; `busy` when too many wait for that. */
export type Verifier = (password: Uint8Array, hash: PasswordHash) => Effect.Effect<boolean | "busy">

export const makeVerifier = ({
  concurrency,
  verify = verifyPassword,
  waitingMax
}: Pick<PasswordMethodOptions, "concurrency" | "waitingMax" | "verify">): Effect.Effect<Verifier> =>
  Effect.map(Effect.makeSemaphore(concurrency), (turns) => {
    let under = 0
    return (password, hash) =>
      Effect.suspend((): Effect.Effect<boolean | "busy"> => {
        if (under >= concurrency + waitingMax) return Effect.succeed("busy")
        under++
        return turns
          .withPermits(1)(Effect.uninterruptible(Effect.promise(() => verify(password, hash))))
          .pipe(Effect.ensuring(Effect.sync(() => under--)))
      })
  })

const verdictOn = (user: PasswordUser | undefined, isRight: boolean): Verdict => {
  if (user === undefined) return notMine
  return isRight ? acceptedAs(user) : wrongCredentials
}

export const acceptedAs = ({ tenant, username }: PasswordUser): Accepted => ({
  _tag: "Accepted",
  tenant,
  principal: username
})

export const busy: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.ServerBusy,
  reason: "too many clients authenticate at a time"
}

/** For unknown users while there is no user at all. */
const lonely = parsePasswordHash(
  "$argon2id$v=19$m=19456,t=2,p=1$8mSC0uePi7TWdVJ4xFl4griuVGYiUuURXwGyO5IedJk" +
    "$iuvM7x5zR+uEOr/UGmfqNZTBO5RUIEq8cOQJQLe6PDc"
)!

/**
 * The user whose place an unknown one takes: which it is depends on the name and on a secret, so that unknown
 * names cost what known ones cost, whatever kinds of hashes the file has, and the same each time.
 */
export const makeDecoys = (): ((username: string, users: PasswordUsers) => PasswordHash) => {
  const secret = crypto.getRandomValues(new Uint8Array(32))
  let of: PasswordUsers | undefined
  let hashes: ReadonlyArray<PasswordHash> = []
  return (username, users) => {
    if (users !== of) {
      of = users
      hashes = [...users.values()].map(({ hash }) => hash)
    }
    if (hashes.length === 0) return lonely
    const draw = createHmac("sha256", secret).update(username).digest().readUInt32BE(0)
    return hashes[draw % hashes.length] ?? lonely
  }
}
