/** The disk that is stored on: what an fsync takes decides what any durable broker can do. */

import { closeSync, fdatasyncSync, openSync, readFileSync, realpathSync, writeSync } from "node:fs"
import { join } from "node:path"
import { remove, temporaryIn } from "./brokers.ts"
import { LatencyHistogram } from "./LatencyHistogram.ts"
import type { Disk } from "./results.ts"

const pageBytes = 4096
const measuredNs = 1e9

/** Writes pages to a file in `directory` for a second, one after another, each with its fsync. */
export const measureDisk = (directory: string): Disk => {
  const path = temporaryIn(directory)
  const latency = new LatencyHistogram()
  const page = Buffer.alloc(pageBytes, 0x2e)
  const file = openSync(join(path, "fsync"), "w")
  try {
    const endNs = Bun.nanoseconds() + measuredNs
    for (let fromNs = 0; fromNs < endNs; ) {
      fromNs = Bun.nanoseconds()
      writeSync(file, page)
      fdatasyncSync(file)
      latency.record((Bun.nanoseconds() - fromNs) / 1000)
    }
  } finally {
    closeSync(file)
    remove(path)
  }
  return {
    filesystem: filesystemOf(directory),
    fsyncP50Us: latency.quantile(0.5),
    fsyncP99Us: latency.quantile(0.99)
  }
}

/** Kind and device of what is mounted deepest above a directory: `ext4 (/dev/vda)`. */
const filesystemOf = (directory: string): string => {
  const path = `${realpathSync(directory)}/`
  const mounts = mountLines().flatMap((line) => {
    const [device = "", point = "", kind = ""] = line.split(" ")
    return path.startsWith(point === "/" ? point : `${point}/`) ? [{ device, point, kind }] : []
  })
  const deepest = mounts.toSorted((a, b) => b.point.length - a.point.length)[0]
  return deepest === undefined ? "" : `${deepest.kind} (${deepest.device})`
}

const mountLines = (): ReadonlyArray<string> => {
  try {
    return readFileSync("/proc/mounts", "utf8").split("\n")
  } catch {
    return []
  }
}
