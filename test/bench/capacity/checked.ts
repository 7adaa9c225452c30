/**
 * The broker of `server.ts` with what may look at each message: access rules of its clients, every rate and
 * window (none of which is reached), a policy, a tracer. Which of them, its command line says.
 */

import * as Layer from "effect/Layer"
import type { AclRule } from "../../../src/auth/Acl.ts"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { defaultTelemetryOptions, Telemetry } from "../../../src/telemetry/Telemetry.ts"
import { TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { allow } from "../../../src/tenant/policy/Verdict.ts"
import { defaultTenantSettings, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { runSubject } from "./serve.ts"

export type Check = "rules" | "limits" | "all limits" | "policy" | "tracing" | "sampling"

const { checks, collector = "" } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly checks: ReadonlyArray<Check>
  /** Where spans go. */
  readonly collector?: string
}
const has = (check: Check): boolean => checks.includes(check)

/** Ten that do not apply, and one that does. */
const rules: ReadonlyArray<AclRule> = [
  ...Array.from({ length: 10 }, (_, index) => ({
    permission: "deny" as const,
    action: "all" as const,
    topicFilter: `closed/${index}/#`
  })),
  { permission: "allow", action: "all", topicFilter: "sites/#" }
]

const plenty = 1_000_000_000
/** What an operator would set first: a rate of each client, one of the tenant, a month. */
const limits: Partial<TenantSettings> = {
  publishRate: plenty,
  tenantPublishRate: plenty,
  messagesPerMonth: plenty
}

const allLimits: Partial<TenantSettings> = {
  ...limits,
  inboundBytesRate: plenty * 10,
  outboundBytesRate: plenty * 10,
  tenantInboundBytesRate: plenty * 10,
  tenantOutboundBytesRate: plenty * 10,
  transientFanoutBytesRate: plenty * 10,
  persistentFanoutBytesRate: plenty * 10,
  messagesPerDay: plenty,
  bytesPerDay: plenty * 1000,
  bytesPerMonth: plenty * 1000,
  deliveriesPerDay: plenty,
  deliveriesPerMonth: plenty
}

const telemetry = has("tracing")
  ? Telemetry.layerOtlp({
      ...defaultTelemetryOptions,
      url: collector,
      encoding: "json",
      headers: {},
      timeoutMs: 5000,
      resource: {},
      ratio: has("sampling") ? 0.01 : 0,
      spansMax: 20_000,
      intervalMs: 1000
    })
  : Layer.empty

runSubject({
  authorizer: has("rules") ? Authorizer.layerRules(() => rules) : Authorizer.layerAllowAll,
  policy: has("policy") ? TenantPolicy.layer({ publish: () => allow, subscribe: () => allow }) : Layer.empty,
  telemetry,
  settings: {
    ...defaultTenantSettings,
    ...(has("limits") && limits),
    ...(has("all limits") && allLimits)
  }
})
