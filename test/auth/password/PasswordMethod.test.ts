/** Passwords against users: who gets in, how many at a time, and that an unknown user costs the same. */

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { chain } from "../../../src/auth/Chain.ts"
import { type PasswordUsers, parsePasswordFile, withUser } from "../../../src/auth/password/PasswordFile.ts"
import { hashPassword, type PasswordHash } from "../../../src/auth/password/PasswordHash.ts"
import { makeDecoys, passwordMethod } from "../../../src/auth/password/PasswordMethod.ts"
import { AuthFileUnusable, watchedFile } from "../../../src/auth/WatchedFile.ts"
import { credentials, tell, told } from "../../support/credentials.ts"
import { live, nextImmediate, run } from "../../support/effect.ts"

const cost = { memoryCost: 8, timeCost: 1, iterations: 4096 }
const hash = await hashPassword("secret", cost)
const text = ["ada", "grace"].reduce(
  (before, username) => withUser(before, { username, tenant: "acme", hash }),
  ""
)
const users: PasswordUsers = Either.getOrThrow(parsePasswordFile(text))

const methodWith = (options: Partial<Parameters<typeof passwordMethod>[0]> = {}) =>
  run(passwordMethod({ users: () => users, concurrency: 2, waitingMax: 2, ...options }))

describe("a password method", () => {
  const rows: ReadonlyArray<
    readonly [name: string, presented: Parameters<typeof credentials>[0], result: string]
  > = [
    ["accepts the right password", { username: "ada", password: "secret" }, "acme/ada"],
    ["refuses a wrong one", { username: "ada", password: "guess" }, "0x86"],
    ["refuses an empty one", { username: "ada", password: "" }, "0x86"],
    ["does not know an unknown user", { username: "eve", password: "secret" }, "NotMine"],
    ["does not judge a name without password", { username: "ada" }, "NotMine"],
    ["does not judge a password without name", { password: "secret" }, "NotMine"],
    ["does not judge nothing", {}, "NotMine"],
    [
      "does not judge enhanced authentication",
      { username: "ada", password: "secret", authenticationMethod: "M" },
      "NotMine"
    ],
    ["knows no user by a name of Object's", { username: "constructor", password: "secret" }, "NotMine"]
  ]
  for (const [name, presented, result] of rows) {
    test(name, async () => {
      expect(await tell((await methodWith()).authenticate(credentials(presented)))).toBe(result)
    })
  }

  test("[attack 39] tells an unknown user and a wrong password the same", async () => {
    const { authenticate } = chain([await methodWith()], { timeoutMs: 5000 })
    const answers = await Promise.all(
      [
        { username: "ada", password: "guess" },
        { username: "eve", password: "guess" }
      ].map((presented) => Effect.runPromise(authenticate(credentials(presented))))
    )
    expect(answers[0]).toEqual(answers[1]!)
  })

  test("[attack 39] verifies an unknown user's password against somebody's hash, always the same", async () => {
    const verified: Array<PasswordHash> = []
    const method = await methodWith({
      verify: async (_, against) => {
        verified.push(against)
        return true
      }
    })
    const eve = () => tell(method.authenticate(credentials({ username: "eve", password: "x" })))
    expect([await eve(), await eve()]).toEqual(["NotMine", "NotMine"])
    expect(verified).toHaveLength(2)
    expect(verified[0]).toBe(verified[1]!)
    expect([...users.values()].map((user) => user.hash)).toContain(verified[0]!)
  })

  test("has somebody's hash also where nobody is", () => {
    expect(makeDecoys()("eve", new Map())._tag).toBe("Argon2id")
  })
})

live("a storm of passwords: few are verified, few wait, the rest hear that the server is busy", () =>
  Effect.gen(function* () {
    const running: Array<(isRight: boolean) => void> = []
    const method = yield* passwordMethod({
      users: () => users,
      concurrency: 2,
      waitingMax: 2,
      verify: () => new Promise((resolve) => running.push(resolve))
    })
    const step = method.authenticate(credentials({ username: "ada", password: "guess" }))
    const storm = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.fork(step))
    yield* nextImmediate
    expect(running).toHaveLength(2)
    const refused = yield* Effect.forEach(storm.slice(4), Fiber.join)
    expect(refused.map(told)).toEqual(Array.from({ length: 6 }, () => "0x89"))
    // A client that leaves does not make room before its hash is done.
    yield* Effect.forkDaemon(Fiber.interrupt(storm[0]!))
    yield* nextImmediate
    expect(running).toHaveLength(2)
    for (const resolve of running) resolve(false)
    yield* nextImmediate
    yield* nextImmediate
    expect(running).toHaveLength(4)
    for (const resolve of running) resolve(true)
    expect((yield* Effect.forEach(storm.slice(1, 4), Fiber.join)).map(told)).toEqual([
      "0x86",
      "acme/ada",
      "acme/ada"
    ])
  })
)

describe("a watched file", () => {
  const directory = mkdtempSync(join(tmpdir(), "heddle-passwords-"))
  afterAll(() => rmSync(directory, { recursive: true }))
  const path = join(directory, "passwords")

  const names = (current: () => PasswordUsers) => [...current().keys()]
  const quiet = Logger.remove(Logger.defaultLogger)
  const file = watchedFile({ path, parse: parsePasswordFile, every: "1 millis" })

  /** Waits until it is so; the test's own timeout fails it otherwise. */
  const until = (isSo: () => boolean): Effect.Effect<void> =>
    Effect.suspend(() => (isSo() ? Effect.void : Effect.zipRight(Effect.delay(Effect.void, 1), until(isSo))))

  const write = (content: string): void => {
    writeFileSync(`${path}.next`, content)
    renameSync(`${path}.next`, path)
  }

  live("is read again when it changes, and what is unsound changes nothing", () =>
    Effect.gen(function* () {
      write(text)
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => logged.push(String(message)))
      const { current } = yield* Effect.provide(file, Logger.replace(Logger.defaultLogger, logger))
      expect(names(current)).toEqual(["ada", "grace"])
      for (const content of ["", "ada\n", `${text}eve:`]) {
        const complaints = logged.length
        write(content)
        yield* until(() => logged.length > complaints)
        expect(names(current)).toEqual(["ada", "grace"])
      }
      rmSync(path)
      yield* until(() => logged.some((line) => line.includes("cannot be read")))
      expect(names(current)).toEqual(["ada", "grace"])
      write(withUser(text, { username: "eve", tenant: "acme", hash }))
      yield* until(() => names(current).length === 3)
    }).pipe(Effect.provide([BunContext.layer, quiet]))
  )

  live("that is unsound or missing at the start is an error", () =>
    Effect.gen(function* () {
      write("")
      expect((yield* Effect.flip(file)).message).toBe(`${path} holds no users`)
      rmSync(path)
      expect(yield* Effect.flip(file)).toEqual(new AuthFileUnusable({ path, problem: "cannot be read" }))
    }).pipe(Effect.provide([BunContext.layer, quiet]))
  )
})
