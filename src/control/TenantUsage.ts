/** What a tenant has used: of its windows so far, and by the ledger since some instant. */

import { nothingUsed, type UsageNumbers, type UsageRow } from "../storage/UsageStore.ts"
import type { WindowState } from "../tenant/quota/Windows.ts"

/** Sums, but for peaks, of which the highest counts. */
export interface UsageTotal extends UsageNumbers {
  /** Rows of the ledger that went in. */
  readonly hours: number
}

export interface TenantUsage {
  readonly tenant: string
  /** Milliseconds since the epoch: hours that begin between these two. */
  readonly fromMs: number
  readonly untilMs: number
  /** Those that have a limit, while the tenant is live. */
  readonly windows: ReadonlyArray<WindowState>
  readonly total: UsageTotal
}

export const noUsage: UsageTotal = { ...nothingUsed, hours: 0 }

export const addUsage = (total: UsageTotal, row: UsageRow): UsageTotal => ({
  hours: total.hours + 1,
  messagesIn: total.messagesIn + row.messagesIn,
  bytesIn: total.bytesIn + row.bytesIn,
  messagesOut: total.messagesOut + row.messagesOut,
  bytesOut: total.bytesOut + row.bytesOut,
  connects: total.connects + row.connects,
  connectionMs: total.connectionMs + row.connectionMs,
  connectionsPeak: Math.max(total.connectionsPeak, row.connectionsPeak),
  sessionsPeak: Math.max(total.sessionsPeak, row.sessionsPeak),
  storedBytesPeak: Math.max(total.storedBytesPeak, row.storedBytesPeak),
  retainedMessagesPeak: Math.max(total.retainedMessagesPeak, row.retainedMessagesPeak)
})
