/**
 * What storage counts: plain numbers, added to once a batch and read by whoever exports them. Gauges go up
 * and down; the rest only grow.
 */

/** Upper bounds of the buckets of `commitSeconds`, in milliseconds; the last bucket has no bound. */
export const commitBucketsMs: ReadonlyArray<number> = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000]

export class StorageCounters {
  /** Transactions that were committed, and those of them that were made to survive a power cut: fsyncs. */
  commits = 0
  syncedCommits = 0
  /** From handing a batch over until it is committed. */
  commitMs = 0
  commitMsMax = 0
  /** How many commits took up to each of `commitBucketsMs` and not up to the one before. */
  readonly commitBuckets: Array<number> = new Array<number>(commitBucketsMs.length + 1).fill(0)
  units = 0
  /** Records that were committed, the bytes of their frames, and the largest batch of them. */
  recordsWritten = 0
  bytesWritten = 0
  batchRecordsMax = 0
  /** Messages that were acknowledged before they had to be written. */
  recordsElided = 0
  /** Attempts to write that failed. */
  failures = 0
  unitsRefused = 0
  /** Records that could not be stored for so long that they were given up. */
  recordsGivenUp = 0
  /** Times that the thread of the database had to be started again. */
  restarts = 0
  queueReads = 0
  /** What a start has read. */
  sessionsRead = 0
  retainedRead = 0
  /** Gauges: what is not committed yet. */
  waitingUnits = 0
  waitingRecords = 0
  waitingBytes = 0
  /** Gauge: of the database's file. */
  databaseBytes = 0

  committed(batch: {
    readonly units: number
    readonly records: number
    readonly bytes: number
    readonly isSynced: boolean
    readonly elapsedMs: number
  }): void {
    this.commits++
    if (batch.isSynced) this.syncedCommits++
    this.units += batch.units
    this.recordsWritten += batch.records
    this.bytesWritten += batch.bytes
    this.batchRecordsMax = Math.max(this.batchRecordsMax, batch.records)
    this.commitMs += batch.elapsedMs
    this.commitMsMax = Math.max(this.commitMsMax, batch.elapsedMs)
    const bucket = commitBucketsMs.findIndex((boundMs) => batch.elapsedMs <= boundMs)
    const at = bucket === -1 ? commitBucketsMs.length : bucket
    this.commitBuckets[at] = (this.commitBuckets[at] ?? 0) + 1
  }
}
