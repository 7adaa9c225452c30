/**
 * Runs every example of this folder, one after another, and fails if one does.
 *
 *     bun run examples
 */

import { readdirSync } from "node:fs"
import { join } from "node:path"

export interface ExampleResult {
  readonly exitCode: number
  readonly output: string
  readonly errors: string
}

/** The examples by file name, in alphabetical order. */
export const examples: ReadonlyArray<string> = readdirSync(import.meta.dir)
  .filter((file) => file.endsWith(".ts") && file !== "run.ts")
  .sort()

/** Runs one in a process of its own. */
export const runExample = async (file: string): Promise<ExampleResult> => {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, file)], { stdout: "pipe", stderr: "pipe" })
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited
  ])
  return { exitCode, output, errors }
}

if (import.meta.main) {
  let failed = 0
  for (const file of examples) {
    const { errors, exitCode, output } = await runExample(file)
    if (exitCode !== 0) failed++
    console.log(`${exitCode === 0 ? "ok    " : "FAILED"} ${file}\n${output}${errors}`)
  }
  process.exit(failed === 0 ? 0 : 1)
}
