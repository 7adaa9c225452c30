/**
 * What `--json` writes and the chart is drawn from. All of it is plain data; a figure has one value for each
 * run.
 */

import type { CapacityRow } from "./capacity/list.ts"
import type { Figures, Verdict } from "./goals.ts"

/** One scenario on one broker. */
export interface Outcome {
  readonly broker: string
  /** Of the runs before the failure, when there is one. */
  readonly figures: Figures
  readonly failure: string | null
}

/** One scenario on every broker: Heddle first. */
export interface Row {
  readonly name: string
  readonly group: string
  readonly title: string
  readonly kind: "messages" | "churn" | "idle"
  readonly payloadBytes: number
  /** Deliveries a second that an open loop asks for; 0 for a closed one. */
  readonly offeredPerSecond: number
  readonly outcomes: ReadonlyArray<Outcome>
  /** Of Heddle. */
  readonly verdicts: ReadonlyArray<Verdict>
}

export interface CapacityResult {
  readonly name: string
  readonly goal: string
  readonly rows: ReadonlyArray<CapacityRow>
  readonly failure: string | null
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGB: number
  readonly kernel: string
  readonly platform: string
  /** How broker and generator were kept apart; empty when they were not. */
  readonly pinned: string
}

/** Where what is stored went. */
export interface Disk {
  /** As the kernel names it; empty where it does not say. */
  readonly filesystem: string
  /** From a write of a page at the end of a file until it is on the disk. */
  readonly fsyncP50Us: number
  readonly fsyncP99Us: number
}

export interface Version {
  readonly name: string
  readonly version: string
}

export interface BenchResult {
  readonly format: 1
  /** Day of the measurement, as YYYY-MM-DD. */
  readonly date: string
  readonly machine: Machine
  readonly versions: ReadonlyArray<Version>
  readonly repeat: number
  readonly seconds: number
  /** Absent in results that were kept before anything was stored. */
  readonly disk?: Disk
  readonly rows: ReadonlyArray<Row>
  readonly capacity: ReadonlyArray<CapacityResult>
}

/** Five digits are more than any run repeats. */
const rounded = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value

/** Indented, with the runs of a figure in one line: small, and readable as a difference of two versions. */
export const resultText = (result: BenchResult): string => {
  const indented = JSON.stringify(result, rounded, 2)
  const runs = indented.replaceAll(/\[\n\s+(-?[\d.][^[\]{}]*?)\n\s+\]/g, (_, numbers: string) => {
    return `[${numbers.split(/,\s+/).join(", ")}]`
  })
  return `${runs}\n`
}
