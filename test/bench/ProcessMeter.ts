/**
 * What Linux knows of a process: processor time, the time it waited for a processor, resident memory. Zero
 * elsewhere.
 */

import { readFileSync } from "node:fs"

/** Kernel clock ticks a second, as user space sees them on every Linux architecture that Bun runs on. */
const ticksPerSecond = 100

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

export interface Usage {
  /** Processor time of all threads since the start, in microseconds; steps of 10 ms. */
  readonly cpuUs: number
  /** Time in which the main thread could have run and somebody else had its processor, in microseconds. */
  readonly waitedUs: number
  readonly residentBytes: number
}

export const usageOf = (pid: number): Usage => {
  const stat = read(`/proc/${pid}/stat`)
  // The name of the program stands in brackets and may hold spaces; user and system time are fields 14 and
  // 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const ticks = Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? "0"
  return {
    cpuUs: (ticks * 1e6) / ticksPerSecond,
    waitedUs: Number(read(`/proc/${pid}/schedstat`).split(" ")[1] ?? 0) / 1000,
    residentBytes: Number(resident) * 1024
  }
}
