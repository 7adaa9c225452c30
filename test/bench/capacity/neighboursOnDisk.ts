/**
 * How long a tenant waits for its messages to be stored, beside another that has as many stored as the disk
 * takes.
 *
 * The quiet tenant sends 200 messages a second at QoS 1 to clients that are away, and is told of each when it
 * is on the disk. The other does the same with 20,000 messages under way. Alone, beside half of what the
 * flood was, and beside the flood, in turn: a batch holds what both have, so the quiet one waits for larger
 * batches and not behind the other's backlog.
 */

import { join } from "node:path"
import type { Subprocess } from "bun"
import { remove, temporaryIn } from "../brokers.ts"
import { LatencyHistogram } from "../LatencyHistogram.ts"
import { median } from "../statistics.ts"
import { type DepositOptions, Deposits } from "./deposits.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, limited, type Measure } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const ratioGoal = 3

const quietOptions: DepositOptions = {
  ...{ tenant: "quiet", depositors: 4, sleepers: 5, payloadBytes: 64, window: 100, rate: 50 }
}
const floodOptions: DepositOptions = {
  ...{ tenant: "flood", depositors: 20, sleepers: 20, payloadBytes: 64, window: 1000, rate: 0 }
}

const measure: Measure = async (options) => {
  const data = temporaryIn(options.dataDirectory)
  const subject = await Subject.start({ pin: options.brokerPin, data })
  try {
    const quiet = new Deposits(quietOptions)
    await quiet.prepare(subject.port)
    quiet.start()
    await Bun.sleep(options.quick ? 100 : 1000)
    const rows = await beside(quiet, subject, options)
    await quiet.stop()
    return rows
  } finally {
    await subject.stop()
    remove(data)
  }
}

interface Latency {
  readonly p50Us: number
  readonly p99Us: number
}

const beside = async (
  quiet: Deposits,
  subject: Subject,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const ms = options.quick ? 300 : 3000
  const alone: Array<Latency> = []
  const half: Array<Latency> = []
  const flooded: Array<Latency> = []
  const rates: Array<number> = []
  for (let round = 0; round < (options.quick ? 1 : 3); round++) {
    alone.push(await latencyOf(quiet, ms))
    const flood = await Flood.start(subject, floodOptions, options)
    flooded.push(await latencyOf(quiet, ms))
    rates.push(await flood.stop())
    const rate = median(rates) / 2 / floodOptions.depositors
    const busy = await Flood.start(subject, { ...floodOptions, rate }, options)
    half.push(await latencyOf(quiet, ms))
    await busy.stop()
  }
  const of = (latencies: ReadonlyArray<Latency>, key: keyof Latency) =>
    median(latencies.map((latency) => latency[key]))
  return [
    { label: "messages of the flood stored", value: median(rates), unit: "/s" },
    ...(["p50Us", "p99Us"] as const).flatMap((key) => {
      const name = key === "p50Us" ? "p50" : "p99"
      return [
        { label: `acknowledged, alone: ${name}`, value: of(alone, key), unit: "µs" },
        { label: `acknowledged, beside half of it: ${name}`, value: of(half, key), unit: "µs" },
        { label: `acknowledged, beside it: ${name}`, value: of(flooded, key), unit: "µs" }
      ]
    }),
    limited(
      { label: "p50 beside it, against half", value: of(flooded, "p50Us") / of(half, "p50Us"), unit: "x" },
      ratioGoal,
      options
    )
  ]
}

const latencyOf = async ({ tally }: Deposits, ms: number): Promise<Latency> => {
  const latency = new LatencyHistogram()
  tally.latency = latency
  await Bun.sleep(ms)
  tally.latency = undefined
  return { p50Us: latency.quantile(0.5), p99Us: latency.quantile(0.99) }
}

class Flood {
  private readonly counts: Array<number> = []
  private begun: (() => void) | undefined

  private constructor(private readonly child: Subprocess<"ignore", "pipe", "ignore">) {
    void this.read()
  }

  static async start(subject: Subject, flood: DepositOptions, options: CapacityOptions): Promise<Flood> {
    const request = JSON.stringify({ port: subject.port, options: flood })
    const program = join(import.meta.dir, "depositFlood.ts")
    const command = [...options.generatorPin, process.execPath, program, request]
    const started = new Flood(Bun.spawn(command, { stdio: ["ignore", "pipe", "ignore"] }))
    await new Promise<void>((resolve) => {
      started.begun = resolve
    })
    await Bun.sleep(options.quick ? 300 : 2000)
    return started
  }

  /** Ends it, and tells how many messages a second were stored at its best. */
  async stop(): Promise<number> {
    this.child.kill("SIGKILL")
    await this.child.exited
    await Bun.sleep(500)
    return Math.max(1, ...this.counts)
  }

  private async read(): Promise<void> {
    for await (const chunk of this.child.stdout) {
      this.counts.push(...Buffer.from(chunk).toString().trim().split("\n").map(Number))
      this.begun?.()
    }
  }
}

export const noisyNeighbourOnDisk: CapacityScenario = {
  kind: "capacity",
  name: "noisy-neighbour-disk",
  goal: "a tenant that floods the disk does not put its backlog before another's messages",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
