/** What a directory may hold when a broker starts over it, and who may be there already. */

import { Database } from "bun:sqlite"
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BanStore } from "../../src/storage/BanStore.ts"
import type { StorageError } from "../../src/storage/StorageError.ts"
import { schemaVersion } from "../../src/storage/sqlite/schema.ts"
import { databaseName, makeSqlite } from "../../src/storage/sqlite.ts"
import { TenantStore } from "../../src/storage/TenantStore.ts"
import { UsageStore } from "../../src/storage/UsageStore.ts"
import { UserStore } from "../../src/storage/UserStore.ts"
import { append, connect, readQueue } from "./contract.ts"
import { buildDatabase, type SchemaVersion, schemaVersions } from "./fixtures/schemaVersions.ts"

// Each life of the storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-open-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0
const newPath = (): string => {
  const path = join(directory, String(made++))
  mkdirSync(path)
  return path
}

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect))

/** Why it cannot be opened. */
const refusalOf = (path: string): Promise<StorageError> => run(Effect.flip(makeSqlite({ path })))

const made1 = (path: string): Promise<unknown> =>
  run(Effect.flatMap(makeSqlite({ path }), ({ journal }) => append(journal, [connect()], { level: "disk" })))

describe("[attack 40] a database", () => {
  const damages: ReadonlyArray<{
    readonly name: string
    readonly damage: (file: string) => void
    readonly says: RegExp
  }> = [
    {
      name: "that is something else altogether",
      damage: (file) => writeFileSync(file, "these are not the bytes of a database. ".repeat(500)),
      says: /cannot open .*heddle\.db: file is not a database \(SQLITE_NOTADB\).*`heddle restore`, or move/
    },
    {
      name: "of another program",
      damage: (file) => {
        rmSync(file)
        const other = new Database(file)
        other.run("CREATE TABLE theirs (a)")
        other.close()
      },
      says: /heddle\.db is not a Heddle database\. It was left as it is\. Name another directory/
    },
    {
      name: "of a later version",
      damage: (file) => {
        const database = new Database(file)
        database.run("INSERT INTO migration (migration_id, name) VALUES (99, 'later')")
        database.run("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
      },
      says: /has schema version 99, and this Heddle knows none later than \d+\..*or restore a backup/
    },
    {
      name: "with a damaged page",
      damage: (file) => {
        const bytes = readFileSync(file)
        bytes.fill(0xa5, 3 * 8192, 5 * 8192)
        writeFileSync(file, bytes)
      },
      says: /cannot open .*heddle\.db: .*damaged and was left as it is.*`heddle restore`/
    }
  ]

  for (const { damage, name, says } of damages) {
    test(`${name} is refused with what to do, and stays as it is`, async () => {
      const path = newPath()
      const file = join(path, databaseName)
      await made1(path)
      damage(file)
      const before = readFileSync(file)
      expect((await refusalOf(path)).message).toMatch(says)
      expect(readFileSync(file).equals(before)).toBe(true)
    })
  }

  test("in a directory that cannot be made is refused by name", async () => {
    const path = join(newPath(), "file")
    writeFileSync(path, "")
    expect((await refusalOf(join(path, "below"))).message).toMatch(/cannot make the directory .*below/)
  })

  test("of every version of the schema has its test", () => {
    expect(schemaVersions.map(({ version }) => version)).toEqual(
      Array.from({ length: schemaVersion }, (_, index) => index + 1)
    )
  })

  for (const version of schemaVersions) {
    test(`of schema version ${version.version} opens with everything that it held`, async () => {
      const path = newPath()
      buildDatabase(join(path, databaseName), version)
      await run(
        Effect.gen(function* () {
          const { administration, journal, retainedStore, sessionStore } = yield* makeSqlite({ path })
          const [session, ...others] = yield* Stream.runCollect(sessionStore.sessions)
          expect(others).toEqual([])
          expect(session).toMatchObject({
            tenant: "t",
            clientId: "c",
            epoch: 3,
            sentBefore: 11,
            nextPosition: 13
          })
          expect(session?.queue).toEqual({ positions: [10, 12], bytes: [2, 2] })
          expect([...(session?.subscriptions.keys() ?? [])]).toEqual(["f/#"])
          expect([...(session?.inbound ?? [])]).toEqual([100])
          const queue = yield* readQueue(sessionStore)
          expect(queue.map(({ qos }) => qos)).toEqual([1, 2])
          expect(queue[1]?.message).toMatchObject({ topic: { name: "a" }, publisherId: "p" })
          const [retained] = yield* Stream.runCollect(retainedStore.messages)
          expect(retained?.message.topic.name).toBe("a")
          expect(yield* append(journal, [connect(true)])).toBe(undefined)
          expect(yield* readQueue(sessionStore)).toEqual([])
          yield* Effect.provide(lookAtAdministration(version), administration)
        })
      )
    })
  }
})

/** What the second version brought is there, and can be written. */
const lookAtAdministration = ({ version }: SchemaVersion) =>
  Effect.gen(function* () {
    const [tenants, users, bans] = yield* Effect.all([TenantStore, UserStore, BanStore])
    const usage = yield* UsageStore
    if (version >= 2) {
      expect(yield* tenants.find("t")).toMatchObject({ state: "active", settings: { weight: 2 } })
      expect(yield* users.find("ada")).toMatchObject({ tenant: "t", rules: [], isDisabled: true })
      expect(yield* bans.all).toMatchObject([{ reason: "flaps" }])
    }
    const rows = yield* Stream.runCollect(usage.read({ fromMs: 0, untilMs: 1e12 }))
    expect([...rows].map(({ retainedMessagesPeak }) => retainedMessagesPeak)).toEqual(
      version >= 2 ? [10] : []
    )
    expect(yield* users.remove("ada")).toBe(version >= 2)
    const [changedAtMs, createdAtMs] = [1, 1]
    yield* tenants.put({ tenant: "t", state: "suspended", settings: {}, createdAtMs, changedAtMs })
    expect((yield* tenants.find("t"))?.state).toBe("suspended")
  })

describe("a directory in use", () => {
  test("is refused, and the refusal says who holds it", async () => {
    const path = newPath()
    await run(
      Effect.gen(function* () {
        yield* makeSqlite({ path })
        const { message } = yield* Effect.flip(makeSqlite({ path }))
        expect(message).toContain(
          `${path} is in use by another broker: process ${process.pid} on ${hostname()}, since 20`
        )
      })
    )
    await made1(path)
  })

  test("is free again when its holder was killed", async () => {
    const path = newPath()
    const holder = Bun.spawn([process.execPath, join(import.meta.dir, "fixtures/hold.ts"), path], {
      stdout: "pipe"
    })
    const { value } = await holder.stdout.getReader().read()
    expect(new TextDecoder().decode(value)).toBe("open\n")
    expect((await refusalOf(path)).message).toContain(`process ${holder.pid} on`)
    holder.kill("SIGKILL")
    await holder.exited
    await made1(path)
  })
})
