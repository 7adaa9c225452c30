/** The broker of a crash test: the real command in a process of its own, to be killed. */

import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export type Level = "os" | "disk"

const main = join(import.meta.dir, "../../src/main.ts")

export interface BrokerProcessOptions {
  /** For its configuration and its database. */
  readonly directory: string
  readonly level: Level
  readonly env?: Readonly<Record<string, string>>
}

export const databaseDirectory = (directory: string): string => join(directory, "data")

export class BrokerProcess {
  private output = ""
  private isDead = false
  private readonly waiting: Array<() => void> = []

  private constructor(private readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">) {
    void this.read(child.stdout)
    void this.read(child.stderr)
  }

  static start({ directory, env = {}, level }: BrokerProcessOptions): BrokerProcess {
    const config = {
      listeners: { tcp: { host: "127.0.0.1", port: 0 }, ws: { enabled: false } },
      storage: { path: databaseDirectory(directory) },
      session: { durability: level, queueMessagesMax: 1_000_000, queueBytesMax: 1_000_000_000 },
      metrics: { enabled: false },
      log: { level: "warning" }
    }
    mkdirSync(directory, { recursive: true })
    const file = join(directory, "heddle.json")
    writeFileSync(file, JSON.stringify(config))
    return new BrokerProcess(
      Bun.spawn([process.execPath, main, "--config", file], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, NO_COLOR: "1", ...env }
      })
    )
  }

  /** What it printed. */
  get printed(): string {
    return this.output
  }

  /** The port that it listens on, when it does; undefined when it ended instead. */
  async port(): Promise<number | undefined> {
    for (;;) {
      const found = /127\.0\.0\.1:(\d+)/.exec(this.output)
      if (found !== null) return Number(found[1])
      if (this.isDead || this.child.exitCode !== null) return undefined
      await this.progress()
    }
  }

  /** Kills it as nothing can be handled; it is gone when this returns. */
  async kill(): Promise<void> {
    this.isDead = true
    this.child.kill("SIGKILL")
    await this.child.exited
  }

  private progress(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve)
      void this.child.exited.then(() => resolve())
    })
  }

  private async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      this.output += decoder.decode(chunk, { stream: true })
      for (const resolve of this.waiting.splice(0)) resolve()
    }
  }
}
