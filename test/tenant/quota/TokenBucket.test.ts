import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { Rate, TokenBucket } from "../../../src/tenant/quota/TokenBucket.ts"

const START_MS = 1_800_000_000_000

const bucketOf = (perSecond: number, burstSeconds = 2): TokenBucket => {
  const rate = new Rate("publishRate")
  rate.set(perSecond, burstSeconds)
  return new TokenBucket(rate)
}

describe("a token bucket", () => {
  test("is full at first, and one that is not limited never empty", () => {
    const limited = bucketOf(10)
    limited.take(20, START_MS)
    expect(limited.isInDebt(START_MS)).toBe(false)
    const unlimited = bucketOf(0)
    unlimited.take(1e9, START_MS)
    expect(unlimited.isInDebt(START_MS)).toBe(false)
    expect(unlimited.readyAtMs(START_MS)).toBe(START_MS)
  })

  test("is out of debt when what was taken too much has accrued", () => {
    const bucket = bucketOf(10)
    bucket.take(25, START_MS)
    expect(bucket.isInDebt(START_MS)).toBe(true)
    expect(bucket.readyAtMs(START_MS)).toBe(START_MS + 500)
    expect(bucket.isInDebt(START_MS + 499)).toBe(true)
    expect(bucket.isInDebt(START_MS + 500)).toBe(false)
  })

  test("holds no more than its burst after a long rest", () => {
    const bucket = bucketOf(10)
    bucket.take(20, START_MS)
    bucket.take(21, START_MS + 1_000_000)
    expect(bucket.readyAtMs(START_MS + 1_000_000)).toBe(START_MS + 1_000_100)
  })

  test("feels a change of its rate at once", () => {
    const bucket = bucketOf(10)
    bucket.take(30, START_MS)
    expect(bucket.readyAtMs(START_MS)).toBe(START_MS + 1000)
    bucket.rate.set(100, 2)
    expect(bucket.readyAtMs(START_MS)).toBe(START_MS + 100)
    bucket.rate.set(0, 2)
    expect(bucket.isInDebt(START_MS)).toBe(false)
  })

  test("gains nothing from a clock that is set back", () => {
    const bucket = bucketOf(10)
    bucket.take(30, START_MS)
    expect(bucket.readyAtMs(START_MS - 60_000)).toBe(START_MS - 59_000)
  })

  const passage = FastCheck.record({
    afterMs: FastCheck.integer({ min: 0, max: 3000 }),
    tokens: FastCheck.integer({ min: 1, max: 50 })
  })

  test("no more passes in any time than burst, rate by time and one message", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 100 }),
        FastCheck.integer({ min: 1, max: 5 }),
        FastCheck.array(passage, { maxLength: 60 }),
        (perSecond, burstSeconds, passages) => {
          const bucket = bucketOf(perSecond, burstSeconds)
          const passed: Array<readonly [atMs: number, tokens: number]> = []
          let nowMs = START_MS
          for (const { afterMs, tokens } of passages) {
            nowMs += afterMs
            if (bucket.isInDebt(nowMs)) {
              // Who waits as long as he is told passes then, and not a millisecond earlier.
              const readyAtMs = bucket.readyAtMs(nowMs)
              expect(bucket.isInDebt(readyAtMs - 1)).toBe(true)
              nowMs = readyAtMs
            }
            expect(bucket.isInDebt(nowMs)).toBe(false)
            bucket.take(tokens, nowMs)
            passed.push([nowMs, tokens])
          }
          for (const [first, [fromMs]] of passed.entries()) {
            let sum = 0
            for (const [atMs, tokens] of passed.slice(first)) {
              // The last one may overdraw by itself.
              expect(sum).toBeLessThanOrEqual(perSecond * (burstSeconds + (atMs - fromMs) / 1000) + 0.01)
              sum += tokens
            }
          }
        }
      ),
      { seed: 1, numRuns: 300 }
    )
  })
})
