/**
 * Measures Heddle, and mosquitto and aedes beside it where they can be had: `README.md` says what the numbers
 * mean.
 *
 *     bun run bench [--quick] [--only NAME]... [--repeat N] [--seconds N] [--json FILE] [--svg FILE]
 *                   [--no-mosquitto] [--aedes DIRECTORY | --no-aedes] [--data DIRECTORY]
 *     bun run bench --draw FILE [--svg FILE]      # of an earlier --json: chart and Markdown table
 *
 * What is stored goes to `--data`, or HEDDLE_BENCH_DATA, or the system's directory for temporary files.
 * Ends with an error when Heddle fails or loses, duplicates or reorders messages; never because it was slow.
 */

import { tmpdir } from "node:os"
import { parseArgs } from "node:util"
import { aedes, type BrokerKind, heddle, heddleStored, mosquitto } from "./brokers.ts"
import { type CapacityOptions, type CapacityScenario, capacityScenarios } from "./capacity/list.ts"
import { chart } from "./chart.ts"
import { measureDisk } from "./disk.ts"
import { isHeddle } from "./goals.ts"
import { machineHere, pinsHere } from "./machine.ts"
import { measureScenario, type Plan } from "./measure.ts"
import { capacityLines, diskLine, headerLines, rowLines, summaryLines } from "./report.ts"
import { type BenchResult, type CapacityResult, type Row, resultText, type Version } from "./results.ts"
import { quickScenarios, type Scenario, scenarios } from "./scenarios.ts"
import { markdownTable } from "./table.ts"

interface Options {
  readonly scenarios: ReadonlyArray<Scenario>
  readonly capacity: ReadonlyArray<CapacityScenario>
  readonly brokers: ReadonlyArray<BrokerKind>
  /** Those that store, for the scenarios that name them. */
  readonly storing: ReadonlyArray<BrokerKind>
  readonly dataDirectory: string
  readonly quick: boolean
  readonly plan: Plan
  readonly json: string | undefined
  readonly svg: string | undefined
  /** A result to draw, in place of a measurement. */
  readonly draw: string | undefined
}

const parse = () =>
  parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      repeat: { type: "string", default: "1" },
      seconds: { type: "string" },
      "no-mosquitto": { type: "boolean", default: false },
      aedes: { type: "string" },
      "no-aedes": { type: "boolean", default: false },
      data: { type: "string", default: process.env.HEDDLE_BENCH_DATA ?? tmpdir() },
      json: { type: "string" },
      svg: { type: "string" },
      draw: { type: "string" }
    }
  }).values

const positive = (text: string, option: string): number => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${option} takes a number above 0, not ${text}`)
  return value
}

const readOptions = (): Options => {
  const values = parse()
  const { only, quick } = values
  const all = [...scenarios, ...capacityScenarios]
  const unknown = only?.filter((name) => !all.some((scenario) => scenario.name === name)) ?? []
  if (unknown.length > 0) {
    throw new Error(`no scenario ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}`)
  }
  const isWanted = ({ name }: { readonly name: string }): boolean => only?.includes(name) ?? true
  const isMosquittoWanted = !values["no-mosquitto"] && !quick
  const beside = [
    isMosquittoWanted ? mosquitto() : undefined,
    values["no-aedes"] || quick ? undefined : aedes(values.aedes ?? process.cwd())
  ]
  if (values.aedes !== undefined && beside[1] === undefined) {
    throw new Error(`there is no aedes in ${values.aedes}; npm install --no-save --prefix DIRECTORY aedes`)
  }
  const mosquittoFile = isMosquittoWanted ? mosquitto(values.data) : undefined
  const levels = (["disk", "os", "memory"] as const).map((level) => heddleStored(level, values.data))
  return {
    scenarios: (quick && only === undefined ? quickScenarios : scenarios).filter(isWanted),
    capacity: capacityScenarios.filter(isWanted),
    brokers: [heddle, ...beside.filter((broker) => broker !== undefined)],
    storing: mosquittoFile === undefined ? levels : [...levels, mosquittoFile],
    dataDirectory: values.data,
    quick,
    plan: {
      repeat: positive(values.repeat, "repeat"),
      seconds: positive(values.seconds ?? (quick ? "1" : "2"), "seconds"),
      pins: pinsHere()
    },
    json: values.json,
    svg: values.svg,
    draw: values.draw
  }
}

const print = (lines: ReadonlyArray<string>): void => {
  for (const line of lines) console.log(line)
}

const measureRows = async (options: Options): Promise<ReadonlyArray<Row>> => {
  const { brokers, plan, scenarios, storing } = options
  const contendersOf = ({ contenders }: Scenario): ReadonlyArray<BrokerKind> =>
    contenders?.flatMap((name) => [...brokers, ...storing].filter((broker) => broker.name === name)) ??
    brokers
  const rows: Array<Row> = []
  let group: string | undefined
  if (scenarios.length > 0) print(headerLines(brokers.map(({ name }) => name)))
  for (const scenario of scenarios) {
    if (scenario.group !== group) print(["", `${scenario.group}`])
    group = scenario.group
    for (const row of await measureScenario(scenario, contendersOf(scenario), plan)) {
      if (scenario.kind === "half") print([row.title])
      print(rowLines(row))
      rows.push(row)
    }
  }
  return rows
}

const measureCapacity = async (options: Options): Promise<ReadonlyArray<CapacityResult>> => {
  const { pins } = options.plan
  const how: CapacityOptions = {
    quick: options.quick,
    brokerPin: pins.broker,
    generatorPin: pins.generator,
    dataDirectory: options.dataDirectory
  }
  const results: Array<CapacityResult> = []
  for (const { goal, name, run } of options.capacity) {
    const result = await run(how).then(
      (rows): CapacityResult => ({ name, goal, rows, failure: null }),
      (error: unknown): CapacityResult => {
        const failure = error instanceof Error ? error.message : String(error)
        return { name, goal, rows: [], failure }
      }
    )
    print(["", ...capacityLines(result)])
    results.push(result)
  }
  return results
}

const versionsOf = (brokers: ReadonlyArray<BrokerKind>): ReadonlyArray<Version> => {
  const node = Bun.which("node")
  const nodeVersion = node === null ? undefined : Bun.spawnSync([node, "--version"]).stdout.toString().trim()
  return [
    ...brokers.map(({ name, version }) => ({ name, version })),
    { name: "bun", version: Bun.version },
    ...(nodeVersion === undefined ? [] : [{ name: "node", version: nodeVersion.replace(/^v/, "") }])
  ]
}

const measureAll = async (options: Options): Promise<BenchResult> => {
  const disk = measureDisk(options.dataDirectory)
  print([diskLine(disk), ""])
  const rows = await measureRows(options)
  const capacity = await measureCapacity(options)
  return {
    format: 1,
    date: new Date().toISOString().slice(0, 10),
    machine: machineHere(options.plan.pins),
    versions: versionsOf(options.brokers),
    repeat: options.plan.repeat,
    seconds: options.plan.seconds,
    disk,
    rows,
    capacity
  }
}

const main = async (): Promise<number> => {
  const options = readOptions()
  if (options.draw !== undefined) {
    const result = (await Bun.file(options.draw).json()) as BenchResult
    if (options.svg !== undefined) await Bun.write(options.svg, chart(result))
    process.stdout.write(markdownTable(result))
    return 0
  }
  const result = await measureAll(options)
  if (!options.quick) print(["", ...summaryLines(result)])
  if (options.json !== undefined) await Bun.write(options.json, resultText(result))
  if (options.svg !== undefined) await Bun.write(options.svg, chart(result))
  const failed = result.rows.some(({ outcomes }) =>
    outcomes.some(({ broker, failure }) => isHeddle(broker) && failure !== null)
  )
  return failed || result.capacity.some(({ failure }) => failure !== null) ? 1 : 0
}

if (import.meta.main) process.exit(await main())
