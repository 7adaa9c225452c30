/** `heddle users` with and without a broker that runs, and clients who use what it says. */

import { afterAll, afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import { connectAsync, type MqttClient } from "mqtt"
import { openControl } from "../../src/cli/controlSocket.ts"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { usersCommand } from "../../src/cli/users.ts"
import { type Resolved, resolve } from "../../src/config/Resolution.ts"

// The storage starts a thread, and the sockets are real.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-users-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
let made = 0

const clients: Array<MqttClient> = []
afterEach(() => {
  for (const client of clients.splice(0)) client.end(true)
})

const resolved = (storage: unknown = { path: join(directory, String(made++)) }): Resolved =>
  Either.getOrThrow(
    resolve({
      file: {
        name: "test.json",
        content: {
          listeners: { tcp: { port: 0, host: "127.0.0.1" } },
          authentication: { methods: ["users"], anonymous: "never" },
          tenancy: { firstSight: "create" },
          storage,
          metrics: { enabled: false },
          log: { level: "none" }
        }
      },
      env: {}
    })
  )

/** What a command prints, or why it refuses. */
const users = async (
  { config }: Resolved,
  args: ReadonlyArray<string>,
  password = "secret"
): Promise<string> => {
  const lines: Array<string> = []
  const log = spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(line)
  })
  const command = usersCommand(
    { option: Options.text("config").pipe(Options.optional), load: () => Effect.succeed(config) },
    {
      password: Effect.succeed(Redacted.make(password)),
      cost: { memoryCost: 8, timeCost: 1, iterations: 4096 }
    }
  )
  const cli = Command.run(command, { name: "users", version: "1" })
  try {
    const exit = await Effect.runPromiseExit(
      cli(["bun", "users", ...args]).pipe(Effect.provide(BunContext.layer))
    )
    if (Exit.isSuccess(exit)) return lines.join("\n")
    return exit.cause._tag === "Fail" && exit.cause.error instanceof Error
      ? exit.cause.error.message
      : exit.cause._tag
  } finally {
    log.mockRestore()
  }
}

type Enter = (username: string, password: string, version?: 4 | 5) => Promise<MqttClient>

const withBroker = (configured: Resolved, body: (enter: Enter) => Promise<void>): Promise<void> => {
  const { config } = configured
  const threshold = { level: LogLevel.None }
  return Effect.gen(function* () {
    const running = yield* Running
    yield* openControl({ config, again: Effect.succeed(configured) } as never)
    const port = running.listening()[0]?.port
    yield* Effect.promise(() =>
      body(async (username, password, version = 5) => {
        const client = await connectAsync(
          `mqtt://127.0.0.1:${port}`,
          { protocolVersion: version, reconnectPeriod: 0, clientId: username, username, password },
          false
        )
        clients.push(client)
        return client
      })
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(runningLayer(configured, threshold)),
    Effect.provide(BunContext.layer),
    Effect.runPromise
  )
}

const refusalOf = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => "accepted",
    (error: { code?: number }) => error.code
  )

/** The reason code of the DISCONNECT that a client gets. */
const sentAway = (client: MqttClient): Promise<number | undefined> =>
  new Promise((settle) => client.once("disconnect", ({ reasonCode }) => settle(reasonCode)))

describe("heddle users", () => {
  test("adds, shows, changes and deletes users in the database of a broker that does not run", async () => {
    const configured = resolved()
    const say = (...args: ReadonlyArray<string>) => users(configured, args)
    expect(await say("add", "ada", "--tenant", "acme")).toBe("ada is a user of tenant acme")
    expect(await say("set", "--rule", "allow all b", "ada")).toBe("ada has other rules")
    expect(await say("disable", "ada")).toBe("ada is disabled")
    expect(await say("list")).toMatch(/^user .*\nada +acme +argon2id +1 +disabled$/)
    expect(await say("delete", "ada")).toBe("ada is deleted")
    expect(await say("delete", "ada")).toBe("no user ada")
  })

  test("asks a broker that runs", () => {
    const configured = resolved()
    return withBroker(configured, () => askAll((...args) => users(configured, args)))
  })

  const askAll = async (say: (...args: ReadonlyArray<string>) => Promise<string>): Promise<void> => {
    expect(await say("list")).toBe("no users yet")
    const rules = ["--rule", "allow publish a/# qos=0,1", "--rule", "deny all #"]
    expect(await say("add", "ada", "--tenant", "acme", ...rules)).toBe("ada is a user of tenant acme")
    expect(await say("add", "grace", "--scram")).toBe("grace is a user of tenant default")
    expect(await say("add", "ada")).toBe("there is a user ada already")
    expect(await say("list")).toMatch(
      /^user +tenant +password +rules +state\nada +acme +argon2id +2\ngrace +default +SCRAM-SHA-256/
    )
    expect(await say("list", "--tenant", "acme")).not.toContain("grace")
    expect(await say("show", "ada")).toMatch(
      /^ada of tenant acme\n {2}password +argon2id\n.*\n {4}allow publish a\/# qos=0,1\n {4}deny all #$/s
    )
    expect(await say("disable", "ada")).toBe("ada is disabled")
    expect(JSON.parse(await say("show", "--json", "ada"))).toMatchObject({ isDisabled: true })
    expect(await say("enable", "ada")).toBe("ada is enabled")
    expect(await say("set", "--no-rules", "ada")).toBe("ada has no rules any more")
    expect(await say("set", "--rule", "allow all b", "ada")).toBe("ada has other rules")
    expect(await say("set", "--scram", "ada")).toBe("ada has another password")
    expect(JSON.parse(await say("show", "--json", "ada"))).toMatchObject({
      kept: "SCRAM-SHA-256",
      rules: [{ permission: "allow", action: "all", topicFilter: "b" }]
    })
    expect(await say("delete", "ada")).toBe("ada is deleted")
    expect(await say("delete", "ada")).toBe("no user ada")
    expect(await say("show", "ada")).toBe("no user ada")
    expect(await say("set", "ada")).toBe("no user ada")
  }

  const refused: ReadonlyArray<readonly [args: ReadonlyArray<string>, password: string, says: RegExp]> = [
    [["add", "a:b"], "x", /this is no user.*a user has no colon/s],
    [["add", "a"], "", /^the password is empty$/],
    [["add", "--scram", "a"], "pässword", /printable ASCII/],
    [["add", "--rule", "allow dance a", "a"], "x", /^"allow dance a" says publish, subscribe or all/],
    [["add", "--rule", "allow all", "a"], "x", /^"allow all" names no topic filter/],
    [["add", "--rule", "[*]", "a"], "x", /^"\[\*\]" is not one rule/],
    [["add", "--rule", "allow all a\nallow all b", "a"], "x", /is not one rule/],
    [["add", "--rule", "[user=b]\nallow all #", "a"], "x", /is not one rule/],
    [["add", "--rule", `allow all a/\${clientId}`, "a"], "x", /names what only an access file can/]
  ]
  for (const [args, password, says] of refused) {
    test(`refuses ${args.join(" ").replaceAll("\n", "; ")}`, async () => {
      const configured = resolved()
      expect(await users(configured, args, password)).toMatch(says)
      expect(await users(configured, ["list"])).toBe("no users yet")
    })
  }

  test("says that nobody is there when users are in a memory that nobody has", async () => {
    expect(await users(resolved({ kind: "memory" }), ["list"])).toContain("neither a control socket nor")
  })

  test("says who has the database when that broker does not answer", async () => {
    const configured = resolved()
    const { config } = configured
    const mute = { ...configured, config: { ...config, control: { ...config.control, path: "off" } } }
    await withBroker(mute, async () => {
      expect(await users(mute, ["list"])).toContain(`is in use by another broker: process ${process.pid}`)
    })
  })
})

describe("clients", () => {
  test("get in by what is said of their users, before and while the broker runs, and after", async () => {
    const configured = resolved()
    await users(configured, ["add", "ada", "--tenant", "acme"], "lovelace")
    await withBroker(configured, async (enter) => {
      const ada = await enter("ada", "lovelace")
      expect(await refusalOf(enter("ada", "guess"))).toBe(0x86)
      expect(await refusalOf(enter("eve", "lovelace"))).toBe(0x86)
      await users(configured, ["add", "grace"], "hopper")
      const grace = await enter("grace", "hopper", 4)
      const gone = sentAway(ada)
      await users(configured, ["disable", "ada"])
      expect(await gone).toBe(0x98)
      expect(await refusalOf(enter("ada", "lovelace"))).toBe(0x87)
      expect(grace.connected).toBe(true)
      await users(configured, ["enable", "ada"])
      await enter("ada", "lovelace")
    })
    await withBroker(configured, async (enter) => {
      await enter("grace", "hopper")
      await users(configured, ["delete", "grace"])
      expect(await refusalOf(enter("grace", "hopper"))).toBe(0x86)
    })
  })

  test("lose the subscriptions that other rules do not grant, and stay", async () => {
    const configured = resolved()
    await users(configured, ["add", "ada", "--rule", "allow all #"])
    await withBroker(configured, async (enter) => {
      const ada = await enter("ada", "secret")
      await ada.subscribeAsync(["news/#", "own/#"], { qos: 1 })
      const heard: Array<string> = []
      ada.on("message", (topic) => heard.push(topic))
      await ada.publishAsync("news/1", "", { qos: 1 })
      await users(configured, ["set", "ada", "--rule", "deny subscribe news/#", "--rule", "allow all #"])
      let code: number | undefined = 0
      while (code === 0) {
        const granted = await ada.subscribeAsync("news/2", { qos: 1 }).catch(() => undefined)
        code = granted?.[0]?.qos === 1 ? 0 : 0x87
      }
      await ada.publishAsync("news/1", "", { qos: 1 })
      await ada.publishAsync("own/1", "", { qos: 1 })
      while (!heard.includes("own/1")) await new Promise((settle) => ada.once("message", settle))
      expect(heard).toEqual(["news/1", "own/1"])
    })
  })
})
