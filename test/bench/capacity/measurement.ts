/** What the measurements of this folder share: their process, their rows, and costs side by side. */

import { generate } from "../generate.ts"
import { median } from "../statistics.ts"
import type { Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow } from "./list.ts"
import type { Subject } from "./Subject.ts"

export type Measure = (options: CapacityOptions) => Promise<ReadonlyArray<CapacityRow>>

const timeoutMs = 300_000

/** Runs a file of this folder in a process of its own, on the generator's processor: see `answer`. */
export const apart =
  (program: string): Measure =>
  async (options) =>
    (await generate({
      program,
      request: options,
      pin: options.generatorPin,
      timeoutMs
    })) as ReadonlyArray<CapacityRow>

/** What such a file does when it is run by itself: measures, prints its rows, and ends. */
export const answer = async (measure: Measure): Promise<never> => {
  const asked = JSON.parse(process.argv[2] ?? "{}") as Partial<CapacityOptions>
  const here = { quick: false, brokerPin: [], generatorPin: [], dataDirectory: "." }
  process.stdout.write(`${JSON.stringify(await measure({ ...here, ...asked }))}\n`)
  process.exit(0)
}

export const megabytes = (bytes: number): number => bytes / 2 ** 20

/** A row with an upper limit, judged unless the measurement is only tried out. */
export const limited = (row: CapacityRow, limit: number, { quick }: CapacityOptions): CapacityRow => ({
  ...row,
  goal: `<= ${limit} ${row.unit}`,
  ...(!quick && { met: row.value <= limit })
})

/** One side of a comparison. */
export interface Side {
  readonly subject: Subject
  readonly traffic: Traffic
}

export interface Cost {
  /** Microseconds of the broker's processor for each message delivered. */
  readonly cpuUs: number
  readonly perSecond: number
}

/**
 * What a message costs on each side: medians of runs in turn, so that what disturbs the machine disturbs all.
 * The first of each is not counted.
 */
export const costsInTurn = async (
  sides: ReadonlyArray<Side>,
  rounds: number,
  seconds: number
): Promise<ReadonlyArray<Cost>> => {
  const runs: ReadonlyArray<Array<Cost>> = sides.map(() => [])
  for (let round = 0; round <= rounds; round++) {
    for (const [index, side] of sides.entries()) {
      const cost = await costOf(side, seconds)
      if (round > 0) runs[index]?.push(cost)
    }
  }
  return runs.map((costs) => ({
    cpuUs: median(costs.map(({ cpuUs }) => cpuUs)),
    perSecond: median(costs.map(({ perSecond }) => perSecond))
  }))
}

const costOf = async ({ subject, traffic }: Side, seconds: number): Promise<Cost> => {
  traffic.start()
  await Bun.sleep(250)
  const before = { cpuUs: subject.usage.cpuUs, count: traffic.tally.received, ns: Bun.nanoseconds() }
  await Bun.sleep(seconds * 1000)
  const cpuUs = subject.usage.cpuUs - before.cpuUs
  const count = traffic.tally.received - before.count
  const elapsed = (Bun.nanoseconds() - before.ns) / 1e9
  await traffic.stop()
  if (count === 0) throw new Error("nothing was delivered")
  return { cpuUs: cpuUs / count, perSecond: count / elapsed }
}
