import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { StorageCounters } from "../../src/storage/StorageCounters.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { prometheusName } from "../../src/telemetry/metrics/Metric.ts"
import { prometheusText } from "../../src/telemetry/metrics/prometheus.ts"
import { storageMetrics } from "../../src/telemetry/metrics/storage.ts"
import { OTHER_TENANTS, TenantMetrics } from "../../src/telemetry/metrics/TenantMetrics.ts"
import { tenantRows, unshown } from "../../src/telemetry/metrics/tenant.ts"

const numbersOf = (counters: object): ReadonlyArray<string> =>
  Object.entries(counters).flatMap(([name, value]) => (typeof value === "number" ? [name] : []))

test("every counter of a tenant is shown once, or said not to be", () => {
  const shown = tenantRows.flatMap(({ series }) => series.map(([name]) => name))
  expect([...shown, ...unshown].sort()).toEqual([...numbersOf(new Counters())].sort() as typeof shown)
})

test("names are sound, and no two metrics have one", () => {
  const names = [
    ...tenantRows.map(({ metric }) => metric),
    ...storageMetrics(new StorageCounters()).map((f) => f.metric)
  ].map((metric) => prometheusName(metric))
  for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9_]*$/)
  expect(new Set(names).size).toBe(names.length)
})

const tenantWith = (tenant: string, messagesReceived: number) => {
  const counters = Object.assign(new Counters(), { messagesReceived })
  counters.latencies.deliver.record(0.02, messagesReceived)
  return { tenant, counters }
}

/** What is shown as received, by tenant. */
const receivedOf = (families: ReturnType<TenantMetrics["read"]>) =>
  families
    .filter(({ metric }) => metric.name === "heddle.messages.received")
    .flatMap(({ samples }) =>
      samples.map(
        (sample) => [sample.labels.tenant ?? "", "value" in sample ? sample.value : Number.NaN] as const
      )
    )

describe("tenants", () => {
  const tenants = [
    tenantWith("small", 1),
    tenantWith("large", 100),
    tenantWith("middle", 10),
    tenantWith("tiny", 0)
  ]
  const received = (namedMax: number) => receivedOf(new TenantMetrics().read(tenants, namedMax))

  test("are shown by name as long as they are few", () => {
    expect(received(4)).toEqual([
      ["small", 1],
      ["large", 100],
      ["middle", 10],
      ["tiny", 0]
    ])
  })

  test("are more than that: the busiest by name, the rest together, and the sum stays", () => {
    expect(received(2)).toEqual([
      ["large", 100],
      ["middle", 10],
      ["_other", 1]
    ])
  })

  test("keep their latencies apart, and those of the others are added up", () => {
    const text = prometheusText(new TenantMetrics().read(tenants, 1))
    expect(text).toContain('heddle_deliver_duration_seconds_count{tenant="large"} 100\n')
    expect(text).toContain('heddle_deliver_duration_seconds_bucket{tenant="_other",le="0.025"} 11\n')
    expect(text).toContain('heddle_publish_duration_seconds_count{tenant="_other"} 0\n')
  })
})

describe("who is shown by name", () => {
  test("stays until another has done twice as much, who begins where the others do not count it", () => {
    const metrics = new TenantMetrics()
    const [first, second] = [tenantWith("first", 10), tenantWith("second", 0)]
    const read = () => receivedOf(metrics.read([first, second], 1))
    expect(read()).toEqual([
      ["first", 10],
      [OTHER_TENANTS, 0]
    ])
    second.counters.messagesReceived = 20
    expect(read()).toEqual([
      ["first", 10],
      [OTHER_TENANTS, 20]
    ])
    second.counters.messagesReceived = 21
    expect(read()).toEqual([
      ["second", 0],
      [OTHER_TENANTS, 21]
    ])
    second.counters.messagesReceived = 30
    first.counters.messagesReceived = 11
    expect(read()).toEqual([
      ["second", 9],
      [OTHER_TENANTS, 22]
    ])
    // It is busier again, and goes on from where its name was.
    first.counters.messagesReceived = 61
    expect(read()).toEqual([
      ["first", 10],
      [OTHER_TENANTS, 72]
    ])
  })

  test("or is deleted: its place is the next one's, and what others had counted stays", () => {
    const metrics = new TenantMetrics()
    const [first, second, third] = [tenantWith("first", 10), tenantWith("second", 5), tenantWith("third", 1)]
    metrics.read([first, second, third], 1)
    expect(receivedOf(metrics.read([first, second], 1))).toEqual([
      ["first", 10],
      [OTHER_TENANTS, 6]
    ])
    expect(receivedOf(metrics.read([second], 1))).toEqual([
      ["second", 0],
      [OTHER_TENANTS, 6]
    ])
  })

  test("whatever happens, no series goes down, and together they have all that was counted", () => {
    const step = FastCheck.oneof(
      FastCheck.record({ of: FastCheck.nat(7), more: FastCheck.nat(50) }),
      FastCheck.record({ deleted: FastCheck.nat(7) })
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 60 }), FastCheck.nat(4), (steps, namedMax) => {
        const metrics = new TenantMetrics()
        let made = 0
        const tenants = Array.from({ length: 8 }, () => tenantWith(`t${made++}`, 0))
        const last = new Map<string, number>()
        let total = 0
        for (const each of steps) {
          if ("deleted" in each) tenants[each.deleted] = tenantWith(`t${made++}`, 0)
          else {
            const { counters } = tenants[each.of] ?? tenantWith("none", 0)
            counters.messagesReceived += each.more
            counters.latencies.deliver.record(0.0123, each.more)
            total += each.more
          }
          const families = metrics.read(tenants, namedMax)
          for (const [tenant, value] of receivedOf(families)) {
            expect(value).toBeGreaterThanOrEqual(last.get(tenant) ?? 0)
            last.set(tenant, value)
          }
          expect([...last.values()].reduce((sum, value) => sum + value, 0)).toBe(total)
          for (const { samples } of families) {
            for (const sample of samples) {
              if (!("histogram" in sample)) continue
              const { count, counts, micros } = sample.histogram
              expect(counts.reduce((sum, value) => sum + value, 0)).toBe(count)
              expect(micros).toBe(count * 12_300)
            }
          }
        }
      }),
      { seed: 1, numRuns: 200 }
    )
  })
})

test("commit durations are the buckets that storage keeps", () => {
  const counters = new StorageCounters()
  for (const elapsedMs of [0.4, 3, 9000]) {
    counters.committed({ units: 1, records: 1, bytes: 1, isSynced: true, elapsedMs })
  }
  const text = prometheusText(storageMetrics(counters))
  expect(text).toContain('heddle_storage_commit_duration_seconds_bucket{le="0.0005"} 1\n')
  expect(text).toContain('heddle_storage_commit_duration_seconds_bucket{le="0.005"} 2\n')
  expect(text).toContain('heddle_storage_commit_duration_seconds_bucket{le="+Inf"} 3\n')
  expect(text).toContain("heddle_storage_commit_duration_seconds_sum 9.0034\n")
  expect(text).toContain("heddle_storage_commits_synced_total 3\n")
})
