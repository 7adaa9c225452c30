/** Small results for tests: rows with the figures that matter, and nothing measured. */

import { type Figures, figureNames, type Goal, judge, within, yardstick } from "./goals.ts"
import type { BenchResult, Outcome, Row } from "./results.ts"

export const figuresOf = (some: Partial<Figures>): Figures => {
  const none = Object.fromEntries(figureNames.map((name) => [name, []])) as unknown as Figures
  return { ...none, ...some }
}

export const outcomeOf = (broker: string, cpuUs: ReadonlyArray<number>, failure?: string): Outcome => ({
  broker,
  figures: figuresOf({ cpuUs, perSecond: cpuUs.map((us) => 1e6 / us) }),
  failure: failure ?? null
})

export const rowOf = (name: string, outcomes: ReadonlyArray<Outcome>, goal?: Goal): Row => {
  const ours = outcomes[0]?.figures ?? figuresOf({})
  const theirs = outcomes.find(({ broker }) => broker === yardstick)?.figures
  return {
    name,
    group: "group",
    title: `the row ${name}`,
    kind: "messages",
    payloadBytes: 64,
    offeredPerSecond: 0,
    outcomes,
    verdicts: goal === undefined ? [] : [judge(goal, ours, theirs)]
  }
}

export const resultOf = (rows: ReadonlyArray<Row>): BenchResult => ({
  format: 1,
  date: "2026-11-22",
  machine: {
    cpu: "A & B <processor>",
    cores: 2,
    memoryGB: 24,
    kernel: "6.18",
    platform: "linux x64",
    pinned: "broker and generator on one processor each"
  },
  versions: [
    { name: "heddle", version: "0.1.0" },
    { name: "mosquitto", version: "2.0.11" },
    { name: "aedes", version: "1.2.0" }
  ],
  repeat: 3,
  seconds: 2,
  rows,
  capacity: []
})

export const sampleResult: BenchResult = resultOf([
  rowOf(
    "good",
    [outcomeOf("heddle", [1, 1, 1]), outcomeOf("mosquitto", [10, 8, 10]), outcomeOf("aedes", [20])],
    within("cpuUs", 1 / 6)
  ),
  rowOf("bad", [outcomeOf("heddle", [15]), outcomeOf("mosquitto", [10])], within("cpuUs", 1)),
  rowOf("broken", [outcomeOf("heddle", [1]), outcomeOf("mosquitto", [10], "it fell over")]),
  rowOf("half-q0@heddle", [outcomeOf("heddle", [1]), outcomeOf("mosquitto", [10])])
])
