/** The authenticator that a configuration describes: its methods in their order, anonymous clients last. */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Authenticator } from "../auth/Authenticator.ts"
import { type AuthenticationMethod, anonymousMethod, chain } from "../auth/Chain.ts"
import { parsePasswordFile } from "../auth/password/PasswordFile.ts"
import { passwordMethod } from "../auth/password/PasswordMethod.ts"
import { type AuthFileUnusable, watchedFile } from "../auth/WatchedFile.ts"
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

const methodsByName: Readonly<
  Record<
    Authentication["methods"][number],
    (
      authentication: Authentication
    ) => Effect.Effect<AuthenticationMethod, AuthFileUnusable, FileSystem.FileSystem | Scope.Scope>
  >
> = {
  "password-file": ({ passwordFile: { concurrency, path, waitingMax } }) =>
    Effect.flatMap(watchedFile({ path, parse: parsePasswordFile }), ({ current }) =>
      passwordMethod({ users: current, concurrency, waitingMax })
    )
}
