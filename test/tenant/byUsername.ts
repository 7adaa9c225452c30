/** Authentication for tests of tenancy: the username `tenant/principal` is believed. */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"

export const byUsername = Layer.succeed(Authenticator, {
  authenticate: ({ username = "" }) => {
    const [tenant = "", principal = ""] = username.split("/")
    return Effect.succeed<AuthenticationStep>({ _tag: "Accepted", tenant, principal })
  },
  reauthenticate: () => Effect.die("not asked for")
})
