/** The authenticator that a configuration describes: its methods in their order, anonymous clients last. */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { Authenticator } from "../auth/Authenticator.ts"
import { type AuthenticationMethod, anonymousMethod, chain } from "../auth/Chain.ts"
import { keySetOfSecret, keySetOfText } from "../auth/jwt/JwtKeySet.ts"
import { type JwtKeys, keysOf, keysOfUrl } from "../auth/jwt/JwtKeys.ts"
import { jwtMethod } from "../auth/jwt/JwtMethod.ts"
import { parsePasswordFile } from "../auth/password/PasswordFile.ts"
import { passwordMethod } from "../auth/password/PasswordMethod.ts"
import { AuthFileUnusable, watchedFile } from "../auth/WatchedFile.ts"
import type { Config } from "../config/Config.ts"

type Authentication = Config["authentication"]

export const authenticatorLayer = (
  authentication: Authentication
): Layer.Layer<Authenticator, AuthFileUnusable, FileSystem.FileSystem> =>
  authentication.methods.length === 0
    ? Authenticator.layerAnonymous(authentication.anonymous)
    : Layer.scoped(Authenticator, chainOf(authentication))

/** Fails unless every file that the methods need can be used. */
export const checkAuthentication = ({
  authentication
}: Config): Effect.Effect<void, AuthFileUnusable, FileSystem.FileSystem> =>
  Effect.scoped(Effect.asVoid(chainOf(authentication)))

const chainOf = (
  authentication: Authentication
): Effect.Effect<Authenticator["Type"], AuthFileUnusable, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const { anonymous, methods, timeout } = authentication
    const chosen = yield* Effect.forEach(methods, (name) => methodsByName[name](authentication))
    const last = anonymous === "never" ? [] : [anonymousMethod(anonymous)]
    return chain([...chosen, ...last], { timeoutMs: Duration.toMillis(timeout) })
  })

/** A method, or what keeps it from being used. */
type Built<A> = Effect.Effect<A, AuthFileUnusable, FileSystem.FileSystem | Scope.Scope>

const methodsByName: Readonly<
  Record<Authentication["methods"][number], (authentication: Authentication) => Built<AuthenticationMethod>>
> = {
  "password-file": ({ passwordFile: { concurrency, path, waitingMax } }) =>
    Effect.flatMap(watchedFile({ path, parse: parsePasswordFile }), ({ current }) =>
      passwordMethod({ users: current, concurrency, waitingMax })
    ),
  jwt: ({ jwt }) =>
    Effect.map(keysOfTokens(jwt), (keys) =>
      jwtMethod({
        algorithm: jwt.algorithm,
        keys,
        issuer: jwt.issuer,
        audience: jwt.audience,
        leewayMs: Duration.toMillis(jwt.leeway),
        isExpiryRequired: jwt.expiryRequired,
        claims: {
          tenant: jwt.tenantClaim,
          principal: jwt.principalClaim,
          clientId: jwt.clientIdClaim,
          rules: jwt.rulesClaim
        }
      })
    )
}

/** How long the service with the keys may take. */
const KEYS_TIMEOUT_MS = 5000

const keysOfTokens = ({
  algorithm,
  file,
  refresh,
  refreshMin,
  secret,
  url
}: Authentication["jwt"]): Built<JwtKeys> => {
  if (file !== "") {
    const parse = (text: string) => keySetOfText(text, algorithm)
    return Effect.map(watchedFile({ path: file, parse }), ({ current }) => keysOf(current))
  }
  if (url !== "") {
    return keysOfUrl({
      url,
      algorithm,
      refreshMs: Duration.toMillis(refresh),
      intervalMs: Duration.toMillis(refreshMin),
      timeoutMs: KEYS_TIMEOUT_MS
    })
  }
  return keySetOfSecret(Redacted.value(secret)).pipe(
    Effect.map((keys) => keysOf(() => keys)),
    Effect.mapError((problem) => new AuthFileUnusable({ path: "authentication.jwt.secret", problem }))
  )
}
