/**
 * SCRAM-SHA-256 as enhanced authentication of MQTT 5.0 (section 4.12): the client's first message in CONNECT,
 * the server's and the client's in AUTH, the server's proof in CONNACK. The same exchange in AUTH packets
 * authenticates a live connection again.
 *
 * An unknown user, and one whose password is not kept for SCRAM, gets a salt as everybody does, the same each
 * time, and fails at the end as with a wrong password.
 */

import { createHmac, randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { type Accepted, bytesOf, type Challenge, type Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict } from "../Chain.ts"
import type { PasswordUsers } from "../password/PasswordFile.ts"
import { defaultHashCost, type ScramKeys } from "../password/PasswordHash.ts"
import { acceptedAs } from "../password/PasswordMethod.ts"
import { judgeClientFinal, parseClientFirst, type ScramExchange, serverFirst } from "./Scram.ts"

export const SCRAM_METHOD = "SCRAM-SHA-256"

export interface ScramMethodOptions {
  /** The users in force. */
  readonly users: () => PasswordUsers
  /** For tests: the server's part of the nonce. */
  readonly newNonce?: () => string
}

export const newServerNonce = (): string => randomBytes(18).toString("base64")

export const scramMethod = ({
  newNonce = newServerNonce,
  users
}: ScramMethodOptions): AuthenticationMethod => {
  const decoy = makeDecoys()
  const begin = (data: Uint8Array | undefined): Verdict => {
    const first = parseClientFirst(data)
    if (first === undefined) return malformed
    const user = users().get(first.username)
    const isKnown = user?.hash._tag === "Scram"
    const keys = user?.hash._tag === "Scram" ? user.hash : decoy(first.username, users())
    return challengeOf({ first, keys, serverNonce: newNonce() }, () =>
      Effect.succeed(isKnown ? acceptedAs(user) : wrongProof)
    )
  }
  return {
    name: "scram",
    authenticate: ({ authenticationData, authenticationMethod }) =>
      Effect.sync(() =>
        authenticationMethod === SCRAM_METHOD ? begin(bytesOf(authenticationData)) : notMine
      ),
    reauthenticate: (_identity, method, data) =>
      Effect.sync(() => (method === SCRAM_METHOD ? begin(bytesOf(data)) : notMine))
  }
}

/** The server's first message; `proved` says what becomes of a client that has the password of the keys. */
export const challengeOf = (
  { first, keys, serverNonce }: Pick<ScramExchange, "first" | "keys" | "serverNonce">,
  proved: () => Effect.Effect<Accepted | Refused>
): Challenge => {
  const message = serverFirst(first, serverNonce, keys)
  return {
    _tag: "Challenge",
    authenticationData: Buffer.from(message),
    respond: (data) =>
      Effect.suspend(() => {
        const final = judgeClientFinal({ first, serverFirst: message, serverNonce, keys }, bytesOf(data))
        if (final === undefined) return Effect.succeed(wrongProof)
        return Effect.map(proved(), (step) =>
          step._tag === "Accepted" ? { ...step, authenticationData: Buffer.from(final) } : step
        )
      })
  }
}

export const wrongProof: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "unknown user or wrong password"
}

export const malformed: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authentication data is not the first message of SCRAM-SHA-256"
}

/** Keys that nobody can have the password of, with a salt that depends on the name and a secret. */
export const makeDecoys = (): ((username: string, users: PasswordUsers) => ScramKeys) => {
  const secret = randomBytes(32)
  let of: PasswordUsers | undefined
  let costs: ReadonlyArray<number> = []
  return (username, users) => {
    if (users !== of) {
      of = users
      costs = [...users.values()].flatMap(({ hash }) => (hash._tag === "Scram" ? [hash.iterations] : []))
    }
    const drawn = createHmac("sha256", secret).update(username).digest()
    const iterations = costs[drawn.readUInt32BE(16) % Math.max(1, costs.length)] ?? defaultHashCost.iterations
    const none = randomBytes(32)
    return { _tag: "Scram", iterations, salt: drawn.subarray(0, 16), storedKey: none, serverKey: none }
  }
}
