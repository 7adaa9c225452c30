/**
 * What a tenant has used of its windows before it was made: by earlier lives of the broker, and other nodes.
 *
 * While that cannot be read, a tenant with windows is not served: it would be given what it has used up.
 */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { UsageStore } from "../storage/UsageStore.ts"
import { monthStartMs } from "./quota/Windows.ts"
import type { Tenant } from "./Tenant.ts"
import { TenantUnavailable } from "./TenantDirectory.ts"

/** Has a tenant go on from there. Without a store everything begins with the broker. */
export const carryUsage = (
  tenant: Tenant,
  store: UsageStore["Type"] | undefined,
  nowMs: number
): Effect.Effect<void, TenantUnavailable> => {
  if (store === undefined) return Effect.void
  const { id, quota } = tenant
  const span = { tenant: id, fromMs: monthStartMs(nowMs), untilMs: nowMs + 1 }
  return Stream.runForEach(store.read(span), (row) => Effect.sync(() => quota.carry(row))).pipe(
    Effect.catchAll(({ reason }) =>
      quota.limitsWindows
        ? new TenantUnavailable({ tenant: id, reason: `what it has used cannot be read: ${reason}` })
        : Effect.annotateLogs(Effect.logWarning("what the tenant has used cannot be read"), {
            tenant: id,
            reason
          })
    )
  )
}
