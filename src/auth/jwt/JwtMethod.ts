/**
 * A JSON Web Token as the password of CONNECT, or as the data of the authentication method `OAUTH2-JWT`, with
 * which a client of version 5 can renew it on a live connection (AUTH 0x19).
 *
 * Its claims say which tenant and which principal the client is, which client identifiers it may use and what
 * it may do. A claim that the configuration names must be there: a token without it is refused, not taken for
 * one that grants everything. When the token expires, the connection ends.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../tenant/TenantDirectory.ts"
import type { AclRule } from "../Acl.ts"
import { type Accepted, bytesOf, type Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict } from "../Chain.ts"
import { Rules } from "../ruleSchema.ts"
import { type Claims, type Jwt, type JwtAlgorithm, parseJwt, verifyJwt } from "./Jwt.ts"
import type { JwtKeys } from "./JwtKeys.ts"

/** The authentication method whose data is a token. */
export const JWT_METHOD = "OAUTH2-JWT"

/** Names of claims; "" does not look. A name with dots also finds `realm.tenant` in nested objects. */
export interface JwtClaimNames {
  readonly tenant: string
  readonly principal: string
  readonly clientId: string
  readonly rules: string
}

export interface JwtMethodOptions {
  readonly algorithm: JwtAlgorithm
  readonly keys: JwtKeys
  /** Who must have issued the token, and for whom; "" does not look. */
  readonly issuer: string
  readonly audience: string
  /** What clocks may differ. */
  readonly leewayMs: number
  /** A token without `exp` is refused. */
  readonly isExpiryRequired: boolean
  readonly claims: JwtClaimNames
}

export const jwtMethod = (options: JwtMethodOptions): AuthenticationMethod => {
  const judge = (token: Uint8Array | undefined, clientId: string): Effect.Effect<Verdict> => {
    const jwt = token === undefined ? undefined : parseJwt(token)
    return jwt === undefined ? Effect.succeed(notMine) : verdictOn(jwt, clientId, options)
  }
  /** Who names the method cannot have meant another. */
  const judgeData = (data: Uint8Array | undefined, clientId: string): Effect.Effect<Verdict> =>
    Effect.map(judge(data, clientId), (verdict) =>
      verdict._tag === "NotMine" ? refused("the authentication data is no token") : verdict
    )
  return {
    name: "jwt",
    authenticate: ({ authenticationData, authenticationMethod, clientId, password }) => {
      if (authenticationMethod === JWT_METHOD) return judgeData(bytesOf(authenticationData), clientId)
      return authenticationMethod === undefined ? judge(bytesOf(password), clientId) : Effect.succeed(notMine)
    },
    reauthenticate: (identity, method, data) =>
      method === JWT_METHOD ? judgeData(bytesOf(data), identity.clientId) : Effect.succeed(notMine)
  }
}

const verdictOn = Effect.fnUntraced(function* (jwt: Jwt, clientId: string, options: JwtMethodOptions) {
  const { algorithm, keys } = options
  if (jwt.algorithm !== algorithm || jwt.isCritical) return unverified
  const candidates = yield* keys(jwt.keyId)
  if (candidates === undefined) return keysUnavailable
  const isGenuine = yield* Effect.promise(() => verifyJwt(jwt, algorithm, candidates))
  if (!isGenuine) return unverified
  // From here on the claims are the issuer's word.
  const nowMs = yield* Clock.currentTimeMillis
  const wrong = problemOf(jwt.claims, nowMs, options)
  return wrong === undefined ? acceptance(jwt.claims, clientId, options) : refused(wrong)
})

/** Of a token that nobody vouches for nothing more is said. */
const refused = (reason: string): Refused => ({
  _tag: "Refused",
  reasonCode: ReasonCode.BadUserNameOrPassword,
  reason
})

const unverified = refused("the token is not genuine")

const keysUnavailable: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.ServerUnavailable,
  reason: "the keys of tokens are not available"
}

/** The largest instant that the clock knows: what lies beyond it is not a time. */
const SECONDS_MAX = 8.64e12

const isTime = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= SECONDS_MAX

const problemOf = (claims: Claims, nowMs: number, options: JwtMethodOptions): string | undefined => {
  const { audience, isExpiryRequired, issuer, leewayMs } = options
  const { aud, exp, iss, nbf } = claims
  if (exp === undefined ? isExpiryRequired : !isTime(exp)) return "the token does not say when it expires"
  if (isTime(exp) && nowMs >= exp * 1000 + leewayMs) return "the token has expired"
  if (nbf !== undefined && !(isTime(nbf) && nowMs >= nbf * 1000 - leewayMs))
    return "the token is not valid yet"
  if (issuer !== "" && iss !== issuer) return "the token is of another issuer"
  if (audience !== "" && aud !== audience && !(Array.isArray(aud) && aud.includes(audience))) {
    return "the token is for another audience"
  }
  return undefined
}

const acceptance = (
  claims: Claims,
  clientId: string,
  { claims: names, leewayMs }: JwtMethodOptions
): Accepted | Refused => {
  const tenant = names.tenant === "" ? DEFAULT_TENANT : nameIn(claims, names.tenant)
  if (tenant === undefined) return refused(`the token has no claim ${names.tenant}`)
  const principal = nameIn(claims, names.principal)
  if (principal === undefined) return refused(`the token has no claim ${names.principal}`)
  if (names.clientId !== "" && !namesClient(claimOf(claims, names.clientId), clientId)) {
    return { ...refused("the token is for another client identifier"), reasonCode: ReasonCode.NotAuthorized }
  }
  const rules = names.rules === "" ? undefined : rulesIn(claims, names.rules)
  if (names.rules !== "" && rules === undefined) return refused(`the token has no sound claim ${names.rules}`)
  return {
    _tag: "Accepted",
    tenant,
    principal,
    ...(isTime(claims.exp) && { validUntilMs: claims.exp * 1000 + leewayMs }),
    ...(rules !== undefined && { rules })
  }
}

const namesClient = (claim: unknown, clientId: string): boolean =>
  clientId !== "" && (claim === clientId || (Array.isArray(claim) && claim.includes(clientId)))

const NAME_BYTES_MAX = 1024

const nameIn = (claims: Claims, name: string): string | undefined => {
  const value = claimOf(claims, name)
  const isName = typeof value === "string" && value !== "" && Buffer.byteLength(value) <= NAME_BYTES_MAX
  return isName ? value : undefined
}

const decodeRules = Schema.decodeUnknownEither(Rules)

const rulesIn = (claims: Claims, name: string): ReadonlyArray<AclRule> | undefined =>
  Either.getOrUndefined(decodeRules(claimOf(claims, name)))

/** By the whole name first: namespaced claims are URLs, with dots of their own. */
const claimOf = (claims: Claims, name: string): unknown => {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Claims)[part]
  }
  return value
}
