/** Where the measurement was made: the machine, and a processor each for broker and generator. */

import { readFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import type { Machine } from "./results.ts"

/** What stands before a command line, so that the process keeps to its processor; empty where it cannot. */
export interface Pins {
  readonly broker: ReadonlyArray<string>
  readonly generator: ReadonlyArray<string>
}

/** Processors that this process may use: `0-3,8` in the kernel's spelling. */
const processors = (): ReadonlyArray<number> => {
  try {
    const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? ""
    return list.split(",").flatMap((range) => {
      const [from = 0, to = from] = range.split("-").map(Number)
      return Array.from({ length: to - from + 1 }, (_, index) => from + index)
    })
  } catch {
    return []
  }
}

/** One processor for the broker and another for the generator, where there are two and they can be had. */
export const pinsHere = (): Pins => {
  const [first, second] = processors()
  if (first === undefined || second === undefined || Bun.which("taskset") === null) {
    return { broker: [], generator: [] }
  }
  return { broker: ["taskset", "-c", String(first)], generator: ["taskset", "-c", String(second)] }
}

export const machineHere = (pins: Pins): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  platform: `${process.platform} ${process.arch}`,
  pinned: pins.broker.length === 0 ? "" : "broker and generator on one processor each"
})
