/** The life of tenants, over the control socket. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { bodyOf, type ControlRequest, type ControlRoute, param, queryOf } from "./ControlRoute.ts"
import type { TenantAdmin } from "./TenantAdmin.ts"

const Settings = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const Creation = Schema.Struct({
  tenant: Schema.NonEmptyString,
  settings: Schema.optionalWith(Settings, { default: () => ({}) })
})

const Change = Schema.Struct({ settings: Settings })

const Removal = Schema.Struct({
  usage: Schema.optionalWith(Schema.Literal("keep", "purge"), { default: () => "keep" as const })
})

/** Milliseconds since the epoch. */
const UsageQuery = Schema.Struct({ since: Schema.NumberFromString.pipe(Schema.finite()) })

export const tenantRoutes = (admin: TenantAdmin["Type"]): ReadonlyArray<ControlRoute> => {
  const tenantOf = (request: ControlRequest) => param(request, "tenant")
  const changesState = (name: string, state: "active" | "suspended" | "draining"): ControlRoute => ({
    method: "POST",
    path: `/tenants/:tenant/${name}`,
    handle: (request) => admin.enterState(tenantOf(request), state)
  })
  return [
    { method: "GET", path: "/tenants", handle: () => Effect.map(admin.list, (tenants) => ({ tenants })) },
    {
      method: "POST",
      path: "/tenants",
      handle: (request) =>
        Effect.flatMap(bodyOf(request, Creation), ({ settings, tenant }) => admin.create(tenant, settings))
    },
    { method: "GET", path: "/tenants/:tenant", handle: (request) => admin.get(tenantOf(request)) },
    {
      method: "PATCH",
      path: "/tenants/:tenant",
      handle: (request) =>
        Effect.flatMap(bodyOf(request, Change), ({ settings }) => admin.update(tenantOf(request), settings))
    },
    {
      method: "DELETE",
      path: "/tenants/:tenant",
      handle: (request) =>
        Effect.flatMap(queryOf(request, Removal), ({ usage }) =>
          Effect.map(admin.remove(tenantOf(request), { withUsage: usage === "purge" }), (removed) => ({
            removed
          }))
        )
    },
    {
      method: "GET",
      path: "/tenants/:tenant/usage",
      handle: (request) =>
        Effect.flatMap(queryOf(request, UsageQuery), ({ since }) => admin.usage(tenantOf(request), since))
    },
    changesState("suspend", "suspended"),
    changesState("resume", "active"),
    changesState("drain", "draining")
  ]
}
