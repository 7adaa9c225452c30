#!/usr/bin/env bun
/**
 * The crash test: a broker in a process of its own is killed while clients of every kind use it, and started
 * again over what it left, again and again; then nothing may be missing.
 *
 *     bun run crash [--rounds 50] [--seed N] [--seconds-per-round 1] [--level os|disk] [--power-cut]
 *
 * With `--power-cut` what was not synced is lost as well, and the level is `disk`.
 * Ends with 1 on any violation, and tells each with what the clients saw of it. What is done when follows
 * from the seed; what the broker makes of it also depends on how fast it is.
 */

import { parseArgs } from "node:util"
import { crash } from "./crash.ts"
import { PowerCut, whyNot } from "./PowerCut.ts"
import { summary, syncs } from "./summary.ts"

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "50" },
      seed: { type: "string", default: String(crypto.getRandomValues(new Uint16Array(1))[0]) },
      "seconds-per-round": { type: "string", default: "1" },
      level: { type: "string" },
      "power-cut": { type: "boolean", default: false }
    }
  })
  const seed = Number(values.seed)
  const isCut = values["power-cut"]
  const level = isCut || values.level === "disk" ? "disk" : values.level === "os" ? "os" : undefined
  if (isCut && whyNot !== undefined) {
    console.log(whyNot)
    return 1
  }
  const disk = isCut ? new PowerCut({ isDeaf: false }) : undefined
  console.log(`crash: ${values.rounds} rounds, seed ${seed}`)
  const report = await crash({
    rounds: Number(values.rounds),
    seed,
    secondsPerRound: Number(values["seconds-per-round"]),
    ...(level !== undefined && { level }),
    ...(disk !== undefined && { disk }),
    progress: (line) => console.log(line)
  })
  console.log(summary(report, seed))
  if (disk !== undefined) console.log(syncs(report, disk))
  disk?.remove()
  return report.log.violations.length === 0 ? 0 : 1
}

if (import.meta.main) process.exit(await main())
