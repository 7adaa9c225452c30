/**
 * What a tenant may use up in a day and in a month of UTC: messages and payload bytes, received and
 * delivered.
 *
 * Nothing is counted here. Use is the difference between the tenant's counters now and when the window began,
 * and what the usage ledger knows of earlier lives of the broker and of other nodes. While no counter has
 * come to its next mark, four fifths of a limit or the limit, a message costs four comparisons.
 *
 * Pure: instants come in.
 */

import type { UsageRow } from "../../storage/UsageStore.ts"
import type { Counters } from "../../telemetry/Counters.ts"
import type { TenantSettings } from "../TenantSettings.ts"
import type { TenantWindow } from "./QuotaResource.ts"

/** What is used, in messages and bytes. */
interface Use {
  messages: number
  bytes: number
  deliveries: number
  deliveryBytes: number
}

type Metric = keyof Use

const metrics: ReadonlyArray<Metric> = ["messages", "bytes", "deliveries", "deliveryBytes"]

const zero = (): Use => ({ messages: 0, bytes: 0, deliveries: 0, deliveryBytes: 0 })

/** What of the tenant's traffic counts: what was refused because of a window does not. */
const useOf = (counters: Readonly<Counters>): Use => ({
  messages: counters.messagesReceived - counters.droppedQuota,
  bytes: counters.bytesReceived - counters.bytesDroppedQuota,
  deliveries: counters.messagesSent,
  deliveryBytes: counters.bytesSent
})

/** A day or a month that has begun. */
class Span {
  private startMs = 0
  private endMs = 0
  /** The counters when it began, and what was used in it before they did. */
  private from: Readonly<Use> = zero()
  private carried = zero()

  constructor(
    readonly name: "Day" | "Month",
    private readonly bounds: (nowMs: number) => readonly [startMs: number, endMs: number]
  ) {}

  get endsAtMs(): number {
    return this.endMs
  }

  used(metric: Metric, now: Readonly<Use>): number {
    return this.carried[metric] + now[metric] - this.from[metric]
  }

  begin(nowMs: number, now: Readonly<Use>): void {
    const [startMs, endMs] = this.bounds(nowMs)
    this.startMs = startMs
    this.endMs = endMs
    this.from = now
    this.carried = zero()
  }

  carry(row: UsageRow): void {
    if (row.hourMs < this.startMs || row.hourMs >= this.endMs) return
    this.carried.messages += row.messagesIn
    this.carried.bytes += row.bytesIn
    this.carried.deliveries += row.messagesOut
    this.carried.deliveryBytes += row.bytesOut
  }
}

const DAY_MS = 86_400_000

const dayOf = (nowMs: number): readonly [number, number] => {
  const startMs = Math.floor(nowMs / DAY_MS) * DAY_MS
  return [startMs, startMs + DAY_MS]
}

const monthOf = (nowMs: number): readonly [number, number] => {
  const now = new Date(nowMs)
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()]
  return [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1)]
}

/** When the month that holds the instant began: the earliest hour that matters to windows. */
export const monthStartMs = (nowMs: number): number => monthOf(nowMs)[0]

/** A limit that is used up, or nearly. */
export interface WindowState {
  readonly resource: TenantWindow
  readonly used: number
  readonly limit: number
  /** When the window begins anew. */
  readonly endsAtMs: number
}

/** Part of a limit at which a warning is due. */
const WARN_AT = 0.8

export class Windows {
  private readonly spans = [new Span("Day", dayOf), new Span("Month", monthOf)]
  /** The counters at which one has to look again, and the instant. */
  private marks = zero()
  private markedUntilMs = 0
  private readonly warned = new Set<TenantWindow>()

  constructor(
    private readonly settings: TenantSettings,
    private readonly counters: Readonly<Counters>,
    private readonly warn: (state: WindowState) => void,
    nowMs: number
  ) {
    for (const span of this.spans) span.begin(nowMs, useOf(counters))
  }

  get isLimited(): boolean {
    return this.spans.some((span) => metrics.some((metric) => this.limitOf(span, metric) > 0))
  }

  /** Takes in what earlier lives of the broker, and other nodes, have used. */
  carry(row: UsageRow): void {
    for (const span of this.spans) span.carry(row)
    this.markedUntilMs = 0
  }

  /** The settings have changed. */
  lookAgain(): void {
    this.markedUntilMs = 0
  }

  /** The limit that does not allow the message that was counted last; undefined when all do. */
  exceeded(nowMs: number): WindowState | undefined {
    const { counters, marks } = this
    if (
      nowMs < this.markedUntilMs &&
      counters.messagesReceived - counters.droppedQuota < marks.messages &&
      counters.bytesReceived - counters.bytesDroppedQuota < marks.bytes &&
      counters.messagesSent < marks.deliveries &&
      counters.bytesSent < marks.deliveryBytes
    ) {
      return undefined
    }
    return this.look(nowMs)
  }

  /** What is used of each window that has a limit. */
  *states(nowMs: number): Iterable<WindowState> {
    const now = this.roll(nowMs)
    for (const span of this.spans) {
      for (const metric of metrics) {
        const limit = this.limitOf(span, metric)
        if (limit > 0) yield this.stateOf(span, metric, now)
      }
    }
  }

  private look(nowMs: number): WindowState | undefined {
    const now = this.roll(nowMs)
    let exceeded: WindowState | undefined
    const marks = { ...unreachable }
    for (const span of this.spans) {
      for (const metric of metrics) {
        const limit = this.limitOf(span, metric)
        if (limit === 0) continue
        const state = this.stateOf(span, metric, now)
        const warnAt = Math.ceil(limit * WARN_AT)
        // The last message that fits is taken. What will be delivered is not known: that is over when full.
        const overAt = isDelivery(metric) ? limit : limit + 1
        if (state.used >= warnAt) this.warnOnce(state)
        if (state.used >= overAt) exceeded = state
        const nextAt = state.used < warnAt ? warnAt : overAt
        marks[metric] = Math.min(marks[metric], now[metric] - state.used + nextAt)
      }
    }
    this.marks = marks
    this.markedUntilMs = Math.min(...this.spans.map(({ endsAtMs }) => endsAtMs))
    return exceeded
  }

  private stateOf(span: Span, metric: Metric, now: Readonly<Use>): WindowState {
    const resource: TenantWindow = `${metric}Per${span.name}`
    return {
      resource,
      used: span.used(metric, now),
      limit: this.settings[resource],
      endsAtMs: span.endsAtMs
    }
  }

  private limitOf(span: Span, metric: Metric): number {
    return this.settings[`${metric}Per${span.name}`]
  }

  private warnOnce(state: WindowState): void {
    if (this.warned.has(state.resource)) return
    this.warned.add(state.resource)
    this.warn(state)
  }

  /**
   * Begins windows anew whose time is over; the counters as they are. Called now and then also while nothing
   * is limited, so that a limit that is set later finds what was used.
   */
  roll(nowMs: number): Readonly<Use> {
    const now = useOf(this.counters)
    for (const span of this.spans) {
      if (nowMs < span.endsAtMs) continue
      span.begin(nowMs, now)
      for (const metric of metrics) this.warned.delete(`${metric}Per${span.name}`)
    }
    return now
  }
}

const isDelivery = (metric: Metric): boolean => metric === "deliveries" || metric === "deliveryBytes"

const unreachable: Readonly<Use> = {
  messages: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
  deliveries: Number.POSITIVE_INFINITY,
  deliveryBytes: Number.POSITIVE_INFINITY
}

/** `2026-12-01T00:00:00Z` */
const instantText = (atMs: number): string => new Date(atMs).toISOString().replace(".000Z", "Z")

/** For the client: which limit, and when there is more. */
export const reasonOfWindow = ({ endsAtMs, limit, resource }: WindowState): string =>
  `the tenant's ${resource} of ${limit} is used up until ${instantText(endsAtMs)}`
