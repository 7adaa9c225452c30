/** Rounds of traffic, each ended by killing the broker; then everything drains and is checked. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { seeded } from "../support/raw.ts"
import type { Actor } from "./Actors.ts"
import { BrokerProcess, databaseDirectory, type Level } from "./BrokerProcess.ts"
import { CrashClient } from "./CrashClient.ts"
import { cast } from "./cast.ts"
import { check } from "./check.ts"
import { Log, type SubscriberLog } from "./Log.ts"

export interface CrashOptions {
  readonly rounds: number
  readonly seed: number
  /** How long the broker lives, on average. */
  readonly secondsPerRound: number
  /** Undefined: now this, now that. */
  readonly level?: Level
  /** What the disk makes of the database's files when the broker is killed. Undefined: it keeps them. */
  readonly disk?: Disk
  readonly progress?: (line: string) => void
}

export interface Disk {
  /** For the broker's process. */
  readonly env: (database: string) => Readonly<Record<string, string>>
  /** Before it starts. */
  readonly begin: (database: string) => void
  /** After it was killed. */
  readonly cut: (database: string, random: (below: number) => number) => void
}

export interface CrashReport {
  readonly log: Log
  readonly acknowledged: number
  readonly receipts: number
  readonly wills: number
  /** Of starts that came through. */
  readonly startMs: ReadonlyArray<number>
}

const ACT_MS = 5
/** A broker that is not there by then will not come. */
const START_MAX_MS = 20_000
const DRAIN_MAX_MS = 60_000
/** Silence after which nothing more is to come; longer than the delay of a will. */
const SILENCE_MS = 2500

export const crash = async (options: CrashOptions): Promise<CrashReport> => {
  const directory = mkdtempSync(join(tmpdir(), "heddle-crash-"))
  const test = new CrashTest(options, directory)
  try {
    await test.run()
    return test.report
  } catch (error) {
    if (!(error instanceof NoStart)) throw error
    test.report.log.violate(`the broker does not start: ${error.printed}`)
    return test.report
  } finally {
    await test.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

class NoStart extends Error {
  constructor(readonly printed: string) {
    super()
  }
}

class CrashTest {
  private readonly began = performance.now()
  private readonly log = new Log(() => performance.now() - this.began)
  private readonly random: (below: number) => number
  private readonly actors: ReadonlyArray<Actor>
  private readonly startMs: Array<number> = []
  private broker: BrokerProcess | undefined

  constructor(
    private readonly options: CrashOptions,
    private readonly directory: string
  ) {
    this.random = seeded(options.seed)
    this.actors = cast(this.log, this.random)
  }

  get report(): CrashReport {
    const { log, startMs } = this
    const messages = [...log.messages.values()]
    return {
      log,
      acknowledged: messages.filter((each) => each.acknowledgedAtMs !== undefined).length,
      receipts: log.subscribers.reduce((sum, each) => sum + each.receipts.length, 0),
      wills: log.wills.filter((will) => will.fate === "fires").length,
      startMs
    }
  }

  async run(): Promise<void> {
    for (let round = 1; round <= this.options.rounds; round++) {
      this.log.round = round
      await this.round()
      this.options.progress?.(`round ${round}: ${this.log.messages.size} messages`)
      if (this.log.violations.length > 0) break
    }
    this.log.round++
    await this.drain()
  }

  async stop(): Promise<void> {
    for (const { client } of this.actors) client.drop()
    await this.broker?.kill()
  }

  private async round(): Promise<void> {
    const { random } = this
    const level = this.options.level ?? (random(2) === 0 ? "os" : "disk")
    const livesMs = 100 + random(2000 * this.options.secondsPerRound)
    if (random(10) === 0) {
      // It does not even come to listening.
      this.start(level)
      await delay(random(400))
    } else {
      const port = await this.listen(level)
      for (const actor of this.actors) actor.begin(port)
      const endsAtMs = performance.now() + livesMs
      while (performance.now() < endsAtMs) {
        for (const actor of this.actors) actor.act(port)
        await delay(ACT_MS)
      }
    }
    await this.kill()
  }

  private start(level: Level): void {
    const { directory } = this
    const { disk } = this.options
    const database = databaseDirectory(directory)
    disk?.begin(database)
    this.broker = BrokerProcess.start({ directory, level, env: disk?.env(database) ?? {} })
    this.log.tell("broker", `starts, level ${level}`)
  }

  private async listen(level: Level): Promise<number> {
    const startedMs = performance.now()
    this.start(level)
    const port = await Promise.race([this.broker?.port(), delay(START_MAX_MS)])
    if (port === undefined) throw new NoStart(this.broker?.printed ?? "")
    this.startMs.push(performance.now() - startedMs)
    return port
  }

  private async kill(): Promise<void> {
    await this.broker?.kill()
    const printed = this.broker?.printed ?? ""
    this.log.tell("broker", "is killed")
    if (/error|defect/i.test(printed)) this.log.violate(`the broker says: ${printed}`)
    for (const actor of this.actors) actor.end()
    this.options.disk?.cut(databaseDirectory(this.directory), this.random)
  }

  /** Everybody comes; nothing new is sent, but what wills there are. */
  private async drain(): Promise<void> {
    const port = await this.listen(this.options.level ?? "disk")
    const endsAtMs = performance.now() + DRAIN_MAX_MS
    let quietSinceMs = performance.now()
    let receipts = -1
    while (performance.now() < endsAtMs && performance.now() - quietSinceMs < SILENCE_MS) {
      for (const actor of this.actors) actor.drain(port)
      await delay(50)
      const now = this.report.receipts + this.actors.reduce((sum, { client }) => sum - client.unfinished, 0)
      if (now !== receipts) quietSinceMs = performance.now()
      receipts = now
    }
    for (const { client } of this.actors) {
      if (client.unfinished > 0)
        this.log.violate(`${client.options.clientId}: ${client.unfinished} messages are never acknowledged`)
    }
    check(this.log, await this.retained(port))
  }

  private async retained(port: number): Promise<ReadonlyMap<string, string>> {
    const { log } = this
    const own: SubscriberLog = {
      ...{ clientId: "reader", topicFilter: "retained/#", qos: 1, isPersistent: false, group: undefined },
      ...{ subscribedAtMs: undefined, receipts: [] }
    }
    const options = { clientId: "reader", version: 5, isPersistent: false, receiveMaximum: 200 } as const
    const reader = new CrashClient({ ...options, subscription: own }, log)
    reader.connect(port)
    await delay(1000)
    reader.drop()
    return new Map(own.receipts.map(({ id, topic }) => [topic, id]))
  }
}
