import { heapStats } from "bun:jsc"
import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { Fifo } from "../../src/actor/Fifo.ts"

type Step = { readonly _tag: "push" | "shift"; readonly count: number } | { readonly _tag: "clear" }

// Runs of pushes and shifts, some longer than the 512 slots at which the consumed front is cut off.
const count = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 200, max: 1_500 }))
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ _tag: fc.constant("push" as const), count }) },
  { weight: 5, arbitrary: fc.record({ _tag: fc.constant("shift" as const), count }) },
  { weight: 1, arbitrary: fc.constant({ _tag: "clear" as const }) }
)

describe("Fifo", () => {
  test("behaves as an array that is pushed to and shifted from", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const fifo = new Fifo<number>()
        let model: Array<number> = []
        let next = 0
        for (const step of steps) {
          if (step._tag === "clear") {
            fifo.clear()
            model = []
          } else if (step._tag === "push") {
            for (let i = 0; i < step.count; i++) {
              fifo.push(next)
              model.push(next++)
            }
          } else {
            for (let i = 0; i < step.count; i++) expect(fifo.shift()).toBe(model.shift())
          }
          expect(fifo.length).toBe(model.length)
          expect(fifo.peek()).toBe(model[0])
        }
      }),
      { seed: 1, numRuns: 60 }
    )
  })

  test("falsy elements are elements", () => {
    const fifo = new Fifo<number | string | boolean | null>()
    const elements = [0, "", false, null]
    for (const element of elements) fifo.push(element)
    for (const element of elements) expect(fifo.shift()).toBe(element)
    expect(fifo.shift()).toBeUndefined()
  })

  test("a queue that never runs empty does not keep what was taken", () => {
    const fifo = new Fifo<object>()
    const taken: Array<WeakRef<object>> = []
    fifo.push({})
    for (let i = 0; i < 2_000; i++) {
      fifo.push({})
      const object = fifo.shift()
      if (object !== undefined) taken.push(new WeakRef(object))
    }
    Bun.gc(true)
    // The last ones may still stand on the stack of this function.
    expect(taken.slice(0, 1_900).filter((ref) => ref.deref() !== undefined).length).toBeLessThan(20)
    expect(fifo.length).toBe(1)
  })

  test("a queue that never runs empty does not grow with what went through it", () => {
    const fifo = new Fifo<number>()
    fifo.push(0)
    Bun.gc(true)
    const before = heapStats().heapSize
    for (let i = 1; i < 2_000_000; i++) {
      fifo.push(i)
      fifo.shift()
    }
    Bun.gc(true)
    expect(heapStats().heapSize - before).toBeLessThan(4 << 20)
    expect(fifo.peek()).toBe(1_999_999)
  })
})
