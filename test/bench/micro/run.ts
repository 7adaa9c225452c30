/**
 * Runs the micro benchmarks of this folder and prints one table. A benchmark is a file that exports `run`; it
 * is found by being here.
 *
 *     bun test/bench/micro/run.ts [--quick] [--json FILE] [NAME...]
 */

import { readdir } from "node:fs/promises"
import { basename } from "node:path"
import { parseArgs } from "node:util"

export interface RunOptions {
  /** A fraction of the time, for a first look and for continuous integration. */
  readonly quick: boolean
}

/** One line of the table. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** Between the quartiles of the rounds, as a share of the value; absent for what is done once. */
  readonly spread?: number
}

interface MicroBenchmark {
  readonly run: (options: RunOptions) => Promise<ReadonlyArray<Figure>>
}

const isMicroBenchmark = (module: unknown): module is MicroBenchmark =>
  typeof module === "object" && module !== null && "run" in module && typeof module.run === "function"

const format = (value: number): string => {
  if (value >= 1_000) return Math.round(value).toLocaleString("en")
  return value >= 10 ? value.toFixed(1) : value.toFixed(3)
}

const print = (benchmark: string, figures: ReadonlyArray<Figure>): void => {
  console.log(`\n${benchmark}`)
  for (const { name, spread, unit, value } of figures) {
    const noise = spread === undefined ? "" : `±${Math.round(spread * 50)}%`
    console.log(`  ${name.padEnd(64)} ${format(value).padStart(12)} ${unit.padEnd(6)} ${noise.padStart(5)}`)
  }
}

const main = async (): Promise<void> => {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "string" }, quick: { type: "boolean", default: false } }
  })
  const files = (await readdir(import.meta.dir)).filter((file) => /^[a-z]\w*\.ts$/.test(file)).sort()
  const all: Record<string, ReadonlyArray<Figure>> = {}
  for (const file of files) {
    const benchmark = basename(file, ".ts")
    if (benchmark === "run" || (positionals.length > 0 && !positionals.includes(benchmark))) continue
    const module: unknown = await import(`./${file}`)
    if (!isMicroBenchmark(module)) continue
    const figures = await module.run({ quick: values.quick })
    all[benchmark] = figures
    print(benchmark, figures)
  }
  if (values.json === undefined) return
  const machine = { bun: Bun.version, platform: process.platform, arch: process.arch }
  await Bun.write(
    values.json,
    `${JSON.stringify({ ...machine, quick: values.quick, figures: all }, null, 2)}\n`
  )
}

if (import.meta.main) await main()
