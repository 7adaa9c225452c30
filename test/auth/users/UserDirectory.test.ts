/** The user directory: what it keeps at hand, what it tells, and how clients authenticate by it. */

import { describe, expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { secretBytes } from "../../../src/auth/Authenticator.ts"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { chain, type Verdict } from "../../../src/auth/Chain.ts"
import { hashPassword, type PasswordHash, scramHash } from "../../../src/auth/password/PasswordHash.ts"
import { directoryAuthorizer } from "../../../src/auth/users/directoryAuthorizer.ts"
import {
  makeUserDirectory,
  type UserChange,
  type UserDirectory
} from "../../../src/auth/users/UserDirectory.ts"
import { type UserMethodOptions, userMethod } from "../../../src/auth/users/UserMethod.ts"
import { layerMemory } from "../../../src/storage/memory.ts"
import { StorageError } from "../../../src/storage/StorageError.ts"
import { type StoredUser, UserStore } from "../../../src/storage/UserStore.ts"
import { credentials, identityOf, told } from "../../support/credentials.ts"
import { effect, live, nextImmediate } from "../../support/effect.ts"
import { clientFinal, clientFirst } from "../../support/scramClient.ts"

const cost = { memoryCost: 8, timeCost: 1, iterations: 4096 }
const argon = await hashPassword("secret", cost)
const scram = await scramHash(Buffer.from("lovelace"), cost)
const rules = [{ permission: "allow", action: "publish", topicFilter: "a/#" } as const]

/** A store that counts what is asked of it, and fails when it is told to. */
class Subject {
  finds = 0
  /** Changes by another node, of which this one does not hear. */
  foreign = 0
  isFailing = false
  /** Resolves when a look-up may be answered. */
  hold: Promise<void> = Promise.resolve()

  constructor(readonly inner: UserStore["Type"]) {}

  readonly store: UserStore["Type"] = {
    find: (username) =>
      this.work(() => {
        this.finds++
        const { hold } = this
        return Effect.zipLeft(
          this.inner.find(username),
          Effect.promise(() => hold)
        )
      }),
    list: (listing) => this.work(() => this.inner.list(listing)),
    add: (added) => this.work(() => this.inner.add(added)),
    replace: (changed) => this.work(() => this.inner.replace(changed)),
    remove: (username) => this.work(() => this.inner.remove(username)),
    revision: () => this.inner.revision() - this.foreign
  }

  private work<A>(work: () => Effect.Effect<A, StorageError>): Effect.Effect<A, StorageError> {
    return Effect.suspend(() => (this.isFailing ? gone : work()))
  }
}

const gone = Effect.fail(new StorageError({ reason: "the disk is gone", cause: undefined }))

const user = (username: string, changes: Partial<StoredUser> = {}) => ({
  username,
  tenant: "acme",
  password: argon,
  rules: undefined,
  ...changes
})

const makeSubject = Effect.gen(function* () {
  const subject = new Subject(yield* Effect.provide(UserStore, layerMemory()))
  const directory = yield* makeUserDirectory(subject.store)
  yield* directory.add(user("ada", { rules }))
  yield* directory.add(user("grace", { password: scram }))
  return { subject, directory }
})

const quiet = Effect.provide(Logger.remove(Logger.defaultLogger))

describe("the directory", () => {
  effect("asks the store once within five seconds, and never for what it has changed itself", () =>
    Effect.gen(function* () {
      const { directory, subject } = yield* makeSubject
      for (let count = 0; count < 3; count++) expect((yield* directory.find("ada"))?.rules).toEqual(rules)
      expect(subject.finds).toBe(1)
      yield* directory.edit("ada", { rules: null })
      expect((yield* directory.find("ada"))?.rules).toBe(undefined)
      yield* directory.remove("ada")
      expect(yield* directory.find("ada")).toBe(undefined)
    })
  )

  effect("believes what it has at hand for five seconds, and no longer", () =>
    Effect.gen(function* () {
      const { directory, subject } = yield* makeSubject
      yield* directory.find("ada")
      yield* subject.inner.remove("ada")
      subject.foreign = 1
      yield* TestClock.adjust("4999 millis")
      expect(yield* directory.find("ada")).toBeDefined()
      yield* TestClock.adjust("1 millis")
      expect(yield* directory.find("ada")).toBe(undefined)
    })
  )

  effect("keeps nothing of unknown names, and nothing when the store was changed behind it", () =>
    Effect.gen(function* () {
      const { directory, subject } = yield* makeSubject
      for (let count = 0; count < 3; count++) expect(yield* directory.find("eve")).toBe(undefined)
      expect(subject.finds).toBe(3)
      yield* directory.find("ada")
      yield* subject.inner.remove("ada")
      expect(yield* directory.find("ada")).toBe(undefined)
    })
  )

  live("does not keep what was read before a change and comes after it", () =>
    Effect.gen(function* () {
      const { directory, subject } = yield* makeSubject
      let release: () => void = () => undefined
      subject.hold = new Promise((resolve) => {
        release = resolve
      })
      const early = yield* Effect.fork(directory.find("ada"))
      yield* nextImmediate
      subject.hold = Promise.resolve()
      yield* directory.edit("ada", { isDisabled: true })
      release()
      expect((yield* Fiber.join(early))?.isDisabled).toBe(false)
      expect((yield* directory.find("ada"))?.isDisabled).toBe(true)
    })
  )

  const stories: ReadonlyArray<{
    readonly name: string
    readonly change: (directory: UserDirectory["Type"]) => Effect.Effect<unknown, unknown>
    readonly told: ReadonlyArray<string>
  }> = [
    { name: "a new user", change: ({ add }) => add(user("eve")), told: ["eve added"] },
    { name: "a name that is taken", change: ({ add }) => add(user("ada")), told: [] },
    {
      name: "a password",
      change: ({ edit }) => edit("ada", { password: scram }),
      told: ["ada password"]
    },
    { name: "rules", change: ({ edit }) => edit("ada", { rules: [] }), told: ["ada rules"] },
    { name: "the same rules", change: ({ edit }) => edit("ada", { rules: [...rules] }), told: [] },
    {
      name: "everything",
      change: ({ edit }) => edit("ada", { rules: null, password: scram, isDisabled: true }),
      told: ["ada password", "ada rules", "ada disabled"]
    },
    { name: "nobody", change: ({ edit }) => edit("eve", { isDisabled: true }), told: [] },
    { name: "an end", change: ({ remove }) => remove("ada"), told: ["ada removed"] },
    { name: "an end of nobody", change: ({ remove }) => remove("eve"), told: [] }
  ]
  for (const { change, name, told: expected } of stories) {
    live(`tells of ${name}: ${expected.join(", ") || "nothing"}`, () =>
      Effect.gen(function* () {
        const { directory } = yield* makeSubject
        const changes: Array<UserChange> = []
        const stream = yield* directory.changes
        yield* Effect.fork(Stream.runForEach(stream, (each) => Effect.sync(() => changes.push(each))))
        yield* change(directory)
        yield* nextImmediate
        expect(changes.map(({ username, what }) => `${username} ${what}`)).toEqual([...expected])
        expect(new Set(changes.map(({ tenant }) => tenant))).toEqual(
          new Set(expected.length > 0 ? ["acme"] : [])
        )
      })
    )
  }

  live("tells of a change whose answer was lost, because it may have been stored", () =>
    Effect.gen(function* () {
      const { subject } = yield* makeSubject
      const directory = yield* makeUserDirectory({
        ...subject.store,
        replace: (changed) => Effect.zipRight(subject.store.replace(changed), gone),
        remove: () => gone
      })
      const changes: Array<string> = []
      const stream = yield* directory.changes
      yield* Effect.fork(Stream.runForEach(stream, ({ what }) => Effect.sync(() => changes.push(what))))
      expect((yield* Effect.flip(directory.edit("ada", { isDisabled: true })))._tag).toBe("StorageError")
      expect((yield* Effect.flip(directory.remove("ada")))._tag).toBe("StorageError")
      yield* nextImmediate
      expect(changes).toEqual(["disabled", "removed"])
    })
  )
})

describe("the method", () => {
  const presented: ReadonlyArray<
    readonly [name: string, presented: Parameters<typeof credentials>[0], result: string]
  > = [
    ["accepts the right password", { username: "ada", password: "secret" }, "acme/ada"],
    ["accepts one that is kept for SCRAM", { username: "grace", password: "lovelace" }, "acme/grace"],
    ["refuses a wrong one", { username: "ada", password: "guess" }, "0x86"],
    ["refuses an empty one", { username: "ada", password: "" }, "0x86"],
    ["does not know an unknown user", { username: "eve", password: "secret" }, "NotMine"],
    ["refuses a disabled user", { username: "gone", password: "secret" }, "0x87"],
    ["tells a guesser nothing of a disabled user", { username: "gone", password: "guess" }, "0x86"],
    ["refuses whose hash cannot be read", { username: "odd", password: "secret" }, "0x86"],
    ["does not judge a name without password", { username: "ada" }, "NotMine"],
    ["does not judge a password without name", { password: "secret" }, "NotMine"],
    [
      "does not judge another method",
      { username: "ada", password: "secret", authenticationMethod: "M" },
      "NotMine"
    ]
  ]
  const methodOf = (options: Partial<UserMethodOptions> = {}) =>
    Effect.gen(function* () {
      const made = yield* makeSubject
      yield* made.directory.add(user("gone"))
      yield* made.directory.edit("gone", { isDisabled: true })
      yield* made.directory.add(user("odd", { password: "plain" }))
      const { directory } = made
      return { ...made, method: yield* userMethod({ directory, concurrency: 2, waitingMax: 2, ...options }) }
    })
  for (const [name, given, result] of presented) {
    live(name, () =>
      Effect.gen(function* () {
        const { method } = yield* methodOf()
        expect(told(yield* method.authenticate(credentials(given)))).toBe(result)
      })
    )
  }

  live("gives the rules of the user, and says in a chain whose it is", () =>
    Effect.gen(function* () {
      const { method } = yield* methodOf()
      const { authenticate } = chain([method], { timeoutMs: 5000 })
      expect(yield* authenticate(credentials({ username: "ada", password: "secret" }))).toEqual({
        _tag: "Accepted",
        tenant: "acme",
        principal: "ada",
        rules,
        method: "users"
      })
    })
  )

  live("verifies an unknown user's password against somebody's hash, always the same", () =>
    Effect.gen(function* () {
      const verified: Array<PasswordHash> = []
      const { method } = yield* methodOf({
        verify: async (_, hash) => {
          verified.push(hash)
          return true
        }
      })
      const eve = method.authenticate(credentials({ username: "eve", password: "x" }))
      expect([told(yield* eve), told(yield* eve)]).toEqual(["NotMine", "NotMine"])
      expect(verified).toHaveLength(2)
      expect(verified[0]).toEqual(verified[1]!)
    })
  )

  live("verifies as many at a time as it may, and turns away who would wait too long", () =>
    Effect.gen(function* () {
      let under = 0
      let most = 0
      let release: () => void = () => undefined
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      const { method } = yield* methodOf({
        verify: async () => {
          most = Math.max(most, ++under)
          await gate
          under--
          return true
        }
      })
      const ada = method.authenticate(credentials({ username: "ada", password: "secret" }))
      const waiting = yield* Effect.fork(Effect.all([ada, ada, ada, ada], { concurrency: "unbounded" }))
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      expect(told(yield* ada)).toBe("0x89")
      release()
      expect((yield* Fiber.join(waiting)).map(told)).toEqual(Array(4).fill("acme/ada"))
      expect(most).toBe(2)
    })
  )

  const meanwhile: ReadonlyArray<
    readonly [
      name: string,
      change: (directory: UserDirectory["Type"]) => Effect.Effect<unknown, unknown>,
      string
    ]
  > = [
    ["was disabled", ({ edit }) => edit("ada", { isDisabled: true }), "0x87"],
    ["got another password", ({ edit }) => edit("ada", { password: scram }), "0x86"],
    ["was removed", ({ remove }) => remove("ada"), "0x86"],
    [
      "was made anew for another tenant",
      ({ add, remove }) => Effect.zipRight(remove("ada"), add(user("ada", { tenant: "globex" }))),
      "0x86"
    ],
    ["got other rules", ({ edit }) => edit("ada", { rules: [] }), "acme/ada"]
  ]
  for (const [name, change, result] of meanwhile) {
    live(`judges a user who ${name} while the password was verified by what is so now`, () =>
      Effect.gen(function* () {
        const { directory } = yield* makeSubject
        const method = yield* userMethod({
          directory,
          concurrency: 1,
          waitingMax: 1,
          verify: () => Effect.runPromise(Effect.as(Effect.orDie(change(directory)), true))
        })
        const verdict = yield* method.authenticate(credentials({ username: "ada", password: "secret" }))
        expect(told(verdict)).toBe(result)
        expect(verdict._tag === "Accepted" ? verdict.rules : []).toEqual([])
      })
    )
  }

  live("refuses everybody with 0x88 while the users cannot be read", () =>
    Effect.gen(function* () {
      const { method, subject } = yield* methodOf()
      subject.isFailing = true
      for (const username of ["ada", "eve"]) {
        expect(told(yield* method.authenticate(credentials({ username, password: "secret" })))).toBe("0x88")
      }
    }).pipe(quiet)
  )

  const exchange = (method: {
    authenticate: (given: ReturnType<typeof credentials>) => Effect.Effect<Verdict>
  }) =>
    Effect.fnUntraced(function* (
      username: string,
      password: string,
      between: Effect.Effect<unknown, unknown>
    ) {
      const first = clientFirst(username, "cnonce")
      const begun = yield* method.authenticate(
        credentials({ authenticationMethod: "SCRAM-SHA-256", authenticationData: Buffer.from(first) })
      )
      if (begun._tag !== "Challenge") return told(begun)
      const final = clientFinal(first, Buffer.from(begun.authenticationData ?? []).toString(), password)
      yield* Effect.orDie(between)
      return told(yield* begun.respond(secretBytes(Buffer.from(final.message))))
    })

  live("authenticates by SCRAM-SHA-256 where a password is kept for it", () =>
    Effect.gen(function* () {
      const { directory, method } = yield* methodOf()
      const say = exchange(method)
      expect(yield* say("grace", "lovelace", Effect.void)).toBe("acme/grace")
      expect(yield* say("grace", "guess", Effect.void)).toBe("0x87")
      expect(yield* say("ada", "secret", Effect.void)).toBe("0x87")
      expect(yield* say("eve", "secret", Effect.void)).toBe("0x87")
      expect(yield* say("grace", "lovelace", directory.edit("grace", { isDisabled: true }))).toBe("0x87")
    })
  )
})

describe("the authorizer", () => {
  const judge = (authorizer: Authorizer["Type"], method: string | undefined, principal = "ada") =>
    Effect.map(
      authorizer.permissions({ ...identityOf(principal, "acme"), method, rules: [] }),
      ({ publish }) => [publish("a/b", 0, false), publish("b", 0, false)]
    )
  const parts = Effect.gen(function* () {
    const { directory, subject } = yield* makeSubject
    const inner = yield* Effect.provide(Authorizer, Authorizer.layerGranted)
    return { directory, subject, authorizer: directoryAuthorizer(inner, directory) }
  })

  effect("takes the rules of a user of the directory as they are now", () =>
    Effect.gen(function* () {
      const { authorizer, directory } = yield* parts
      expect(yield* judge(authorizer, "users")).toEqual([true, false])
      yield* directory.edit("ada", { rules: [{ permission: "allow", action: "all", topicFilter: "b" }] })
      expect(yield* judge(authorizer, "users")).toEqual([false, true])
      yield* directory.edit("ada", { rules: null })
      expect(yield* judge(authorizer, "users")).toEqual([true, true])
    })
  )

  effect("leaves those to the authorizer behind who authenticated in another way", () =>
    Effect.gen(function* () {
      const { authorizer } = yield* parts
      expect(yield* judge(authorizer, "jwt")).toEqual([false, false])
      expect(yield* judge(authorizer, undefined)).toEqual([false, false])
    })
  )

  effect("has no permissions for who was removed or disabled, or while the users cannot be read", () =>
    Effect.gen(function* () {
      const { authorizer, directory, subject } = yield* parts
      yield* directory.edit("ada", { isDisabled: true })
      expect((yield* Effect.flip(judge(authorizer, "users"))).reason).toBe("the user is no longer admitted")
      expect((yield* Effect.flip(judge(authorizer, "users", "eve")))._tag).toBe("AuthorizationUnavailable")
      subject.isFailing = true
      expect((yield* Effect.flip(judge(authorizer, "users", "grace"))).reason).toBe("the disk is gone")
    })
  )

  live("says when rules change, and nothing else", () =>
    Effect.gen(function* () {
      const { authorizer, directory } = yield* parts
      const told: Array<string | undefined> = []
      const { changes = Stream.empty } = authorizer
      yield* Effect.fork(Stream.runForEach(changes, ({ tenant }) => Effect.sync(() => told.push(tenant))))
      yield* nextImmediate
      yield* directory.edit("grace", { password: argon })
      yield* directory.edit("ada", { rules: [] })
      yield* nextImmediate
      expect(told).toEqual(["acme"])
    })
  )
})
