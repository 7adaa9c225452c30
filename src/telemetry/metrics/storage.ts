/** What is measured of storage, over the numbers that it keeps itself. */

import { commitBucketsMs, type StorageCounters } from "../../storage/StorageCounters.ts"
import { Histogram } from "./Histogram.ts"
import type { Metric, MetricFamily } from "./Metric.ts"

type Counted = {
  [Name in keyof StorageCounters]: StorageCounters[Name] extends number ? Name : never
}[keyof StorageCounters]

const rows: ReadonlyArray<
  readonly [name: string, unit: string, kind: "counter" | "gauge", of: Counted, help: string]
> = [
  ["commits", "{commit}", "counter", "commits", "Transactions that were committed"],
  ["commits.synced", "{commit}", "counter", "syncedCommits", "Those that survive a power cut: fsyncs"],
  ["units", "{unit}", "counter", "units", "Units of records that were committed, each as a whole"],
  ["records", "{record}", "counter", "recordsWritten", "Records that were committed"],
  ["written", "By", "counter", "bytesWritten", "What those weigh as frames"],
  [
    "records.elided",
    "{record}",
    "counter",
    "recordsElided",
    "Messages acknowledged before they were written"
  ],
  ["batch.records.max", "{record}", "gauge", "batchRecordsMax", "The most records in one transaction"],
  ["failures", "{attempt}", "counter", "failures", "Attempts to write that failed"],
  ["units.refused", "{unit}", "counter", "unitsRefused", "Units that were refused because of that"],
  [
    "records.given_up",
    "{record}",
    "counter",
    "recordsGivenUp",
    "Records that could not be stored for too long"
  ],
  ["restarts", "{restart}", "counter", "restarts", "Times that the database's thread was started again"],
  ["queue.reads", "{page}", "counter", "queueReads", "Pages of queues that were read back"],
  ["waiting.units", "{unit}", "gauge", "waitingUnits", "Units that are not committed yet"],
  ["waiting.records", "{record}", "gauge", "waitingRecords", "Their records"],
  ["waiting.size", "By", "gauge", "waitingBytes", "What those weigh"],
  ["database.size", "By", "gauge", "databaseBytes", "The database's file"]
]

const commitDuration = {
  name: "heddle.storage.commit.duration",
  kind: "histogram",
  unit: "s",
  help: "From handing a batch over until it is committed"
} satisfies Metric

export const storageMetrics = (counters: Readonly<StorageCounters>): ReadonlyArray<MetricFamily> => {
  const numbers = rows.map(
    ([name, unit, kind, of, help]): MetricFamily => ({
      metric: { name: `heddle.storage.${name}`, kind, unit, help },
      samples: [{ labels: {}, value: counters[of] }]
    })
  )
  return [...numbers, { metric: commitDuration, samples: [{ labels: {}, histogram: durationsOf(counters) }] }]
}

const durationsOf = ({ commitBuckets, commitMs, commits }: Readonly<StorageCounters>): Histogram => {
  const histogram = new Histogram(commitBucketsMs.map((boundMs) => boundMs / 1000))
  histogram.counts.set(commitBuckets)
  histogram.count = commits
  histogram.micros = Math.round(commitMs * 1000)
  return histogram
}
