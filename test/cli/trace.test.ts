/** `heddle trace` against a broker that runs: what it prints as things happen, and how it ends. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connectAsync } from "mqtt"
import { endPrograms, Program } from "../interop/Program.ts"
import { runCommand } from "./runCommand.ts"

// Real processes on a busy machine: slow is not wrong.
setDefaultTimeout(30_000)

const main = join(import.meta.dir, "../../src/main.ts")
const directory = mkdtempSync(join(tmpdir(), "heddle-trace-"))
const config = join(directory, "heddle.json")
const env = { NO_COLOR: "1", HEDDLE_CONFIG: config }

let broker: Program
let port = 0

beforeAll(async () => {
  writeFileSync(
    config,
    JSON.stringify({
      listeners: { tcp: { port: 0, host: "127.0.0.1" }, ws: { enabled: false } },
      metrics: { enabled: false },
      storage: { path: "data" }
    })
  )
  broker = new Program([process.execPath, main], { env })
  port = Number(/-p (\d+)/.exec(await broker.line(/mosquitto_pub -p/))?.[1])
})

afterAll(async () => {
  await endPrograms()
  rmSync(directory, { recursive: true, force: true })
})

const heddle = (...args: ReadonlyArray<string>) => new Program([process.execPath, main, ...args], { env })

const visit = async (): Promise<void> => {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "c", protocolVersion: 5 })
  await client.publishAsync("a/b", "hello", { qos: 1 })
  await client.endAsync()
}

test("prints packets and decisions as they come, and ends after as many packets as it should", async () => {
  const trace = heddle("trace", "--client", "c", "--packets", "4", "--payload", "2")
  await trace.line(/client c of tenant default is not connected/)
  await visit()
  expect(await trace.exited).toBe(0)
  const text = trace.lines.join("\n")
  expect(text).toMatch(/^[\d:.]{12} {2}#1 <- +CONNECT +\d+ B {2}clientId=c protocolVersion=5/m)
  expect(text).toMatch(/#1 -> +CONNACK .* reasonCode=0x00/)
  expect(text).toMatch(/event +ClientConnected .*principal=anonymous/)
  expect(text).toMatch(/#1 <- +PUBLISH +\d+ B {2}topic=a\/b qos=1 packetId=\d+ payloadBytes=5 payload=he$/m)
  expect(trace.lines.at(-1)).toEndWith("no longer followed: 4 packets were shown")
})

test("prints JSON, one object a line, and ends when it is told to; the broker goes on", async () => {
  const trace = heddle("trace", "--client", "c", "--json")
  await trace.line(/"note"/)
  await visit()
  await trace.line(/ClientDisconnected/)
  const lines = trace.lines.map((line) => JSON.parse(line))
  expect(lines.map(({ packet }) => packet).filter(Boolean)).toContain("PUBACK")
  expect(trace.lines.join("\n")).not.toContain("hello")
  trace.kill("SIGINT")
  await trace.exited
  await visit()
})

test("heddle log level says how much is logged, and changes it until a configuration is read", async () => {
  const printed = async (...args: ReadonlyArray<string>) => {
    const { isGood, text } = await runCommand(args, env)
    expect([isGood, text]).toEqual([true, text])
    return text
  }
  const logged = () => broker.lines.filter((line) => line.includes("ClientConnected")).length
  expect(await printed("log", "level")).toBe("info")
  await visit()
  expect(logged()).toBe(0)
  expect(await printed("log", "level", "debug")).toBe("debug")
  await visit()
  expect(JSON.parse(await broker.line(/ClientConnected/))).toMatchObject({
    message: "ClientConnected",
    logLevel: "DEBUG",
    annotations: { tenant: "default", clientId: "c", principal: "anonymous" }
  })
  expect((await runCommand(["log", "level", "shrill"], env)).isGood).toBe(false)
  await printed("reload")
  expect(await printed("log", "level")).toBe("info")
})

test("ends with an error when the broker goes, and when there is nothing to follow", async () => {
  const wrong = heddle("trace", "--client", "c", "--for", "a while")
  expect(await wrong.exited).toBe(1)
  const tooMuch = heddle("trace", "--client", "c", "--payload", "100000")
  expect(await tooMuch.exited).toBe(1)
  const trace = heddle("trace", "--client", "c")
  await trace.line(/not connected/)
  broker.kill("SIGTERM")
  expect(await broker.exited).toBe(0)
  expect(await trace.exited).toBe(1)
})
