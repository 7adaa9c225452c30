/** Users as an operator has them in hand, and what becomes of clients who are connected. */

import { describe, expect, test } from "bun:test"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { chain } from "../../src/auth/Chain.ts"
import { hashPassword, scramHash } from "../../src/auth/password/PasswordHash.ts"
import { directoryAuthorizer } from "../../src/auth/users/directoryAuthorizer.ts"
import { makeUserDirectory, UserDirectory } from "../../src/auth/users/UserDirectory.ts"
import { userMethod } from "../../src/auth/users/UserMethod.ts"
import type { AdministrationError } from "../../src/control/AdministrationError.ts"
import { routeOf } from "../../src/control/ControlRoute.ts"
import { layerUsersInForce, UserAdmin, usersPerPage } from "../../src/control/UserAdmin.ts"
import { userRoutes } from "../../src/control/userRoutes.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { UserStore } from "../../src/storage/UserStore.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const cost = { memoryCost: 8, timeCost: 1, iterations: 4096 }
const [argon, scram] = [await hashPassword("secret", cost), await scramHash(Buffer.from("secret"), cost)]

const makeDirectory = () =>
  Effect.runPromise(Effect.provide(Effect.flatMap(UserStore, makeUserDirectory), layerMemory()))

const adminOf = (directory: UserDirectory["Type"]) =>
  Effect.runPromise(
    Effect.provide(UserAdmin, Layer.provide(UserAdmin.layer, Layer.succeed(UserDirectory, directory)))
  )

/** What was answered, or what was refused. */
const answerOf = <A>(answer: Effect.Effect<A, AdministrationError>): Promise<A | string> =>
  Effect.runPromise(
    Effect.match(answer, {
      onSuccess: (value) => value,
      onFailure: ({ code, message, problems }) =>
        [`${code}: ${message}`, ...problems.map(({ key, message: wrong }) => `${key}: ${wrong}`)].join("; ")
    })
  )

describe("an operator", () => {
  test("adds, sees, changes and removes users, and sees nothing of their passwords", async () => {
    const admin = await adminOf(await makeDirectory())
    const ada = { username: "ada", tenant: "acme", password: argon }
    expect(await answerOf(admin.add(ada))).toMatchObject({
      username: "ada",
      isDisabled: false,
      kept: "argon2id"
    })
    expect(await answerOf(admin.add({ ...ada, tenant: "globex" }))).toBe(
      "exists: there is a user ada already"
    )
    const rules = [{ permission: "allow", action: "publish", topicFilter: "a/#", qos: [0, 1] } as const]
    expect(await answerOf(admin.edit("ada", { rules, password: scram }))).toMatchObject({
      tenant: "acme",
      kept: "SCRAM-SHA-256",
      rules
    })
    expect(await answerOf(admin.edit("ada", { rules: null, isDisabled: true }))).toMatchObject({
      isDisabled: true
    })
    const shown = await answerOf(admin.get("ada"))
    expect(Object.keys(shown).sort()).toEqual([
      ...["changedAtMs", "createdAtMs", "isDisabled", "kept", "tenant", "username"]
    ])
    expect(await answerOf(admin.list({ after: "" }))).toEqual([shown as never])
    expect(await answerOf(admin.list({ after: "", tenant: "globex" }))).toEqual([])
    expect(await answerOf(admin.list({ after: "ada" }))).toEqual([])
    expect(await answerOf(admin.remove("ada"))).toBe(undefined as never)
    expect(await answerOf(admin.remove("ada"))).toBe("not-found: no user ada")
    expect(await answerOf(admin.get("ada"))).toBe("not-found: no user ada")
    expect(await answerOf(admin.edit("ada", { isDisabled: false }))).toBe("not-found: no user ada")
  })

  const refused: ReadonlyArray<
    readonly [name: string, wrong: { username?: string; tenant?: string; password?: string }, told: RegExp]
  > = [
    ["no name", { username: "" }, /^invalid: this is no user; username: a user's name is not empty/],
    ["a name with a colon", { username: "a:b" }, /username: a user has no colon/],
    ["a name that is too long", { username: "x".repeat(1025) }, /username: .*at most 1024 bytes/],
    ["no tenant", { tenant: "" }, /tenant: "" is no name of a tenant/],
    ["a tenant that a terminal would obey", { tenant: "a\u001b[2J" }, /tenant: "a\\u001b\[2J" is no name/],
    ["a password that is no hash", { password: "hunter2" }, /password: is none of the hashes that are known$/]
  ]
  for (const [name, wrong, told] of refused) {
    test(`does not get a user with ${name}`, async () => {
      const admin = await adminOf(await makeDirectory())
      const given = { username: "ada", tenant: "acme", password: argon, ...wrong }
      const answer = await answerOf(admin.add(given))
      expect(answer).toMatch(told)
      expect(answer).not.toContain("hunter2")
    })
  }

  test("reads a long list in parts", async () => {
    const directory = await makeDirectory()
    const names = Array.from({ length: usersPerPage + 1 }, (_, index) => `u${10_000 + index}`)
    for (const username of names) {
      await Effect.runPromise(directory.add({ username, tenant: "t", password: argon, rules: undefined }))
    }
    const admin = await adminOf(directory)
    const first = await answerOf(admin.list({ after: "" }))
    expect(first).toHaveLength(usersPerPage)
    expect(await answerOf(admin.list({ after: names[usersPerPage - 1]! }))).toMatchObject([
      { username: names.at(-1)! }
    ])
  })
})

describe("over the control socket", () => {
  const ask = async (method: string, path: string, body?: unknown) => {
    const admin = await adminOf(await makeDirectory())
    await answerOf(admin.add({ username: "a/b ü", tenant: "acme", password: argon }))
    const [pathname = "", query = ""] = path.split("?")
    const found = routeOf(userRoutes(admin), method, pathname)
    if (found === undefined) return "no route"
    const { params, route } = found
    return answerOf(route.handle({ params, query: new URLSearchParams(query), body }))
  }
  const name = encodeURIComponent("a/b ü")
  const asked: ReadonlyArray<
    readonly [method: string, path: string, body: object | undefined, answer: unknown]
  > = [
    ["GET", "/users", undefined, { users: [expect.objectContaining({ username: "a/b ü" })] }],
    ["GET", "/users?tenant=globex", undefined, { users: [] }],
    ["GET", "/users?page=2", undefined, expect.stringMatching(/^invalid: the query .*page/)],
    ["GET", `/users/${name}`, undefined, expect.objectContaining({ tenant: "acme" })],
    ["PATCH", `/users/${name}`, { isDisabled: true }, expect.objectContaining({ isDisabled: true })],
    ["PATCH", `/users/${name}`, { tenant: "globex" }, expect.stringMatching(/^invalid: the body .*tenant/)],
    [
      "PATCH",
      `/users/${name}`,
      { rules: [{ action: "publish", topicFilter: "a", qoss: [0] }] },
      expect.stringMatching(/^invalid: the body .*qoss/)
    ],
    ["DELETE", `/users/${name}`, undefined, undefined],
    [
      "POST",
      "/users",
      { username: "eve", tenant: "acme", password: argon, rules: [{ action: "all", topicFilter: "#" }] },
      expect.objectContaining({ rules: [{ permission: "allow", action: "all", topicFilter: "#" }] })
    ],
    ["POST", "/users", { username: "eve" }, expect.stringMatching(/^invalid: .*tenant: .*password: /)]
  ]
  for (const [method, path, body, answer] of asked) {
    test(`${method} ${path} ${Object.keys(body ?? {}).join(" ")}`.trim(), async () => {
      expect(await ask(method, path, body)).toEqual(answer as never)
    })
  }
})

describe("clients who are connected", () => {
  const withUsers = async (
    body: (broker: TestBroker, directory: UserDirectory["Type"]) => Promise<void>
  ): Promise<void> => {
    const directory = await makeDirectory()
    for (const username of ["ada", "grace"]) {
      const rules = [{ permission: "allow", action: "all", topicFilter: "#" } as const]
      await Effect.runPromise(directory.add({ username, tenant: "acme", password: argon, rules }))
    }
    const method = await Effect.runPromise(userMethod({ directory, concurrency: 2, waitingMax: 9 }))
    const granted = Context.get(
      await Effect.runPromise(Effect.scoped(Layer.build(Authorizer.layerGranted))),
      Authorizer
    )
    const options = {
      authenticator: Layer.succeed(Authenticator, chain([method], { timeoutMs: 5000 })),
      authorizer: Layer.succeed(Authorizer, directoryAuthorizer(granted, directory)),
      directory: TenantDirectory.layerTable(() => defaultTenantSettings),
      beside: Layer.provide(layerUsersInForce, Layer.succeed(UserDirectory, directory))
    }
    await withBroker(options, (broker) => body(broker, directory))
  }
  const enter = (broker: TestBroker, username: string, version: 4 | 5): Promise<TestClient> =>
    broker.connect({ version, clientId: username, username, password: Buffer.from("secret") })

  const changes: ReadonlyArray<
    readonly [name: string, change: (directory: UserDirectory["Type"]) => Effect.Effect<unknown, unknown>]
  > = [
    ["the user was removed", ({ remove }) => remove("ada")],
    ["the user was disabled", ({ edit }) => edit("ada", { isDisabled: true })],
    ["the user's password was changed", ({ edit }) => edit("ada", { password: scram })]
  ]
  for (const [reason, change] of changes) {
    test(`are disconnected with 0x98 because ${reason}, and nobody else is`, () =>
      withUsers(async (broker, directory) => {
        const [ada, grace] = [await enter(broker, "ada", 5), await enter(broker, "grace", 4)]
        await Effect.runPromise(Effect.orDie(change(directory)))
        const { properties, reasonCode } = await ada.expect("disconnect")
        expect([reasonCode, properties?.reasonString]).toEqual([0x98, reason])
        expect(await ada.next()).toBe(undefined)
        await grace.quiet()
      }))
  }

  test("and speak 3.1.1 are closed", () =>
    withUsers(async (broker, directory) => {
      const ada = await enter(broker, "ada", 4)
      await Effect.runPromise(Effect.orDie(directory.remove("ada")))
      expect(await ada.next()).toBe(undefined)
    }))

  test("stay when a disabled user is enabled, or somebody is added", () =>
    withUsers(async (broker, directory) => {
      const ada = await enter(broker, "ada", 5)
      const change = Effect.all([
        directory.edit("ada", { isDisabled: false }),
        directory.edit("grace", { isDisabled: true }),
        directory.edit("grace", { isDisabled: false }),
        directory.add({ username: "eve", tenant: "acme", password: argon, rules: undefined })
      ])
      await Effect.runPromise(Effect.orDie(change))
      await broker.settle()
      await ada.quiet()
    }))
})
