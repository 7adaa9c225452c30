/** What a broker says of its tenants, for people. */

import * as Schema from "effect/Schema"
import { table } from "./table.ts"

const Counts = Schema.Record({ key: Schema.String, value: Schema.Number })

const summary = {
  tenant: Schema.String,
  madeBy: Schema.String,
  state: Schema.String,
  clients: Schema.Number,
  sessions: Schema.Number,
  subscriptions: Schema.Number,
  queuedMessages: Schema.Number,
  retainedMessages: Schema.Number
}

export const TenantList = Schema.Struct({ tenants: Schema.Array(Schema.Struct(summary)) })

export const TenantDetails = Schema.Struct({
  ...summary,
  settings: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  own: Schema.Array(Schema.String),
  problems: Schema.Array(Schema.Struct({ key: Schema.String, message: Schema.String })),
  counters: Schema.Record({ key: Schema.String, value: Schema.Number })
})

export const RemovedTenant = Schema.Struct({ removed: Counts })

export const Usage = Schema.Struct({
  tenant: Schema.String,
  fromMs: Schema.Number,
  untilMs: Schema.Number,
  windows: Schema.Array(
    Schema.Struct({
      resource: Schema.String,
      used: Schema.Number,
      limit: Schema.Number,
      endsAtMs: Schema.Number
    })
  ),
  total: Counts
})

export const usageText = ({ fromMs, tenant, total, windows }: typeof Usage.Type): string =>
  [
    `${tenant}, since ${new Date(fromMs).toISOString()}`,
    lines(Object.entries(total).map(([name, value]) => [words(name), value] as const)),
    ...windows.map(
      ({ endsAtMs, limit, resource, used }) =>
        `${resource}: ${used} of ${limit}, anew at ${new Date(endsAtMs).toISOString()}`
    )
  ].join("\n")

export const tenantsText = ({ tenants }: typeof TenantList.Type): string =>
  tenants.length === 0
    ? "no tenants yet"
    : table(
        ["tenant", "state", "made by", "clients", "sessions", "subscriptions", "queued", "retained"],
        tenants.map((each) => [
          each.tenant,
          each.state,
          each.madeBy,
          ...[
            each.clients,
            each.sessions,
            each.subscriptions,
            each.queuedMessages,
            each.retainedMessages
          ].map(String)
        ])
      )

export const tenantText = (details: typeof TenantDetails.Type): string => {
  const { counters, own, problems, settings } = details
  const facts: ReadonlyArray<readonly [string, unknown]> = [
    ["state", details.state],
    ["made by", details.madeBy],
    ["clients", details.clients],
    ["sessions", details.sessions],
    ["subscriptions", details.subscriptions],
    ["queued messages", details.queuedMessages],
    ["retained messages", details.retainedMessages]
  ]
  const counted = Object.entries(counters).filter(([, value]) => value !== 0)
  return [
    details.tenant,
    lines(facts),
    own.length === 0 ? "settings: those of every tenant" : "settings of its own",
    lines(own.map((name) => [name, settings[name]] as const)),
    ...problems.map(({ key, message }) => `  ${key}: ${message}`),
    counted.length === 0 ? "" : "since the broker started",
    lines(counted)
  ]
    .filter((part) => part !== "")
    .join("\n")
}

const lines = (facts: ReadonlyArray<readonly [string, unknown]>): string => {
  const width = Math.max(0, ...facts.map(([name]) => name.length))
  return facts.map(([name, value]) => `  ${name.padEnd(width)}  ${String(value)}`).join("\n")
}

export const removedText = (tenant: string, removed: typeof Counts.Type): string => {
  const held = Object.entries(removed).filter(([, count]) => count > 0)
  const list = held.map(([name, count]) => `${count} ${words(name)}`).join(", ")
  return `${tenant} is deleted${list === "" ? "; it held nothing" : `: ${list}`}`
}

/** `queuedMessages` as a person would write it. */
const words = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
