/** The span of a commit: it belongs to no message, but is linked to all that are traced and were in it. */

import type { LiveSpan, Tracing } from "../../telemetry/tracing/Tracing.ts"
import type { DurableRecord } from "../DurableRecord.ts"

/** Links of one span: a thousand subscribers of a message are one trace all the same. */
const LINKS_MAX = 32

interface TracedBatch {
  readonly units: ReadonlyArray<{ readonly records: ReadonlyArray<DurableRecord> }>
  readonly records: number
  readonly bytes: number
  readonly isSynced: boolean
}

/** Undefined when nothing in it is traced. */
export const traceCommit = (
  { bytes, isSynced, records, units }: TracedBatch,
  tracing: Tracing
): LiveSpan | undefined => {
  const links = new Set<string>()
  for (const unit of units) {
    for (const record of unit.records) {
      if (links.size === LINKS_MAX) break
      const traceContext =
        record._tag === "Enqueue" || record._tag === "Retain" ? record.message.traceContext : undefined
      if (traceContext !== undefined) links.add(traceContext)
    }
  }
  if (links.size === 0) return undefined
  return tracing.linked("commit", {
    kind: "internal",
    links: [...links],
    attributes: {
      "db.system.name": "sqlite",
      "db.operation.batch.size": records,
      "heddle.frame.size": bytes,
      "heddle.is_synced": isSynced
    }
  })
}
