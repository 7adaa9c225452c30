/**
 * What tenants have used, as a biller reads it: the ledger's hours summed over their writers, by tenant and
 * by the hour, day or month of UTC. A broker may be writing.
 */

import * as Effect from "effect/Effect"
import type { StorageError } from "../../StorageError.ts"
import { numberAt, type Row, textAt } from "../Database.ts"
import { openReading, readError, refuseOlder } from "./reading.ts"

export const usagePeriods = ["hour", "day", "month", "total"] as const

export interface UsageQuestion {
  /** All of them when absent. */
  readonly tenant: string | undefined
  /** Hours that begin at `fromMs` or later, and before `untilMs`. */
  readonly fromMs: number
  readonly untilMs: number
  readonly by: (typeof usagePeriods)[number]
}

export interface UsageSum {
  readonly tenant: string
  /** `2026-11-22T13`, `2026-11-22`, `2026-11`; "" for the total. UTC. */
  readonly period: string
  readonly messagesIn: number
  readonly bytesIn: number
  readonly messagesOut: number
  readonly bytesOut: number
  readonly connects: number
  /** Of all connections together. */
  readonly connectionMinutes: number
  /** The most that one node had. */
  readonly connectionsPeak: number
  readonly sessionsPeak: number
  readonly storedBytesPeak: number
  readonly retainedMessagesPeak: number
}

const formats = { hour: "%Y-%m-%dT%H", day: "%Y-%m-%d", month: "%Y-%m", total: "" } as const

export const databaseUsage = (
  file: string,
  { by, fromMs, tenant, untilMs }: UsageQuestion
): Effect.Effect<ReadonlyArray<UsageSum>, StorageError> =>
  Effect.gen(function* () {
    const reading = yield* openReading(file, "database")
    yield* refuseOlder(reading)
    const ofTenant = tenant === undefined ? "" : " AND tenant = ?"
    const parameters = [formats[by], fromMs, untilMs, ...(tenant === undefined ? [] : [tenant])]
    const rows = yield* Effect.mapError(
      reading.database.rows(`${sums} WHERE hour >= ? AND hour < ?${ofTenant} ${grouped}`, parameters),
      (error) => readError(error, file, "database")
    )
    return rows.map(sumOf)
  }).pipe(Effect.scoped)

const sums =
  "SELECT tenant, strftime(?, hour / 1000, 'unixepoch') AS period, sum(messages_in), sum(bytes_in)," +
  " sum(messages_out), sum(bytes_out), sum(connects), sum(connection_ms), max(connections_peak)," +
  " max(sessions_peak), max(stored_bytes_peak), max(retained_messages_peak) FROM usage"

const grouped = "GROUP BY tenant, period ORDER BY tenant, period"

const sumOf = (row: Row): UsageSum => ({
  tenant: textAt(row, 0),
  period: textAt(row, 1),
  messagesIn: numberAt(row, 2),
  bytesIn: numberAt(row, 3),
  messagesOut: numberAt(row, 4),
  bytesOut: numberAt(row, 5),
  connects: numberAt(row, 6),
  connectionMinutes: Math.round(numberAt(row, 7) / 60_000),
  connectionsPeak: numberAt(row, 8),
  sessionsPeak: numberAt(row, 9),
  storedBytesPeak: numberAt(row, 10),
  retainedMessagesPeak: numberAt(row, 11)
})
