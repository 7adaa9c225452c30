import { describe, expect, test } from "bun:test"
import { StorageCounters } from "../../src/storage/StorageCounters.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { Latencies } from "../../src/telemetry/Latencies.ts"
import { prometheusName } from "../../src/telemetry/metrics/Metric.ts"
import { prometheusText } from "../../src/telemetry/metrics/prometheus.ts"
import { storageMetrics } from "../../src/telemetry/metrics/storage.ts"
import { tenantMetrics, tenantRows, unshown } from "../../src/telemetry/metrics/tenant.ts"

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
  const latencies = new Latencies()
  latencies.deliver.record(0.02, messagesReceived)
  return { tenant, counters: Object.assign(new Counters(), { messagesReceived }), latencies }
}

describe("tenants", () => {
  const tenants = [
    tenantWith("small", 1),
    tenantWith("large", 100),
    tenantWith("middle", 10),
    tenantWith("tiny", 0)
  ]
  const received = (shownMax: number) =>
    tenantMetrics(tenants, shownMax)
      .filter(({ metric }) => metric.name === "heddle.messages.received")
      .flatMap(({ samples }) =>
        samples.map((sample) => [sample.labels.tenant, "value" in sample && sample.value])
      )

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
    const text = prometheusText(tenantMetrics(tenants, 1))
    expect(text).toContain('heddle_deliver_duration_seconds_count{tenant="large"} 100\n')
    expect(text).toContain('heddle_deliver_duration_seconds_bucket{tenant="_other",le="0.025"} 11\n')
    expect(text).toContain('heddle_publish_duration_seconds_count{tenant="_other"} 0\n')
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
