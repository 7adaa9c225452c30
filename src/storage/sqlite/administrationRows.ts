/** Rows of the tables of administration as values. Each throws when the row cannot be what we wrote. */

import * as Schema from "effect/Schema"
import type { Ban } from "../../auth/guard/BanList.ts"
import { Rules } from "../../auth/ruleSchema.ts"
import type { StoredTenant } from "../TenantStore.ts"
import type { UsageRow } from "../UsageStore.ts"
import type { StoredUser } from "../UserStore.ts"
import { numberAt, type Row, textAt } from "./Database.ts"

const decodeState = Schema.decodeUnknownSync(Schema.Literal("active", "suspended", "draining", "deleting"))

const decodeSettings = Schema.decodeUnknownSync(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
)

const decodeRules = Schema.decodeUnknownSync(Schema.parseJson(Rules))

const decodeSubject = Schema.decodeUnknownSync(
  Schema.parseJson(
    Schema.Union(
      Schema.Tuple(Schema.Literal("Address"), Schema.String),
      Schema.Tuple(Schema.Literal("Client", "User"), Schema.String, Schema.String)
    )
  )
)

/** name, state, settings, created_at, changed_at */
export const tenantOf = (row: Row): StoredTenant => ({
  tenant: textAt(row, 0),
  state: decodeState(row[1]),
  settings: decodeSettings(row[2]),
  createdAtMs: numberAt(row, 3),
  changedAtMs: numberAt(row, 4)
})

/** name, tenant, password, rules, is_disabled, created_at, changed_at */
export const userOf = (row: Row): StoredUser => ({
  username: textAt(row, 0),
  tenant: textAt(row, 1),
  password: textAt(row, 2),
  rules: row[3] === null ? undefined : decodeRules(row[3]),
  isDisabled: numberAt(row, 4) !== 0,
  createdAtMs: numberAt(row, 5),
  changedAtMs: numberAt(row, 6)
})

/** Without where somebody wrote them, which is of that place only. */
export const rulesText = (rules: StoredUser["rules"]): string | null =>
  rules === undefined ? null : JSON.stringify(rules.map(({ source: _, ...rule }) => rule))

/** hour, tenant, writer, and the totals in the order of their names in `UsageRow`. */
export const usageOf = (row: Row): UsageRow => ({
  hourMs: numberAt(row, 0),
  tenant: textAt(row, 1),
  writer: textAt(row, 2),
  messagesIn: numberAt(row, 3),
  bytesIn: numberAt(row, 4),
  messagesOut: numberAt(row, 5),
  bytesOut: numberAt(row, 6),
  connects: numberAt(row, 7),
  connectionMs: numberAt(row, 8),
  connectionsPeak: numberAt(row, 9),
  sessionsPeak: numberAt(row, 10),
  storedBytesPeak: numberAt(row, 11),
  retainedMessagesPeak: numberAt(row, 12)
})

/** subject, tenant, reason, ends_at */
export const banOf = (row: Row): Ban => {
  const [kind, first, second = ""] = decodeSubject(row[0])
  const subject: Ban["subject"] =
    kind === "Address"
      ? { _tag: kind, network: first }
      : kind === "Client"
        ? { _tag: kind, tenant: first, clientId: second }
        : { _tag: kind, tenant: first, principal: second }
  return { subject, reason: textAt(row, 2), untilMs: row[3] === null ? undefined : numberAt(row, 3) }
}
