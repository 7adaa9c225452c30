/** A short run of the fuzzer with every test run; `bun test/fuzz/decoder.ts` does long ones. */

import { describe, expect, test } from "bun:test"
import { fuzz } from "./decoder.ts"

describe("decoder fuzz", () => {
  for (const seed of [1, 2]) {
    test(`10,000 mutated streams, seed ${seed}`, () => {
      const { accepted, failure, refused } = fuzz({ seed, rounds: 10_000 })
      expect(failure).toBeUndefined()
      expect(accepted).toBeGreaterThan(1000)
      expect(refused).toBeGreaterThan(1000)
    })
  }
})
