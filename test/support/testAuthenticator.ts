/**
 * Authenticators for tests: one that writes down what it is asked, and one with an exchange of two rounds
 * for the enhanced authentication of MQTT 5.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type Accepted,
  type AuthenticationStep,
  Authenticator,
  bytesOf,
  type Credentials,
  type SecretBytes,
  unknownMethod
} from "../../src/auth/Authenticator.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../src/tenant/TenantDirectory.ts"

export const acceptedAs = (principal: string, more: Partial<Accepted> = {}): Accepted => ({
  _tag: "Accepted",
  tenant: DEFAULT_TENANT,
  principal,
  ...more
})

export const refusedWith = (reasonCode: ReasonCode): AuthenticationStep => ({
  _tag: "Refused",
  reasonCode,
  reason: "refused by the test"
})

/** Gives the same answer to everybody, and keeps what it was asked. */
export const answeringAuthenticator = (
  step: AuthenticationStep,
  asked: Array<Credentials> = []
): Layer.Layer<Authenticator> =>
  Layer.succeed(Authenticator, {
    authenticate: (credentials) =>
      Effect.sync(() => {
        asked.push(credentials)
        return step
      }),
    reauthenticate: () => Effect.succeed(unknownMethod)
  })

/** Never answers. */
export const silentAuthenticator: Layer.Layer<Authenticator> = Layer.succeed(Authenticator, {
  authenticate: () => Effect.never,
  reauthenticate: () => Effect.never
})

/** The method that `challengingAuthenticator` knows. */
export const METHOD = "TEST-ROUNDS"

/**
 * The exchange: the client's first data is its name, the server asks "one?" and wants "one!", asks "two?"
 * and wants "two!", and accepts with the data "welcome". Anything else is Not authorized. Clients without a
 * method are accepted as "plain".
 */
export const challengingAuthenticator: Layer.Layer<Authenticator> = Layer.succeed(Authenticator, {
  authenticate: ({ authenticationData, authenticationMethod }) => {
    if (authenticationMethod === undefined) return Effect.succeed(acceptedAs("plain"))
    return Effect.succeed(authenticationMethod === METHOD ? begin(authenticationData) : unknownMethod)
  },
  reauthenticate: (_identity, _method, authenticationData) => Effect.succeed(begin(authenticationData))
})

const begin = (name: SecretBytes | undefined): AuthenticationStep => round(["one", "two"], textOf(name))

const round = ([word, ...rest]: ReadonlyArray<string>, principal: string): AuthenticationStep => {
  if (word === undefined) return acceptedAs(principal, { authenticationData: Buffer.from("welcome") })
  return {
    _tag: "Challenge",
    authenticationData: Buffer.from(`${word}?`),
    respond: (answer) =>
      Effect.succeed(
        textOf(answer) === `${word}!` ? round(rest, principal) : refusedWith(ReasonCode.NotAuthorized)
      )
  }
}

const textOf = (secret: SecretBytes | undefined): string => Buffer.from(bytesOf(secret) ?? []).toString()
