/**
 * A performance smoke test for continuous integration: `bun run bench:smoke [--record]`, some ten seconds.
 *
 * A machine that runs checks is of unknown speed and shared, so nothing is compared in nanoseconds. Each
 * round runs a calibration (plain work of the same kind, none of our code) and then a hot path. Of each the
 * lower quartile counts, which the rounds that another program fell into do not reach; their quotient is
 * compared with the one in `smoke.json`. More than `warnAt` times that is a warning, for a person to look at
 * with `bun run bench`. It never fails a build: only a path that does not work does.
 *
 * `--record` writes the quotients of this run as the new references.
 */

import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Effect from "effect/Effect"
import references from "./smoke.json" with { type: "json" }
import { computing, echoing, type HotPath, hotPaths } from "./smokePaths.ts"

const rounds = 25
/** Not counted: what is measured is compiled code. */
const warmRounds = 5
/** Noise of a shared machine stays below; a path that became half as fast does not. */
const warnAt = 1.5

interface Reading {
  readonly name: string
  readonly ns: number
  /** In the calibration's time. */
  readonly ratio: number
}

const lowerQuartile = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 2] ?? Number.NaN

const nanosecondsFor = async ({
  operations,
  work
}: Pick<HotPath, "operations" | "work">): Promise<number> => {
  const startNs = Bun.nanoseconds()
  await work()
  return (Bun.nanoseconds() - startNs) / operations
}

const read = async (path: HotPath): Promise<Reading> => {
  const calibration = path.against === "computing" ? computing : await echoing()
  const units: Array<number> = []
  const times: Array<number> = []
  for (let round = -warmRounds; round < rounds; round++) {
    const unit = await nanosecondsFor(calibration)
    const time = await nanosecondsFor(path)
    if (round < 0) continue
    units.push(unit)
    times.push(time)
  }
  await calibration.stop()
  const ns = lowerQuartile(times)
  return { name: path.name, ns, ratio: ns / lowerQuartile(units) }
}

const recorded = new Map(Object.entries(references.ratios))

/** A line of the table; and whether it is a warning. */
const judged = ({ name, ns, ratio }: Reading): { readonly line: string; readonly isSlow: boolean } => {
  const reference = recorded.get(name)
  const change = reference === undefined ? undefined : ratio / reference
  const isSlow = change !== undefined && change > warnAt
  const cells = [
    name.padEnd(44),
    `${ns.toFixed(0)} ns`.padStart(11),
    ratio.toPrecision(3).padStart(9),
    reference === undefined ? "no reference" : `${change?.toFixed(2)} of the reference`.padStart(22)
  ]
  return { line: `${cells.join(" ")}${isSlow ? "  SLOW" : ""}`, isSlow }
}

const record = async (readings: ReadonlyArray<Reading>): Promise<void> => {
  const ratios = Object.fromEntries(readings.map(({ name, ratio }) => [name, Number(ratio.toPrecision(3))]))
  const text = JSON.stringify({ ...references, bun: Bun.version, ratios }, null, 2)
  await Bun.write(join(import.meta.dir, "smoke.json"), `${text}\n`)
}

const program = Effect.gen(function* () {
  const readings: Array<Reading> = []
  for (const path of yield* hotPaths) readings.push(yield* Effect.promise(() => read(path)))
  return readings
}).pipe(Effect.scoped)

const main = async (): Promise<void> => {
  const { values } = parseArgs({ options: { record: { type: "boolean", default: false } } })
  const readings = await Effect.runPromise(program)
  const verdicts = readings.map(judged)
  console.log(`${"path".padEnd(44)} ${"time".padStart(11)} ${"ratio".padStart(9)}`)
  for (const { line } of verdicts) console.log(line)
  if (values.record) await record(readings)
  const slow = verdicts.filter(({ isSlow }) => isSlow).length
  if (slow > 0) {
    console.log(`warning: ${slow} of ${verdicts.length} paths took more than ${warnAt} times their reference`)
  }
}

if (import.meta.main) {
  await main()
  process.exit(0)
}
