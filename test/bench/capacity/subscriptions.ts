/**
 * A million subscriptions, made and ended by SUBSCRIBE and UNSUBSCRIBE over sockets: what they take of memory
 * and of the processor. Filters have five levels, as those of devices have.
 *
 * Memory is what is resident after a collection above what was with the same clients connected and nothing
 * subscribed; how far it had grown before the collection stands beside it.
 */

import { forEach } from "../LoadClient.ts"
import { connectAll, holdersOf, leaveAll } from "./clients.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, limited, type Measure, megabytes } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const bytesGoal = 400
const cpuUsGoal = 5

/** The filter of one of many devices, whose numbers are scattered over its text. */
export const filterOf = (device: number): string => {
  const name = (Math.imul(device, 0x9e3779b1) >>> 0).toString(36)
  return `plant/hall-${device % 20}/line-${device % 977}/device-${name}-${device}/set`
}

interface Population {
  readonly sessions: number
  /** Of all sessions together. */
  readonly subscriptions: number
  readonly distinctFilters: number
}

const populations = (total: number): ReadonlyArray<Population> => [
  { sessions: total / 1000, subscriptions: total, distinctFilters: total },
  { sessions: total / 100, subscriptions: total, distinctFilters: total },
  { sessions: total / 1000, subscriptions: total, distinctFilters: 1000 }
]

const measure: Measure = async (options) => {
  const rows: Array<CapacityRow> = []
  for (const population of populations(options.quick ? 10_000 : 1_000_000)) {
    const subject = await Subject.start({ pin: options.brokerPin })
    rows.push(...(await measureOne(subject, population, options)))
    await subject.stop()
  }
  return rows
}

const measureOne = async (
  subject: Subject,
  { distinctFilters, sessions, subscriptions }: Population,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const each = subscriptions / sessions
  const holders = holdersOf(Array.from({ length: sessions }, (_, index) => `a|holder-${index}`))
  const work = holders.map((holder, session) => ({
    holder,
    filters: Array.from({ length: each }, (_, index) => filterOf((session * each + index) % distinctFilters))
  }))
  await connectAll(holders, subject.port)
  const connectedBytes = await subject.restingBytes()
  const added = await metered(subject, () => forEach(work, (it) => it.holder.subscribe(it.filters)))
  const grownBytes = subject.usage.residentBytes - connectedBytes
  const heldBytes = (await subject.restingBytes()) - connectedBytes
  const { subscriptions: held } = await subject.holdings()
  if (held !== subscriptions) throw new Error(`${held} subscriptions are held`)
  const removed = await metered(subject, async () => {
    await forEach(work, (it) => it.holder.unsubscribe(it.filters))
    while ((await subject.holdings()).subscriptions > 0) await Bun.sleep(10)
  })
  const leftBytes = (await subject.restingBytes()) - connectedBytes
  await leaveAll(holders)
  const name = `${subscriptions} of ${sessions} sessions, ${distinctFilters} filters:`
  const row = (label: string, value: number, unit: string) => ({ label: `${name} ${label}`, value, unit })
  const perSecond = (us: number) => (subscriptions * 1e6) / us
  return [
    limited(row("resident", megabytes(heldBytes), "MB"), bytesGoal, options),
    row("resident before a collection", megabytes(grownBytes), "MB"),
    limited(row("CPU to add one", added.cpuUs / subscriptions, "µs"), cpuUsGoal, options),
    row("added, by the clock", perSecond(added.wallUs), "/s"),
    row("CPU to remove one", removed.cpuUs / subscriptions, "µs"),
    row("removed, by the clock", perSecond(removed.wallUs), "/s"),
    row("resident when all are removed", megabytes(leftBytes), "MB")
  ]
}

const metered = async (
  subject: Subject,
  work: () => Promise<void>
): Promise<{ readonly cpuUs: number; readonly wallUs: number }> => {
  const before = subject.usage.cpuUs
  const beganNs = Bun.nanoseconds()
  await work()
  return { cpuUs: subject.usage.cpuUs - before, wallUs: (Bun.nanoseconds() - beganNs) / 1000 }
}

export const manySubscriptions: CapacityScenario = {
  kind: "capacity",
  name: "subscriptions",
  goal: "1,000,000 subscriptions in at most 400 MB, added at 200,000 a second of the processor",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
