/**
 * Where policies meet their tenants: the policy of a tenant, guarded, with what goes wrong in it counted and
 * reported as the tenant's; and a directory whose settings are what the policy makes of them.
 */

import * as Effect from "effect/Effect"
import type { Event } from "../../events/Event.ts"
import type { Counters } from "../../telemetry/Counters.ts"
import { applyOverrides } from "../settings/overrides.ts"
import { type TenantDirectory, TenantUnavailable } from "../TenantDirectory.ts"
import { guarded, overridesOf, type PolicyFailure, refusingPolicy } from "./guard.ts"
import type { Policies, Policy } from "./TenantPolicy.ts"

type Report = (event: Event) => void

/** The policy of a tenant; undefined when its clients meet none. */
export const policyOf = (
  policies: Policies,
  tenant: string,
  { counters, report }: { readonly counters: Counters; readonly report: Report }
): Policy | undefined => {
  const failed = ({ clientId, hook, reason }: PolicyFailure): void => {
    counters.policyFailures++
    report({ _tag: "PolicyFailed", tenant, clientId, hook, reason })
  }
  const { timeoutMs } = policies
  try {
    const policy = policies.of(tenant)
    return policy && guarded(policy, { timeoutMs, failed })
  } catch {
    failed({ hook: "of", clientId: "", reason: "the tenant's policy could not be had" })
    return refusingPolicy("the tenant's policy could not be had")
  }
}

/** A directory of the same tenants, with the settings that their policies give them. */
export const governed = (
  directory: TenantDirectory["Type"],
  policies: Policies,
  report: Report
): TenantDirectory["Type"] => ({
  settings: (tenant) =>
    Effect.flatMap(directory.settings(tenant), (settings) => {
      // What is no set of settings is for those to refuse who asked for one.
      if (typeof settings !== "object") return Effect.succeed(settings)
      return Effect.suspend(() => overridesOf(policies.of(tenant) ?? {}, tenant, policies.timeoutMs)).pipe(
        Effect.catchAllDefect(() => Effect.fail("it could not be had")),
        Effect.map((overrides) => applyOverrides(settings, overrides)),
        Effect.mapError((reason) => {
          report({ _tag: "PolicyFailed", tenant, clientId: "", hook: "settings", reason })
          return new TenantUnavailable({
            tenant,
            reason: `its policy does not say what it is granted: ${reason}`
          })
        })
      )
    }),
  ...(directory.state && { state: (tenant) => directory.state?.(tenant) ?? Effect.succeed("active") }),
  ...(directory.changes && { changes: directory.changes })
})
