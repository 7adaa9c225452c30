/** What the process takes of its machine. */

import { heapSize } from "bun:jsc"
import type { Collector, Metric, MetricFamily } from "./Metric.ts"

const gauge = (name: string, unit: string, help: string) =>
  ({ name, kind: "gauge", unit, help }) satisfies Metric

const cpu = {
  name: "process.cpu.time",
  kind: "counter",
  unit: "s",
  help: "Processor time, by who has spent it: the broker's own code, or the kernel for it"
} satisfies Metric

const resident = gauge("process.memory.resident", "By", "Memory that the process holds")
const heap = gauge("process.memory.heap", "By", "Memory of JavaScript objects, garbage included")
const external = gauge("process.memory.buffers", "By", "Memory of buffers outside of the heap")
const started = gauge("process.start.time", "s", "When the process started, since the epoch")

/** `startedMs`: milliseconds since the epoch. */
export const processMetrics = (startedMs: number): Collector => {
  const one = (metric: Metric & { readonly kind: "gauge" }, value: number): MetricFamily => ({
    metric,
    samples: [{ labels: {}, value }]
  })
  return () => {
    const { system, user } = process.cpuUsage()
    const { arrayBuffers, rss } = process.memoryUsage()
    return [
      {
        metric: cpu,
        samples: [
          { labels: { mode: "user" }, value: user / 1e6 },
          { labels: { mode: "system" }, value: system / 1e6 }
        ]
      },
      one(resident, rss),
      one(heap, heapSize()),
      one(external, arrayBuffers),
      one(started, startedMs / 1000)
    ]
  }
}
