/**
 * The README's walk "From anonymous to production", run as it stands: its `sh` blocks in one bash, in order,
 * with a broker of its own. A comment `# prints:` says what its command must print; `...` stands for what
 * differs each time. A command without one has to succeed.
 */

import { beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

interface Statement {
  readonly step: string
  readonly text: string
  /** Lines that it prints, among others. */
  readonly prints: ReadonlyArray<string>
}

interface Outcome {
  readonly lines: ReadonlyArray<string>
  readonly exitCode: number
}

const root = join(import.meta.dir, "../..")
const readme = readFileSync(join(root, "README.md"), "utf8")
const walk = /\n## From anonymous to production\n([\s\S]*?)\n## /.exec(readme)?.[1] ?? ""

/** The commands of a block, each with the lines that belong to it: continued ones and here-documents. */
const statementsOf = (step: string, block: string): ReadonlyArray<Statement> => {
  const statements: Array<{ step: string; text: string; prints: Array<string> }> = []
  let end: string | undefined
  let isContinued = false
  for (const line of block.split("\n")) {
    const [, command, printed] = /^(.*?) *# prints: ?(.*)$/.exec(line) ?? [undefined, line, undefined]
    const last = statements.at(-1)
    if (end !== undefined || isContinued) last!.text += `\n${line}`
    else if (command !== "") statements.push({ step, text: command!, prints: [] })
    if (end === undefined && printed !== undefined) statements.at(-1)!.prints.push(printed.trim())
    if (line === end) end = undefined
    else end ??= /<<'(\w+)'$/.exec(line)?.[1]
    isContinued = end === undefined && line.endsWith("\\")
  }
  return statements
}

const statements = walk.split("\n**").flatMap((part) => {
  const step = /^(.*?)\.?\*\*/.exec(part)?.[1] ?? "0. Begin"
  return [...part.matchAll(/```sh\n([\s\S]*?)\n```/g)].flatMap(([, block]) => statementsOf(step, block!))
})

const nameOf = ({ step, text }: Statement): string =>
  `${step}: ${text.split("\n", 1)[0]!.replace(/ +#.*/, "")}`

/** Stands behind the output of each command, before its exit code. */
const mark = "\u0001"

const script = (port: number): string =>
  [
    // Job control, as in a terminal: a job is a process group, which `kill %1` reaches as a whole.
    "set -m",
    "exec 2>&1",
    "trap 'for job in $(jobs -p); do kill -- -$job; done' EXIT",
    "trap 'exit 1' TERM",
    ...statements.map(({ text }) => `${text}\nprintf '\\n%d${mark}' $?`)
  ]
    .join("\n")
    .replaceAll("8883", String(port))

/** Below those that the system gives to connections: nothing else takes it until the broker does. */
const freePort = async (port = 20_000 + (process.pid % 10_000)): Promise<number> => {
  const isFree = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once("error", () => resolve(false))
    server.listen(port, () => server.close(() => resolve(true)))
  })
  return isFree ? port : freePort(port + 1)
}

/** Runs the walk in a folder beside the sources, as a folder in the checkout is. */
const run = async (folder: string): Promise<ReadonlyArray<Outcome>> => {
  for (const name of ["src", "node_modules", "package.json"])
    symlinkSync(join(root, name), join(folder, name))
  const settings = Object.entries(process.env).filter(([name]) => !name.startsWith("HEDDLE_"))
  const port = await freePort()
  const bash = Bun.spawn(["bash", "-c", script(port)], {
    cwd: folder,
    env: { ...Object.fromEntries(settings), HEDDLE_METRICS_PORT: "0", NO_COLOR: "1" },
    stdin: "ignore",
    stdout: "pipe",
    timeout: 100_000
  })
  const output = await new Response(bash.stdout).text()
  await bash.exited
  return output
    .replaceAll(String(port), "8883")
    .split(mark)
    .map((part) => {
      const [, text, exitCode] = /^([\s\S]*?)(\d*)$/.exec(part)!
      return { lines: text!.split("\n").map((line) => line.trim()), exitCode: Number(exitCode) }
    })
}

const isAsSaid = (line: string, said: string): boolean => {
  const parts = said.split("...").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  return new RegExp(`^${parts.join(".*")}$`).test(line)
}

describe("the README's walk", () => {
  let outcomes: ReadonlyArray<Outcome> = []

  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), "heddle-walk-"))
    outcomes = await run(folder).finally(() => rmSync(folder, { recursive: true, force: true }))
  }, 120_000)

  test("has its steps", () => {
    const steps = new Set(statements.map(({ step }) => step.replace(/\D.*$/, "")))
    expect([...steps]).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"])
    expect(statements.filter(({ prints }) => prints.length > 0).length).toBeGreaterThan(25)
  })

  const named = statements.map((statement, n) => [nameOf(statement), n, statement.prints] as const)

  test.each(named)("%s", (_, n, prints) => {
    const { exitCode, lines } = outcomes[n] ?? { exitCode: "not reached", lines: [] }
    if (prints.length === 0) expect({ lines, exitCode }).toEqual({ lines, exitCode: 0 })
    const missing = prints.filter((said) => !lines.some((line) => isAsSaid(line, said)))
    expect({ lines, missing }).toEqual({ lines, missing: [] })
  })
})
