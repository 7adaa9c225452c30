/** What a tenant's policy has to say of a CONNECT: of the client, and of its will. */

import * as Effect from "effect/Effect"
import type { Identity } from "../auth/Authenticator.ts"
import type { Connect, Will } from "../protocol/Packet.ts"
import { screenWill } from "../session/screening.ts"
import type { Policy } from "../tenant/policy/TenantPolicy.ts"
import { type AdmitVerdict, isAnswered, type Refuse } from "../tenant/policy/Verdict.ts"
import type { Tenant } from "../tenant/Tenant.ts"
import { NEVER_EXPIRES } from "../tenant/TenantSettings.ts"
import { Refusal } from "./Refusal.ts"

/** Whether the policy lets a client in. */
export const admission = (
  policy: Policy | undefined,
  identity: Identity,
  connect: Connect
): Effect.Effect<void, Refusal> => {
  if (policy?.admit === undefined) return Effect.void
  const { cleanStart, keepAlive, properties, protocolVersion, will } = connect
  const verdict = policy.admit({
    identity,
    protocolVersion,
    cleanStart,
    keepAlive,
    sessionExpiryInterval:
      protocolVersion === 5 ? (properties.sessionExpiryInterval ?? 0) : cleanStart ? 0 : NEVER_EXPIRES,
    userProperties: properties.userProperties ?? [],
    hasWill: will !== undefined
  })
  const concluded = (answer: AdmitVerdict) => (answer._tag === "Allow" ? Effect.void : refused(answer))
  return isAnswered(verdict) ? concluded(verdict) : Effect.flatMap(verdict, concluded)
}

/** The will as the policy would have it published now. */
export const willAsPublished = (
  will: Will,
  identity: Identity,
  { policy, settings }: Tenant
): Effect.Effect<Will, Refusal> => {
  if (policy?.publish === undefined) return Effect.succeed(will)
  const screened = screenWill(will, { identity, policy, settings })
  return Effect.flatMap(isAnswered(screened) ? Effect.succeed(screened) : screened, (result) =>
    result._tag === "Screened" ? Effect.succeed(result.will) : refused(result.refusal, "will: ")
  )
}

const refused = (
  { reason, reasonCode }: Pick<Refuse, "reason" | "reasonCode">,
  about = ""
): Effect.Effect<never, Refusal> =>
  Effect.fail(new Refusal(reasonCode, `${about}${reason}`, { cause: "refused-by-policy" }))
