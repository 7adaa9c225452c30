/**
 * What a tenant's state means for its clients: what those who come are answered, and what those who are there
 * are told.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Ending } from "../session/Link.ts"
import type { TenantState } from "../storage/TenantStore.ts"
import type { Redirect } from "./ClientBalancer.ts"
import type { AttachRefused } from "./TenantMessage.ts"

/** Why nobody is let in; undefined when clients are. v3 clients get 5 for 0x8A, and 3 for 0x88. */
export const refusalOf = (state: TenantState): AttachRefused | undefined => {
  switch (state) {
    case "active":
      return undefined
    case "suspended":
      // 3.2.2.2: "This Client has been banned by administrative action. Contact the server administrator."
      return { reasonCode: ReasonCode.Banned, reason: "the tenant is suspended" }
    case "draining":
      return { reasonCode: ReasonCode.ServerUnavailable, reason: "the tenant is being moved away" }
    case "deleting":
      return { reasonCode: ReasonCode.ServerUnavailable, reason: "there is no such tenant" }
  }
}

export const suspended: Ending = {
  reasonCode: ReasonCode.AdministrativeAction,
  reason: "the tenant is suspended"
}

export const deleted: Ending = {
  reasonCode: ReasonCode.AdministrativeAction,
  reason: "the tenant is deleted"
}

/** What a client hears whose turn it is to leave. */
export const moved = (elsewhere: Redirect | undefined): Ending => {
  if (elsewhere === undefined) {
    return { reasonCode: ReasonCode.AdministrativeAction, reason: "the tenant is being moved away" }
  }
  const { permanent, serverReference } = elsewhere
  return {
    reasonCode: permanent ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer,
    reason: "the client is served elsewhere",
    ...(serverReference !== undefined && { serverReference })
  }
}
