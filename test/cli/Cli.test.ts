import { afterAll, afterEach, describe, expect, spyOn, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import manifest from "../../package.json" with { type: "json" }
import { makeCli } from "../../src/cli/Cli.ts"
import type { Config } from "../../src/config/Config.ts"
import { configurationJsonSchema } from "../../src/config/JsonSchema.ts"
import { run } from "../support/effect.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-cli-"))
const good = join(directory, "good.yaml")
const bad = join(directory, "bad.yaml")
await Bun.write(good, "listeners:\n  tcp:\n    port: 2883\n")
await Bun.write(bad, "listeners:\n  tcp:\n    port: 70000\nlimit: {}\n")
afterAll(() => rmSync(directory, { recursive: true }))

const log = spyOn(console, "log").mockImplementation(() => undefined)
const error = spyOn(console, "error").mockImplementation(() => undefined)
afterEach(() => {
  log.mockClear()
  error.mockClear()
})
afterAll(() => {
  log.mockRestore()
  error.mockRestore()
})

class PortTaken extends Data.TaggedError("PortTaken")<{ readonly port: number }> {
  override get message(): string {
    return `port ${this.port} is taken`
  }
}

interface Outcome {
  readonly exit: Exit.Exit<void, unknown>
  readonly started: ReadonlyArray<Config>
  readonly out: string
  readonly err: string
}

const printed = (calls: ReadonlyArray<ReadonlyArray<unknown>>): string =>
  Bun.stripANSI(calls.map((args) => args.join(" ")).join("\n"))

const heddle = async (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  ending: Effect.Effect<void, PortTaken> = Effect.void
): Promise<Outcome> => {
  const started: Array<Config> = []
  const cli = makeCli(
    ({ config }) =>
      Effect.zipRight(
        Effect.sync(() => started.push(config)),
        ending
      ),
    env
  )
  const exit = await run(cli(["bun", "main.ts", ...args]).pipe(Effect.exit, Effect.provide(BunContext.layer)))
  return { exit, started, out: printed(log.mock.calls), err: printed(error.mock.calls) }
}

describe("heddle start", () => {
  const forms: ReadonlyArray<
    readonly [args: ReadonlyArray<string>, env: Record<string, string>, port: number]
  > = [
    [[], {}, 1883],
    [["start"], {}, 1883],
    [["--config", good], {}, 2883],
    [["start", "--config", good], {}, 2883],
    [["start", "-c", good], {}, 2883],
    [["--config", good, "start"], {}, 2883],
    [["start"], { HEDDLE_CONFIG: good }, 2883],
    [["start"], { HEDDLE_CONFIG: good, HEDDLE_LISTENERS_TCP_PORT: "3883" }, 3883]
  ]
  for (const [args, env, port] of forms) {
    const shown = [...Object.keys(env), "heddle", ...args.map((arg) => (arg === good ? "FILE" : arg))].join(
      " "
    )
    test(`\`${shown}\` listens on ${port}`, async () => {
      const { exit, started } = await heddle(args, env)
      expect(Exit.isSuccess(exit)).toBe(true)
      expect(started.map((config) => config.listeners.tcp?.port)).toEqual([port])
    })
  }

  test("--log-level goes before the configuration", async () => {
    const { started } = await heddle(["--log-level", "warning", "start"], { HEDDLE_LOG_LEVEL: "trace" })
    expect(started[0]?.log.level).toBe("warning")
  })

  test("does not run with a bad configuration, and says what is wrong with it", async () => {
    const { exit, started, err } = await heddle(["start", "--config", bad])
    expect(Exit.isFailure(exit)).toBe(true)
    expect(started).toEqual([])
    expect(err).toStartWith(`heddle: 2 problems in the configuration (${bad}):`)
  })

  test("tells a failure of the broker as its sentence", async () => {
    const { exit, err } = await heddle([], {}, new PortTaken({ port: 1883 }))
    expect(Exit.isFailure(exit)).toBe(true)
    expect(err).toBe("heddle: port 1883 is taken")
  })

  test("tells a defect with its cause", async () => {
    const { exit, out } = await heddle([], {}, Effect.dieMessage("impossible"))
    expect(Exit.isFailure(exit)).toBe(true)
    expect(out).toContain("impossible")
  })

  test("says nothing when it is interrupted", async () => {
    const { exit, out, err } = await heddle([], {}, Effect.interrupt)
    expect(Exit.isInterrupted(exit)).toBe(true)
    expect(out + err).toBe("")
  })
})

describe("heddle config", () => {
  test("--schema prints the JSON Schema of the file, whatever is configured", async () => {
    const { exit, out } = await heddle(["config", "--schema", "--config", bad])
    expect(Exit.isSuccess(exit)).toBe(true)
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(configurationJsonSchema())))
  })

  test("prints what is in force", async () => {
    const { exit, started, out } = await heddle(["config", "--config", good], { HEDDLE_LOG_LEVEL: "debug" })
    expect(Exit.isSuccess(exit)).toBe(true)
    expect(started).toEqual([])
    expect(out).toContain(`    port: 2883 # ${good}\n`)
    expect(out).toContain("  level: debug # HEDDLE_LOG_LEVEL\n")
  })
})

describe("heddle check", () => {
  test("is content with a good file", async () => {
    const { exit, out } = await heddle(["check", good])
    expect(Exit.isSuccess(exit)).toBe(true)
    expect(out).toBe(`${good}: ok`)
  })

  test("prints every problem of a bad one and fails", async () => {
    const { exit, err } = await heddle(["check", bad])
    expect(Exit.isFailure(exit)).toBe(true)
    expect(err.split("\n")).toEqual([
      `heddle: 2 problems in the configuration (${bad}):`,
      "  limit: unknown key; did you mean limits?",
      "  listeners.tcp.port: 70000 is not allowed; expected a whole number from 0 to 65535"
    ])
  })

  test("names every file that cannot be read", async () => {
    const file = join(directory, "secure.yaml")
    await Bun.write(file, "listeners:\n  tls: { tls: { cert: no.pem, key: none.key } }\n")
    const { exit, err } = await heddle(["check", file])
    expect(Exit.isFailure(exit)).toBe(true)
    expect(err.split("\n")).toEqual([
      `heddle: listeners.tls.tls.cert: cannot read ${join(directory, "no.pem")}`,
      `listeners.tls.tls.key: cannot read ${join(directory, "none.key")}`
    ])
  })
})

describe("heddle", () => {
  test("--help tells the commands, the configuration and examples", async () => {
    const { out } = await heddle(["--help"])
    for (const part of ["start", "config", "check <file>", "HEDDLE_LIMITS_PACKET_BYTES_MAX", "EXAMPLES"]) {
      expect(out).toContain(part)
    }
  })

  test("--version is the package's", async () => {
    const { out } = await heddle(["--version"])
    expect(out.trim()).toBe(manifest.version)
  })

  test("refuses what it does not know", async () => {
    const { exit, started, err } = await heddle(["strat"])
    expect(Exit.isFailure(exit)).toBe(true)
    expect(started).toEqual([])
    expect(err).toContain("use one of 'start', 'config', 'check'")
  })
})
