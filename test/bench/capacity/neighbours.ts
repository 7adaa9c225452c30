/**
 * The latency of one tenant beside another that floods.
 *
 * The quiet tenant sends 1,000 messages a second over ten connections, whatever happens. The other sends as
 * fast as the broker lets it, over twenty connections or over one, in a process that gives way to that of the
 * quiet one. Three latencies are taken in turn: alone, beside half of what the flood was, beside the flood.
 *
 * Judged is what flooding adds: p99 beside the flood against p99 beside half of it. A broker that is at work
 * has pauses that an idle one has not (1.1 ms for a collection of the young generation, forty a second at two
 * million messages a second); against an idle broker the figure stands beside it. Once more with a quiet
 * tenant that has four times the weight.
 */

import { setPriority } from "node:os"
import { join } from "node:path"
import type { Subprocess } from "bun"
import { LatencyHistogram } from "../LatencyHistogram.ts"
import { Rota } from "../LoadClient.ts"
import { median } from "../statistics.ts"
import { connectAll, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, limited, type Measure } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const ratioGoal = 2

const flowsOf = (tenant: string, count: number, flow: Pick<FlowOptions, "window" | "rate">) =>
  Array.from({ length: count }, (_, index): FlowOptions => {
    const topic = `flow/${index}`
    return { tenant, name: `${index}`, qos: 0, topics: [topic], filter: topic, payloadBytes: 64, ...flow }
  })

const measure: Measure = async (options) => {
  // Where that is allowed: the probe must not wait for the processor of the flood's generator.
  tryToHurry()
  const subject = await Subject.start({ pin: options.brokerPin })
  const rows: Array<CapacityRow> = []
  for (const weight of [1, 4]) {
    const quiet = new Traffic(new Rota(), flowsOf(`quiet*${weight}`, 10, { window: 1000, rate: 100 }))
    await connectAll(quiet.clients, subject.port)
    quiet.start()
    await Bun.sleep(options.quick ? 100 : 1000)
    rows.push(...(await beside({ subject, quiet, weight, connections: 20, window: 1000 }, options)))
    if (weight === 1) {
      rows.push(...(await beside({ subject, quiet, weight, connections: 1, window: 10_000 }, options)))
    }
    await quiet.stop()
    await leaveAll(quiet.clients)
  }
  await subject.stop()
  return rows
}

const tryToHurry = (): void => {
  try {
    setPriority(-10)
  } catch {
    return
  }
}

interface Neighbours {
  readonly subject: Subject
  readonly quiet: Traffic
  /** The quiet tenant's share for each of the other's. */
  readonly weight: number
  /** Of the tenant that floods. */
  readonly connections: number
  readonly window: number
}

interface Latency {
  readonly p50Us: number
  readonly p99Us: number
}

const beside = async (
  neighbours: Neighbours,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const { connections, quiet, weight, window } = neighbours
  const ms = options.quick ? 300 : 2000
  const alone: Array<Latency> = []
  const half: Array<Latency> = []
  const flooded: Array<Latency> = []
  const rates: Array<number> = []
  for (let round = 0; round < (options.quick ? 1 : 2); round++) {
    alone.push(await latencyOf(quiet, ms))
    const flood = await Flood.start(neighbours, { window, rate: 0 }, options)
    flooded.push(await latencyOf(quiet, ms))
    rates.push(await flood.stop())
    const rate = median(rates) / 2 / connections
    const busy = await Flood.start(neighbours, { window, rate }, options)
    half.push(await latencyOf(quiet, ms))
    await busy.stop()
  }
  const name = `a flood over ${connections}, weights ${weight}:1:`
  const row = (label: string, value: number, unit: string) => ({ label: `${name} ${label}`, value, unit })
  const of = (latencies: ReadonlyArray<Latency>, key: keyof Latency) =>
    median(latencies.map((latency) => latency[key]))
  return [
    row("messages of the flood", median(rates), "/s"),
    row("p50 alone", of(alone, "p50Us"), "µs"),
    row("p50 beside half of it", of(half, "p50Us"), "µs"),
    row("p50 beside it", of(flooded, "p50Us"), "µs"),
    row("p99 alone", of(alone, "p99Us"), "µs"),
    row("p99 beside half of it", of(half, "p99Us"), "µs"),
    row("p99 beside it", of(flooded, "p99Us"), "µs"),
    row("p99 beside it, against alone", of(flooded, "p99Us") / of(alone, "p99Us"), "x"),
    limited(
      row("p99 beside it, against half", of(flooded, "p99Us") / of(half, "p99Us"), "x"),
      ratioGoal,
      options
    )
  ]
}

const latencyOf = async (traffic: Traffic, ms: number): Promise<Latency> => {
  const latency = new LatencyHistogram()
  traffic.tally.latency = latency
  await Bun.sleep(ms)
  traffic.tally.latency = undefined
  return { p50Us: latency.quantile(0.5), p99Us: latency.quantile(0.99) }
}

class Flood {
  private text = ""

  private constructor(private readonly child: Subprocess<"ignore", "pipe", "ignore">) {
    void this.read()
  }

  static async start(
    { connections, subject }: Neighbours,
    flow: Pick<FlowOptions, "window" | "rate">,
    options: CapacityOptions
  ): Promise<Flood> {
    const request = JSON.stringify({ port: subject.port, flows: flowsOf("flood", connections, flow) })
    const command = [...options.generatorPin, process.execPath, join(import.meta.dir, "flood.ts"), request]
    const flood = new Flood(Bun.spawn(command, { stdio: ["ignore", "pipe", "ignore"] }))
    // Its own code has to be compiled before it is at its best.
    await Bun.sleep(options.quick ? 1500 : 2200)
    return flood
  }

  /** Ends it, and tells how many messages a second it had at its best. */
  async stop(): Promise<number> {
    this.child.kill("SIGKILL")
    await this.child.exited
    await Bun.sleep(200)
    return Math.max(0, ...this.text.trim().split("\n").map(Number))
  }

  private async read(): Promise<void> {
    for await (const chunk of this.child.stdout) this.text += Buffer.from(chunk).toString()
  }
}

export const noisyNeighbour: CapacityScenario = {
  kind: "capacity",
  name: "noisy-neighbour",
  goal: "a tenant that floods costs another at most twice its p99 beside half of the flood",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
