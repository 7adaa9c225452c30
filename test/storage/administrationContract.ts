/**
 * What the stores of tenants, users, usage and bans must do, and what counting and removing a whole tenant
 * means, whatever storage is made of.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Ban } from "../../src/auth/guard/BanList.ts"
import { BanStore } from "../../src/storage/BanStore.ts"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { Journal } from "../../src/storage/Journal.ts"
import { RetainedStore } from "../../src/storage/RetainedStore.ts"
import { SessionStore } from "../../src/storage/SessionStore.ts"
import type { StorageError } from "../../src/storage/StorageError.ts"
import { noContents, TenantContents } from "../../src/storage/TenantContents.ts"
import { type StoredTenant, TenantStore } from "../../src/storage/TenantStore.ts"
import { type UsageRow, type UsageSpan, UsageStore } from "../../src/storage/UsageStore.ts"
import { type StoredUser, type UserListing, UserStore } from "../../src/storage/UserStore.ts"
import { append, connect, enqueue, message, type Services, type Storage } from "./contract.ts"
import { dumpOfStores } from "./dump.ts"

const tenant = (name: string, changes: Partial<StoredTenant> = {}): StoredTenant => ({
  tenant: name,
  state: "active",
  settings: {},
  createdAtMs: 1,
  changedAtMs: 2,
  ...changes
})

export const user = (username: string, changes: Partial<StoredUser> = {}): StoredUser => ({
  username,
  tenant: "t",
  password: "$7$101$c2FsdA==$a2V5",
  rules: undefined,
  isDisabled: false,
  createdAtMs: 1,
  changedAtMs: 2,
  ...changes
})

const hour = 3_600_000

export const usage = (changes: Partial<UsageRow> = {}): UsageRow => ({
  tenant: "t",
  hourMs: 5 * hour,
  writer: "w",
  messagesIn: 1,
  bytesIn: 2,
  messagesOut: 3,
  bytesOut: 4,
  connects: 5,
  connectionMs: 6,
  connectionsPeak: 7,
  sessionsPeak: 8,
  storedBytesPeak: 2 ** 40,
  retainedMessagesPeak: 10,
  ...changes
})

const all = <A>(stream: Stream.Stream<A, StorageError>): Effect.Effect<ReadonlyArray<A>, StorageError> =>
  Effect.map(Stream.runCollect(stream), (chunk) => [...chunk])

export const administrationContract = ({ make, name }: Storage): void => {
  const within = (
    title: string,
    ...lives: ReadonlyArray<() => Effect.Effect<unknown, StorageError, Services>>
  ): void => {
    test(title, async () => {
      const subject = make()
      for (const life of lives) await Effect.runPromise(Effect.provide(life(), subject.layer()))
    })
  }

  describe(`${name}: the tenants`, () => {
    const [first, second] = [
      tenant("b", { settings: { weight: 3, queuePolicy: "disconnect", durability: "os" } }),
      tenant("", { state: "deleting" })
    ]
    within(
      "are kept as they were put, by name, into the next life",
      () =>
        Effect.gen(function* () {
          const store = yield* TenantStore
          yield* store.put(tenant("b", { state: "suspended" }))
          yield* store.put(second)
          yield* store.put(first)
          yield* store.put(tenant("gone"))
          expect(yield* store.remove("gone")).toBe(true)
          expect(yield* store.remove("gone")).toBe(false)
        }),
      () =>
        Effect.gen(function* () {
          const store = yield* TenantStore
          expect(yield* store.find("b")).toEqual(first)
          expect(yield* store.find("gone")).toBe(undefined)
          expect(yield* store.find("B")).toBe(undefined)
          expect(yield* all(store.all)).toEqual([second, first])
        })
    )
  })

  describe(`${name}: the users`, () => {
    const ada = user("ada", {
      rules: [
        { permission: "allow", action: "publish", topicFilter: "a/+" },
        { permission: "deny", action: "all", topicFilter: "#" }
      ],
      isDisabled: true
    })
    within(
      "are kept as they were put, into the next life",
      () =>
        Effect.gen(function* () {
          const store = yield* UserStore
          expect(yield* store.add(user("ada"))).toBe(true)
          expect(yield* store.replace(ada)).toBe(true)
          expect(yield* store.add(user("emoji 😀:#"))).toBe(true)
          expect(yield* store.add(user("gone"))).toBe(true)
          expect(yield* store.remove("gone")).toBe(true)
          expect(yield* store.remove("gone")).toBe(false)
        }),
      () =>
        Effect.gen(function* () {
          const store = yield* UserStore
          expect(yield* store.find("ada")).toEqual(ada)
          expect(yield* store.find("emoji 😀:#")).toEqual(user("emoji 😀:#"))
          expect(yield* store.find("gone")).toBe(undefined)
          expect(yield* store.find("Ada")).toBe(undefined)
        })
    )

    within("have one name each, whatever the tenant, and stay in theirs", () =>
      Effect.gen(function* () {
        const store = yield* UserStore
        yield* store.add(user("ada"))
        expect(yield* store.add(user("ada", { tenant: "u" }))).toBe(false)
        expect(yield* store.replace(user("ada", { tenant: "u" }))).toBe(false)
        expect(yield* store.replace(user("bob"))).toBe(false)
        expect(yield* store.find("ada")).toEqual(user("ada"))
        expect(yield* store.find("bob")).toBe(undefined)
      })
    )

    within("have another revision after each change, also when a tenant is removed whole", () =>
      Effect.gen(function* () {
        const store = yield* UserStore
        const contents = yield* TenantContents
        let last = store.revision()
        for (const change of [
          store.add(user("ada")),
          store.replace(user("ada", { isDisabled: true })),
          store.remove("ada"),
          store.add(user("ada")),
          contents.purge("t", { withUsage: false })
        ]) {
          yield* change
          expect(store.revision()).toBeGreaterThan(last)
          last = store.revision()
        }
        yield* store.find("ada")
        yield* contents.count("t")
        expect(store.revision()).toBe(last)
      })
    )

    within("are listed in parts by name, of all tenants or of one", () =>
      Effect.gen(function* () {
        const store = yield* UserStore
        for (const each of ["d", "b", "é", "a", "😀", "c", "\uffee"]) {
          yield* store.add(user(each, { tenant: each === "b" ? "u" : "t" }))
        }
        const names = (listing: Partial<UserListing>) =>
          Effect.map(store.list({ after: "", limit: 100, ...listing }), (users) =>
            users.map(({ username }) => username)
          )
        expect(yield* names({})).toEqual(["a", "b", "c", "d", "é", "\uffee", "😀"])
        expect(yield* names({ limit: 2 })).toEqual(["a", "b"])
        expect(yield* names({ limit: 2, after: "b" })).toEqual(["c", "d"])
        expect(yield* names({ tenant: "t", limit: 2, after: "a" })).toEqual(["c", "d"])
        expect(yield* names({ tenant: "u" })).toEqual(["b"])
        expect(yield* names({ tenant: "v" })).toEqual([])
      })
    )
  })

  describe(`${name}: the ledger`, () => {
    within(
      "has the last totals of each writer in each hour, into the next life",
      () =>
        Effect.gen(function* () {
          const store = yield* UsageStore
          yield* store.write([usage({ messagesIn: 100 }), usage({ writer: "v" })])
          yield* store.write([usage()])
          yield* store.write([usage()])
          yield* store.write([])
        }),
      () =>
        Effect.gen(function* () {
          const store = yield* UsageStore
          const rows = yield* all(store.read({ fromMs: 0, untilMs: Number.POSITIVE_INFINITY }))
          expect(rows).toEqual([usage({ writer: "v" }), usage()])
        })
    )

    within("is read by hours and tenants", () =>
      Effect.gen(function* () {
        const store = yield* UsageStore
        const rows = [1, 2, 3].flatMap((hours) =>
          ["t", "u"].map((of) => usage({ hourMs: hours * hour, tenant: of }))
        )
        yield* store.write(rows.toReversed())
        const read = (span: Partial<UsageSpan>) =>
          all(store.read({ fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.POSITIVE_INFINITY, ...span }))
        expect(yield* read({})).toEqual(rows)
        expect(yield* read({ fromMs: 2 * hour, untilMs: 3 * hour })).toEqual(rows.slice(2, 4))
        expect(yield* read({ fromMs: hour + 0.5 })).toEqual(rows.slice(2))
        expect(yield* read({ tenant: "u", fromMs: 2 * hour })).toEqual([rows[3]!, rows[5]!])
        expect(yield* read({ tenant: "u", untilMs: 2 * hour })).toEqual([rows[1]!])
        expect(yield* read({ tenant: "v" })).toEqual([])
      })
    )

    within("is read and pruned whole, however long it is", () =>
      Effect.gen(function* () {
        const store = yield* UsageStore
        const rows = Array.from({ length: 1100 }, (_, index) =>
          usage({ hourMs: index * hour, tenant: index % 2 === 0 ? "t" : "u" })
        )
        yield* store.write(rows)
        const span = { fromMs: 0, untilMs: Number.POSITIVE_INFINITY }
        expect(yield* all(store.read(span))).toEqual(rows)
        expect(yield* all(store.read({ ...span, tenant: "u" }))).toHaveLength(550)
        expect(yield* store.prune(1050 * hour)).toBe(1050)
        expect(yield* store.prune(1050 * hour)).toBe(0)
        expect(yield* all(store.read(span))).toEqual(rows.slice(1050))
      })
    )
  })

  describe(`${name}: the bans`, () => {
    const bans: ReadonlyArray<Ban> = [
      { subject: { _tag: "Address", network: "192.0.2.0/24" }, reason: "a", untilMs: undefined },
      { subject: { _tag: "Client", tenant: "t", clientId: "x" }, reason: "b", untilMs: 5 },
      { subject: { _tag: "User", tenant: "t", principal: "x" }, reason: "", untilMs: undefined }
    ]
    within(
      "are kept, one a subject, into the next life",
      () =>
        Effect.gen(function* () {
          const store = yield* BanStore
          yield* store.put({ ...bans[0]!, reason: "before", untilMs: 9 })
          for (const ban of bans) yield* store.put(ban)
          yield* store.put({ subject: { _tag: "User", tenant: "u", principal: "x" }, ...forEver })
          expect(yield* store.remove({ _tag: "User", tenant: "u", principal: "x" })).toBe(true)
          expect(yield* store.remove({ _tag: "User", tenant: "u", principal: "x" })).toBe(false)
        }),
      () =>
        Effect.gen(function* () {
          const kept = yield* (yield* BanStore).all
          expect(kept.toSorted((a, b) => (a.subject._tag < b.subject._tag ? -1 : 1))).toEqual([...bans])
        })
    )
  })

  describe(`${name}: what a tenant holds`, () => {
    const fill = Effect.gen(function* () {
      const journal = yield* Journal
      for (const of of ["t", "u"]) yield* append(journal, contentsOf(of), { level: "disk" })
      const users = yield* UserStore
      yield* users.add(user("ada"))
      yield* users.add(user("bob", { tenant: "u" }))
      yield* (yield* UsageStore).write([usage(), usage({ tenant: "u" })])
      const bans = yield* BanStore
      yield* bans.put({ subject: { _tag: "Client", tenant: "t", clientId: "c" }, ...forEver })
      yield* bans.put({ subject: { _tag: "Client", tenant: "u", clientId: "c" }, ...forEver })
      yield* (yield* TenantStore).put(tenant("t", { state: "deleting" }))
    })
    const held = {
      sessions: 2,
      wills: 1,
      subscriptions: 1,
      queuedMessages: 3,
      inbound: 1,
      retainedMessages: 2,
      users: 1,
      usageRows: 1
    }
    const dump = Effect.gen(function* () {
      const store = yield* SessionStore
      const { messages } = yield* RetainedStore
      return yield* dumpOfStores(yield* all(store.sessions), yield* all(messages), store)
    })
    const others = Effect.gen(function* () {
      yield* append(yield* Journal, contentsOf("u"))
      return yield* dump
    })

    within("is counted", () =>
      Effect.gen(function* () {
        yield* fill
        const contents = yield* TenantContents
        expect(yield* contents.count("t")).toEqual(held)
        expect(yield* contents.count("v")).toEqual(noContents)
      })
    )

    within(
      "is removed whole, and nobody else's is, into the next life",
      () =>
        Effect.gen(function* () {
          yield* fill
          const contents = yield* TenantContents
          expect(yield* contents.purge("t", { withUsage: true })).toEqual(held)
          expect(yield* contents.count("t")).toEqual(noContents)
          expect(yield* contents.count("u")).toEqual(held)
        }),
      () =>
        Effect.gen(function* () {
          const contents = yield* TenantContents
          expect(yield* contents.count("t")).toEqual(noContents)
          expect(yield* contents.count("u")).toEqual(held)
          expect(yield* contents.purge("t", { withUsage: true })).toEqual(noContents)
          expect(yield* (yield* UserStore).find("bob")).toBeDefined()
          expect((yield* (yield* BanStore).all).map(({ subject }) => subject)).toEqual([
            { _tag: "Client", tenant: "u", clientId: "c" }
          ])
          expect(yield* (yield* TenantStore).find("t")).toBeDefined()
          const subject = make()
          const alone = yield* Effect.provide(others, subject.layer())
          expect(yield* dump).toEqual(alone)
        })
    )

    within("is removed but for the ledger, unless that is asked for", () =>
      Effect.gen(function* () {
        yield* fill
        const contents = yield* TenantContents
        expect(yield* contents.purge("t", { withUsage: false })).toEqual({ ...held, usageRows: 0 })
        expect(yield* contents.count("t")).toEqual({ ...noContents, usageRows: 1 })
      })
    )

    within(
      "[attack 35] does not come back when the tenant is made again",
      () =>
        Effect.gen(function* () {
          yield* fill
          yield* (yield* TenantContents).purge("t", { withUsage: true })
          yield* (yield* TenantStore).remove("t")
          const journal = yield* Journal
          // What is late, and not a connect, changes nothing; a new client finds no session.
          yield* append(journal, [enqueue(3), { _tag: "Advance", ...of("t"), before: 1 }])
          yield* append(journal, [{ ...connect(false, of("t")), principal: "new" } as DurableRecord])
        }),
      () =>
        Effect.gen(function* () {
          const [session, ...rest] = (yield* all((yield* SessionStore).sessions)).filter(
            (each) => each.tenant === "t"
          )
          expect(rest).toEqual([])
          expect(session).toMatchObject({ clientId: "c", principal: "new", nextPosition: 0 })
          expect(session?.queue.positions).toEqual([])
          expect(session?.subscriptions.size).toBe(0)
          expect(yield* (yield* TenantContents).count("t")).toEqual({ ...noContents, sessions: 1 })
        })
    )

    within("includes units that were on their way when it was removed", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        yield* append(journal, [connect()])
        const unit = { level: "os", isRefusable: false, committed: () => undefined } as const
        journal.append({ ...unit, records: [connect(false, { ...of("t"), clientId: "d" })], mayWait: false })
        journal.append({ ...unit, records: [enqueue(0)], mayWait: true })
        const contents = yield* TenantContents
        expect(yield* contents.purge("t", { withUsage: true })).toEqual({
          ...noContents,
          sessions: 2,
          queuedMessages: 1
        })
        expect(yield* contents.count("t")).toEqual(noContents)
      })
    )

    within("is removed in steps when it is much", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const body = message("shared")
        for (let index = 0; index < 130; index++) {
          const session = { ...of("t"), clientId: `c${index}` }
          const messages = Array.from({ length: index === 7 ? 1200 : 5 }, (_, position) =>
            enqueue(position, body, session)
          )
          yield* append(journal, [connect(false, session), ...messages])
        }
        const retain = Array.from({ length: 700 }, (_, index): DurableRecord => {
          return { _tag: "Retain", tenant: "t", message: message(`r/${index}`) }
        })
        yield* append(journal, retain)
        const contents = yield* TenantContents
        const counted = yield* contents.count("t")
        expect(counted).toMatchObject({ sessions: 130, queuedMessages: 1845, retainedMessages: 700 })
        expect(yield* contents.purge("t", { withUsage: true })).toEqual(counted)
        expect(yield* contents.count("t")).toEqual(noContents)
      })
    )
  })
}

const forEver = { reason: "", untilMs: undefined }

const of = (tenantName: string) => ({ tenant: tenantName, clientId: "c", epoch: 1 })

/** Two sessions with something of everything, one with messages that are done with, and an ended one. */
const contentsOf = (tenantName: string): ReadonlyArray<DurableRecord> => {
  const key = of(tenantName)
  const second = { ...key, clientId: "d" }
  const ended = { ...key, clientId: "e" }
  const shared = message("shared")
  const will = {
    topic: "w",
    payload: new Uint8Array([1]),
    qos: 1,
    retain: false,
    delayInterval: 0,
    messageExpiryInterval: -1,
    forwardedProperties: new Uint8Array(0)
  } as const
  const request = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
  return [
    { ...connect(false, key), will } as DurableRecord,
    connect(false, second),
    connect(false, ended),
    { _tag: "Subscribe", ...key, request: { ...request, topicFilter: "a/#" }, subscriptionIdentifier: 0 },
    enqueue(0, shared, key),
    enqueue(1, shared, key),
    enqueue(2, message("own"), key),
    enqueue(0, shared, second),
    enqueue(0, shared, ended),
    { _tag: "Advance", ...key, before: 1 },
    { _tag: "Inbound", ...second, packetId: 7, isReleased: false },
    { _tag: "End", ...ended },
    { _tag: "Retain", tenant: tenantName, message: message("r/1") },
    { _tag: "Retain", tenant: tenantName, message: message("r/2") }
  ]
}
