/**
 * A program of somebody else's as a test runs it: its lines as they come, its exit code, and a time limit
 * after which it is killed.
 */

import { isOpensslAvailable } from "../support/certificates.ts"

const LIMIT_MS = 20_000

/**
 * What the tests need and this machine does not have; they are skipped for it, but not where CI runs them.
 */
export const isSkipped = (...programs: ReadonlyArray<string>): boolean => {
  if (process.env.CI !== undefined) return false
  return !isOpensslAvailable || programs.some((program) => Bun.which(program) === null)
}

/** Programs that have not ended. */
const running = new Set<Program>()

/** Kills what a failed test left behind. For `afterEach`. */
export const endPrograms = async (): Promise<void> => {
  const left = [...running]
  for (const program of left) program.kill("SIGKILL")
  await Promise.all(left.map(({ exited }) => exited))
}

export class Program {
  readonly lines: Array<string> = []
  /** Resolves with the exit code when the program has ended and all of its output is in `lines`. */
  readonly exited: Promise<number>
  private readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">
  private readonly waiters: Array<() => void> = []
  private hasEnded = false
  private errors = ""

  constructor(
    command: ReadonlyArray<string>,
    options: { readonly env?: Record<string, string>; readonly cwd?: string } = {}
  ) {
    this.child = Bun.spawn([...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd })
    })
    running.add(this)
    this.exited = this.run()
  }

  private async run(): Promise<number> {
    const errors = this.child.stderr.text()
    const decoder = new TextDecoder()
    let rest = ""
    for await (const chunk of this.child.stdout) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n")
      rest = parts.pop() ?? ""
      this.lines.push(...parts)
      this.look()
    }
    if (rest !== "") this.lines.push(rest)
    this.errors = await errors
    const code = await this.child.exited
    this.hasEnded = true
    running.delete(this)
    this.look()
    return code
  }

  private look(): void {
    for (const resolve of this.waiters.splice(0)) resolve()
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve))
  }

  /** Waits for a line and answers with it; fails when the program ends without. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.lines.find((line) => pattern.test(line))
      if (found !== undefined) return found
      if (this.hasEnded) throw new Error(`it ended without ${pattern}:\n${this.output}`)
      await this.change()
    }
  }

  /** Waits until this many lines match, and answers with them. */
  async linesOf(pattern: RegExp, count: number): Promise<ReadonlyArray<string>> {
    const matching = () => this.lines.filter((line) => pattern.test(line))
    while (matching().length < count && !this.hasEnded) {
      await this.change()
    }
    if (matching().length < count)
      throw new Error(`it ended with ${matching().length} of ${count} ${pattern}:\n${this.output}`)
    return matching()
  }

  /** Everything that it said, for failures. */
  get output(): string {
    return `${this.lines.join("\n")}\n${this.errors}`
  }

  /** Waits for the end, which must be with code 0. */
  async succeeded(): Promise<this> {
    const code = await this.exited
    if (code !== 0) throw new Error(`exit code ${code}:\n${this.output}`)
    return this
  }

  write(text: string): void {
    this.child.stdin.write(text)
    this.child.stdin.flush()
  }

  endInput(): void {
    this.child.stdin.end()
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}
