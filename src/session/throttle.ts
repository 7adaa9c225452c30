/**
 * The rates of what a client sends: PUBLISH, SUBSCRIBE and UNSUBSCRIBE wait until their buckets are out of
 * debt, and what the client sent after them waits behind them, in the end in its own socket. Nothing is
 * refused or lost over a rate.
 *
 * First come the connection's own buckets, for which it waits by itself, then those of the tenant, at whose
 * gate it takes turns with the tenant's other clients: the one of all messages, then that of retained ones.
 * What has been paid is not paid again when the packet goes on.
 */

import type { ClientPacket, Publish, Subscribe, Unsubscribe } from "../protocol/Packet.ts"
import type { Gate } from "../tenant/quota/Gate.ts"
import type { QuotaResource } from "../tenant/quota/QuotaResource.ts"
import type { TenantQuota } from "../tenant/quota/TenantQuota.ts"
import { TokenBucket } from "../tenant/quota/TokenBucket.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

export type RatedPacket = Publish | Subscribe | Unsubscribe

export const isRated = (packet: ClientPacket): packet is RatedPacket =>
  packet._tag === "Publish" || packet._tag === "Subscribe" || packet._tag === "Unsubscribe"

/** A packet that waits for its rates. */
export interface Throttled {
  readonly _tag: "Throttled"
  readonly packet: RatedPacket
  /** What it waits for; what comes before that has been paid. */
  readonly stage: Stage
  /** The gate in whose line it stands. */
  readonly gate: Gate | undefined
  /** When to look again; 0 when the gate will tell. */
  readonly untilMs: number
}

type Stage = "own" | "tenant" | "retained"

/** What one session takes of its own rates. Kept over its connections: coming again earns nothing. */
export class SessionRates {
  readonly publishes: TokenBucket
  readonly bytesIn: TokenBucket
  readonly bytesOut: TokenBucket

  constructor(quota: TenantQuota) {
    this.publishes = new TokenBucket(quota.publishRate)
    this.bytesIn = new TokenBucket(quota.inboundBytesRate)
    this.bytesOut = new TokenBucket(quota.outboundBytesRate)
  }
}

export const ratesOf = (state: SessionState, quota: TenantQuota): SessionRates =>
  (state.rates ??= new SessionRates(quota))

/** Whoever waits for his own bucket looks again after this time, because its rate may have changed. */
const LOOK_AGAIN_MS = 1000

export const lookAgainAtMs = (bucket: TokenBucket, nowMs: number): number =>
  Math.min(bucket.readyAtMs(nowMs), nowMs + LOOK_AGAIN_MS)

/** Whether a packet may be dealt with now; else it is parked. Asked only where something limits. */
export const mayTake = (
  state: SessionState,
  packet: RatedPacket,
  nowMs: number,
  out: SessionOutputs
): boolean => {
  const { quota } = state
  if (quota === undefined || (packet._tag === "Publish" && passesAtOnce(state, quota, packet, nowMs)))
    return true
  const waiting = step(state, quota, { packet, stage: "own" }, nowMs, out)
  if (waiting === undefined) return true
  state.parked = waiting.parked
  if (packet._tag === "Publish") state.counters.throttledPublishes++
  else state.counters.throttledSubscribes++
  if (waiting.resource !== undefined) quota.reached(waiting.resource, state.clientId, "delayed", nowMs)
  return false
}

/** The packet that waited, if it may be dealt with now. */
export const takeThrottled = (
  state: SessionState,
  nowMs: number,
  out: SessionOutputs
): RatedPacket | undefined => {
  const { parked, quota } = state
  if (parked?._tag !== "Throttled" || quota === undefined) return undefined
  const waiting = step(state, quota, parked, nowMs, out)
  state.parked = waiting?.parked
  return waiting === undefined ? parked.packet : undefined
}

/** When the packet that waits should be looked at; 0 when none does, or somebody will tell. */
export const throttledUntilMs = ({ parked }: SessionState): number =>
  parked?._tag === "Throttled" ? parked.untilMs : 0

interface Waiting {
  readonly parked: Throttled
  readonly resource: QuotaResource | undefined
}

/**
 * The way of a message that nothing holds up, without a step of its own for each stage: a third of the cost
 * (Bun 1.4.5, 2026-11).
 */
const passesAtOnce = (state: SessionState, quota: TenantQuota, packet: Publish, nowMs: number): boolean => {
  const { publishing, retaining } = quota
  const { bytesIn, publishes } = ratesOf(state, quota)
  if (publishes.isInDebt(nowMs) || bytesIn.isInDebt(nowMs)) return false
  if (!publishing.isOpen(nowMs) || (packet.retain && !retaining.isOpen(nowMs))) return false
  const bytes = sizeOf(packet)
  publishes.take(1, nowMs)
  bytesIn.take(bytes, nowMs)
  if (publishing.isLimited) publishing.pay(1, bytes, nowMs)
  if (packet.retain && retaining.isLimited) retaining.pay(1, bytes, nowMs)
  return true
}

/** Takes the packet as far as it may go; undefined when that is all the way. */
const step = (
  state: SessionState,
  quota: TenantQuota,
  { packet, stage }: Pick<Throttled, "packet" | "stage">,
  nowMs: number,
  out: SessionOutputs
): Waiting | undefined => {
  if (packet._tag !== "Publish") {
    const gate = quota.gateOf(packet._tag, state.keepsState)
    const count = packet._tag === "Subscribe" ? packet.subscriptions.length : packet.topicFilters.length
    return pass(gate, { packet, stage: "tenant", count, bytes: 0 }, nowMs, out)
  }
  const bytes = sizeOf(packet)
  if (stage === "own") {
    const waiting = payOwn(ratesOf(state, quota), { packet, bytes }, nowMs)
    if (waiting !== undefined) return waiting
  }
  const passage = { packet, count: 1, bytes } as const
  if (stage !== "retained") {
    const waiting = pass(quota.publishing, { ...passage, stage: "tenant" }, nowMs, out)
    if (waiting !== undefined) return waiting
  }
  return packet.retain ? pass(quota.retaining, { ...passage, stage: "retained" }, nowMs, out) : undefined
}

/** Topic and properties weigh as well: else they would be the way around the limit. */
const sizeOf = ({ forwardedProperties, payloadEnd, payloadStart, topic }: Publish): number =>
  payloadEnd - payloadStart + topic.bytes.length + forwardedProperties.length

const payOwn = (
  { bytesIn, publishes }: SessionRates,
  { bytes, packet }: { readonly packet: Publish; readonly bytes: number },
  nowMs: number
): Waiting | undefined => {
  const debtor = publishes.isInDebt(nowMs) ? publishes : bytesIn.isInDebt(nowMs) ? bytesIn : undefined
  if (debtor !== undefined) {
    const untilMs = lookAgainAtMs(debtor, nowMs)
    const parked: Throttled = { _tag: "Throttled", packet, stage: "own", gate: undefined, untilMs }
    return { parked, resource: debtor.rate.resource }
  }
  publishes.take(1, nowMs)
  bytesIn.take(bytes, nowMs)
  return undefined
}

interface Passage {
  readonly packet: RatedPacket
  readonly stage: Stage
  readonly count: number
  readonly bytes: number
}

const pass = (
  gate: Gate,
  { bytes, count, packet, stage }: Passage,
  nowMs: number,
  out: SessionOutputs
): Waiting | undefined => {
  if (!gate.isLimited) return undefined
  if (!gate.enter(out, nowMs)) {
    return { parked: { _tag: "Throttled", packet, stage, gate, untilMs: 0 }, resource: gate.resource }
  }
  gate.pay(count, bytes, nowMs)
  gate.release(out, nowMs)
  return undefined
}
