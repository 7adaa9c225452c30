/**
 * Whatever a tenant and its clients do, another tenant's clients see what they would see without them: the
 * same bytes on every connection, the same events, counters, holdings and numbers below `$SYS`.
 *
 * A trace of both is played twice, once without the one tenant's part.
 */

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { type Step, type TraceOptions, traces } from "./interference/Trace.ts"
import { type Stage, seenOf } from "./interference/World.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-interference-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const withoutA = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
  steps.filter((step) => step._tag === "Time" || (step._tag === "Client" && step.tenant === "b"))

interface Play extends TraceOptions {
  readonly runs: number
  readonly stage: () => Stage
}

const isUndisturbed = ({ runs, stage, times, withTime }: Play): Promise<void> =>
  FastCheck.assert(
    FastCheck.asyncProperty(traces({ withTime, times }), async (steps) => {
      const beside = await seenOf(steps, stage())
      const alone = await seenOf(withoutA(steps), stage())
      expect(beside).toEqual(alone)
    }),
    // What takes seconds is not played again and again to be made smaller.
    {
      seed: Number(process.env.SEED ?? 20261118),
      numRuns: Number(process.env.RUNS ?? runs),
      endOnFailure: !withTime
    }
  )

describe("[attack 35] a tenant sees nothing of what another one does, or what is done to it", () => {
  test(
    "over memory",
    () => isUndisturbed({ withTime: true, times: [1, 1, 5, 20], runs: 10, stage: () => ({}) }),
    120_000
  )

  let databases = 0
  const onDisk = (): Stage => {
    const path = join(directory, String(databases++))
    return { storage: Layer.orDie(layerSqlite({ path })), isRealTime: true }
  }

  // How many messages are stored together is a matter of time; so it is one.
  test("over SQLite", () => isUndisturbed({ withTime: false, times: [1], runs: 2, stage: onDisk }), 120_000)
})
