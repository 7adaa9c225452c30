/**
 * The sections that speak of tenants: `session`, what every tenant has; `tenants`, which there are and what
 * they have instead; `tenancy`, what becomes of the others.
 *
 * The settings' keys are made from the tenants' own table, so there is no second list of them.
 */

import * as Schema from "effect/Schema"
import { type SettingName, settingsTable } from "../tenant/TenantSettings.ts"
import { describe, oneOf } from "../values/Key.ts"

type SettingsTable = typeof settingsTable

type Fields = { readonly [Name in SettingName]: SettingsTable[Name]["schema"] }

type OptionalFields = {
  readonly [Name in SettingName]: Schema.optionalWith<
    Schema.Schema<Fields[Name]["Type"], Fields[Name]["Encoded"]>,
    { exact: true }
  >
}

const rows = Object.entries(settingsTable)

const fields = Object.fromEntries(rows.map(([name, { schema }]) => [name, schema])) as Fields

const optionalFields = Object.fromEntries(
  rows.map(([name, { schema }]) => [
    name,
    Schema.optionalWith(Schema.make<unknown>(schema.ast), { exact: true })
  ])
) as unknown as OptionalFields

export const Session = Schema.Struct(fields)

export const Tenant = Schema.Struct({
  state: describe(
    oneOf("active", "suspended"),
    "`suspended` lets nobody in and sends away those who are there; what is kept for them is kept",
    "active"
  ),
  ...optionalFields
})

export const Tenants = Schema.Record({ key: Schema.String, value: Tenant })

/** What a tenant may be called: a word or two of what can be seen. */
export const tenantNamePattern = /^[^\p{C}\p{Z}](?:[^\p{C}]{0,198}[^\p{C}\p{Z}])?$/u

export const Tenancy = Schema.Struct({
  firstSight: describe(
    oneOf("auto", "create", "refuse"),
    "What becomes of a client whose authentication names a tenant that nobody has made: `create` makes it, " +
      "`refuse` refuses the client, `auto` creates as long as `tenants` names none. `default` always exists",
    "auto"
  )
})
