/**
 * The commands that ask a broker that runs: what they print, what they do to its clients, and what they say
 * when there is none.
 */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connectAsync, type MqttClient } from "mqtt"
import { makeCli } from "../../src/cli/Cli.ts"
import { start } from "../../src/cli/start.ts"
import { runCommand } from "./runCommand.ts"

// A busy machine: slow is not wrong.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-control-"))
const config = join(directory, "heddle.json")

const write = (more: object = {}): void =>
  writeFileSync(
    config,
    JSON.stringify({
      listeners: { tcp: { port: 0, host: "127.0.0.1" }, ws: { enabled: false } },
      storage: { path: "data" },
      tenants: { written: { maximumQos: 1 } },
      ...more
    })
  )

/** A broker as `heddle` runs it, in this process. */
let broker: Fiber.RuntimeFiber<void, unknown>
let port = ""

beforeAll(async () => {
  write()
  const lines: Array<string> = []
  let isUp = () => {}
  const up = new Promise<void>((resolve) => {
    isUp = resolve
  })
  const print = spyOn(console, "log").mockImplementation((...values) => {
    lines.push(values.join(" "))
    isUp()
  })
  const cli = makeCli(start, {
    HEDDLE_CONFIG: config,
    HEDDLE_LOG_LEVEL: "none",
    HEDDLE_METRICS_ENABLED: "false"
  })
  broker = Effect.runFork(Effect.provide(cli(["bun", "main.ts"]), BunContext.layer))
  await up
  print.mockRestore()
  port = /-p (\d+)/.exec(Bun.stripANSI(lines.join("\n")))?.[1] ?? ""
})

const clients: Array<MqttClient> = []
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true)
})
afterAll(async () => {
  await Effect.runPromise(Fiber.interrupt(broker))
  rmSync(directory, { recursive: true, force: true })
})

const connect = async (clientId: string, more: object = {}): Promise<MqttClient> => {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    clientId,
    ...more
  })
  clients.push(client)
  return client
}

/** The code with which the server ends the connection. */
const disconnection = (client: MqttClient): Promise<number | undefined> =>
  new Promise((resolve) => client.once("disconnect", ({ reasonCode }) => resolve(reasonCode)))

const heddle = (args: ReadonlyArray<string>, env: Record<string, string> = { HEDDLE_CONFIG: config }) =>
  runCommand(args, env)

const printed = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { isGood, text } = await heddle(args)
  expect([isGood, text]).toEqual([true, text])
  return text
}

const refusal = async (...args: ReadonlyArray<string>): Promise<string> => {
  const { isGood, text } = await heddle(args)
  expect([isGood, text]).toEqual([false, text])
  return text
}

test("the socket is its owner's alone", () => {
  expect(lstatSync(join(directory, "data", "heddle.sock")).mode & 0o777).toBe(0o600)
})

describe("heddle tenants", () => {
  test("makes, shows, changes, suspends, resumes, lists and deletes", async () => {
    expect(await printed("tenants", "create", "acme", "maximumQos=1", "queueBytesMax=2MB")).toBe(
      "acme is made"
    )
    expect(await printed("tenants", "set", "acme", "maximumQos=", "mqtt31=false")).toBe(
      "maximumQos: 2\nmqtt31: false"
    )
    expect(await printed("tenants", "show", "acme")).toContain("  queueBytesMax  2MB\n  mqtt31         false")
    expect(await printed("tenants", "suspend", "acme")).toBe("acme is suspended")
    expect(await printed("tenants", "list")).toMatch(/^acme +suspended +operator +0/m)
    expect(await printed("tenants", "resume", "acme")).toBe("acme is active")
    expect(await printed("tenants", "drain", "acme")).toBe("acme is draining")
    expect(await refusal("tenants", "delete", "acme")).toContain("--yes")
    expect(await printed("tenants", "delete", "acme", "--yes")).toBe("acme is deleted; it held nothing")
    const list = JSON.parse(await printed("tenants", "list", "--json"))
    expect(list.tenants.map(({ tenant }: { readonly tenant: string }) => tenant)).toEqual(["written"])
  })

  test("tells what a tenant has used, until now", async () => {
    const client = await connect("counted")
    await client.publishAsync("t", "x", { qos: 1 })
    expect(await printed("tenants", "usage", "default", "--since", "1h")).toMatch(/^ {2}messages in +[1-9]/m)
    expect(await refusal("tenants", "usage", "default", "--since", "soon")).toContain("no instant")
    expect(await refusal("tenants", "usage", "nobody")).toContain("there is no tenant nobody")
  })

  test("tells what is wrong with settings, each with what is allowed", async () => {
    const told = await refusal("tenants", "create", "acme", "maximumQos=7", "maximumQoS=1")
    expect(told).toContain("settings of acme are not allowed")
    expect(told).toMatch(/^ {2}maximumQos: .*7/m)
    expect(told).toMatch(/^ {2}maximumQoS: unknown setting/m)
    expect(await refusal("tenants", "set", "acme", "weight")).toContain("expected NAME=VALUE")
    expect(await refusal("tenants", "set", "written", "weight=2")).toContain("in the configuration")
    expect(await refusal("tenants", "show", "nobody")).toContain("there is no tenant nobody")
  })
})

describe("heddle clients, disconnect, purge", () => {
  test("list who is there, and send them away", async () => {
    const client = await connect("a/strange name?", {
      properties: { sessionExpiryInterval: 600 },
      clean: false
    })
    await client.subscribeAsync("t", { qos: 1 })
    expect(await printed("clients", "--tenant", "default", "--contains", "strange")).toMatch(
      /^default +a\/strange name\? +anonymous +127.0.0.1 +yes +0 +1$/m
    )
    const gone = disconnection(client)
    await printed("disconnect", "a/strange name?", "--reason", "go home")
    expect(await gone).toBe(0x98)
    expect(await printed("clients")).toContain(" no ")
    await printed("purge", "a/strange name?", "--no-will")
    expect(await refusal("purge", "a/strange name?")).toContain("there is no client")
    expect(await printed("clients")).toBe("no clients")
  })
})

describe("heddle ban", () => {
  test("sends away and keeps out until it is lifted", async () => {
    const client = await connect("c")
    const gone = disconnection(client)
    await printed(
      "ban",
      "add",
      "--tenant",
      "default",
      "--client",
      "c",
      "--for",
      "2h",
      "--reason",
      "it floods"
    )
    expect(await gone).toBe(0x98)
    await expect(connect("c")).rejects.toThrow()
    expect(await printed("ban", "list")).toMatch(/^client c of default +20.* it floods$/m)
    await printed("ban", "remove", "--tenant", "default", "--client", "c")
    await connect("c")
    expect(await printed("ban", "list")).toBe("nobody is banned")
    expect(await refusal("ban", "add", "--address", "nonsense")).toContain("neither an address nor a network")
    expect(await refusal("ban", "add", "--client", "c")).toContain("name the tenant")
    expect(await refusal("ban", "add", "--address", "10.0.0.1", "--for", "a while")).toContain("duration")
  })
})

describe("heddle explain", () => {
  test("says what a broker does, step by step", async () => {
    const client = await connect("c")
    await client.subscribeAsync("a/+")
    const text = await printed("explain", "--client", "c", "receive", "a/b")
    expect(text).toStartWith("Does client c of tenant default receive what is published to a/b?: yes")
    expect(text).toMatch(/ok +subscriptions +a\/\+ \(QoS 0\)/)
    const explanation = JSON.parse(await printed("explain", "--json", "--client", "c", "publish", "$SYS/x"))
    expect(explanation.verdict).toBe("no")
    expect(await refusal("explain", "--client", "c", "--tenant", "nobody", "connect")).toContain(
      "there is no tenant nobody"
    )
  })
})

describe("heddle reload", () => {
  test("puts another configuration in force, or says why not", async () => {
    write({ session: { topicLevelsMax: 9 } })
    expect(await printed("reload")).toContain("session.topicLevelsMax")
    expect(await printed("tenants", "show", "default", "--json")).toContain('"topicLevelsMax": 9')
    write({ session: { topicLevelsMax: 0 } })
    expect(
      (await heddle(["reload"], { HEDDLE_CONTROL_PATH: join(directory, "data/heddle.sock") })).text
    ).toContain("session.topicLevelsMax")
    write()
    await printed("reload")
  })
})

test("the socket goes with its broker", async () => {
  const print = spyOn(console, "log").mockImplementation(() => undefined)
  await Effect.runPromise(Fiber.interrupt(broker))
  print.mockRestore()
  expect(existsSync(join(directory, "data", "heddle.sock"))).toBe(false)
  expect(await refusal("clients")).toContain("nothing answers")
})

describe("without a broker", () => {
  const commands: ReadonlyArray<ReadonlyArray<string>> = [
    ["tenants", "list"],
    ["clients"],
    ["explain", "--client", "c", "connect"],
    ["ban", "list"],
    ["reload"]
  ]
  const folder = join(directory, "empty")
  mkdirSync(folder)
  for (const args of commands) {
    test(`\`heddle ${args.join(" ")}\` says so`, async () => {
      const { isGood, text } = await heddle(args, { HEDDLE_STORAGE_PATH: folder })
      expect(isGood).toBe(false)
      expect(text).toContain(`nothing answers at ${join(folder, "heddle.sock")}`)
      const none = await heddle(args, { HEDDLE_STORAGE_KIND: "memory" })
      expect(none.text).toContain("has no control socket")
    })
  }

  test("what a dead one has left is no answer", async () => {
    const path = join(folder, "heddle.sock")
    const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, 9)`
    await Bun.spawn([process.execPath, "-e", script]).exited
    expect((await heddle(["clients"], { HEDDLE_STORAGE_PATH: folder })).text).toContain("nothing answers")
  })
})
