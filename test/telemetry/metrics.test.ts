import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { Histogram } from "../../src/telemetry/metrics/Histogram.ts"
import { type Metric, type MetricFamily, prometheusName } from "../../src/telemetry/metrics/Metric.ts"
import { otlpMetrics } from "../../src/telemetry/metrics/otlp.ts"
import { prometheusText } from "../../src/telemetry/metrics/prometheus.ts"

const received = {
  name: "heddle.messages.received",
  kind: "counter",
  unit: "{message}",
  help: "Messages that clients have sent"
} as const

const latency = {
  name: "heddle.publish.duration",
  kind: "histogram",
  unit: "s",
  help: "From PUBLISH to its acknowledgement"
} as const

describe("a name in Prometheus", () => {
  const cases: ReadonlyArray<readonly [Pick<Metric, "name" | "kind" | "unit">, string]> = [
    [
      { name: "heddle.messages.received", kind: "counter", unit: "{message}" },
      "heddle_messages_received_total"
    ],
    [{ name: "heddle.received.bytes", kind: "counter", unit: "By" }, "heddle_received_bytes_total"],
    [{ name: "heddle.retained.size", kind: "gauge", unit: "By" }, "heddle_retained_size_bytes"],
    [{ name: "heddle.connections", kind: "gauge", unit: "{connection}" }, "heddle_connections"],
    [{ name: "heddle.publish.duration", kind: "histogram", unit: "s" }, "heddle_publish_duration_seconds"],
    [{ name: "process.cpu.utilization", kind: "gauge", unit: "1" }, "process_cpu_utilization_ratio"]
  ]
  for (const [metric, expected] of cases) {
    test(`of ${metric.name} is ${expected}`, () => {
      expect(prometheusName({ ...metric, help: "" })).toBe(expected)
    })
  }
})

describe("a histogram", () => {
  const bounds = [0.001, 0.01, 0.1]

  test("counts each value once, at the bound that it does not exceed", () => {
    const histogram = new Histogram(bounds)
    for (const value of [0, 0.001, 0.0011, 0.1, 0.2]) histogram.record(value)
    expect([...histogram.counts]).toEqual([2, 1, 1, 1])
    expect(histogram.count).toBe(5)
    expect(histogram.sum).toBeCloseTo(0.3021)
  })

  test("adds up as if all had been recorded in one", () => {
    const values = FastCheck.array(FastCheck.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 })
    FastCheck.assert(
      FastCheck.property(values, values, (left, right) => {
        const [one, two, all] = [new Histogram(bounds), new Histogram(bounds), new Histogram(bounds)]
        for (const value of left) one.record(value)
        for (const value of right) two.record(value)
        for (const value of [...left, ...right]) all.record(value)
        one.add(two)
        expect([...one.counts]).toEqual([...all.counts])
        expect(one.count).toBe(all.count)
        expect(one.sum).toBeCloseTo(all.sum)
      })
    )
  })

  test("takes many at once", () => {
    const histogram = new Histogram(bounds)
    histogram.record(0.005, 3)
    expect([...histogram.counts]).toEqual([0, 3, 0, 0])
    expect(histogram.sum).toBeCloseTo(0.015)
  })
})

const histogram = new Histogram([0.1, 1])
histogram.record(0.05)
histogram.record(0.5, 2)
histogram.record(7)

const families: ReadonlyArray<MetricFamily> = [
  {
    metric: received,
    samples: [
      { labels: { tenant: "acme", qos: "1" }, value: 12 },
      { labels: { tenant: 'a"b\\c\nd', qos: "0" }, value: 0.5 }
    ]
  },
  { metric: latency, samples: [{ labels: { tenant: "acme" }, histogram }] }
]

test("the text for Prometheus", () => {
  expect(prometheusText(families)).toBe(
    `# HELP heddle_messages_received_total Messages that clients have sent
# TYPE heddle_messages_received_total counter
heddle_messages_received_total{tenant="acme",qos="1"} 12
heddle_messages_received_total{tenant="a\\"b\\\\c\\nd",qos="0"} 0.5
# HELP heddle_publish_duration_seconds From PUBLISH to its acknowledgement
# TYPE heddle_publish_duration_seconds histogram
heddle_publish_duration_seconds_bucket{tenant="acme",le="0.1"} 1
heddle_publish_duration_seconds_bucket{tenant="acme",le="1"} 3
heddle_publish_duration_seconds_bucket{tenant="acme",le="+Inf"} 4
heddle_publish_duration_seconds_sum{tenant="acme"} 8.05
heddle_publish_duration_seconds_count{tenant="acme"} 4
`
  )
  expect(prometheusText([])).toBe("")
})

test("the same for OTLP", () => {
  const [sum, buckets] = otlpMetrics(families, { startNs: 1n, nowNs: 2n })
  const instants = { startTimeUnixNano: "1", timeUnixNano: "2" }
  expect(sum).toMatchObject({
    name: "heddle.messages.received",
    unit: "{message}",
    sum: {
      isMonotonic: true,
      aggregationTemporality: 2,
      dataPoints: [
        {
          ...instants,
          asDouble: 12,
          attributes: [
            { key: "tenant", value: { stringValue: "acme" } },
            { key: "qos", value: { stringValue: "1" } }
          ]
        },
        { asDouble: 0.5 }
      ]
    }
  })
  expect(buckets).toMatchObject({
    histogram: {
      aggregationTemporality: 2,
      dataPoints: [
        { ...instants, count: "4", sum: 8.05, bucketCounts: ["1", "2", "1"], explicitBounds: [0.1, 1] }
      ]
    }
  })
})
