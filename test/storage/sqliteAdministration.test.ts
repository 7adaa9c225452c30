/** Tenants, users and the ledger in the database: damage, a thread that dies, much of it, commits beside. */

import { Database } from "bun:sqlite"
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AdministrationStores } from "../../src/storage/administration.ts"
import { BanStore } from "../../src/storage/BanStore.ts"
import { AdministrationQueue } from "../../src/storage/sqlite/AdministrationQueue.ts"
import type { Reply, Request } from "../../src/storage/sqlite/requests.ts"
import type { SqliteThread } from "../../src/storage/sqlite/SqliteThread.ts"
import { databaseName, makeSqlite, type Sqlite } from "../../src/storage/sqlite.ts"
import { noContents, TenantContents } from "../../src/storage/TenantContents.ts"
import { TenantStore } from "../../src/storage/TenantStore.ts"
import { UserStore } from "../../src/storage/UserStore.ts"
import { user } from "./administrationContract.ts"
import { append, connect, enqueue, message } from "./contract.ts"

// Each life of the storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-administration-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newPath = (): string => join(directory, String(made++))

const withStorage = <A, E>(
  path: string,
  use: (storage: Sqlite) => Effect.Effect<A, E, AdministrationStores | Scope.Scope>
): Promise<A> =>
  Effect.flatMap(makeSqlite({ path, retryMs: 10 }), (storage) =>
    Effect.provide(use(storage), storage.administration)
  ).pipe(Effect.scoped, Effect.provide(Logger.remove(Logger.defaultLogger)), Effect.runPromise)

const altered = (path: string, ...statements: ReadonlyArray<string>): void => {
  const database = new Database(join(path, databaseName))
  for (const statement of statements) database.run(statement)
  database.close()
}

/** How many rows each table holds. */
const rowsIn = (path: string, ...tables: ReadonlyArray<string>): ReadonlyArray<number> => {
  const database = new Database(join(path, databaseName), { readonly: true })
  const counts = tables.map((table) => database.query(`SELECT count(*) FROM ${table}`).values()[0]?.[0])
  database.close()
  return counts.map(Number)
}

const empty = (path: string): Promise<unknown> => withStorage(path, () => Effect.void)

describe("rows that cannot be what was written", () => {
  const rows: ReadonlyArray<{
    readonly name: string
    readonly insert: string
    readonly read: Effect.Effect<unknown, unknown, AdministrationStores>
  }> = [
    {
      name: "a tenant in no known state",
      insert: "INSERT INTO tenant VALUES ('x', 'asleep', '{}', 1, 1)",
      read: Effect.flatMap(TenantStore, ({ find }) => find("x"))
    },
    {
      name: "a tenant whose settings are no record",
      insert: "INSERT INTO tenant VALUES ('x', 'active', '[1', 1, 1)",
      read: Effect.flatMap(TenantStore, (store) => Stream.runDrain(store.all))
    },
    {
      name: "a user whose rules are none",
      insert: `INSERT INTO user VALUES ('x', 't', '', '[{"action":"dance"}]', 0, 1, 1)`,
      read: Effect.flatMap(UserStore, ({ find }) => find("x"))
    },
    {
      name: "a ban on nothing known",
      insert: `INSERT INTO ban VALUES ('["Planet","x"]', NULL, '', NULL)`,
      read: Effect.flatMap(BanStore, ({ all }) => all)
    }
  ]
  for (const { insert, name, read } of rows) {
    test(`${name} is told, and not taken for something else`, async () => {
      const path = newPath()
      await empty(path)
      altered(path, insert)
      const told = await withStorage(path, () => Effect.flip(read))
      expect(String(told)).toMatch(
        /StorageError: a (tenant|user|ban) in the database cannot be read: `heddle db/
      )
    })
  }
})

describe("much of it", () => {
  test("is read a page at a time, and none is left out", async () => {
    const path = newPath()
    await empty(path)
    altered(
      path,
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)" +
        " INSERT INTO tenant SELECT 't' || i, 'active', '{}', i, i FROM n",
      `INSERT INTO ban SELECT json_array('Client', name, 'c'), name, '', NULL FROM tenant`
    )
    await withStorage(path, () =>
      Effect.gen(function* () {
        const tenants = yield* Stream.runCollect((yield* TenantStore).all)
        expect(new Set([...tenants].map(({ createdAtMs }) => createdAtMs)).size).toBe(1200)
        expect(yield* (yield* BanStore).all).toHaveLength(1200)
      })
    )
  })
})

describe("a thread that dies", () => {
  test("fails what is under way, is started again, and loses nothing that was answered", async () => {
    const path = newPath()
    await withStorage(path, ({ counters, thread }) =>
      Effect.gen(function* () {
        const users = yield* UserStore
        expect(yield* users.add(user("before"))).toBe(true)
        const lost = yield* Effect.fork(Effect.flip(users.add(user("meanwhile"))))
        yield* Effect.yieldNow()
        thread.kill()
        expect(String(yield* lost.await)).toContain("the thread of the database has ended")
        // The journal has nothing to do, and has it started all the same.
        yield* Effect.retry(users.find("before"), { times: 100 })
        expect(yield* users.add(user("after"))).toBe(true)
        expect(counters.restarts).toBe(1)
        expect((yield* users.find("before"))?.username).toBe("before")
      })
    )
  })
})

describe("beside the journal", () => {
  /** A thread that answers when it is told to. */
  const heldThread = () => {
    const sent: Array<{ readonly request: Request; readonly reply: (reply: Reply) => void }> = []
    const request = ((request: Request, reply: (reply: Reply) => void) => {
      sent.push({ request, reply })
    }) as SqliteThread["request"]
    return { sent, request }
  }

  /** The statements of what was sent, request by request. */
  const textsOf = (sent: ReturnType<typeof heldThread>["sent"]) =>
    sent.map(({ request }) =>
      request._tag === "Statements" ? request.statements.map(({ text }) => text).join(" ") : request._tag
    )

  test("one request is at the thread at a time, reads together; one that nobody waits for is not sent", async () => {
    const { request, sent } = heldThread()
    const queue = new AdministrationQueue({ request }, () => undefined)
    const answered: Array<string> = []
    const ask = (text: string, effort: "read" | "synced" = "read") =>
      Effect.fork(
        Effect.match(queue.rows(effort, text), {
          onSuccess: ([row]) => answered.push(`${text} ${row?.[0]}`),
          onFailure: ({ reason }) => answered.push(`${text} ${reason}`)
        })
      )
    const reply = (index: number, given: Reply) =>
      Effect.zipRight(
        Effect.sync(() => sent[index]?.reply(given)),
        Effect.yieldNow()
      )
    await Effect.gen(function* () {
      yield* ask("a")
      yield* ask("b")
      const given = yield* ask("c")
      yield* ask("d")
      yield* ask("e", "synced")
      yield* ask("f")
      yield* Effect.yieldNow()
      expect(textsOf(sent)).toEqual(["a"])
      yield* given.interruptAsFork(given.id())
      yield* Effect.yieldNow()
      yield* reply(0, { _tag: "Rows", rows: [[[1]]] })
      expect(textsOf(sent)).toEqual(["a", "b d"])
      yield* reply(1, { _tag: "Rows", rows: [[[2]], [[3]]] })
      expect(textsOf(sent)).toEqual(["a", "b d", "e"])
      yield* reply(2, { _tag: "Failed", reason: "no", isFull: false })
      expect(textsOf(sent)).toEqual(["a", "b d", "e", "f"])
      yield* reply(3, { _tag: "Rows", rows: [[[4]]] })
      expect(answered).toEqual(["a 1", "b 2", "d 3", "e no", "f 4"])
    }).pipe(Effect.scoped, Effect.runPromise)
  })

  test("no more waits than there is room for", async () => {
    const { request } = heldThread()
    const queue = new AdministrationQueue({ request }, () => undefined)
    const refused = await Effect.gen(function* () {
      for (let count = 0; count < 10_001; count++) yield* Effect.fork(queue.rows("read", "a"))
      yield* Effect.yieldNow()
      return yield* Effect.flip(queue.rows("read", "a"))
    }).pipe(Effect.scoped, Effect.runPromise)
    expect(refused.message).toContain("too many users and tenants are being changed")
  })

  test("a commit does not wait for a whole tenant to be removed", () =>
    withStorage(newPath(), ({ journal }) =>
      Effect.gen(function* () {
        const body = message("m", "x".repeat(100))
        for (let index = 0; index < 20; index++) {
          const session = { tenant: "t", clientId: `c${index}`, epoch: 1 }
          const messages = Array.from({ length: 500 }, (_, position) => enqueue(position, body, session))
          yield* append(journal, [connect(false, session), ...messages])
        }
        const other = { tenant: "u", clientId: "d", epoch: 1 }
        let committed = 0
        const purge = yield* Effect.fork(
          Effect.flatMap(TenantContents, ({ purge }) => purge("t", { withUsage: true }))
        )
        while ((yield* purge.poll)._tag === "None") {
          yield* append(journal, [connect(false, other)])
          committed++
        }
        expect((yield* purge.await)._tag).toBe("Success")
        // 10,000 rows go in 21 steps; a commit comes between most of them.
        expect(committed).toBeGreaterThan(10)
      })
    ))
})

describe("a tenant that is removed", () => {
  test("leaves no row in any table, shared bodies and what had ended before included", async () => {
    const path = newPath()
    await withStorage(path, ({ journal }) =>
      Effect.gen(function* () {
        const key = { tenant: "t", clientId: "c", epoch: 1 }
        const shared = message("shared")
        for (let round = 0; round < 3; round++) {
          yield* append(journal, [
            connect(true, { ...key, epoch: round + 1 }),
            enqueue(0, shared, { ...key, epoch: round + 1 }),
            enqueue(1, shared, { ...key, epoch: round + 1 }),
            connect(false, { ...key, clientId: `d${round}` }),
            enqueue(0, shared, { ...key, clientId: `d${round}` }),
            { _tag: "Inbound", ...key, epoch: round + 1, packetId: round + 1, isReleased: false }
          ])
        }
        yield* (yield* TenantContents).purge("t", { withUsage: true })
        expect(yield* (yield* TenantContents).count("t")).toEqual(noContents)
        const tables = ["session", "progress", "subscription", "inbound", "message", "delivery", "garbage"]
        expect(rowsIn(path, ...tables)).toEqual(tables.map(() => 0))
      })
    )
  })

  test("keeps the bodies that another tenant's queues share", async () => {
    const path = newPath()
    await withStorage(path, ({ journal }) =>
      Effect.gen(function* () {
        const shared = message("shared")
        const [one, other] = ["t", "u"].map((tenant) => ({ tenant, clientId: "c", epoch: 1 }))
        yield* append(journal, [
          connect(false, one),
          connect(false, other),
          enqueue(0, shared, one),
          enqueue(0, shared, other)
        ])
        const contents = yield* TenantContents
        yield* contents.purge("t", { withUsage: true })
        expect(rowsIn(path, "message", "delivery")).toEqual([1, 1])
        yield* contents.purge("u", { withUsage: true })
        expect(rowsIn(path, "message", "delivery")).toEqual([0, 0])
      })
    )
  })
})
