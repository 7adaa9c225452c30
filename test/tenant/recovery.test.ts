/** Nobody waits for good and nothing leaks, whatever tenants, their clients and their services have done. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { leftOf, nothingLeft } from "./interference/recovery.ts"
import { traces } from "./interference/Trace.ts"

describe("[attack 27] when all trouble is over", () => {
  test("those who are there are answered, and nothing is left of those who go", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(traces({ withTime: true, times: [1, 1, 5, 20] }), async (steps) => {
        expect(await leftOf(steps)).toEqual(nothingLeft)
      }),
      { seed: Number(process.env.SEED ?? 20261119), numRuns: Number(process.env.RUNS ?? 10) }
    )
  }, 120_000)
})
