/** The one deadline of a tenant's rates, on the tenant's wheel: when the first of those who wait goes on. */

import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import { TenantQuota, type TenantQuotaOptions } from "./quota/TenantQuota.ts"

/** The quota of a tenant, woken by its wheel. */
export const makeQuota = (options: Omit<TenantQuotaOptions, "wakeAt">, wheel: DeadlineWheel): TenantQuota => {
  const deadline = new QuotaDeadline((nowMs) => quota.due(nowMs))
  const wakeAt = (atMs: number) => {
    if (!deadline.scheduled || deadline.atMs > atMs) wheel.schedule(deadline, atMs)
  }
  const quota: TenantQuota = new TenantQuota({ ...options, wakeAt })
  return quota
}

class QuotaDeadline extends Deadline {
  constructor(readonly onDeadline: (nowMs: number) => void) {
    super()
  }
}
