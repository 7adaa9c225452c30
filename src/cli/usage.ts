/**
 * `heddle usage`: what tenants have used, from the database that the configuration names, for people and for
 * billing programs.
 */

import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { databaseUsage, type UsageSum, usagePeriods } from "../storage/sqlite/maintenance/usage.ts"
import { databaseName } from "../storage/sqlite.ts"
import { monthStartMs } from "../tenant/quota/Windows.ts"
import { parseDuration } from "../values/Units.ts"
import { type ConfigAccess, NoDatabase } from "./database.ts"
import { table } from "./table.ts"

/** What follows `--since` or `--until` says no instant. Told to whoever typed it. */
export class NoInstant extends Data.TaggedError("NoInstant")<{ readonly text: string }> {
  override get message(): string {
    return `${this.text} is no instant: give 2026-11-01, 2026-11-01T12:00Z, or 7d for seven days ago`
  }
}

/** Milliseconds since the epoch. A day without a time begins at midnight of UTC. */
export const instantOf = (text: string, nowMs: number): Effect.Effect<number, NoInstant> => {
  const ago = parseDuration(text)
  if (ago !== undefined) return Effect.succeed(nowMs - ago)
  const isInstant = /^\d{4}-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2})?Z)?)?$/.test(text)
  const atMs = isInstant ? Date.parse(text) : Number.NaN
  return Number.isNaN(atMs) ? Effect.fail(new NoInstant({ text })) : Effect.succeed(atMs)
}

const instantOption = (name: string, description: string) =>
  Options.text(name).pipe(Options.withDescription(description), Options.optional)

export const usageCommand = <R>({ load, option }: ConfigAccess<R>) =>
  Command.make(
    "usage",
    {
      config: option,
      tenant: Options.text("tenant").pipe(Options.withDescription("Only this tenant"), Options.optional),
      since: instantOption("since", "From then on: 2026-11-01, or 7d for seven days ago; else this month"),
      until: instantOption("until", "Before then; else until now"),
      by: Options.choice("by", usagePeriods).pipe(
        Options.withDescription("A row for each hour, day or month of UTC, or one for all"),
        Options.withDefault("total" as const)
      ),
      csv: Options.boolean("csv").pipe(Options.withDescription("Print CSV")),
      json: Options.boolean("json").pipe(Options.withDescription("Print JSON"))
    },
    Effect.fnUntraced(function* ({ by, config, csv, json, since, tenant, until }) {
      const { storage } = yield* load(config)
      if (storage.kind === "memory") return yield* new NoDatabase()
      const nowMs = yield* Clock.currentTimeMillis
      const sums = yield* databaseUsage(join(storage.path, databaseName), {
        by,
        tenant: Option.getOrUndefined(tenant),
        fromMs: yield* Option.match(since, {
          onNone: () => Effect.succeed(monthStartMs(nowMs)),
          onSome: (text) => instantOf(text, nowMs)
        }),
        untilMs: yield* Option.match(until, {
          onNone: () => Effect.succeed(nowMs + 1),
          onSome: (text) => instantOf(text, nowMs)
        })
      })
      yield* Console.log(json ? JSON.stringify(sums, null, 2) : csv ? csvOf(sums) : tableOf(sums))
    })
  ).pipe(
    Command.withDescription(
      "Print what tenants have used, from the ledger in the database. A broker may be running; its last " +
        "minute is not in it yet."
    )
  )

const columns = [
  "tenant",
  "period",
  "messagesIn",
  "bytesIn",
  "messagesOut",
  "bytesOut",
  "connects",
  "connectionMinutes",
  "connectionsPeak",
  "sessionsPeak",
  "storedBytesPeak",
  "retainedMessagesPeak"
] as const satisfies ReadonlyArray<keyof UsageSum>

/** RFC 4180. */
const csvOf = (sums: ReadonlyArray<UsageSum>): string =>
  [columns.join(","), ...sums.map((sum) => columns.map((name) => cell(`${sum[name]}`)).join(","))].join("\n")

const cell = (text: string): string => {
  // A spreadsheet would run a tenant's name that looks like a formula.
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}

const heads: Readonly<Record<(typeof columns)[number], string>> = {
  tenant: "TENANT",
  period: "PERIOD",
  messagesIn: "IN",
  bytesIn: "BYTES IN",
  messagesOut: "OUT",
  bytesOut: "BYTES OUT",
  connects: "CONNECTS",
  connectionMinutes: "MINUTES",
  connectionsPeak: "CONNECTIONS",
  sessionsPeak: "SESSIONS",
  storedBytesPeak: "STORED",
  retainedMessagesPeak: "RETAINED"
}

const tableOf = (sums: ReadonlyArray<UsageSum>): string => {
  if (sums.length === 0) return "no usage is on record for that time"
  const shown = columns.filter((name) => name !== "period" || sums.some(({ period }) => period !== ""))
  return table(
    shown.map((name) => heads[name]),
    sums.map((sum) => shown.map((name) => `${sum[name]}`))
  )
}
