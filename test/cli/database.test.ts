/**
 * The commands that look after the database, as processes beside a broker that is at work: what they print,
 * how they end, and what a broker started over a restored backup delivers.
 */

import { Database } from "bun:sqlite"
import { afterAll, afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import { connect, connectAsync, type IClientOptions, type MqttClient } from "mqtt"
import { makeCli } from "../../src/cli/Cli.ts"
import { endPrograms, Program } from "../interop/Program.ts"

// Real processes on a busy machine: slow is not wrong.
setDefaultTimeout(30_000)

const root = join(import.meta.dir, "../..")
const main = join(root, "src/main.ts")
const directory = mkdtempSync(join(tmpdir(), "heddle-database-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
afterEach(endPrograms)

let made = 0
/** A folder with a configuration file. The database is in `data` in it. */
const newFolder = (): string => {
  const folder = join(directory, String(made++))
  mkdirSync(folder)
  const listeners = { tcp: { port: 0, host: "127.0.0.1" } }
  writeFileSync(join(folder, "heddle.json"), JSON.stringify({ listeners }))
  return folder
}

const heddle = (folder: string, args: ReadonlyArray<string>, env: Record<string, string> = {}): Program =>
  new Program([process.execPath, main, ...args], {
    cwd: folder,
    env: { NO_COLOR: "1", HEDDLE_CONFIG: "heddle.json", ...env }
  })

/** Runs a command to its end, which must be good; answers what it printed. */
const printed = async (folder: string, ...args: ReadonlyArray<string>): Promise<string> =>
  (await heddle(folder, args).succeeded()).lines.join("\n")

/** Runs a command that fails; answers what it told. */
const refusal = async (folder: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const program = heddle(folder, args)
  expect(await program.exited).toBe(1)
  return program.output.trim()
}

class Broker {
  private constructor(
    readonly program: Program,
    private readonly port: string
  ) {}

  static async start(folder: string): Promise<Broker> {
    const program = heddle(folder, [])
    const line = await program.line(/mosquitto_pub -p/)
    return new Broker(program, /-p (\d+)/.exec(line)?.[1] ?? "")
  }

  connect(options: Partial<IClientOptions> = {}): Promise<MqttClient> {
    return connectAsync(`mqtt://127.0.0.1:${this.port}`, { ...base, ...options })
  }

  /** A client of a session that is kept, before what waits for it has come. */
  resume(clientId: string): MqttClient {
    return connect(`mqtt://127.0.0.1:${this.port}`, { ...base, ...kept(clientId) })
  }

  async stop(): Promise<void> {
    this.program.kill("SIGTERM")
    expect(await this.program.exited).toBe(0)
  }
}

const base: IClientOptions = { protocolVersion: 5, reconnectPeriod: 0 }
const kept = (clientId: string): Partial<IClientOptions> => ({
  clientId,
  clean: false,
  properties: { sessionExpiryInterval: 3600 }
})

/** A broker with an absent client that is subscribed to night/#, and a retained message. */
const asleep = async (folder: string): Promise<Broker> => {
  const broker = await Broker.start(folder)
  const sleeper = await broker.connect(kept("sleeper"))
  await sleeper.subscribeAsync(["night/#", "wills/#"], { qos: 1 })
  await sleeper.endAsync()
  const publisher = await broker.connect()
  await publisher.publishAsync("moon", "full", { qos: 1, retain: true })
  await publisher.endAsync()
  return broker
}

describe("a backup of a broker at work", () => {
  test("restored elsewhere, holds everything that was acknowledged before it, in order", async () => {
    const folder = newFolder()
    const broker = await asleep(folder)
    const will = { topic: "wills/watch", payload: Buffer.from("gone"), qos: 1 as const }
    const watch = await broker.connect({ clientId: "watch", will })
    const publisher = await broker.connect()
    let isBusy = true
    let acknowledged = 0
    const traffic = (async () => {
      while (isBusy) {
        const next = Array.from({ length: 10 }, (_, index) => String(acknowledged + index))
        await Promise.all(next.map((payload) => publisher.publishAsync("night", payload, { qos: 1 })))
        acknowledged += 10
      }
    })()
    const before = acknowledged
    const told = await printed(folder, "backup", "b.db")
    const during = acknowledged - before
    isBusy = false
    await traffic
    expect(during).toBeGreaterThan(0)
    const counts =
      /^b\.db: 2 sessions, 2 subscriptions, (\S+) queued messages?, 1 retained message; \S+ KB in \S+ s$/
    expect(told).toMatch(counts)
    const queued = Number(counts.exec(told)?.[1]?.replaceAll(",", ""))
    expect(queued).toBeGreaterThanOrEqual(before)
    expect(queued).toBeLessThanOrEqual(acknowledged)
    expect(await refusal(folder, "restore", "b.db")).toMatch(
      /^heddle: \S*data is in use by another broker: process \d+ on .*\. Stop that one, or name another dir/
    )
    watch.end(true)
    await broker.stop()

    const elsewhere = newFolder()
    expect((await printed(elsewhere, "restore", join(folder, "b.db"))).split("\n").slice(1)).toEqual([
      "There was no database before.",
      "When the backup was made, 1 client was connected. When the broker starts, those connections count as " +
        "lost: it publishes 1 will."
    ])
    const second = await Broker.start(elsewhere)
    const heard: Array<string> = []
    const sleeper = second.resume("sleeper")
    const all = new Promise<void>((resolve) => {
      sleeper.on("message", (_, payload) => {
        if (heard.push(`${payload}`) === queued + 2) resolve()
      })
    })
    await sleeper.subscribeAsync("moon", { qos: 1 })
    await all
    expect(heard.filter((text) => /^\d/.test(text))).toEqual(
      Array.from({ length: queued }, (_, index) => String(index))
    )
    expect(heard.filter((text) => !/^\d/.test(text)).sort()).toEqual(["full", "gone"])
    await sleeper.endAsync()
    await second.stop()
  })

  test("is not written over another file, nor half", async () => {
    const folder = newFolder()
    const broker = await asleep(folder)
    await printed(folder, "backup", "b.db")
    expect(await refusal(folder, "backup", "b.db")).toBe(
      "heddle: b.db is there already. Name another file, or replace it with --force."
    )
    // A limit on the size of files, as a disk that takes no more: what the database itself has is below it.
    const command = `trap '' XFSZ; ulimit -f 64; exec "${process.execPath}" "${main}" backup small.db`
    const limited = new Program(["bash", "-c", command], {
      cwd: folder,
      env: { NO_COLOR: "1", HEDDLE_CONFIG: "heddle.json" }
    })
    expect(await limited.exited).toBe(1)
    expect(limited.output.trim()).toMatch(
      /^heddle: cannot write small\.db: .* \(SQLITE_\w+\)\. Nothing was changed\. Make room, or/
    )
    expect(readdirSync(folder).sort()).toEqual(["b.db", "data", "heddle.json"])
    expect(await printed(folder, "db", "check")).toEndWith("no problems found")
    await broker.stop()
  })
})

describe("heddle restore", () => {
  test("keeps the database that was there, and says so", async () => {
    const folder = newFolder()
    const broker = await asleep(folder)
    await printed(folder, "backup", "b.db")
    const publisher = await broker.connect()
    await publisher.publishAsync("moon", "", { qos: 1, retain: true })
    await publisher.endAsync()
    await broker.stop()
    const told = await printed(folder, "restore", "b.db")
    const [now, before] = told.split("\n")
    expect(now).toEndWith("is now b.db: 1 session, 2 subscriptions, 0 queued messages, 1 retained message")
    const file = /^The database before is kept as (\S+)$/.exec(before ?? "")?.[1] ?? ""
    const database = new Database(resolve(folder, file), { readonly: true })
    expect(database.query("SELECT count(*) FROM retained").values()).toEqual([[0]])
    database.close()
  })
})

describe("heddle db", () => {
  test("stats print a table, or JSON, while a broker runs", async () => {
    const folder = newFolder()
    const broker = await asleep(folder)
    const odd = await broker.connect({ ...kept("odd \u001b[31m\u202ename") })
    const publisher = await broker.connect()
    for (const payload of ["hoot", "hoot"]) await publisher.publishAsync("night", payload, { qos: 1 })
    const lines = (await printed(folder, "db", "stats")).split("\n")
    for (const line of [
      /data\/heddle\.db, schema version \d+$/,
      /^ {2}sessions +2: 1 connected, 1 waiting$/,
      /^ {2}subscriptions +2$/,
      /^ {2}queued messages +2$/,
      /^ {2}bytes queued +18 bytes$/,
      /^ {2}still to be swept +nothing$/,
      /^ {2}pages +\d+ of 8 KB, \d+ free$/,
      /^ {2}default +2 sessions +1 connected$/,
      /^ {2}default sleeper +2 messages +18 bytes$/
    ]) {
      expect(lines.find((each) => line.test(each)) ?? `no line like ${line}`).toMatch(line)
    }
    await odd.subscribeAsync("night/#", { qos: 1 })
    await odd.endAsync()
    await publisher.publishAsync("night", "hoot", { qos: 1 })
    expect(await printed(folder, "db", "stats")).toContain("default odd\\u{20}\\u{1b}[31m\\u{202e}name")
    const stats = JSON.parse(await printed(folder, "db", "stats", "--json"))
    expect(stats).toMatchObject({ sessions: 2, connected: 0, queuedMessages: 4, retainedMessages: 1 })
    await publisher.endAsync()
    await broker.stop()
  })

  test("check prints every problem with what to do, and ends with code 1", async () => {
    const folder = newFolder()
    await (await asleep(folder)).stop()
    expect(await printed(folder, "--config", "heddle.json", "db", "check")).toEndWith("no problems found")
    const database = new Database(join(folder, "data/heddle.db"))
    database.run("UPDATE subscription SET session = 77 WHERE topic_filter = 'night/#'")
    database.run("DELETE FROM meta")
    database.close()
    const program = heddle(folder, ["db", "check"])
    expect(await program.exited).toBe(1)
    expect(program.lines.filter((line) => line.startsWith("problem: "))).toEqual([
      "problem: the sequence number of the last applied change is missing: restore a backup with " +
        "`heddle restore FILE`",
      "problem: 1 subscription is of no session: nobody is harmed, but their room is lost until you restore a" +
        " backup"
    ])
    expect(program.output).toMatch(/\nheddle: \S*data\/heddle\.db has 2 problems\n$/)
  })
})

describe("without a database", () => {
  const commands = [
    ["backup", "b.db"],
    ["restore", "b.db"],
    ["db", "check"],
    ["db", "stats"]
  ]
  /** What a command tells when it fails. */
  const failure = (args: ReadonlyArray<string>, env: Record<string, string>): Promise<string> => {
    const cli = makeCli(() => Effect.void, env)
    return Effect.runPromise(
      cli(["bun", "main.ts", ...args]).pipe(
        Effect.flip,
        Effect.map(messageOf),
        Effect.provide(BunContext.layer)
      )
    )
  }

  const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

  for (const args of commands) {
    test(`\`heddle ${args.join(" ")}\` says so`, async () => {
      const told = spyOn(console, "error").mockImplementation(() => undefined)
      expect(await failure(args, { HEDDLE_STORAGE_KIND: "memory" })).toBe(
        "there is no database: storage.kind is memory in the configuration"
      )
      const path = join(newFolder(), "data")
      const missing = args[0] === "restore" ? "b.db" : join(path, "heddle.db")
      expect(await failure(args, { HEDDLE_STORAGE_PATH: path })).toStartWith(
        `cannot read ${missing}: no such file or directory. `
      )
      expect(existsSync(path)).toBe(false)
      told.mockRestore()
    })
  }
})
