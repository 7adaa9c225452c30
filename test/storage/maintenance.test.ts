/**
 * Backup, restore, check and statistics of a database, on real files: what they say and leave behind when all
 * is well, and that nothing is lost or changed when it is not.
 */

import { Database } from "bun:sqlite"
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { openDatabase } from "../../src/storage/sqlite/Database.ts"
import { backupDatabase } from "../../src/storage/sqlite/maintenance/backup.ts"
import { checkDatabase } from "../../src/storage/sqlite/maintenance/check.ts"
import { restoreDatabase } from "../../src/storage/sqlite/maintenance/restore.ts"
import { databaseStats } from "../../src/storage/sqlite/maintenance/stats.ts"
import { readAll, readDelivery } from "../../src/storage/sqlite/pages.ts"
import { readQueue } from "../../src/storage/sqlite/read.ts"
import { databaseName, makeSqlite, type Sqlite } from "../../src/storage/sqlite.ts"
import { append, connect, enqueue, message } from "./contract.ts"
import { buildDatabase, schemaVersions } from "./fixtures/schemaVersions.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-maintenance-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newPath = (): string => {
  const path = join(directory, String(made++))
  mkdirSync(path)
  return path
}

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

/** What a failure tells. */
const failureOf = (effect: Effect.Effect<unknown, Error>): Promise<string> =>
  run(Effect.map(Effect.flip(effect), (error) => error.message))

const other = { tenant: "u", clientId: "d", epoch: 1 }
const key = { tenant: "t", clientId: "c", epoch: 1 }
const will = {
  topic: "wills/d",
  payload: new Uint8Array([1]),
  qos: 1,
  retain: false,
  delayInterval: 0,
  messageExpiryInterval: -1,
  forwardedProperties: new Uint8Array(0)
} as const

const shared = message("shared", "for both")

/**
 * Two sessions: t/c, which is away, has two messages, one of which it shares with u/d, which is connected and
 * has a will.
 */
const records: ReadonlyArray<DurableRecord> = [
  connect(),
  { _tag: "Connect", ...other, principal: "", isCleanStart: true, expiryInterval: 60, will },
  {
    _tag: "Subscribe",
    ...key,
    request: {
      topicFilter: "a/#",
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0
    },
    subscriptionIdentifier: 0
  },
  enqueue(0, shared),
  enqueue(1),
  enqueue(0, shared, other),
  { _tag: "Inbound", ...key, packetId: 7, isReleased: false },
  {
    _tag: "Detach",
    ...key,
    expiryInterval: 60,
    endsAtMs: 1_700_000_000_000,
    hasWill: false,
    willDueMs: 0,
    sentBefore: 0
  },
  { _tag: "Retain", tenant: "t", message: message("kept") }
]

const contents = {
  sessions: 2,
  connected: 1,
  armedWills: 1,
  subscriptions: 1,
  queuedMessages: 3,
  retainedMessages: 1
}

const opened = <A, E>(path: string, work: (sqlite: Sqlite) => Effect.Effect<A, E>): Promise<A> =>
  run(Effect.flatMap(makeSqlite({ path }), work))

const template = newPath()
beforeAll(() => opened(template, ({ journal }) => append(journal, records, { level: "disk" })))

/** A directory with a database that holds `records`. */
const filled = (): { readonly path: string; readonly file: string } => {
  const path = newPath()
  const file = join(path, databaseName)
  copyFileSync(join(template, databaseName), file)
  return { path, file }
}

const altered = (file: string, ...statements: ReadonlyArray<string>): void => {
  const database = new Database(file)
  for (const statement of statements) database.run(statement)
  database.run("PRAGMA wal_checkpoint(TRUNCATE)")
  database.close()
}

const damagePage = (file: string): void => {
  const bytes = readFileSync(file)
  bytes.fill(0xa5, 3 * 8192, 5 * 8192)
  writeFileSync(file, bytes)
}

const backup = (database: string, to: string, isForced = false) =>
  backupDatabase({ database, backup: to, isForced })

/** The payloads that wait for t/c in the database of a directory. */
const queued = (path: string): Promise<ReadonlyArray<string>> =>
  run(
    Effect.gen(function* () {
      const database = yield* openDatabase(join(path, databaseName))
      const request = { tenant: "t", clientId: "c", from: 0, messagesMax: 1000, bytesMax: 1e9 }
      const deliveries = readAll(yield* readQueue(database, request), readDelivery)
      return deliveries.map((delivery) => new TextDecoder().decode(delivery.message.payload))
    })
  )

describe("a backup", () => {
  test("is one whole file that says what it holds, and leaves nothing else behind", async () => {
    const { file } = filled()
    const to = join(newPath(), "b.db")
    const { bytes, contents: held } = await run(backup(file, to))
    expect(held).toEqual(contents)
    expect(bytes).toBe(readFileSync(to).length)
    expect(readdirSync(join(to, ".."))).toEqual(["b.db"])
    expect(await run(checkDatabase(to))).toMatchObject({ problems: [], summary: contents })
  })

  test("is taken while the database is in use, log and all", async () => {
    const { file, path } = filled()
    const to = join(newPath(), "b.db")
    await opened(path, ({ journal }) =>
      Effect.gen(function* () {
        yield* append(journal, [enqueue(2)], { level: "disk" })
        const { contents: held } = yield* backup(file, to)
        expect(held.queuedMessages).toBe(4)
        expect(yield* append(journal, [enqueue(3)], { level: "disk" })).toBe(undefined)
      })
    )
    expect((await run(databaseStats(to))).queuedMessages).toBe(4)
    expect((await run(databaseStats(file))).queuedMessages).toBe(5)
  })

  test("does not replace a file unless it is forced to", async () => {
    const { file } = filled()
    const to = join(newPath(), "b.db")
    writeFileSync(to, "precious")
    writeFileSync(`${to}-wal`, "of the one before")
    expect(await failureOf(backup(file, to))).toBe(
      `${to} is there already. Name another file, or replace it with --force.`
    )
    expect(readFileSync(to, "utf8")).toBe("precious")
    await run(backup(file, to, true))
    expect((await run(databaseStats(to))).queuedMessages).toBe(3)
    expect(existsSync(`${to}-wal`) && readFileSync(`${to}-wal`).length > 0).toBe(false)
  })

  const misplaced: ReadonlyArray<{
    readonly name: string
    readonly to: (file: string) => string
    readonly says: RegExp
  }> = [
    {
      name: "into a folder that is not there",
      to: (file) => `${file}.none/b.db`,
      says: /^cannot write .*none\/b\.db: no such file or directory\. Name another place\.$/
    },
    {
      name: "onto a folder",
      to: (file) => join(file, ".."),
      says: /is a folder\. Name a file in it\.$/
    },
    {
      name: "onto the database",
      to: (file) => join(file, "..", "..", file.split("/").at(-2)!, databaseName),
      says: /is the database itself\. Name another file\.$/
    }
  ]
  for (const { name, says, to } of misplaced) {
    test(`${name} is refused, also when forced`, async () => {
      const { file, path } = filled()
      expect(await failureOf(backup(file, to(file), true))).toMatch(says)
      expect(await queued(path)).toEqual(["for both", "m1"])
    })
  }

  test("of a database that is not there says where it was looked for", async () => {
    const file = join(newPath(), databaseName)
    expect(await failureOf(backup(file, join(newPath(), "b.db")))).toBe(
      `cannot read ${file}: no such file or directory. ` +
        "A broker makes it when it first starts; storage.path says where."
    )
  })

  test("of a damaged database fails, and leaves the backup before as it was", async () => {
    const { file } = filled()
    const to = join(newPath(), "b.db")
    await run(backup(file, to))
    const before = readFileSync(to)
    damagePage(file)
    expect(await failureOf(backup(file, to, true))).toMatch(
      /^cannot read .*heddle\.db: .*damaged and was left as it is\. `heddle restore` brings a backup back\.$/
    )
    expect(readFileSync(to).equals(before)).toBe(true)
    expect(readdirSync(join(to, ".."))).toEqual(["b.db"])
  })
})

describe("a restored backup", () => {
  test("is in the place of the database, which is kept with everything that it held", async () => {
    const { file, path } = filled()
    const to = join(newPath(), "b.db")
    await run(backup(file, to))
    await opened(path, ({ journal }) => append(journal, [enqueue(2)], { level: "disk" }))
    const { contents: held, kept } = await run(restoreDatabase({ backup: to, database: file }))
    expect(held).toEqual(contents)
    expect(readdirSync(path).map((name) => join(path, name))).toContain(kept ?? "")
    expect(readdirSync(path)).toHaveLength(3)
    expect(kept).toMatch(/heddle\.db\.before-restore-\d{8}T\d{6}\.\d{3}Z$/)
    expect(await queued(path)).toEqual(["for both", "m1"])
    const again = newPath()
    copyFileSync(kept ?? "", join(again, databaseName))
    expect(await queued(again)).toEqual(["for both", "m1", "m2"])
  })

  test("goes on where it stopped: the broker's next changes are applied", async () => {
    const { file } = filled()
    const to = join(newPath(), "b.db")
    await run(backup(file, to))
    const path = join(newPath(), "made/on/the/way")
    const { kept } = await run(restoreDatabase({ backup: to, database: join(path, databaseName) }))
    expect(kept).toBe(undefined)
    await opened(path, ({ journal }) => append(journal, [enqueue(2)], { level: "disk" }))
    expect(await queued(path)).toEqual(["for both", "m1", "m2"])
  })

  test("does not take the log of a database that was killed, or whose file is gone, for its own", async () => {
    for (const isGone of [false, true]) {
      const { file, path } = filled()
      const to = join(newPath(), "b.db")
      await run(backup(file, to))
      const left = newPath()
      await opened(path, ({ journal }) =>
        Effect.gen(function* () {
          yield* append(journal, [enqueue(2)], { level: "disk" })
          // As a killed broker leaves them.
          for (const suffix of ["", "-wal"]) copyFileSync(file + suffix, join(left, databaseName + suffix))
        })
      )
      const target = join(left, databaseName)
      if (isGone) rmSync(target)
      const { kept } = await run(restoreDatabase({ backup: to, database: target }))
      expect(existsSync(`${kept}-wal`)).toBe(isGone)
      expect(await queued(left)).toEqual(["for both", "m1"])
      if (!isGone) expect((await run(databaseStats(kept ?? ""))).queuedMessages).toBe(4)
    }
  })

  test("takes the place of a damaged database, which is kept as it is", async () => {
    const { file, path } = filled()
    const to = join(newPath(), "b.db")
    await run(backup(file, to))
    writeFileSync(file, "no database at all")
    const { kept } = await run(restoreDatabase({ backup: to, database: file }))
    expect(readFileSync(kept ?? "", "utf8")).toBe("no database at all")
    expect(await queued(path)).toEqual(["for both", "m1"])
  })

  test("of an earlier schema is brought up to date", async () => {
    for (const version of schemaVersions) {
      const from = join(newPath(), "b.db")
      buildDatabase(from, version)
      const before = readFileSync(from)
      const path = newPath()
      await run(restoreDatabase({ backup: from, database: join(path, databaseName) }))
      expect(readFileSync(from).equals(before)).toBe(true)
      await opened(path, ({ sessionStore }) =>
        Effect.map(Stream.runCount(sessionStore.sessions), (count) => expect(count).toBe(1))
      )
    }
  })

  test("is refused while a broker or another program has the database, and nothing changes", async () => {
    const { file, path } = filled()
    const to = join(newPath(), "b.db")
    await run(backup(file, to))
    await opened(path, () =>
      Effect.map(Effect.flip(restoreDatabase({ backup: to, database: file })), ({ message: told }) =>
        expect(told).toContain(`${path} is in use by another broker: process ${process.pid} on `)
      )
    )
    const reader = new Database(file, { readonly: true })
    reader.run("BEGIN")
    reader.query("SELECT * FROM session").all()
    expect(await failureOf(restoreDatabase({ backup: to, database: file }))).toBe(
      `${file} is in use by another program. Nothing was changed. End that one.`
    )
    reader.close()
    expect(readdirSync(path).filter((name) => name.includes("restore") || name.includes("partial"))).toEqual(
      []
    )
    expect(await queued(path)).toEqual(["for both", "m1"])
  })

  const unfit: ReadonlyArray<{
    readonly name: string
    readonly spoil: (file: string) => void
    readonly says: RegExp
  }> = [
    { name: "is missing", spoil: rmSync, says: /^cannot read \S*b\.db: no such file or directory\. Nothing/ },
    {
      name: "cannot be read",
      spoil: (file) => {
        rmSync(file)
        symlinkSync(file, file)
      },
      says: /^cannot read \S*b\.db: too many symbolic links encountered\. Nothing was changed\.$/
    },
    {
      name: "is a folder",
      spoil: (file) => {
        rmSync(file)
        mkdirSync(file)
      },
      says: /b\.db is not a file\. Nothing was changed\. Name a file that `heddle backup` wrote\.$/
    },
    {
      name: "is empty",
      spoil: (file) => writeFileSync(file, ""),
      says: /b\.db is not a Heddle database\. Nothing was changed\./
    },
    {
      name: "is no database",
      spoil: (file) => writeFileSync(file, "words, words, words. ".repeat(500)),
      says: /^cannot read \S*b\.db: file is not a database \(SQLITE_NOTADB\)\. Nothing was changed\. Name/
    },
    {
      name: "is of another program",
      spoil: (file) => {
        rmSync(file)
        altered(file, "CREATE TABLE theirs (a)")
      },
      says: /b\.db is not a Heddle database\. Nothing was changed\. Name a file that `heddle backup` wrote\.$/
    },
    {
      name: "is of a later version",
      spoil: (file) => altered(file, "INSERT INTO migration (migration_id, name) VALUES (99, 'later')"),
      says: /b\.db has schema version 99, and this Heddle knows none later than \d+\..* or a newer one\.$/
    },
    { name: "is damaged", spoil: damagePage, says: /b\.db.* damaged.*Take another backup\.$/ }
  ]
  for (const { name, says, spoil } of unfit) {
    test(`that ${name} is refused in one line, and the database stays`, async () => {
      const { file, path } = filled()
      const from = join(newPath(), "b.db")
      await run(backup(file, from))
      spoil(from)
      const told = await failureOf(restoreDatabase({ backup: from, database: file }))
      expect(told).toMatch(says)
      expect(told).not.toContain("\n")
      expect(await queued(path)).toEqual(["for both", "m1"])
      expect(readdirSync(path).filter((entry) => entry !== "heddle.lock")).toEqual(["heddle.db"])
    })
  }

  test("cannot be the database itself", async () => {
    const { file } = filled()
    expect(await failureOf(restoreDatabase({ backup: file, database: file }))).toMatch(
      /is the database itself/
    )
  })
})

describe("the check", () => {
  test("finds nothing wrong, and counts what is still to be swept apart", async () => {
    const { file } = filled()
    altered(
      file,
      // t/c has passed its first message, and u/d has ended.
      "UPDATE progress SET head = 1 WHERE session = (SELECT id FROM session WHERE client_id = 'c')",
      "INSERT INTO garbage SELECT id FROM session WHERE client_id = 'd'",
      "DELETE FROM progress WHERE session IN (SELECT session FROM garbage)",
      "DELETE FROM session WHERE client_id = 'd'"
    )
    expect(await run(checkDatabase(file))).toMatchObject({
      problems: [],
      summary: {
        ...{ sessions: 1, queuedMessages: 1, leakedBodies: 0, applied: 1 },
        sweepable: { endedSessions: 1, deliveries: 2, subscriptions: 0, inbound: 0 }
      }
    })
  })

  const faults: ReadonlyArray<{
    readonly statement: string
    readonly says: ReadonlyArray<string>
  }> = [
    { statement: "DELETE FROM meta", says: ["the sequence number of the last applied change is missing"] },
    {
      statement: "UPDATE meta SET next_session = 2",
      says: ["the next session or message would get the identifier of one that is there"]
    },
    {
      statement: "UPDATE meta SET next_message = 1",
      says: ["the next session or message would get the identifier of one that is there"]
    },
    {
      statement: "UPDATE delivery SET session = 77 WHERE session = 2",
      says: ["1 queued message is of no session"]
    },
    { statement: "UPDATE subscription SET session = 77", says: ["1 subscription is of no session"] },
    { statement: "UPDATE inbound SET session = 77", says: ["1 received packet identifier is of no session"] },
    {
      statement: "INSERT INTO progress VALUES (77, 0, 0), (78, 0, 0)",
      says: ["2 queues are of no session"]
    },
    { statement: "INSERT INTO garbage VALUES (1)", says: ["1 session is both there and to be swept"] },
    {
      statement: "DELETE FROM progress WHERE session = 2",
      says: ["1 session has lost where its queue begins"]
    },
    {
      statement: "UPDATE progress SET head = next_position + 1 WHERE session = 2",
      says: ["1 queue begins behind its end"]
    },
    {
      statement: "UPDATE progress SET next_position = 1 WHERE session = 1",
      says: ["1 queued message stands outside its queue"]
    },
    {
      statement: "DELETE FROM message WHERE refs = 2",
      says: ["2 queued messages have no body"]
    },
    { statement: "UPDATE message SET refs = 1", says: ["1 message is in more queues than it counts"] },
    {
      statement: "INSERT INTO tenant VALUES ('a', 'asleep', '{}', 1, 1), ('b', 'active', '[]', 1, 1)",
      says: ["2 tenants have a state or settings that cannot be"]
    },
    {
      statement: "INSERT INTO tenant VALUES ('a', 'active', '{', 1, 1)",
      says: ["1 tenant has a state or settings that cannot be"]
    },
    {
      statement:
        "INSERT INTO user VALUES ('a', 't', 'plain', NULL, 0, 1, 1), ('b', 't', '$7$', '{', 0, 1, 1)," +
        " ('c', 't', '$7$', '[]', 2, 1, 1), ('d', 't', '$argon2id$', '[]', 1, 1, 1)",
      says: ["3 users have a password or rules that cannot be"]
    },
    { statement: "INSERT INTO ban VALUES ('x', NULL, '', NULL)", says: ["1 ban is on nothing known"] },
    {
      statement: "UPDATE session SET will_due = 5 WHERE will IS NULL",
      says: ["1 session has instants that cannot be"]
    },
    {
      statement: "UPDATE session SET ends_at = 5 WHERE is_connected = 1",
      says: ["1 session has instants that cannot be"]
    },
    { statement: "UPDATE subscription SET options = 3", says: ["1 subscription has options that cannot be"] },
    { statement: "UPDATE session SET will = x'ff' WHERE id = 2", says: ["1 of the sessions cannot be read"] },
    {
      statement: "UPDATE message SET body = x'0105' WHERE refs = 2",
      says: ["1 of the queued messages cannot be read"]
    },
    {
      statement: "UPDATE retained SET body = x'0105'",
      says: ["1 of the retained messages cannot be read"]
    },
    { statement: "UPDATE retained SET slot = slot + 1", says: ["1 of the retained messages cannot be read"] }
  ]
  for (const { says, statement } of faults) {
    test(`after ${statement}: ${says.join("; ")}`, async () => {
      const { file } = filled()
      altered(file, statement)
      const { problems } = await run(checkDatabase(file))
      expect(problems.map(({ what }) => what)).toEqual([...says])
      expect(problems.every(({ wayOut }) => wayOut.includes("restore a backup"))).toBe(true)
    })
  }

  test("counts bodies that nobody has any more without calling them wrong", async () => {
    const { file } = filled()
    altered(file, "DELETE FROM delivery WHERE session = 2")
    expect(await run(checkDatabase(file))).toMatchObject({ problems: [], summary: { leakedBodies: 1 } })
  })

  test("tells what SQLite finds in a damaged file, a line each", async () => {
    const { file } = filled()
    // An entry of an index that is of another client than its row.
    const database = new Database(file)
    const [row] = database.query("SELECT rootpage FROM sqlite_schema WHERE name = 'session_key'").values()
    database.close()
    const bytes = readFileSync(file)
    const page = bytes.subarray((Number(row?.[0]) - 1) * 8192, Number(row?.[0]) * 8192)
    page[page.lastIndexOf("tc") + 1] = "x".charCodeAt(0)
    writeFileSync(file, bytes)
    const { problems } = await run(checkDatabase(file))
    expect(problems.map(({ what }) => what).join("\n")).toMatch(/^the file is damaged: .*session_key/)
    expect(problems.every(({ what }) => !what.includes("\n"))).toBe(true)
  })

  test("finds pages that are no pages", async () => {
    const { file } = filled()
    damagePage(file)
    const { problems } = await run(checkDatabase(file))
    expect(problems.length).toBeGreaterThan(0)
  })

  test("changes nothing, and works beside a broker", async () => {
    const { file, path } = filled()
    await opened(path, ({ journal }) =>
      Effect.gen(function* () {
        yield* append(journal, [enqueue(2)], { level: "disk" })
        const before = readFileSync(file)
        expect((yield* checkDatabase(file)).summary?.queuedMessages).toBe(4)
        expect(readFileSync(file).equals(before)).toBe(true)
      })
    )
  })
})

describe("the statistics", () => {
  test("are of sessions, queues, bodies, what is to be swept, and the disk", async () => {
    const { file } = filled()
    const bytes = "shared".length + "for both".length
    const found = await run(databaseStats(file))
    expect(found).toMatchObject({
      ...contents,
      schemaVersion: schemaVersions.length,
      applied: 1,
      tenants: [
        { tenant: "t", sessions: 1, connected: 0 },
        { tenant: "u", sessions: 1, connected: 1 }
      ],
      queuedBytes: 2 * bytes + "m1".length * 2,
      longestQueues: [
        { tenant: "t", clientId: "c", messages: 2, bytes: bytes + 4 },
        { tenant: "u", clientId: "d", messages: 1, bytes }
      ],
      bodies: { count: 2, shared: 1 },
      sweepable: { endedSessions: 0, deliveries: 0, subscriptions: 0, inbound: 0 },
      administered: { tenants: 0, users: 0, disabledUsers: 0, bans: 0, usageRows: 0 }
    })
    expect(found.disk.fileBytes).toBe(found.disk.pages * found.disk.pageBytes)
    expect(found.retainedBytes).toBeGreaterThan("kept".length * 2)
  })

  test("are of what is administered, which a backup keeps", async () => {
    const version = schemaVersions.at(-1)!
    const file = join(newPath(), databaseName)
    buildDatabase(file, version)
    const copy = join(newPath(), databaseName)
    await run(backup(file, copy))
    const administered = { tenants: 1, users: 1, disabledUsers: 1, bans: 1, usageRows: 1 }
    expect(await run(databaseStats(copy))).toMatchObject({ administered })
    const { problems } = await run(checkDatabase(copy))
    expect(problems.filter(({ what }) => /tenant|user|ban/.test(what))).toEqual([])
  })

  test("name the ten largest tenants and the ten longest queues", async () => {
    const path = newPath()
    const many = Array.from({ length: 12 }, (_, index) => ({ ...key, tenant: `t${index}`, clientId: "c" }))
    const units = many.flatMap((of, index) => [
      connect(true, of),
      ...Array.from({ length: index }, (_, position) => enqueue(position, shared, of)),
      ...(index === 11 ? [connect(true, { ...of, clientId: "second" })] : [])
    ])
    await opened(path, ({ journal }) => append(journal, units))
    const { longestQueues, tenants } = await run(databaseStats(join(path, databaseName)))
    expect(longestQueues.map(({ messages }) => messages)).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
    expect(tenants.length).toBe(10)
    expect(tenants[0]).toEqual({ tenant: "t11", sessions: 2, connected: 2 })
  })

  test("of a database of an earlier schema say what to do", async () => {
    const { file } = filled()
    altered(file, "UPDATE migration SET migration_id = migration_id - 2")
    for (const look of [databaseStats(file), checkDatabase(file)]) {
      expect(await failureOf(look)).toMatch(
        /has schema version 0, and .* Start the broker once, which brings/
      )
    }
  })
})
