/**
 * One tenant's hours in the usage ledger: what its counters have grown by since the last look, added to the
 * hour of that look.
 *
 * Messages pay nothing for it: there is only the difference between two readings of the counters. A reading a
 * minute makes an hour right to that minute; peaks and connection time are those of the readings, but for the
 * most connections and sessions, which the counters keep. Totals of an hour only grow, and no hour comes
 * again, also when the clock is set back: a row that is written twice is the same row.
 *
 * Pure: instants come in.
 */

import { nothingUsed, type UsageNumbers, type UsageRow } from "../../storage/UsageStore.ts"
import { Counters } from "../../telemetry/Counters.ts"

const HOUR_MS = 3_600_000

type Totals = { -readonly [Key in keyof UsageNumbers]: UsageNumbers[Key] }

type Flow = "messagesIn" | "bytesIn" | "messagesOut" | "bytesOut" | "connects"

const flows: ReadonlyArray<Flow> = ["messagesIn", "bytesIn", "messagesOut", "bytesOut", "connects"]

/** What was refused because a window was used up is not charged for. */
const flowsOf = (counters: Readonly<Counters>): Readonly<Record<Flow, number>> => ({
  messagesIn: counters.messagesReceived - counters.droppedQuota,
  bytesIn: counters.bytesReceived - counters.bytesDroppedQuota,
  messagesOut: counters.messagesSent,
  bytesOut: counters.bytesSent,
  connects: counters.connectsAccepted
})

export class UsageTally {
  private hourMs: number
  private totals: Totals = { ...nothingUsed }
  private isChanged = false
  private read: Readonly<Record<Flow, number>> = flowsOf(new Counters())
  private connections = 0

  /** For counters that have counted from nothing since `readMs`. */
  constructor(
    private readonly tenant: string,
    private readonly writer: string,
    private readonly counters: Counters,
    private readMs: number
  ) {
    this.hourMs = hourOf(readMs)
  }

  /** The hours that have changed since the last call. */
  rows(nowMs: number): ReadonlyArray<UsageRow> {
    const rows: Array<UsageRow> = []
    this.add(nowMs)
    const hourMs = hourOf(nowMs)
    if (hourMs > this.hourMs) {
      if (this.isChanged) rows.push(this.row())
      this.begin(hourMs)
    }
    if (this.isChanged) rows.push(this.row())
    this.isChanged = false
    return rows
  }

  private add(nowMs: number): void {
    const { connections, counters, read, totals } = this
    const now = flowsOf(counters)
    for (const flow of flows) this.raise(flow, totals[flow] + now[flow] - read[flow])
    const elapsedMs = Math.max(0, nowMs - this.readMs)
    const average = (connections + counters.connections) / 2
    this.raise("connectionMs", totals.connectionMs + Math.round(average * elapsedMs))
    this.raise("connectionsPeak", counters.connectionsPeak)
    this.raise("sessionsPeak", counters.sessionsPeak)
    this.readPeaks()
    this.read = now
    this.readMs = nowMs
    this.connections = counters.connections
  }

  private readPeaks(): void {
    const { connections, persistentBytes, retainedBytes, retainedMessages, sessions } = this.counters
    this.raise("connectionsPeak", connections)
    this.raise("sessionsPeak", sessions)
    this.raise("storedBytesPeak", persistentBytes + retainedBytes)
    this.raise("retainedMessagesPeak", retainedMessages)
  }

  private raise(name: keyof Totals, value: number): void {
    if (value <= this.totals[name]) return
    this.totals[name] = value
    this.isChanged = true
  }

  private begin(hourMs: number): void {
    this.hourMs = hourMs
    this.totals = { ...nothingUsed }
    this.isChanged = false
    this.counters.connectionsPeak = this.counters.connections
    this.counters.sessionsPeak = this.counters.sessions
    this.readPeaks()
  }

  private row(): UsageRow {
    const { hourMs, tenant, totals, writer } = this
    return { tenant, hourMs, writer, ...totals }
  }
}

const hourOf = (nowMs: number): number => Math.floor(nowMs / HOUR_MS) * HOUR_MS
