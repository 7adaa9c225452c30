/**
 * What one tenant has of rates, counts and windows: the buckets, the lines of those who wait, what is used of
 * each window, and who has been told.
 *
 * Made by the tenant; its sessions and its router ask here. What is limited is read from the tenant's live
 * settings by `settingsChanged`, and left in a few flags: a tenant without rates and windows costs a message
 * one comparison each.
 *
 * Pure: instants come in, and the owner is asked to call `due` at an instant.
 */

import type { Event } from "../../events/Event.ts"
import type { UsageRow } from "../../storage/UsageStore.ts"
import type { Counters } from "../../telemetry/Counters.ts"
import type { TenantSettings } from "../TenantSettings.ts"
import { Gate, type GateBuckets, type Waiter } from "./Gate.ts"
import type { ConnectionRate, QuotaOutcome, QuotaResource, TenantCount, TenantRate } from "./QuotaResource.ts"
import { Rate, TokenBucket } from "./TokenBucket.ts"
import { type WindowState, Windows } from "./Windows.ts"

export interface TenantQuotaOptions {
  readonly tenant: string
  readonly settings: TenantSettings
  readonly counters: Counters
  readonly report: (event: Event) => void
  /** Asks for a call of `due` at that instant; the earliest counts. */
  readonly wakeAt: (atMs: number) => void
  readonly nowMs: number
}

/** An event says that a resource has run out once in this time; the counters count every time. */
const REPORT_MS = 1000
/** A count that has come to this part of its limit is warned of, again after it has been below the other. */
const WARN_AT = 0.8
const WARN_AGAIN_BELOW = 0.7

/** Of a fan-out rate: as much as some turns of publishers may bring. */
const PLENTY_BYTES = 1024 * 1024

export class TenantQuota {
  /** Of each connection. */
  readonly publishRate = new Rate("publishRate")
  readonly inboundBytesRate = new Rate("inboundBytesRate")
  readonly outboundBytesRate = new Rate("outboundBytesRate")
  readonly windows: Windows

  /** PUBLISHes in, retained ones among them, PUBLISHes out, retained messages for new subscriptions. */
  readonly publishing: Gate
  readonly retaining: Gate
  readonly sending: Gate
  readonly replaying: Gate
  private readonly subscribing: { readonly transient: Gate; readonly persistent: Gate }
  private readonly unsubscribing: { readonly transient: Gate; readonly persistent: Gate }
  private readonly connecting = this.bucket("connectRate")
  private readonly transientFanout = this.bucket("transientFanoutBytesRate")
  private readonly persistentFanout = this.bucket("persistentFanoutBytesRate")
  private readonly inboundGates: ReadonlyArray<Gate>
  private readonly gates: ReadonlyArray<Gate>

  /** Whether there is a rate for what comes, for what leaves, for what is routed; a window for what comes. */
  limitsInbound = false
  limitsSending = false
  limitsFanout = false
  limitsWindows = false

  /**
   * The part of the tenant's rates that this node may use: less than 1 when somebody shares them out among
   * several nodes. Felt after `settingsChanged`.
   */
  share = 1
  private readonly reportedMs = new Map<QuotaResource, number>()
  private readonly warned = new Set<QuotaResource>()

  constructor(private readonly options: TenantQuotaOptions) {
    const { counters, nowMs, settings, wakeAt } = options
    const gate = (buckets: GateBuckets) => new Gate(buckets, wakeAt)
    this.publishing = gate({
      count: this.bucket("tenantPublishRate"),
      bytes: this.bucket("tenantInboundBytesRate"),
      others: [this.transientFanout, this.persistentFanout]
    })
    this.retaining = gate({ count: this.bucket("retainRate"), bytes: this.bucket("retainBytesRate") })
    this.sending = gate({ bytes: this.bucket("tenantOutboundBytesRate") })
    this.replaying = gate({
      count: this.bucket("retainedMatchRate"),
      bytes: this.bucket("retainedMatchBytesRate")
    })
    this.subscribing = {
      transient: gate({ count: this.bucket("transientSubscribeRate") }),
      persistent: gate({ count: this.bucket("persistentSubscribeRate") })
    }
    this.unsubscribing = {
      transient: gate({ count: this.bucket("transientUnsubscribeRate") }),
      persistent: gate({ count: this.bucket("persistentUnsubscribeRate") })
    }
    this.inboundGates = [
      ...[this.publishing, this.retaining],
      ...[this.subscribing.transient, this.subscribing.persistent],
      ...[this.unsubscribing.transient, this.unsubscribing.persistent]
    ]
    this.gates = [...this.inboundGates, this.sending, this.replaying]
    this.windows = new Windows(settings, counters, (state) => this.warnOf(state), nowMs)
    this.settingsChanged(nowMs)
  }

  private bucket(resource: TenantRate): TokenBucket {
    return new TokenBucket(new Rate(resource))
  }

  /** The settings have been changed in place, or `share` has. Who waits goes on if he may. */
  settingsChanged(nowMs: number): void {
    const { settings } = this.options
    for (const rate of [this.publishRate, this.inboundBytesRate, this.outboundBytesRate]) {
      rate.set(settings[rate.resource as ConnectionRate], settings.burstSeconds)
    }
    for (const { rate } of this.buckets()) {
      rate.set(settings[rate.resource as TenantRate] * this.share, settings.burstSeconds)
    }
    for (const gate of this.gates) gate.due(nowMs)
    const isLimited = (...rates: ReadonlyArray<Rate>) => rates.some(({ perSecond }) => perSecond > 0)
    this.limitsFanout = isLimited(this.transientFanout.rate, this.persistentFanout.rate)
    this.limitsInbound =
      isLimited(this.publishRate, this.inboundBytesRate) || this.inboundGates.some((gate) => gate.isLimited)
    this.limitsSending = this.sending.isLimited || isLimited(this.outboundBytesRate)
    this.limitsWindows = this.windows.isLimited
    this.windows.lookAgain()
  }

  /** The instant has come that `wakeAt` named, or an earlier one. */
  due(nowMs: number): void {
    for (const gate of this.gates) {
      if (gate.dueMs !== 0 && gate.dueMs <= nowMs) gate.due(nowMs)
      else if (gate.dueMs !== 0) this.options.wakeAt(gate.dueMs)
    }
  }

  /** Takes in what earlier lives of the broker, and other nodes, have used of the windows. */
  carry(row: UsageRow): void {
    this.windows.carry(row)
  }

  /** What SUBSCRIBEs, or UNSUBSCRIBEs, of such sessions wait for. */
  gateOf(packet: "Subscribe" | "Unsubscribe", isPersistent: boolean): Gate {
    const gates = packet === "Subscribe" ? this.subscribing : this.unsubscribing
    return isPersistent ? gates.persistent : gates.transient
  }

  /** A session is gone, or its client is: it waits for nothing any more. */
  forget(waiter: Waiter, nowMs: number): void {
    for (const gate of this.gates) gate.leave(waiter, nowMs)
  }

  /** A message of that weight was given to so many sessions of either kind. */
  fannedOut(bytes: number, to: { readonly transient: number; readonly persistent: number }, nowMs: number) {
    if (to.transient > 0) this.transientFanout.take(bytes * to.transient, nowMs)
    if (to.persistent > 0) this.persistentFanout.take(bytes * to.persistent, nowMs)
  }

  /**
   * What a message costs of these rates is known when it has been routed, which is after its publisher's
   * turn. As long as there is plenty, publishers may have whole turns before that is paid; then one message
   * each. (One message each throughout took 2.1 times the processor; Bun 1.4.5, 2026-11)
   */
  isFanoutTight(nowMs: number): boolean {
    const { persistentFanout, transientFanout } = this
    return (
      this.limitsFanout &&
      (transientFanout.isLow(PLENTY_BYTES, nowMs) || persistentFanout.isLow(PLENTY_BYTES, nowMs))
    )
  }

  /** A client connects. False when too many have lately. */
  takeConnect(nowMs: number): boolean {
    if (this.connecting.isInDebt(nowMs)) return false
    this.connecting.take(1, nowMs)
    return true
  }

  /** Whether one more, or `more`, of what there are `used` of would be too many. Warns on the way there. */
  isFull(resource: TenantCount, used: number, more = 1): boolean {
    const limit = this.options.settings[resource]
    if (limit === 0) return false
    const part = (used + more) / limit
    if (part < WARN_AGAIN_BELOW) this.warned.delete(resource)
    else if (part >= WARN_AT && !this.warned.has(resource)) {
      this.warned.add(resource)
      this.warnOf({ resource, used: Math.min(used + more, limit), limit })
    }
    return used + more > limit
  }

  /** Somebody has come to a limit. */
  reached(resource: QuotaResource, clientId: string, outcome: QuotaOutcome, nowMs: number): void {
    const { report, tenant } = this.options
    const last = this.reportedMs.get(resource)
    if (last !== undefined && nowMs >= last && nowMs - last < REPORT_MS) return
    this.reportedMs.set(resource, nowMs)
    report({ _tag: "QuotaReached", tenant, clientId, resource, outcome })
  }

  private warnOf({
    limit,
    resource,
    used
  }: Pick<WindowState, "limit" | "used"> & { resource: QuotaResource }) {
    const { report, tenant } = this.options
    report({ _tag: "QuotaWarning", tenant, resource, used, limit })
  }

  private buckets(): ReadonlyArray<TokenBucket> {
    return [this.connecting, ...this.gates.flatMap((gate) => gate.buckets)]
  }
}
