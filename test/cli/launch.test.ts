/**
 * The launcher in a checkout of its own, with a stand-in for the packaged Bun: a script that answers
 * `--version`, writes down each `install` and is otherwise the Bun of this test.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import manifest from "../../package.json" with { type: "json" }

const checkout = mkdtempSync(join(tmpdir(), "heddle-launch-"))
const installs = join(checkout, "installs.log")
const launcher = join(checkout, "src/launch.mjs")

const standIn = `#!/bin/sh
case "$1" in
  --version) echo ${manifest.devDependencies.bun} ;;
  install) echo "$@" >> "${installs}" ;;
  *) exec "${process.execPath}" "$@" ;;
esac
`

beforeAll(() => {
  mkdirSync(join(checkout, "src"))
  mkdirSync(join(checkout, "node_modules/bun/bin"), { recursive: true })
  copyFileSync(join(import.meta.dir, "../../src/launch.mjs"), launcher)
  writeFileSync(join(checkout, "package.json"), JSON.stringify(manifest))
  writeFileSync(join(checkout, "bun.lock"), "{}\n")
  writeFileSync(join(checkout, "echo.ts"), echo)
  writeFileSync(join(checkout, "wait.ts"), wait)
  writeFileSync(join(checkout, "node_modules/bun/bin/bun.exe"), standIn, { mode: 0o755 })
})
afterAll(() => rmSync(checkout, { recursive: true }))

const echo = `console.log(process.argv.slice(2).join("|")); process.exit(7)`

/** Tells that it runs and that the signal came, and ends a little later with 20 and the number of signals. */
const wait = `
let count = 0
process.on(process.argv[2], () => {
  count += 1
  console.log(count)
  if (count === 1) setTimeout(() => process.exit(20 + count), 150)
})
setInterval(() => {}, 1000)
console.log("ready")
`

const installCount = (): number =>
  existsSync(installs) ? readFileSync(installs, "utf8").trimEnd().split("\n").length : 0

const launch = (runtime: string, ...args: ReadonlyArray<string>) =>
  Bun.spawn([runtime, launcher, ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" })

const runtimes = [process.execPath, Bun.which("node")].filter((path) => path !== null)

describe("the launcher", () => {
  test("installs once, and again when bun.lock changes", async () => {
    expect(await launch(process.execPath, "-e", "0").exited).toBe(0)
    expect(readFileSync(installs, "utf8")).toBe("install --frozen-lockfile\n")
    expect(await launch(process.execPath, "-e", "0").exited).toBe(0)
    expect(installCount()).toBe(1)
    appendFileSync(join(checkout, "bun.lock"), "\n")
    expect(await launch(process.execPath, "-e", "0").exited).toBe(0)
    expect(installCount()).toBe(2)
  })

  for (const runtime of runtimes) {
    const name = runtime === process.execPath ? "Bun" : "Node.js"

    test(`under ${name} passes arguments on and brings output and exit code back`, async () => {
      const child = launch(runtime, "echo.ts", "--a", "b c")
      expect((await child.stdout.text()).trim()).toBe("--a|b c")
      expect(await child.exited).toBe(7)
    })

    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      test(`under ${name} passes ${signal} on once, although the terminal and npm both send it`, async () => {
        const child = launch(runtime, "wait.ts", signal)
        const output = child.stdout.getReader()
        await output.read()
        child.kill(signal)
        await output.read()
        child.kill(signal)
        expect(await child.exited).toBe(21)
      })
    }

    test(`under ${name} ends as its child does when a signal kills that`, async () => {
      const child = launch(runtime, "-e", `process.kill(process.pid, "SIGKILL")`)
      expect(await child.exited).toBe(128 + 9)
    })
  }
})
