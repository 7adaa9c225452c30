/**
 * What rates and windows add to a message that they do not hold up: `bun test/bench/micro/run.ts quota`.
 *
 * Every rate and window is set, and far away. A tenant without limits pays the first line alone.
 */

import { mayTake } from "../../../src/session/throttle.ts"
import { maySend, paySent } from "../../../src/session/throttleSending.ts"
import { exceededAt, limitedTenant, packetOf } from "../../tenant/quota/limited.ts"
import type { Figure, RunOptions } from "./run.ts"
import { sampled } from "./Sampling.ts"

const messages = 10_000

export const run = ({ quick }: RunOptions): ReadonlyArray<Figure> => {
  const timeNs = quick ? 2e7 : 4e8
  const packet = packetOf("payload")
  const free = limitedTenant({})
  const { machine, publication, quota, state } = limitedTenant(exceededAt(1e9))
  let nowMs = machine.nowMs
  let passed = 0
  const each = (work: () => unknown) =>
    sampled(messages, timeNs, () => {
      // As in a broker, a tick takes many messages, and time stands still in it.
      nowMs++
      for (let n = 0; n < messages; n++) if (work() !== false) passed++
    })
  const unlimited = each(() => free.state.quota?.limitsInbound)
  const figures: ReadonlyArray<Figure> = [
    { name: "nothing is limited", unit: "ns", ...unlimited },
    { name: "a PUBLISH comes: 6 rates", unit: "ns", ...each(() => mayTake(state, packet, nowMs, machine)) },
    { name: "a PUBLISH comes: 8 windows", unit: "ns", ...each(() => quota.windows.exceeded(nowMs)) },
    {
      name: "a PUBLISH leaves: 2 rates",
      unit: "ns",
      ...each(() => {
        if (!maySend(state, nowMs, machine)) return false
        return paySent(state, publication, nowMs, machine)
      })
    },
    {
      name: "a PUBLISH is routed: 2 rates",
      unit: "ns",
      ...each(() => quota.fannedOut(publication.bytes, { transient: 1, persistent: 1 }, nowMs))
    }
  ]
  if (passed === 0) throw new RangeError("everything was held up")
  return figures
}
