/**
 * What a message costs of its tenant's fan-out rates: its weight for everybody whom it is handed to, of
 * sessions that end with their connections and of those that outlive them. Who owes is made to wait at the
 * gate of publishers; what is handed out is never held back here.
 */

import type { TenantQuota } from "../tenant/quota/TenantQuota.ts"
import type { Match } from "./MatchCache.ts"
import type { Publication } from "./Publication.ts"

export const payFanout = (
  quota: TenantQuota,
  publication: Publication,
  { groups, targets }: Match,
  nowMs: number
): void => {
  let persistent = 0
  let transient = 0
  for (const { options, ownOptions, subscriber } of targets) {
    const isOwn = (subscriber as object) === publication.publisher
    if ((isOwn ? ownOptions : options) === undefined) continue
    if (subscriber.isKeeping) persistent++
    else transient++
  }
  for (const group of groups) {
    if (group.size === 0) continue
    if (group.isKeeping) persistent++
    else transient++
  }
  quota.fannedOut(publication.bytes, { transient, persistent }, nowMs)
}
