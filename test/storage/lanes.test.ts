/** Whose units are written next, and who has to wait because too much waits. */

import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import type { JournalUnit } from "../../src/storage/Journal.ts"
import { Lanes, type LanesOptions } from "../../src/storage/sqlite/Lanes.ts"
import type { WaitingUnit } from "../../src/storage/sqlite/WaitingUnits.ts"

/** What a unit of one record without a message weighs. */
const UNIT_BYTES = 96

const unitOf = (tenant: string, position: number, more: Partial<JournalUnit> = {}): JournalUnit => {
  const record: DurableRecord = { _tag: "Dequeue", tenant, clientId: "c", epoch: 1, position }
  return {
    ...{ records: [record], level: "os", mayWait: false, isRefusable: true, committed: () => undefined },
    ...more
  }
}

const make = (options: Partial<LanesOptions> = {}) =>
  new Lanes({
    waitingRecordsMax: 1000,
    waitingBytesMax: 1_000_000,
    quantumBytes: 10 * UNIT_BYTES,
    ...options
  })

const add = (
  lanes: Lanes,
  tenant: string,
  count: number,
  more: Partial<JournalUnit> = {},
  from = 0
): void => {
  for (let at = from; at < from + count; at++) lanes.weigh(lanes.add(unitOf(tenant, at, more)))
}

const positionsOf = (units: ReadonlyArray<WaitingUnit>, tenant: string): ReadonlyArray<number> =>
  units
    .filter(({ lane }) => lane.tenant === tenant)
    .flatMap(({ records }) => records.map((record) => ("position" in record ? record.position : -1)))

const batch = (lanes: Lanes, recordsMax = 100): ReadonlyArray<WaitingUnit> => {
  const units = lanes.take({ recordsMax, bytesMax: 1_000_000 })
  lanes.settled(units)
  lanes.ease()
  return units
}

describe("a batch", () => {
  for (const backlog of [100, 1000, 10_000, 50_000]) {
    test(`has what a tenant adds to ${backlog} units of another's, the next time`, () => {
      const lanes = make()
      add(lanes, "flood", backlog)
      batch(lanes)
      for (let round = 0; round < 5; round++) {
        add(lanes, "flood", 100, {}, backlog + 100 * round)
        add(lanes, "sparse", 3, {}, 3 * round)
        expect(positionsOf(batch(lanes), "sparse")).toEqual([3 * round, 3 * round + 1, 3 * round + 2])
      }
    })
  }

  test("is shared by weight, however small the units of one are and large those of another", () => {
    const lanes = make()
    add(lanes, "a", 5000, { weight: 3 })
    for (let at = 0; at < 1000; at++) {
      const records = Array.from({ length: 5 }, (_, n) => unitOf("b", 5 * at + n).records).flat()
      lanes.add(unitOf("b", 0, { records, weight: 1 }))
    }
    let [a, b] = [0, 0]
    for (let round = 0; round < 10; round++) {
      const units = batch(lanes, 1600)
      a += positionsOf(units, "a").length
      b += positionsOf(units, "b").length
    }
    expect(Math.abs(a / 3 - b)).toBeLessThanOrEqual(30)
    expect(a + b).toBeGreaterThan(3900)
  })

  test("is a quarter of what it may be while several tenants write, and for some after", () => {
    const lanes = make()
    add(lanes, "flood", 5000)
    const sizes = (count: number) => Array.from({ length: count }, () => batch(lanes).length)
    expect(sizes(2)).toEqual([100, 100])
    add(lanes, "other", 1)
    expect(sizes(32)).toEqual(Array(32).fill(25))
    expect(sizes(2)).toEqual([100, 100])
  })

  test("is all one tenant's when nobody else has anything", () => {
    const lanes = make()
    add(lanes, "a", 500)
    expect(positionsOf(batch(lanes, 300), "a")).toEqual(Array.from({ length: 300 }, (_, at) => at))
    expect(lanes.length).toBe(200)
  })

  test("has a unit that is larger than a batch may be, alone", () => {
    const lanes = make()
    const records = Array.from({ length: 50 }, (_, at) => unitOf("a", at).records).flat()
    lanes.add(unitOf("a", 0, { records }))
    add(lanes, "b", 1)
    expect(batch(lanes, 10).map(({ records }) => records.length)).toEqual([50])
    expect(batch(lanes, 10).map(({ lane }) => lane.tenant)).toEqual(["b"])
  })

  test("whatever comes and goes: order is kept within a tenant, and nothing is lost or written twice", () => {
    const step = fc.oneof(
      fc.record({
        tenant: fc.constantFrom("a", "b", "c"),
        count: fc.integer({ min: 1, max: 30 }),
        weight: fc.constantFrom(0.1, 1, 4)
      }),
      fc.constantFrom("take", "fail")
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const lanes = make({ quantumBytes: 3 * UNIT_BYTES })
        const added = new Map<string, number>()
        const written = new Map<string, Array<number>>()
        const write = (units: ReadonlyArray<WaitingUnit>) => {
          for (const tenant of ["a", "b", "c"]) {
            const all = written.get(tenant) ?? []
            written.set(tenant, [...all, ...positionsOf(units, tenant)])
          }
        }
        for (const each of steps) {
          if (typeof each === "object") {
            const from = added.get(each.tenant) ?? 0
            add(lanes, each.tenant, each.count, { weight: each.weight }, from)
            added.set(each.tenant, from + each.count)
          } else if (each === "take") write(batch(lanes, 20))
          else lanes.putBack(lanes.take({ recordsMax: 20, bytesMax: 1e6 }))
        }
        while (lanes.hasWaiting) write(batch(lanes, 20))
        for (const [tenant, count] of added) {
          expect(written.get(tenant)).toEqual(Array.from({ length: count }, (_, at) => at))
        }
        expect([lanes.length, lanes.records, lanes.bytes]).toEqual([0, 0, 0])
      }),
      { seed: 8, numRuns: 300 }
    )
  })
})

describe("when more waits than should", () => {
  test("whoever has more than its share is congested, and the others are not up to theirs", () => {
    const lanes = make({ waitingRecordsMax: 100 })
    add(lanes, "quiet", 5)
    add(lanes, "flood", 96)
    expect([lanes.isCongestedFor("flood"), lanes.isCongestedFor("quiet")]).toEqual([true, false])
    add(lanes, "quiet", 45, {}, 5)
    expect(lanes.isCongestedFor("quiet")).toBe(false)
    add(lanes, "quiet", 1, {}, 50)
    expect(lanes.isCongestedFor("quiet")).toBe(true)
    expect(lanes.isCongestedFor("nobody")).toBe(false)
  })

  test("shares go by weight", () => {
    const lanes = make({ waitingRecordsMax: 100 })
    add(lanes, "light", 10, { weight: 1 })
    add(lanes, "heavy", 91, { weight: 9 })
    expect([lanes.isCongestedFor("light"), lanes.isCongestedFor("heavy")]).toEqual([false, true])
    add(lanes, "light", 1, { weight: 1 }, 10)
    expect(lanes.isCongestedFor("light")).toBe(true)
  })

  test("who kept to its share before is congested as soon as the limit is passed by somebody else", () => {
    const lanes = make({ waitingRecordsMax: 100 })
    add(lanes, "a", 60)
    add(lanes, "b", 40)
    expect(lanes.isCongested).toBe(false)
    add(lanes, "b", 1, {}, 40)
    expect([lanes.isCongestedFor("a"), lanes.isCongestedFor("b")]).toEqual([true, false])
  })

  test("it goes on when half of its share is written, or of all", () => {
    const lanes = make({ waitingRecordsMax: 100 })
    add(lanes, "flood", 101)
    let relieved = 0
    lanes.whenRelieved("flood", () => relieved++)
    lanes.whenRelieved("other", () => relieved++)
    expect(relieved).toBe(1)
    batch(lanes, 50)
    expect([relieved, lanes.isCongestedFor("flood")]).toEqual([1, true])
    batch(lanes, 1)
    expect([relieved, lanes.isCongested]).toEqual([2, false])
  })

  test("however many tenants send whatever they may, what waits is bounded by twice the limit", () => {
    const lanes = make({ waitingRecordsMax: 1000 })
    for (let round = 0; round < 100; round++) {
      for (let tenant = 0; tenant < 50; tenant++) {
        for (let at = 0; at < 50 && !lanes.isCongestedFor(`${tenant}`); at++) {
          lanes.weigh(lanes.add(unitOf(`${tenant}`, at)))
        }
      }
      expect(lanes.records).toBeLessThanOrEqual(2000)
      batch(lanes, 100)
    }
    while (lanes.hasWaiting) batch(lanes, 100)
    expect(lanes.isCongested).toBe(false)
  })

  test("what is given up is the oldest of whoever has most for its weight", () => {
    const lanes = make({ waitingRecordsMax: 10 })
    add(lanes, "quiet", 1)
    add(lanes, "flood", 40)
    add(lanes, "paying", 20, { weight: 10 })
    const given = lanes.takeExcess()
    expect(new Set(given.map(({ lane }) => lane.tenant))).toEqual(new Set(["flood", "paying"]))
    expect(positionsOf(given, "flood").slice(0, 3)).toEqual([0, 1, 2])
    expect(lanes.records).toBe(20)
    expect(lanes.waitingOf("quiet")).toHaveLength(1)
  })
})

describe("units that may wait", () => {
  test("wait twice at most, leave with those of their session, and alone for whoever reads", () => {
    const lanes = make()
    add(lanes, "a", 2, { mayWait: true })
    add(lanes, "b", 1, { mayWait: true })
    expect(lanes.hasWaiting).toBe(false)
    expect(lanes.hastenAll("b")?.queued).toBe(1)
    expect(batch(lanes).map(({ lane }) => lane.tenant)).toEqual(["b"])
    lanes.release()
    expect(lanes.hasWaiting).toBe(false)
    lanes.release()
    expect([positionsOf(batch(lanes), "a"), lanes.isHolding]).toEqual([[0, 1], false])
  })
})
