/**
 * The soak test: thousands of clients over TCP that come, go, roam and are cut off, and a broker that must be
 * right all the time and empty at the end.
 *
 *     bun run soak [--seconds 60] [--clients 2000] [--seed N] [--transport tcp|memory]
 *
 * Ends with 1 on any violation. The seed is printed, to do the same again.
 */

import { parseArgs } from "node:util"
import type { Ledger } from "./Ledger.ts"
import { soak } from "./soak.ts"

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MB`

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      clients: { type: "string", default: "2000" },
      seed: { type: "string", default: String(crypto.getRandomValues(new Uint16Array(1))[0]) },
      transport: { type: "string", default: "tcp" }
    }
  })
  const { clients, seconds, seed } = values
  const transport = values.transport === "memory" ? "memory" : "tcp"
  console.log(`soak: ${clients} clients over ${transport} for ${seconds} s, seed ${seed}`)
  let second = 0
  const report = await soak({
    seconds: Number(seconds),
    clients: Number(clients),
    seed: Number(seed),
    transport,
    progress: (ledger, census) => {
      if (++second % 10 === 0) console.log(`${second} s`, JSON.stringify({ ...countsOf(ledger), ...census }))
    }
  })
  const { after, before, ledger, leftovers } = report
  console.log(JSON.stringify(countsOf(ledger)))
  console.log(`heap ${megabytes(before.heapBytes)}, then ${megabytes(after.heapBytes)}`)
  console.log(`resident ${megabytes(before.residentBytes)}, then ${megabytes(after.residentBytes)}`)
  for (const violation of ledger.violations) console.log(`violation: ${violation}`)
  const isEmpty = Object.keys(leftovers).length === 0
  console.log(isEmpty ? "the broker is empty" : `the broker still holds ${JSON.stringify(leftovers)}`)
  return ledger.violations.length === 0 && isEmpty ? 0 : 1
}

const countsOf = (ledger: Ledger) => {
  const { connects, delivered, drops, published, resumes, silences, takeovers, violations } = ledger
  return {
    connects,
    resumes,
    takeovers,
    drops,
    silences,
    published,
    delivered,
    violations: violations.length
  }
}

if (import.meta.main) process.exit(await main())
