/** What a crash test has to say in the end. */

import type { CrashReport } from "./crash.ts"
import type { PowerCut } from "./PowerCut.ts"

const VIOLATIONS_SHOWN = 10

export const summary = (report: CrashReport, seed: number): string => {
  const { acknowledged, log, receipts, startMs, wills } = report
  const starts = [...startMs].sort((a, b) => a - b)
  const median = starts[Math.floor(starts.length / 2)] ?? 0
  const { violations } = log
  const shown = violations
    .slice(0, VIOLATIONS_SHOWN)
    .flatMap(({ about, what }) => [
      `violation (seed ${seed}): ${what}`,
      ...(about.length > 0 ? log.about(about) : [])
    ])
  return [
    `${log.messages.size} messages sent, ${acknowledged} acknowledged, ${receipts} received; ${wills} wills`,
    `${starts.length} starts, median ${median.toFixed(0)} ms`,
    ...shown,
    `${violations.length} violations`
  ].join("\n")
}

/** What group commit makes of it. */
export const syncs = ({ acknowledged }: CrashReport, disk: PowerCut): string => {
  const { lostBytes, syncs, writtenBytes } = disk
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KB`
  const each = (acknowledged / Math.max(1, syncs)).toFixed(1)
  return (
    `${syncs} syncs, ${each} acknowledged messages for each;` +
    ` of ${kilobytes(writtenBytes)} written, ${kilobytes(lostBytes)} were not synced when the power went`
  )
}
