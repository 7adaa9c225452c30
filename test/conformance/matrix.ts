/**
 * `bun run conformance`: for each statement the tests that name it, or why there are none. `--markdown`
 * prints tables, `--missing` only what is missing. Ends with 1 when something is.
 */

import { type Naming, scanTests } from "./scan.ts"
import { bindsServer, type SpecificationVersion, type Statement, statements } from "./statements.ts"
import { waivers } from "./waived.ts"

const reasons = new Map(waivers.map(({ key, reason }) => [key, reason]))

type State = "tested" | "waived" | "missing"

interface Line {
  readonly statement: Statement
  readonly state: State
  readonly detail: string
}

const lineOf = (statement: Statement, naming: Naming): Line => {
  const files = naming.get(statement.key)
  if (files !== undefined) {
    const detail = [...files].map(([file, count]) => `${file.replace(/^test\//, "")}: ${count}`).join(", ")
    return { statement, state: "tested", detail }
  }
  const reason = reasons.get(statement.key)
  return reason === undefined
    ? { statement, state: "missing", detail: "" }
    : { statement, state: "waived", detail: reason }
}

const count = (lines: ReadonlyArray<Line>, state: State): number =>
  lines.filter((line) => line.state === state).length

const summaryOf = (version: SpecificationVersion, lines: ReadonlyArray<Line>): string => {
  const binding = lines.filter(({ statement }) => bindsServer(statement))
  const tests = `${count(binding, "tested")} tested, ${count(binding, "waived")} waived`
  const rest = lines.length - binding.length
  return `MQTT ${version}: ${binding.length} statements bind a server: ${tests}, ${count(binding, "missing")} missing; ${rest} bind a client alone`
}

const text = ({ detail, state, statement }: Line): string =>
  `${statement.id.padEnd(15)} ${state.padEnd(8)} ${detail}`.trimEnd()

const markdown = ({ detail, state, statement }: Line): string =>
  `| ${statement.id} | ${statement.binds} | ${state} | ${detail} |`

const asMarkdown = process.argv.includes("--markdown")
const onlyMissing = process.argv.includes("--missing")
const naming = scanTests()
const output: Array<string> = []
const summaries: Array<string> = []
let missing = 0
for (const version of ["5.0", "3.1.1"] as const) {
  const lines = statements
    .filter((statement) => statement.version === version)
    .map((statement) => lineOf(statement, naming))
  const shown = onlyMissing ? lines.filter(({ state }) => state === "missing") : lines
  output.push(
    `${asMarkdown ? "## " : ""}MQTT ${version}`,
    "",
    ...(asMarkdown ? ["| Statement | Binds | State | Tests, or why not |", "| --- | --- | --- | --- |"] : []),
    ...shown.map(asMarkdown ? markdown : text),
    ""
  )
  summaries.push(summaryOf(version, lines))
  missing += count(lines, "missing")
}
console.log([...output, ...summaries].join("\n"))
process.exitCode = missing === 0 ? 0 : 1
