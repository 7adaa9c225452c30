/** The broker under measurement, as the measuring process sees it. */

import { join } from "node:path"
import type { Subprocess } from "bun"
import { type Usage, usageOf } from "../ProcessMeter.ts"
import type { Check } from "./checked.ts"

/** Of the broker's census, what the measurements look at. */
export interface Holdings {
  readonly connections: number
  readonly sessions: number
  readonly subscriptions: number
  readonly bufferBytes: number
}

export interface SubjectOptions {
  /** What stands before its command line. */
  readonly pin: ReadonlyArray<string>
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Where it stores what has to be; in memory when absent. */
  readonly data?: string
  /** Another program of this folder that speaks the same on its standard input and output. */
  readonly program?: string
  /** What `checked.ts` is to look at. */
  readonly checks?: ReadonlyArray<Check>
  /** Where its spans go. */
  readonly collector?: string
}

export class Subject {
  private constructor(
    private readonly child: Subprocess<"pipe", "pipe", "inherit">,
    private readonly lines: AsyncGenerator<string>,
    readonly pid: number,
    readonly port: number
  ) {}

  static async start({
    checks,
    collector,
    data,
    pin,
    program = "server.ts",
    tls
  }: SubjectOptions): Promise<Subject> {
    const command = [
      ...pin,
      process.execPath,
      join(import.meta.dir, program),
      JSON.stringify({ tls, data, checks, collector })
    ]
    const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" })
    const lines = linesOf(child.stdout)
    const { pid, port } = JSON.parse((await lines.next()).value ?? "{}") as { pid: number; port: number }
    return new Subject(child, lines, pid, port)
  }

  get usage(): Usage {
    return usageOf(this.pid)
  }

  /** What the broker holds, once it has done all that it was told before. */
  holdings(): Promise<Holdings> {
    return this.ask("census")
  }

  /** Resident bytes when the collector has had its way and the allocator has given back what it will. */
  async restingBytes(): Promise<number> {
    for (let round = 0; round < 3; round++) {
      await this.ask("gc")
      await Bun.sleep(150)
    }
    return this.usage.residentBytes
  }

  /** Ends it, after its clients have left. */
  async stop(): Promise<void> {
    this.child.kill("SIGKILL")
    await this.child.exited
  }

  private async ask(what: "census" | "gc"): Promise<Holdings> {
    this.child.stdin.write(`${what}\n`)
    this.child.stdin.flush()
    return JSON.parse((await this.lines.next()).value ?? "{}") as Holdings
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = ""
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString()
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end)
      text = text.slice(end + 1)
    }
  }
}
