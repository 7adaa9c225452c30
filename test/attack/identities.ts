/**
 * Who the attackers and their victims are: the user name says it, `tenant/principal`, and the password proves
 * it.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator, bytesOf } from "../../src/auth/Authenticator.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"

export const password = "secret"

const refused: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.BadUserNameOrPassword,
  reason: "wrong user name or password"
}

/** `tenant/principal` with the password is let in, everybody else is not. */
export const authenticator: Layer.Layer<Authenticator> = Layer.succeed(Authenticator, {
  authenticate: (credentials) => {
    const [tenant, principal] = (credentials.username ?? "").split("/")
    const isProved = Buffer.from(bytesOf(credentials.password) ?? []).toString() === password
    if (!isProved || tenant === undefined || principal === undefined) return Effect.succeed(refused)
    return Effect.succeed({ _tag: "Accepted", tenant, principal } as const)
  },
  reauthenticate: () => Effect.succeed(refused)
})

/** Every tenant exists. */
export const everyTenant: Layer.Layer<TenantDirectory> = TenantDirectory.layerTable(
  () => defaultTenantSettings
)
