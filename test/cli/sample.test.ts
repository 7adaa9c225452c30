/** `heddle sample`: rules of tracing on a broker that runs, and what it says where nothing is traced. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { endPrograms, Program } from "../interop/Program.ts"
import { runCommand } from "./runCommand.ts"

// Real processes on a busy machine: slow is not wrong.
setDefaultTimeout(30_000)

const main = join(import.meta.dir, "../../src/main.ts")
const directory = mkdtempSync(join(tmpdir(), "heddle-sample-"))

/** A broker with that tracing; the environment of commands that ask it. */
const started = async (name: string, tracing: object): Promise<Record<string, string>> => {
  const file = join(directory, `${name}.json`)
  const content = {
    listeners: { tcp: { port: 0, host: "127.0.0.1" }, ws: { enabled: false } },
    metrics: { enabled: false },
    storage: { path: name },
    tracing
  }
  writeFileSync(file, JSON.stringify(content))
  const env = { HEDDLE_CONFIG: file }
  const broker = new Program([process.execPath, main], { env: { NO_COLOR: "1", ...env } })
  await broker.line(/mosquitto_pub -p/)
  return env
}

let traced: Record<string, string>
let untraced: Record<string, string>
beforeAll(async () => {
  // Nobody listens there: what is collected does not matter here.
  traced = await started("traced", { endpoint: "http://127.0.0.1:1" })
  untraced = await started("untraced", {})
})

afterAll(async () => {
  await endPrograms()
  rmSync(directory, { recursive: true, force: true })
})

test("rules are set, listed and cleared", async () => {
  const sample = async (...args: ReadonlyArray<string>) => {
    const { isGood, text } = await runCommand(["sample", ...args], traced)
    expect([isGood, text]).toEqual([true, text])
    return text
  }
  expect(await sample("list")).toBe("there are no rules: tracing.ratio decides")
  expect(await sample("set", "--tenant", "acme", "--client", "c", "--topic", "a/#", "--ratio", "0.25")).toBe(
    "25 % of them are traced for 10m"
  )
  expect(await sample("set", "--tenant", "acme", "--for", "2h")).toBe("100 % of them are traced for 2h")
  expect(await sample("list")).toMatch(
    /^tenant +client +topic +traced +until\nacme +any +any +100 % +20.*\nacme +c +a\/# +25 % +20\S+$/
  )
  const { rules } = JSON.parse(await sample("list", "--json"))
  expect(rules[1]).toMatchObject({ tenant: "acme", clientId: "c", topicFilter: "a/#", ratio: 0.25 })
  expect(await sample("clear", "--tenant", "nobody")).toBe("0 rules are gone")
  expect(await sample("clear", "--tenant", "acme")).toBe("1 rule is gone")
  expect(await sample("clear")).toBe("1 rule is gone")
  expect(JSON.parse(await sample("list", "--json"))).toEqual({ rules: [] })
})

test("what makes no sense is refused, and says what is wrong", async () => {
  const refusal = async (...args: ReadonlyArray<string>) => {
    const { isGood, text } = await runCommand(["sample", "set", ...args], traced)
    expect([isGood, text]).toEqual([false, text])
    return text
  }
  expect(await refusal("--ratio", "1.5")).toContain("ratio")
  expect(await refusal("--topic", "a/#/b")).toContain("topicFilter: is no topic filter")
  expect(await refusal("--topic", "$share/g/a")).toContain("topicFilter: is no topic filter")
  expect(await refusal("--for", "a while")).toContain("no duration")
})

test("without a collector it says which key to set", async () => {
  for (const args of [["set"], ["list"], ["clear"]]) {
    const { isGood, text } = await runCommand(["sample", ...args], untraced)
    expect([isGood, text]).toEqual([false, expect.stringContaining("tracing.endpoint")])
  }
})
