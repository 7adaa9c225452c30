#!/usr/bin/env bun
/**
 * The model test: random traces against a broker in this process, in virtual time, until the time is over.
 *
 *     bun run model [--minutes 1] [--seed N] [--traces N] [--steps 60] [--sqlite]
 *
 * With `--sqlite` what is committed goes to the tables of a database, and comes from there after a crash.
 * A trace that goes wrong is shortened and printed as a test case; then it ends with 1. Each trace depends on
 * its seed alone: `--seed S --traces 1` plays one again.
 */

import { parseArgs } from "node:util"
import { type PlayOptions, play } from "./play.ts"
import { type Step, testCaseOf, traceOf } from "./Step.ts"
import { shrink } from "./shrink.ts"
import { SqliteTables } from "./Tables.ts"

const tell = async (
  seed: number,
  trace: ReadonlyArray<Step>,
  found: ReadonlyArray<string>,
  options: PlayOptions
) => {
  console.log(`seed ${seed} goes wrong: ${found.join("; ")}`)
  const kind = kindOf(found)
  const short = await shrink(trace, async (candidate) => kindOf(await play(candidate, options)) === kind)
  console.log(testCaseOf(short))
  console.log((await play(short, options)).join("\n"))
}

/** The violation without its names and numbers, so that shortening does not slip to another one. */
const kindOf = ([first]: ReadonlyArray<string>): string | undefined =>
  first?.replace(/^(step \d+ \w+|at the end): /, "").replace(/\b[a-d]\b|\d+/g, "")

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string", default: String(crypto.getRandomValues(new Uint32Array(1))[0]) },
      traces: { type: "string", default: "Infinity" },
      steps: { type: "string", default: "60" },
      failures: { type: "string", default: "1" },
      sqlite: { type: "boolean", default: false }
    }
  })
  const length = Number(values.steps)
  const options: PlayOptions = values.sqlite ? { tables: SqliteTables.open } : {}
  const endsAtMs = performance.now() + Number(values.minutes) * 60_000
  const first = Number(values.seed)
  let failures = 0
  let played = 0
  console.log(`model: traces of ${length} steps from seed ${first}`)
  for (; played < Number(values.traces) && performance.now() < endsAtMs; played++) {
    const seed = (first + played) >>> 0
    const trace = traceOf(seed, length)
    const found = await play(trace, options)
    if (found.length === 0) continue
    await tell(seed, trace, found, options)
    if (++failures >= Number(values.failures)) break
  }
  console.log(`${played} traces, ${played * length} steps, ${failures} wrong`)
  return failures === 0 ? 0 : 1
}

if (import.meta.main) process.exit(await main())
