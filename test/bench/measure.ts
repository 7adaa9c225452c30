/**
 * Runs a scenario on every broker: a broker and a generator of its own for each run, so that no run lives
 * with what another left.
 *
 * The brokers take turns within a repetition (ours, theirs, ours, theirs), so that what else the machine does
 * falls on all of them. A broker that fails a scenario is not asked again; the others go on.
 */

import { join } from "node:path"
import { type BrokerKind, tlsProblem } from "./brokers.ts"
import { generate } from "./generate.ts"
import { type Figures, figureNames, judge, yardstick } from "./goals.ts"
import type { LoadRequest, LoadResult } from "./load.ts"
import type { Pins } from "./machine.ts"
import type { Outcome, Row } from "./results.ts"
import type { HalfScenario, LoadScenario, MessageScenario, Scenario } from "./scenarios.ts"
import { median } from "./statistics.ts"
import { copiesOf } from "./traffic.ts"

export interface Plan {
  readonly repeat: number
  readonly seconds: number
  readonly pins: Pins
}

const warmSeconds = 1
/** A generator that takes longer than its time and this has lost its broker. */
const graceSeconds = 45

/**
 * Of clients that stay, to one address. Linux takes even ports first and has 14,000 of them; looking for an
 * odd one when they are gone costs a generator a millisecond each.
 */
const clientsOfAddressMax = 10_000

const program = join(import.meta.dir, "load.ts")

const addressesFor = (scenario: LoadScenario): ReadonlyArray<string> => {
  const needed = scenario.kind === "idle" ? Math.ceil(scenario.clients / clientsOfAddressMax) : 1
  return Array.from({ length: needed }, (_, index) => `127.0.0.${index + 1}`)
}

const runOnce = async (scenario: LoadScenario, broker: BrokerKind, plan: Plan): Promise<LoadResult> => {
  const { pins, seconds } = plan
  const tls = scenario.kind !== "messages" && scenario.tls
  const addresses = addressesFor(scenario)
  const { countersPort, pid, port, stop } = await broker.start({ pin: pins.broker, tls, addresses })
  try {
    const request: LoadRequest = { scenario, port, addresses, pid, countersPort, seconds, warmSeconds }
    const timeoutMs = (seconds + warmSeconds + graceSeconds) * 1000
    return (await generate({ program, request, pin: pins.generator, timeoutMs })) as LoadResult
  } finally {
    await stop()
  }
}

/** The runs of one scenario on one broker. */
class Runs {
  private readonly results: Array<LoadResult> = []
  private failure: string | undefined

  constructor(
    private readonly scenario: LoadScenario,
    private readonly broker: BrokerKind
  ) {}

  async next(plan: Plan): Promise<void> {
    const isEnough = this.broker.orientation && this.results.length > 0
    if (isEnough || this.failure !== undefined) return
    try {
      const result = await runOnce(this.scenario, this.broker, plan)
      this.results.push(result)
      this.failure = failureOf(this.scenario, result)
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error)
    }
  }

  get outcome(): Outcome {
    const entries = figureNames.map((name) => [name, this.results.map((result) => result[name])] as const)
    const figures = Object.fromEntries(entries) as unknown as Figures
    return { broker: this.broker.name, figures, failure: this.failure ?? null }
  }
}

/** An open loop at QoS 0 may be more than a broker can take; nothing else may be lost. */
const failureOf = (scenario: LoadScenario, result: LoadResult): string | undefined => {
  if (scenario.kind !== "messages") return undefined
  const mayLose = scenario.rate > 0 && scenario.qos === 0
  const { duplicated, lost, perSecond, reordered } = result
  if (perSecond === 0) return "nothing was delivered"
  if (lost > 0 && !mayLose) return `${lost} messages were lost`
  if (duplicated > 0) return `${duplicated} messages came twice`
  if (reordered > 0) return `${reordered} messages came out of order`
  return undefined
}

const measureLoad = async (
  scenario: LoadScenario,
  brokers: ReadonlyArray<BrokerKind>,
  plan: Plan
): Promise<Row> => {
  const runs = brokers.map((broker) => new Runs(scenario, broker))
  for (let repetition = 0; repetition < plan.repeat; repetition++) {
    for (const each of runs) await each.next(plan)
  }
  const outcomes = runs.map(({ outcome }) => outcome)
  const isMessages = scenario.kind === "messages"
  return {
    name: scenario.name,
    group: scenario.group,
    title: scenario.title,
    kind: scenario.kind,
    payloadBytes: isMessages ? scenario.payloadBytes : 0,
    offeredPerSecond: isMessages ? scenario.publishers * scenario.rate * copiesOf(scenario) : 0,
    outcomes,
    verdicts: verdictsOf(scenario, outcomes)
  }
}

const verdictsOf = ({ goals }: LoadScenario, outcomes: ReadonlyArray<Outcome>): Row["verdicts"] => {
  const [ours] = outcomes
  const figuresOf = (name: string) => outcomes.find(({ broker }) => broker === name)?.figures
  return ours === undefined
    ? []
    : goals.map((goal) => judge(goal, ours.figures, figuresOf(goal.peer ?? yardstick)))
}

const measureHalf = async (
  scenario: HalfScenario,
  brokers: ReadonlyArray<BrokerKind>,
  plan: Plan
): Promise<ReadonlyArray<Row>> => {
  const [first] = brokers
  const isOfFirst = scenario.contenders !== undefined
  const askedForRate = isOfFirst ? brokers.slice(0, 1) : brokers
  const closed = await measureLoad({ ...scenario.of, goals: [] }, askedForRate, { ...plan, repeat: 1 })
  const rows: Array<Row> = []
  for (const outcome of closed.outcomes) {
    const { broker, failure, figures } = outcome
    const name = isOfFirst ? scenario.name : `${scenario.name}@${broker}`
    if (failure !== null) {
      rows.push({ ...closed, name, group: scenario.group, outcomes: [outcome] })
      continue
    }
    const saturation = median(figures.perSecond)
    const isOurs = broker === first?.name
    const at = (saturation / 2).toFixed(0)
    const open: MessageScenario = {
      ...scenario.of,
      name,
      group: scenario.group,
      title: `${scenario.of.title}, at half of ${broker}'s closed loop: ${at}/s`,
      rate: saturation / 2 / (scenario.of.publishers * copiesOf(scenario.of)),
      // Unlike a closed loop's, this window must not be what holds the rate back.
      window: 1000,
      isInStep: false,
      // What is promised is promised at our own rate; at a peer's it is told.
      goals: isOurs ? scenario.goals : []
    }
    const contenders = isOurs ? brokers : brokers.filter((each) => each === first || each.name === broker)
    rows.push(await measureLoad(open, contenders, plan))
  }
  return rows
}

/** Usually one row; none where the machine lacks what the scenario needs. */
export const measureScenario = async (
  scenario: Scenario,
  brokers: ReadonlyArray<BrokerKind>,
  plan: Plan
): Promise<ReadonlyArray<Row>> => {
  if (scenario.kind === "half") return measureHalf(scenario, brokers, plan)
  if (scenario.kind !== "messages" && scenario.tls && tlsProblem !== undefined) {
    console.log(`${scenario.name}: not measured, ${tlsProblem}`)
    return []
  }
  return [await measureLoad(scenario, brokers, plan)]
}
