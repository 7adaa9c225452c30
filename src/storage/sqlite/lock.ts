/**
 * One broker per database: a lock that the operating system takes back when its holder dies, however it dies.
 *
 * It is the write lock of a tiny database beside the real one, whose only row says who holds it: others
 * cannot take the lock but can read the row. The lock is the truth and the row is only what is said about it,
 * so neither a file that is left over nor a process identifier that is used again can mislead.
 */

import { hostname } from "node:os"
import { join } from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-bun/SqliteClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StorageError } from "../StorageError.ts"
import { Database, numberAt, type Row, textAt } from "./Database.ts"
import { failureOf, storageErrorOf } from "./failure.ts"

export const lockName = "heddle.lock"

/** Holds the directory until the scope closes. Fails when somebody else does. */
export const acquireLock = (path: string): Effect.Effect<void, StorageError, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* SqliteClient.make({ filename: join(path, lockName), disableWAL: true })
    const database = new Database(yield* client.reserve)
    const holder = [process.pid, hostname(), yield* Clock.currentTimeMillis] as const
    // Between the two transactions another one may have written its name and be about to take the lock.
    while (true) {
      yield* database.transaction(
        Effect.gen(function* () {
          yield* database.run("CREATE TABLE IF NOT EXISTS holder (pid, host, since)")
          yield* database.run("DELETE FROM holder")
          yield* database.run("INSERT INTO holder VALUES (?, ?, ?)", holder)
        })
      )
      yield* database.run("BEGIN IMMEDIATE")
      const [row] = yield* selectHolder(database)
      if (row !== undefined && holder.every((value, index) => row[index] === value)) return
      yield* database.run("ROLLBACK")
    }
  }).pipe(
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect(Effect.fail),
    Effect.catchAll((error) => Effect.flatMap(refusal(path, error), Effect.fail))
  )

const selectHolder = (database: Database): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  database.rows("SELECT pid, host, since FROM holder")

const refusal = (path: string, error: unknown): Effect.Effect<StorageError> => {
  if (!failureOf(error).code.startsWith("SQLITE_BUSY")) {
    return Effect.succeed(storageErrorOf(error, `cannot lock ${path}`))
  }
  return Effect.map(whoHolds(path), (holder) => {
    const reason = `${path} is in use by another broker: ${holder}. Stop that one, or name another directory.`
    return new StorageError({ reason, cause: error })
  })
}

/** As far as that can be said. */
const whoHolds = (path: string): Effect.Effect<string> =>
  Effect.gen(function* () {
    const client = yield* SqliteClient.make({ filename: join(path, lockName), disableWAL: true })
    const [row] = yield* selectHolder(new Database(yield* client.reserve))
    if (row === undefined) return unknownHolder
    const since = new Date(numberAt(row, 2)).toISOString()
    return `process ${numberAt(row, 0)} on ${textAt(row, 1)}, since ${since}`
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.catchAllCause(() => Effect.succeed(unknownHolder))
  )

const unknownHolder = "a process that has not said who it is"
