/** A session's machine in a tenant with limits, for the benchmark and tests of what they cost. */

import type { Publish } from "../../../src/protocol/Packet.ts"
import type { Publication } from "../../../src/router/Publication.ts"
import type { SessionState } from "../../../src/session/SessionState.ts"
import { limitOutcomes } from "../../../src/tenant/quota/outcomes.ts"
import type { QuotaResource } from "../../../src/tenant/quota/QuotaResource.ts"
import { TenantQuota } from "../../../src/tenant/quota/TenantQuota.ts"
import type { TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { Machine, publicationOf, publishPacket } from "../../session/Machine.ts"

interface LimitedTenant {
  readonly machine: Machine
  readonly state: SessionState
  readonly quota: TenantQuota
  readonly publication: Publication
}

export const limitedTenant = (settings: Partial<TenantSettings>): LimitedTenant => {
  const machine = new Machine(settings)
  const { counters, state } = machine
  const quota = new TenantQuota({
    tenant: "default",
    settings: state.settings,
    counters,
    report: () => {},
    wakeAt: () => {},
    nowMs: machine.nowMs
  })
  state.quota = quota
  machine.connect()
  return { machine, state, quota, publication: publicationOf({ payload: "payload" }) }
}

/** Every rate and window, at one number. */
export const exceededAt = (limit: number): Partial<TenantSettings> =>
  Object.fromEntries(
    (Object.keys(limitOutcomes) as ReadonlyArray<QuotaResource>)
      .filter((resource) => /Rate$|Per(Day|Month)$/.test(resource))
      .map((resource) => [resource, limit])
  )

export const packetOf = (payload: string): Publish => {
  const source = Buffer.from(payload)
  return publishPacket({ source, payloadStart: 0, payloadEnd: source.length })
}
