/**
 * Measures Heddle, and mosquitto beside it where that is installed: `README.md` says what the numbers mean.
 *
 *     bun run bench [--quick] [--only NAME]... [--repeat N] [--seconds N] [--no-mosquitto] [--json FILE]
 *
 * Ends with an error when Heddle fails or loses, duplicates or reorders messages; never because it was slow.
 */

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type BrokerKind, heddle, mosquitto } from "./brokers.ts"
import type { LoadRequest, LoadResult } from "./load.ts"
import { printHeader, printRow } from "./report.ts"
import { quickScenarios, type Scenario, scenarios } from "./scenarios.ts"

/** One scenario on one broker: every run's result, or why there is none. */
export interface Outcome {
  readonly broker: string
  readonly results: ReadonlyArray<LoadResult>
  readonly failure: string | undefined
}

interface Options {
  readonly scenarios: ReadonlyArray<Scenario>
  readonly brokers: ReadonlyArray<BrokerKind>
  readonly repeat: number
  readonly seconds: number
  readonly json: string | undefined
}

const readOptions = (): Options => {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      repeat: { type: "string", default: "1" },
      seconds: { type: "string" },
      mosquitto: { type: "boolean", default: true },
      json: { type: "string" }
    },
    allowNegative: true
  })
  const { only, quick } = values
  const known = quick && only === undefined ? quickScenarios : scenarios
  const unknown = only?.filter((name) => !known.some((scenario) => scenario.name === name)) ?? []
  if (unknown.length > 0) {
    throw new Error(
      `no scenario ${unknown.join(", ")}; there are ${known.map(({ name }) => name).join(", ")}`
    )
  }
  const beside = values.mosquitto && !quick ? mosquitto() : undefined
  return {
    scenarios: known.filter(({ name }) => only?.includes(name) ?? true),
    brokers: beside === undefined ? [heddle] : [heddle, beside],
    repeat: Number(values.repeat),
    seconds: Number(values.seconds ?? (quick ? 1 : 4)),
    json: values.json
  }
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
const pins = (): { readonly broker: ReadonlyArray<string>; readonly generator: ReadonlyArray<string> } => {
  const [first, second] = processors()
  if (first === undefined || second === undefined || Bun.which("taskset") === null) {
    return { broker: [], generator: [] }
  }
  return { broker: ["taskset", "-c", String(first)], generator: ["taskset", "-c", String(second)] }
}

const generate = async (request: LoadRequest, pin: ReadonlyArray<string>): Promise<LoadResult> => {
  const command = [...pin, process.execPath, join(import.meta.dir, "load.ts"), JSON.stringify(request)]
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", stdin: "ignore" })
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited
  ])
  if (code !== 0) throw new Error(errors.trim() || `the load generator ended with ${code}`)
  return JSON.parse(output) as LoadResult
}

/** A broker of its own for each run, so that no run lives with what another left. */
const runOnce = async (scenario: Scenario, broker: BrokerKind, seconds: number): Promise<LoadResult> => {
  const pin = pins()
  const { pid, port, stop } = await broker.start(pin.broker)
  try {
    return await generate({ scenario, port, pid, seconds, warmSeconds: 1 }, pin.generator)
  } finally {
    await stop()
  }
}

const runScenario = async (scenario: Scenario, broker: BrokerKind, options: Options): Promise<Outcome> => {
  const results: Array<LoadResult> = []
  try {
    for (let run = 0; run < options.repeat; run++) {
      results.push(await runOnce(scenario, broker, options.seconds))
    }
    return { broker: broker.name, results, failure: failureOf(scenario, results) }
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error)
    return { broker: broker.name, results, failure }
  }
}

/** An open loop at QoS 0 may be more than a broker can take; nothing else may be lost. */
const failureOf = (scenario: Scenario, results: ReadonlyArray<LoadResult>): string | undefined => {
  if (scenario.kind !== "messages") return undefined
  const mayLose = scenario.rate > 0 && scenario.qos === 0
  for (const { duplicated, lost, perSecond, reordered } of results) {
    if (perSecond === 0) return "nothing was delivered"
    if (lost > 0 && !mayLose) return `${lost} messages were lost`
    if (duplicated > 0) return `${duplicated} messages came twice`
    if (reordered > 0) return `${reordered} messages came out of order`
  }
  return undefined
}

const main = async (): Promise<number> => {
  const options = readOptions()
  const figures: Array<{ readonly scenario: Scenario; readonly outcomes: ReadonlyArray<Outcome> }> = []
  printHeader(options.brokers.map(({ name }) => name))
  for (const scenario of options.scenarios) {
    const outcomes: Array<Outcome> = []
    for (const broker of options.brokers) outcomes.push(await runScenario(scenario, broker, options))
    figures.push({ scenario, outcomes })
    printRow(scenario, outcomes)
  }
  if (options.json !== undefined) {
    const machine = { bun: Bun.version, platform: process.platform, arch: process.arch }
    await Bun.write(options.json, `${JSON.stringify({ ...machine, pinned: pins(), figures }, null, 2)}\n`)
  }
  const failures = figures.flatMap(({ outcomes, scenario }) =>
    outcomes.flatMap(({ broker, failure }) => (failure === undefined ? [] : [{ broker, scenario, failure }]))
  )
  for (const { broker, failure, scenario } of failures) console.log(`${scenario.name}, ${broker}: ${failure}`)
  return failures.some(({ broker }) => broker === heddle.name) ? 1 : 0
}

if (import.meta.main) process.exit(await main())
