import { describe, expect, test } from "bun:test"
import { atLeast, atMost, fraction, type Goal, goalText, judge, times, verdictText, within } from "./goals.ts"
import { diskLine, rowLines, summaryLines } from "./report.ts"
import { resultText } from "./results.ts"
import { figuresOf, outcomeOf, resultOf, rowOf, sampleResult } from "./sample.ts"
import { quickScenarios, scenarios } from "./scenarios.ts"
import { median, pairedRatios, spread } from "./statistics.ts"
import { markdownTable } from "./table.ts"

describe("median and spread", () => {
  const cases: ReadonlyArray<readonly [values: ReadonlyArray<number>, median: number, spread: number]> = [
    [[], Number.NaN, 0],
    [[7], 7, 0],
    [[3, 1], 2, 1],
    [[10, 1, 2], 2, 4.5],
    [[4, 1, 3, 2], 2.5, 1.2],
    [[9, 10, 100], 10, 9.1]
  ]
  for (const [values, middle, width] of cases) {
    test(`of ${JSON.stringify(values)}`, () => {
      expect(median(values)).toEqual(middle)
      expect(spread(values)).toBeCloseTo(width, 12)
    })
  }

  test("leave their argument as it was", () => {
    const values = [3, 1, 2]
    median(values)
    spread(values)
    expect(values).toEqual([3, 1, 2])
  })
})

describe("paired ratios", () => {
  test("divide runs that were made together, not the medians", () => {
    const ratios = pairedRatios([1, 4, 2], [10, 20, 10])
    expect(ratios).toEqual([0.1, 0.2, 0.2])
    expect(median(ratios)).toBe(0.2)
  })

  test("leave out runs without a partner, and partners that measured nothing", () => {
    expect(pairedRatios([1, 2, 3], [2])).toEqual([0.5])
    expect(pairedRatios([1, 2], [0, 4])).toEqual([0.5])
    expect(pairedRatios([1], [])).toEqual([])
  })
})

describe("goals", () => {
  const ours = figuresOf({ cpuUs: [1, 1.2, 1.1], perSecond: [900, 1000, 1100] })
  const theirs = figuresOf({ cpuUs: [10, 10, 10], perSecond: [500, 500, 500] })
  const cases: ReadonlyArray<readonly [goal: Goal, met: boolean, value: number, text: string]> = [
    [within("cpuUs", 1 / 9), true, 0.11, "CPU <= 1/9 of mosquitto's"],
    [within("cpuUs", 0.12), true, 0.11, "CPU <= 0.12 of mosquitto's"],
    [within("cpuUs", 1 / 10), false, 0.11, "CPU <= 1/10 of mosquitto's"],
    [times("perSecond", 2), true, 2, "rate >= 2 times mosquitto's"],
    [times("perSecond", 3), false, 2, "rate >= 3 times mosquitto's"],
    [atMost("cpuUs", 1.1), true, 1.1, "CPU <= 1.10 µs"],
    [atMost("cpuUs", 1), false, 1.1, "CPU <= 1.00 µs"],
    [times("perSecond", 2, "heddle"), true, 2, "rate >= 2 times heddle's"],
    [atLeast("perSecond", 1000), true, 1000, "rate >= 1,000/s"],
    [atLeast("perSecond", 1001), false, 1000, "rate >= 1,001/s"]
  ]
  for (const [goal, met, value, text] of cases) {
    test(`${text}: ${met ? "met" : "not met"}`, () => {
      const verdict = judge(goal, ours, theirs)
      expect(verdict.met).toBe(met)
      expect(verdict.value).toBeCloseTo(value, 12)
      expect(goalText(goal)).toBe(text)
      expect(verdictText(verdict)).toEndWith(met ? ": met" : ": NOT met")
    })
  }

  test("relative ones are not judged without the yardstick, absolute ones are", () => {
    const relative = judge(within("cpuUs", 1), ours, undefined)
    expect(relative).toMatchObject({ met: null, value: null })
    expect(verdictText(relative)).toBe("not judged")
    expect(judge(atMost("cpuUs", 2), ours, undefined).met).toBe(true)
  })

  test("nothing measured is nothing met", () => {
    expect(judge(atMost("cpuUs", 2), figuresOf({}), undefined).met).toBeNull()
  })

  test("are written as fractions where they are simple ones", () => {
    expect([1 / 12, 0.4, 1, 0.16667].map(fraction)).toEqual(["1/12", "0.4", "1", "1/6"])
  })
})

describe("the report", () => {
  test("says who failed and goes on", () => {
    const lines = rowLines(
      rowOf("row", [
        outcomeOf("heddle", [1]),
        outcomeOf("mosquitto", [4]),
        outcomeOf("aedes", [], "CONNACK 1")
      ])
    ).join("\n")
    expect(lines).toContain("aedes failed: CONNACK 1")
    expect(lines).toContain("heddle in mosquitto's: 4.0x the rate, 0.25x the CPU for each")
    expect(lines).not.toContain("heddle in aedes's")
  })

  test("says who did not reach the rate that was offered", () => {
    const row = {
      ...rowOf("open", [outcomeOf("heddle", [1]), outcomeOf("mosquitto", [4])]),
      offeredPerSecond: 1e6
    }
    const [ours = "", theirs = ""] = rowLines(row)
    expect(ours).not.toContain("delivers only")
    expect(theirs).toContain("delivers only 25% of the rate offered")
  })

  test("says what storing took, and what it adds to latency", () => {
    const withStorage = (broker: string, ackP50Us: number, fsyncs: number) => ({
      ...outcomeOf(broker, [5]),
      figures: figuresOf({
        ...{ cpuUs: [5], perSecond: [1000], p50Us: [100], p99Us: [200] },
        ...{ ackP50Us: [ackP50Us], ackP99Us: [9000], elided: [0.75] },
        ...{ commitsPerSecond: [2 * fsyncs], fsyncsPerSecond: [fsyncs] }
      })
    })
    const outcomes = [withStorage("heddle/disk", 3500, 20), withStorage("heddle", 1000, 0)]
    const row = { ...rowOf("row", outcomes), group: "storage", offeredPerSecond: 1000 }
    const lines = rowLines(row).map((line) => line.trim())
    expect(lines).toContain(
      "acknowledged p50 3.50 ms, p99 9.00 ms; 40 commits/s, 20 fsyncs/s, 75% not written"
    )
    expect(lines).toContain("acknowledged p50 1.00 ms, p99 9.00 ms")
    expect(lines).toContain(
      "adds to acknowledgement: p50 2.50 ms, p99 0.00 ms; to delivery: p50 0.00 ms, p99 0.00 ms"
    )
  })

  test("says what an fsync takes, and doubts one that takes nothing", () => {
    const disk = { filesystem: "ext4 (/dev/sda)", fsyncP50Us: 1200, fsyncP99Us: 12_000 }
    expect(diskLine(disk)).toBe("fsync on ext4 (/dev/sda): p50 1.20 ms, p99 12.0 ms")
    expect(diskLine({ ...disk, fsyncP50Us: 2 })).toEndWith("; that is no disk: name one with --data")
  })

  test("counts goals and names those that were missed", () => {
    const [count, ...missed] = summaryLines(sampleResult)
    expect(count).toBe("1 of 2 goals met; not met:")
    expect(missed).toEqual(["  bad: CPU <= 1 of mosquitto's: 1.5: NOT met"])
  })

  test("counts capacity rows as well", () => {
    const rows = [
      { label: "memory", value: 500, unit: "MB", goal: "<= 400 MB", met: false },
      { label: "added", value: 3e5, unit: "/s", goal: ">= 200,000/s", met: true },
      { label: "nodes", value: 7, unit: "" }
    ]
    const capacity = [{ name: "subscriptions", goal: "many", rows, failure: null }]
    expect(summaryLines({ ...resultOf([]), capacity })).toEqual([
      "1 of 2 goals met; not met:",
      "  subscriptions, memory: 500 MB (<= 400 MB)"
    ])
  })
})

describe("the result as text", () => {
  test("is JSON of the same values, with the runs of a figure in one line", () => {
    const text = resultText(sampleResult)
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(sampleResult, roundedLike)))
    expect(text).toContain('"cpuUs": [10, 8, 10]')
  })
})

const roundedLike = (_key: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value

describe("the table", () => {
  test("has a column for each broker that was measured, and says who failed", () => {
    const row = rowOf("p2p-q0", [outcomeOf("heddle", [1, 2, 4]), outcomeOf("mosquitto", [9], "it fell over")])
    expect(markdownTable(resultOf([row]))).toBe(
      [
        "|  | heddle 0.1.0 | mosquitto 2.0.11 |",
        "| --- | --- | --- |",
        "| Messages a second, 50 to 50, QoS 0 | 500,000 | failed |",
        ""
      ].join("\n")
    )
  })
})

describe("scenarios", () => {
  test("whose goals are relative to a broker have that broker among their contenders", () => {
    const missing = scenarios.filter(({ contenders, goals }) =>
      goals.some(({ peer }) => peer !== undefined && contenders?.includes(peer) !== true)
    )
    expect(missing).toEqual([])
  })

  test("have names of their own", () => {
    const names = scenarios.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
  })

  test("the quick ones are among them", () => {
    const names = new Set(scenarios.map(({ name }) => name))
    expect(quickScenarios.length).toBe(8)
    expect(quickScenarios.filter(({ name }) => !names.has(name))).toEqual([])
  })
})
