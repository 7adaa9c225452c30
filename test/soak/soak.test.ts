import { expect, test } from "bun:test"
import { soak } from "./soak.ts"

test("a crowd sees nothing wrong and leaves nothing behind", async () => {
  const { leftovers, ledger } = await soak({ seconds: 1, clients: 60, seed: 20_260, transport: "memory" })
  expect(ledger.violations).toEqual([])
  expect(leftovers).toEqual({})
  expect(ledger.delivered).toBeGreaterThan(100)
  expect(ledger.takeovers).toBeGreaterThan(0)
  expect(ledger.resumes).toBeGreaterThan(0)
}, 30_000)
