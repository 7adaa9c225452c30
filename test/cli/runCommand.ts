/** Runs a command in this process: whether it went well, and all that it printed. */

import { spyOn } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { makeCli } from "../../src/cli/Cli.ts"

export const runCommand = async (
  args: ReadonlyArray<string>,
  env: Record<string, string>
): Promise<{ readonly isGood: boolean; readonly text: string }> => {
  const lines: Array<string> = []
  const print = (...values: ReadonlyArray<unknown>) => {
    lines.push(values.join(" "))
  }
  const spies = [
    spyOn(console, "log").mockImplementation(print),
    spyOn(console, "error").mockImplementation(print)
  ]
  try {
    const cli = makeCli(() => Effect.void, env)
    const exit = await Effect.runPromiseExit(
      Effect.provide(cli(["bun", "main.ts", ...args]), BunContext.layer)
    )
    return { isGood: Exit.isSuccess(exit), text: Bun.stripANSI(lines.join("\n")) }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
