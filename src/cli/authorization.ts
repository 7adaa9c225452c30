/**
 * What clients may do, as a configuration describes it: by files of rules, by a service that is asked, by
 * what their credentials grant. What there is of these must all allow.
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Acl } from "../auth/Acl.ts"
import { type Authorizer, allowAll } from "../auth/Authorizer.ts"
import { aclAuthorizer } from "../auth/acl/AclFiles.ts"
import { bothAuthorizers } from "../auth/both.ts"
import { cached } from "../auth/cached.ts"
import { httpAuthorizer } from "../auth/http/HttpAuthorizer.ts"
import type { AuthFileUnusable } from "../auth/WatchedFile.ts"
import type { Config } from "../config/Config.ts"
import { makeReplaceable, type Prepared } from "./Replaceable.ts"

type Section = Config["authorization"]

type Files = FileSystem.FileSystem | Path.Path

/** An authorizer that may be replaced by another; what clients hold is then judged again. */
export interface Authorization {
  readonly authorizer: Authorizer["Type"]
  /** Fails when a file of the next configuration cannot be used. */
  readonly prepare: (next: Section) => Effect.Effect<Prepared, AuthFileUnusable, Files>
}

export const makeAuthorization = (
  first: Section
): Effect.Effect<Authorization, AuthFileUnusable, Files | Scope.Scope> =>
  Effect.gen(function* () {
    const chosen = yield* makeReplaceable(authorizerOf(first))
    const replaced = yield* SubscriptionRef.make(0)
    const changesOf = (times: number) =>
      Stream.concat(
        times === 0 ? Stream.empty : Stream.succeed({}),
        Stream.suspend(() => chosen.current().changes ?? Stream.never)
      )
    return {
      authorizer: {
        permissions: (identity) => chosen.current().permissions(identity),
        changes: Stream.flatMap(replaced.changes, changesOf, { switch: true }),
        forget: () => chosen.current().forget?.()
      },
      prepare: (next) =>
        Effect.map(chosen.prepare(authorizerOf(next)), ({ commit, discard }) => ({
          discard,
          commit: Effect.zipRight(
            commit,
            SubscriptionRef.update(replaced, (times) => times + 1)
          )
        }))
    }
  })

/** Fails unless every file of rules can be used. */
export const checkAuthorization = ({ authorization }: Config): Effect.Effect<void, AuthFileUnusable, Files> =>
  Effect.scoped(Effect.asVoid(authorizerOf(authorization)))

const authorizerOf = (
  section: Section
): Effect.Effect<Authorizer["Type"], AuthFileUnusable, Files | Scope.Scope> => {
  const { directory, files, http } = section
  const hasFiles = files.length > 0 || directory !== ""
  if (http.url === "") {
    if (hasFiles) return aclAuthorizer({ files, directory })
    return Effect.succeed(grantedOr(section.default === "deny" ? new Acl([]) : allowAll))
  }
  const rules = hasFiles ? aclAuthorizer({ files, directory }) : Effect.succeed(grantedOr(allowAll))
  return Effect.zipWith(rules, serviceOf(http), bothAuthorizers)
}

/** The service that is asked, behind what rules allow. */
const serviceOf = (http: Section["http"]): Effect.Effect<Authorizer["Type"]> =>
  cached(
    httpAuthorizer({
      url: http.url,
      authorization: Redacted.value(http.authorization),
      timeoutMs: Duration.toMillis(http.timeout),
      concurrency: http.concurrency,
      failuresMax: http.failures,
      restMs: Duration.toMillis(http.rest)
    }),
    {
      allowedTtlMs: Duration.toMillis(http.allowedTtl),
      refusedTtlMs: Duration.toMillis(http.refusedTtl),
      sizeMax: http.cacheSize
    }
  )

/** What a client's credentials grant; `otherwise` to those whose credentials say nothing of it. */
const grantedOr = (otherwise: typeof allowAll | Acl): Authorizer["Type"] => ({
  permissions: ({ rules }) => Effect.sync(() => (rules === undefined ? otherwise : new Acl(rules)))
})
