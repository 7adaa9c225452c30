/**
 * The open database of a cell: one connection, which nobody else uses, through the Effect client for SQLite.
 *
 * Statements are texts that repeat, so that the client's cache of prepared statements has them; rows come as
 * arrays. A file that is not a database of ours, is damaged or was written by a later version is refused and
 * stays as it is.
 */

import { Database as BunDatabase } from "bun:sqlite"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-bun/SqliteClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StorageError } from "../StorageError.ts"
import { failureOf, storageErrorOf } from "./failure.ts"
import { applyMigration, migrations, schemaVersion } from "./schema.ts"

export type Value = number | string | Uint8Array | null
export type Row = ReadonlyArray<Value>

/** "Hedl" in the header of the file tells it from other SQLite databases. */
export const applicationId = 0x4865646c
const pageBytes = 8192
/** Pages that a commit may leave in the write-ahead log before they are copied to the database: 32 MB. */
const checkpointPages = 4096
const cacheKilobytes = 65_536
/** Up to this size the whole file is checked when it is opened; that takes less than a second. */
const checkedBytesMax = 64 * 1024 * 1024
/** The client keeps the first few statements by default, and prepares all others each time. */
const statementsMax = 400

export class Database {
  private isSynced: boolean | undefined = undefined

  constructor(private readonly connection: Connection) {}

  run(text: string, parameters: ReadonlyArray<Value> = []): Effect.Effect<unknown, SqlError> {
    return this.connection.executeRaw(text, parameters)
  }

  rows(text: string, parameters: ReadonlyArray<Value> = []): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return this.connection.executeValues(text, parameters) as Effect.Effect<ReadonlyArray<Row>, SqlError>
  }

  /** The one number that a statement gives. */
  number(text: string): Effect.Effect<number, SqlError> {
    return Effect.map(this.rows(text), ([row]) => numberAt(row ?? [], 0))
  }

  /**
   * Whether the next commits must survive a power cut. A property of the connection, which may only change
   * between transactions.
   */
  setSynced(isSynced: boolean): Effect.Effect<unknown, SqlError> {
    if (isSynced === this.isSynced) return Effect.void
    this.isSynced = isSynced
    return this.run(`PRAGMA synchronous = ${isSynced ? "FULL" : "NORMAL"}`)
  }

  /** Runs `effect` in a transaction, which ends with it. */
  transaction<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | SqlError> {
    return this.run("BEGIN IMMEDIATE").pipe(
      Effect.zipRight(effect),
      Effect.zipLeft(this.run("COMMIT")),
      // Some failures have rolled it back already, so this may fail in its turn.
      Effect.tapErrorCause(() => Effect.either(this.run("ROLLBACK")))
    )
  }
}

/** A number of a row whose column is of that type. */
export const numberAt = (row: Row, index: number): number => {
  const value = row[index]
  return typeof value === "number" ? value : 0
}

export const textAt = (row: Row, index: number): string => {
  const value = row[index]
  return typeof value === "string" ? value : ""
}

/** Undefined where the column is NULL. */
export const bytesAt = (row: Row, index: number): Uint8Array | undefined => {
  const value = row[index]
  return value instanceof Uint8Array ? value : undefined
}

/** Opens the database in `file`, or makes one. Closed with the scope. */
export const openDatabase = (file: string): Effect.Effect<Database, StorageError, Scope.Scope> =>
  Effect.gen(function* () {
    BunDatabase.MAX_QUERY_CACHE_SIZE = statementsMax
    const client = yield* SqliteClient.make({ filename: file, disableWAL: true })
    yield* prepareFile(client, file)
    yield* migrate(client)
    const database = new Database(yield* client.reserve)
    for (const pragma of [
      `wal_autocheckpoint = ${checkpointPages}`,
      `cache_size = -${cacheKilobytes}`,
      "temp_store = MEMORY",
      // Who looks at the file from outside holds it for moments only.
      "busy_timeout = 2000",
      "journal_size_limit = 67108864"
    ]) {
      yield* database.run(`PRAGMA ${pragma}`)
    }
    return database
  }).pipe(
    Effect.provide(Reactivity.layer),
    // The constructor of the client throws.
    Effect.catchAllDefect((defect) => Effect.fail(storageErrorOf(defect, opening(file)))),
    Effect.mapError((error) => (error instanceof StorageError ? error : storageErrorOf(error, opening(file))))
  )

const opening = (file: string): string => `cannot open the database ${file}`

/** Looks at what the file is, and makes it a database of ours when it is empty. */
const prepareFile = (
  client: SqliteClient.SqliteClient,
  file: string
): Effect.Effect<void, SqlError | StorageError> =>
  Effect.gen(function* () {
    const pages = yield* pragma(client, "page_count")
    if (pages === 0) {
      for (const text of [`page_size = ${pageBytes}`, "auto_vacuum = INCREMENTAL"]) {
        yield* client.unsafe(`PRAGMA ${text}`)
      }
      yield* client.unsafe(`PRAGMA application_id = ${applicationId}`)
    } else {
      if ((yield* pragma(client, "application_id")) !== applicationId) {
        return yield* refused(
          file,
          "is not a Heddle database",
          "Name another directory, or move the file away."
        )
      }
      if (pages * (yield* pragma(client, "page_size")) <= checkedBytesMax) yield* check(client, file)
      yield* refuseNewer(client, file)
    }
    yield* client.unsafe("PRAGMA journal_mode = WAL")
  })

const check = (
  client: SqliteClient.SqliteClient,
  file: string
): Effect.Effect<void, SqlError | StorageError> =>
  Effect.gen(function* () {
    const [row] = yield* client.unsafe("PRAGMA quick_check(1)").values
    const verdict = row?.[0]
    if (verdict !== "ok") {
      const failure = { ...failureOf(verdict), isCorrupt: true }
      return yield* storageErrorOf(failure, opening(file))
    }
  })

const refuseNewer = (
  client: SqliteClient.SqliteClient,
  file: string
): Effect.Effect<void, SqlError | StorageError> =>
  Effect.gen(function* () {
    const tables = yield* client.unsafe("SELECT name FROM sqlite_schema WHERE name = 'migration'").values
    if (tables.length === 0) return
    const [row] = yield* client.unsafe("SELECT max(migration_id) FROM migration").values
    const found = Number(row?.[0] ?? 0)
    if (found <= schemaVersion) return
    return yield* refused(
      file,
      `has schema version ${found}, and this Heddle knows none later than ${schemaVersion}`,
      "Start the Heddle that wrote it or a newer one, or restore a backup with `heddle restore`."
    )
  })

const refused = (file: string, what: string, wayOut: string): StorageError =>
  new StorageError({ reason: `${file} ${what}. It was left as it is. ${wayOut}`, cause: undefined })

const pragma = (client: SqliteClient.SqliteClient, name: string): Effect.Effect<number, SqlError> =>
  Effect.map(client.unsafe(`PRAGMA ${name}`).values, ([row]) => Number(row?.[0] ?? 0))

const migrate = (client: SqliteClient.SqliteClient) =>
  Migrator.make({})({
    table: "migration",
    loader: Effect.succeed(
      migrations.map(
        (migration) => [migration.id, migration.name, Effect.succeed(applyMigration(migration))] as const
      )
    )
  }).pipe(Effect.provideService(SqlClient.SqlClient, client))
