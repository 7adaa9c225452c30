/**
 * The limits of a tenant that refuse what a client asks for, in words for the client: windows that are used
 * up, and numbers of subscriptions. What only delays is in `throttle.ts`.
 */

import { Buffer } from "node:buffer"
import type { Publish, Will } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { TenantCount } from "../tenant/quota/QuotaResource.ts"
import { reasonOfWindow } from "../tenant/quota/Windows.ts"
import type { SessionState } from "./SessionState.ts"

interface QuotaRefusal {
  readonly reasonCode: ReasonCode
  readonly reason: string
}

/**
 * Why the message that was counted last may not be published; it then counts as refused. Asked only where
 * there are windows.
 */
export const refusalOfWindow = (
  state: SessionState,
  packet: Publish,
  nowMs: number
): QuotaRefusal | undefined => {
  const { clientId, counters, quota, terms } = state
  const exceeded = quota?.windows.exceeded(nowMs)
  if (exceeded === undefined) return undefined
  counters.droppedQuota++
  counters.bytesDroppedQuota += packet.payloadEnd - packet.payloadStart
  const outcome = packet.qos === 0 ? "dropped" : terms.isVersion5 ? "refused" : "disconnected"
  quota?.reached(exceeded.resource, clientId, outcome, nowMs)
  return { reasonCode: ReasonCode.QuotaExceeded, reason: reasonOfWindow(exceeded) }
}

/**
 * Why a will, which was counted, may not be published. One that may is paid for, and does not wait: nobody
 * could be made to.
 */
export const refusalOfWill = (state: SessionState, will: Will, nowMs: number): QuotaRefusal | undefined => {
  const { clientId, counters, quota } = state
  if (quota === undefined) return undefined
  const exceeded = quota.limitsWindows ? quota.windows.exceeded(nowMs) : undefined
  if (exceeded !== undefined) {
    counters.droppedQuota++
    quota.reached(exceeded.resource, clientId, "refused", nowMs)
    return { reasonCode: ReasonCode.QuotaExceeded, reason: reasonOfWindow(exceeded) }
  }
  const bytes = will.payload.length + Buffer.byteLength(will.topic) + will.forwardedProperties.length
  quota.publishing.pay(1, bytes, nowMs)
  if (will.retain) quota.retaining.pay(1, bytes, nowMs)
  return undefined
}

/** Why the tenant may not have one more subscription of that kind. One that exists may always be renewed. */
export const refusalOfCount = (
  state: SessionState,
  topicFilter: string,
  isShared: boolean
): QuotaRefusal | undefined => {
  const { account, clientId, counters, keepsState, quota } = state
  if (quota === undefined || state.subscriptions?.has(topicFilter) === true) return undefined
  const own = account.unaccounted(state)
  const isFull = (resource: TenantCount, used: number) =>
    quota.isFull(resource, used) ? resource : undefined
  const full =
    (keepsState
      ? isFull("persistentSubscriptionsMax", counters.persistentSubscriptions + own.subscriptions)
      : isFull("transientSubscriptionsMax", counters.transientSubscriptions + own.subscriptions)) ??
    (isShared ? isFull("sharedSubscriptionsMax", counters.sharedSubscriptions + own.shared) : undefined)
  if (full === undefined) return undefined
  counters.subscribesRefusedQuota++
  quota.reached(full, clientId, "refused", state.lastPacketMs)
  return {
    reasonCode: ReasonCode.QuotaExceeded,
    reason: `the tenant may have ${state.settings[full]} ${unit(full)}`
  }
}

const unit = (resource: TenantCount): string => {
  switch (resource) {
    case "persistentSubscriptionsMax":
      return "subscriptions of sessions that outlive their connections"
    case "transientSubscriptionsMax":
      return "subscriptions of sessions that end with their connections"
    default:
      return "shared subscriptions"
  }
}
