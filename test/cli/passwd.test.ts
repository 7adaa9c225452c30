/** `heddle passwd`, and a broker whose clients use what it wrote. */

import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import { connectAsync } from "mqtt"
import { passwdCommand } from "../../src/cli/passwd.ts"
import { endPrograms, isSkipped, Program } from "../interop/Program.ts"
import { run } from "../support/effect.ts"

setDefaultTimeout(20_000)
afterEach(endPrograms)

const directory = mkdtempSync(join(tmpdir(), "heddle-passwd-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const file = join(directory, "passwords")
beforeEach(() => rmSync(file, { force: true }))

const log = spyOn(console, "log").mockImplementation(() => undefined)
afterAll(() => log.mockRestore())

const passwd = async (password: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const command = passwdCommand({
    password: Effect.succeed(Redacted.make(password)),
    cost: { memoryCost: 8, timeCost: 1, iterations: 4096 }
  })
  const cli = Command.run(command, { name: "passwd", version: "1" })
  const exit = await run(cli(["bun", "passwd", ...args]).pipe(Effect.exit, Effect.provide(BunContext.layer)))
  return Exit.match(exit, {
    onSuccess: () => "ok",
    onFailure: (cause) =>
      cause._tag === "Fail" && cause.error instanceof Error ? cause.error.message : cause._tag
  })
}

const lines = (): ReadonlyArray<string> =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => !line.startsWith("#"))

describe("heddle passwd", () => {
  test("makes a file that only its owner reads, sets, changes and deletes users", async () => {
    expect(await passwd("lovelace", file, "ada")).toBe("ok")
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(lines()).toEqual([expect.stringMatching(/^ada::\$argon2id\$v=19\$m=8,t=1,p=1\$/), ""])
    expect(await passwd("hopper", "--tenant", "globex", "--scram", file, "grace")).toBe("ok")
    expect(await passwd("byron", "--tenant", "acme", file, "ada")).toBe("ok")
    expect(lines()).toEqual([
      expect.stringMatching(/^ada:acme:\$argon2id\$/),
      expect.stringMatching(/^grace:globex:SCRAM-SHA-256\$4096\$/),
      ""
    ])
    expect(await passwd("", "--delete", file, "ada")).toBe("ok")
    expect(lines()).toEqual([expect.stringMatching(/^grace:/), ""])
    expect(existsSync(file)).toBe(true)
  })

  const refused: ReadonlyArray<readonly [args: ReadonlyArray<string>, password: string, says: string]> = [
    [[file, "a:b"], "x", "a user has no colon and no control characters in its name"],
    [[file, "#a"], "x", "a user's name is not empty and does not begin with #"],
    [["--tenant", "a:b", file, "a"], "x", "a tenant has no colon and no control characters in its name"],
    [[file, "a"], "", "the password is empty"],
    [["--scram", file, "a"], "pässword", "a password for SCRAM is made of printable ASCII characters"],
    [["--delete", file, "a"], "", `${file} holds no user a`]
  ]
  for (const [args, password, says] of refused) {
    test(`refuses: ${says.replace(directory, "")}`, async () => {
      expect(await passwd(password, ...args)).toBe(says)
      expect(existsSync(file)).toBe(false)
    })
  }

  test("does not write to what is no password file", async () => {
    writeFileSync(file, "precious\n")
    expect(await passwd("x", file, "a")).toContain("is not a password file: line 1")
    expect(readFileSync(file, "utf8")).toBe("precious\n")
  })

  test("keeps a link and the file's permissions", async () => {
    const link = join(directory, "link")
    writeFileSync(file, "", { mode: 0o640 })
    symlinkSync(file, link)
    expect(await passwd("x", link, "a")).toBe("ok")
    expect(lines()).toHaveLength(2)
    expect(statSync(file).mode & 0o777).toBe(0o640)
  })
})

describe.skipIf(isSkipped())("as processes", () => {
  const root = join(import.meta.dir, "../..")
  const heddle = (...args: ReadonlyArray<string>) =>
    new Program([process.execPath, join(root, "src/main.ts"), ...args], {
      env: { NO_COLOR: "1" },
      cwd: directory
    })

  const setPassword = async (user: string, tenant: string, password: string): Promise<void> => {
    const program = heddle("passwd", "passwords", user, "--tenant", tenant)
    program.write(`${password}\n`)
    program.endInput()
    expect(await program.exited).toBe(0)
    expect(program.output).not.toContain(password)
  }

  test("users get in with their passwords, in their tenants, as soon as the file says so", async () => {
    await setPassword("ada", "acme", "lovelace")
    await setPassword("grace", "globex", "hopper")
    const config = join(directory, "users.json")
    const content = {
      listeners: { tcp: { port: 0, host: "127.0.0.1" } },
      authentication: { methods: ["password-file"], anonymous: "never" },
      storage: { kind: "memory" },
      metrics: { enabled: false }
    }
    writeFileSync(config, JSON.stringify(content))
    const broker = heddle("--config", config)
    await broker.line(/admits/)
    const port = /127\.0\.0\.1:(\d+)/.exec(broker.output)?.[1]
    const connect = (
      who: { readonly clientId?: string; readonly username?: string; readonly password?: string } = {}
    ) =>
      connectAsync(
        `mqtt://127.0.0.1:${port}`,
        {
          protocolVersion: 5,
          reconnectPeriod: 0,
          clientId: "sensor",
          ...who
        },
        false
      )
    const refusal = (attempt: Promise<unknown>) =>
      attempt.then(
        () => "accepted",
        (error: { code?: number }) => error.code
      )
    const ada = await connect({ username: "ada", password: "lovelace" })
    const grace = await connect({ username: "grace", password: "hopper" })
    const heard: Array<string> = []
    for (const client of [ada, grace]) {
      client.on("message", (_, payload) => heard.push(String(payload)))
      await client.subscribeAsync("#", { qos: 1 })
    }
    const both = Promise.all(
      [ada, grace].map((client) => new Promise((resolve) => client.once("message", resolve)))
    )
    await ada.publishAsync("t", "of acme", { qos: 1 })
    await grace.publishAsync("t", "of globex", { qos: 1 })
    await both
    expect(heard.sort()).toEqual(["of acme", "of globex"])
    expect(await refusal(connect({ username: "ada", password: "hopper" }))).toBe(0x86)
    expect(await refusal(connect({ username: "eve", password: "hopper" }))).toBe(0x86)
    expect([await refusal(connect())]).toEqual([0x87])
    const reloaded = broker.line(/has changed and is in force/)
    await setPassword("eve", "acme", "apple")
    await reloaded
    const eve = await connect({ clientId: "eve", username: "eve", password: "apple" })
    await Promise.all([ada, grace, eve].map((client) => client.endAsync()))
  })

  test("`heddle check` and the start tell of a file that is not there", async () => {
    rmSync(file, { force: true })
    const config = join(directory, "missing.json")
    writeFileSync(config, JSON.stringify({ authentication: { methods: ["password-file"] } }))
    for (const args of [
      ["check", config],
      ["start", "--config", config]
    ]) {
      const program = heddle(...args)
      expect(await program.exited).toBe(1)
      expect(program.output).toContain("heddle: passwords cannot be read")
    }
  })
})
