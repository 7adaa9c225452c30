/**
 * The authenticator that a configuration describes: its methods in their order, anonymous clients last, and
 * the guard before them all.
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type Authenticator, anonymousOnly } from "../auth/Authenticator.ts"
import { type AuthenticationMethod, anonymousMethod, chain } from "../auth/Chain.ts"
import { certificateMethod } from "../auth/certificate/CertificateMethod.ts"
import { Backoff } from "../auth/guard/Backoff.ts"
import type { BanList } from "../auth/guard/BanList.ts"
import { FlapDetector } from "../auth/guard/FlapDetector.ts"
import { type GuardOptions, guarded } from "../auth/guard/Guard.ts"
import { httpMethod } from "../auth/http/HttpMethod.ts"
import { keySetOfSecret, keySetOfText } from "../auth/jwt/JwtKeySet.ts"
import { type JwtKeys, keysOf, keysOfUrl } from "../auth/jwt/JwtKeys.ts"
import { jwtMethod } from "../auth/jwt/JwtMethod.ts"
import { type PasswordUsers, parsePasswordFile } from "../auth/password/PasswordFile.ts"
import { passwordMethod } from "../auth/password/PasswordMethod.ts"
import { scramMethod } from "../auth/scram/ScramMethod.ts"
import type { UserDirectory } from "../auth/users/UserDirectory.ts"
import { userMethod } from "../auth/users/UserMethod.ts"
import { AuthFileUnusable, type WatchedFile, watchedFile } from "../auth/WatchedFile.ts"
import type { Config } from "../config/Config.ts"
import { makeReplaceable, type Prepared } from "./Replaceable.ts"

type Section = Config["authentication"]

/** Who clients are, by a configuration that may be replaced by another while clients connect. */
export interface Authentication {
  readonly authenticator: Authenticator["Type"]
  /**
   * Fails when a file of the next configuration cannot be used. Bans and clients that are connected stay, and
   * so do the failures that the guard remembers, unless it is told other terms.
   */
  readonly prepare: (next: Section) => Effect.Effect<Prepared, AuthFileUnusable, FileSystem.FileSystem>
}

/** The users of the broker's own directory. */
export type Directory = Pick<UserDirectory["Type"], "find" | "list">

export const makeAuthentication = (
  first: Section,
  bans: BanList["Type"],
  directory: Directory
): Effect.Effect<Authentication, AuthFileUnusable, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const chosen = yield* makeReplaceable(authenticatorOf(first, directory))
    const inner: Authenticator["Type"] = {
      authenticate: (credentials) => chosen.current().authenticate(credentials),
      reauthenticate: (identity, method, data) => chosen.current().reauthenticate(identity, method, data)
    }
    const guardBy = ({ guard }: Section) =>
      guarded(inner, { bans, ...guardOf(guard), nowMs: () => clock.unsafeCurrentTimeMillis() })
    let section = first
    let guard = guardBy(first)
    banNetworks(bans, [], first.guard.bannedNetworks)
    return {
      authenticator: {
        authenticate: (credentials) => guard.authenticate(credentials),
        reauthenticate: (identity, method, data) => guard.reauthenticate(identity, method, data)
      },
      prepare: (next) =>
        Effect.map(chosen.prepare(authenticatorOf(next, directory)), ({ commit, discard }) => ({
          discard,
          commit: Effect.zipRight(
            Effect.sync(() => {
              banNetworks(bans, section.guard.bannedNetworks, next.guard.bannedNetworks)
              if (!Equal.equals(termsOf(section.guard), termsOf(next.guard))) guard = guardBy(next)
              section = next
            }),
            commit
          )
        }))
    }
  })

/** Fails unless every file that the methods need can be used. */
export const checkAuthentication = ({
  authentication
}: Config): Effect.Effect<void, AuthFileUnusable, FileSystem.FileSystem> =>
  Effect.scoped(Effect.asVoid(authenticatorOf(authentication, nobody)))

/** For a look at the configuration alone. */
const nobody: Directory = { find: () => Effect.succeed(undefined), list: () => Effect.succeed([]) }

/** Addresses, users and clients that the guard remembers. */
const REMEMBERED_MAX = 100_000

const guardOf = (guard: Section["guard"]): Pick<GuardOptions, "addresses" | "users" | "flapping"> => {
  const backoff = {
    failuresFree: guard.failures === 0 ? Number.POSITIVE_INFINITY : guard.failures,
    firstWaitMs: Duration.toMillis(guard.backoff),
    waitMsMax: Duration.toMillis(guard.backoffMax),
    keysMax: REMEMBERED_MAX
  }
  const detector = new FlapDetector({
    connectsMax: guard.flapConnects,
    windowMs: Duration.toMillis(guard.flapWindow),
    clientsMax: REMEMBERED_MAX
  })
  return {
    addresses: new Backoff(backoff),
    users: new Backoff(backoff),
    ...(guard.flapConnects > 0 && { flapping: { detector, banMs: Duration.toMillis(guard.flapBan) } })
  }
}

/** What of a guard cannot change without its forgetting what it has seen. */
const termsOf = ({ bannedNetworks, ...terms }: Section["guard"]) => Data.struct(terms)

const networkBan = (network: string) => ({ _tag: "Address", network }) as const

const banNetworks = (
  bans: BanList["Type"],
  before: ReadonlyArray<string>,
  now: ReadonlyArray<string>
): void => {
  for (const network of before) if (!now.includes(network)) bans.remove(networkBan(network))
  for (const network of now) {
    if (before.includes(network)) continue
    bans.add({ subject: networkBan(network), reason: "the network is banned", untilMs: undefined })
  }
}

const authenticatorOf = (
  authentication: Section,
  directory: Directory
): Effect.Effect<Authenticator["Type"], AuthFileUnusable, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    if (authentication.methods.length === 0) return anonymousOnly(authentication.anonymous)
    const { anonymous, methods, timeout } = authentication
    const users = yield* Effect.cached(
      watchedFile({ path: authentication.passwordFile.path, parse: parsePasswordFile })
    )
    const sources = { users, directory }
    const chosen = yield* Effect.forEach(methods, (name) => methodsByName[name](authentication, sources))
    const last = anonymous === "never" ? [] : [anonymousMethod(anonymous)]
    return chain([...chosen, ...last], { timeoutMs: Duration.toMillis(timeout) })
  })

/** A method, or what keeps it from being used. */
type Built<A> = Effect.Effect<A, AuthFileUnusable, FileSystem.FileSystem | Scope.Scope>

interface Sources {
  /** The users of the password file: read once, whatever methods use it. */
  readonly users: Built<WatchedFile<PasswordUsers>>
  readonly directory: Directory
}

const methodsByName: Readonly<
  Record<
    Section["methods"][number],
    (authentication: Section, sources: Sources) => Built<AuthenticationMethod>
  >
> = {
  "password-file": ({ passwordFile: { concurrency, waitingMax } }, { users }) =>
    Effect.flatMap(users, ({ current }) => passwordMethod({ users: current, concurrency, waitingMax })),
  users: ({ users: { concurrency, waitingMax } }, { directory }) =>
    userMethod({ directory, concurrency, waitingMax }),
  scram: (_, { users }) => Effect.map(users, ({ current }) => scramMethod({ users: current })),
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
    ),
  certificate: ({ certificate }) =>
    Effect.succeed(
      certificateMethod({
        principal: { field: certificate.principal, pattern: certificate.principalPattern },
        tenant:
          certificate.tenant === ""
            ? undefined
            : { field: certificate.tenant, pattern: certificate.tenantPattern }
      })
    ),
  http: ({ http }) =>
    Effect.succeed(
      httpMethod({
        url: http.url,
        authorization: Redacted.value(http.authorization),
        timeoutMs: Duration.toMillis(http.timeout),
        concurrency: http.concurrency,
        acceptedTtlMs: Duration.toMillis(http.acceptedTtl),
        refusedTtlMs: Duration.toMillis(http.refusedTtl),
        cacheSizeMax: http.cacheSize,
        failuresMax: http.failures,
        restMs: Duration.toMillis(http.rest)
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
}: Section["jwt"]): Built<JwtKeys> => {
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
