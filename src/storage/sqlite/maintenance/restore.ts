/**
 * Puts a backup in the place of the database. The database that was there stays beside it, under another
 * name; at every moment one of the two has the database's name, whole.
 *
 * Nobody else may have the database open: this takes the broker's lock.
 */

import { constants, copyFileSync, existsSync, linkSync, mkdirSync, renameSync, statSync } from "node:fs"
import { dirname } from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-bun/SqliteClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { StorageError } from "../../StorageError.ts"
import { Database, openDatabase } from "../Database.ts"
import { failureOf } from "../failure.ts"
import { acquireLock } from "../lock.ts"
import { refuseSame } from "./backup.ts"
import { type Contents, readContents } from "./contents.ts"
import { copyDatabase } from "./copy.ts"
import {
  companions,
  isTaken,
  partialBeside,
  refused,
  removeCompanions,
  syncDirectoryOf,
  syncPath,
  withFiles
} from "./files.ts"
import { firstFault, openReading, readError } from "./reading.ts"

export interface RestoreOptions {
  readonly backup: string
  readonly database: string
}

export interface Restored {
  readonly contents: Contents
  /** Where the database that was there is now; undefined when there was none. */
  readonly kept: string | undefined
}

export const restoreDatabase = ({
  backup,
  database
}: RestoreOptions): Effect.Effect<Restored, StorageError> =>
  Effect.gen(function* () {
    const source = yield* openReading(backup, "backup")
    yield* refuseSame(backup, database)
    const directory = dirname(database)
    yield* withFiles(`cannot make the directory ${directory}`, "Nothing was changed.", () =>
      mkdirSync(directory, { recursive: true })
    )
    yield* acquireLock(directory)
    const fault = yield* firstFault(source, "integrity")
    if (fault !== undefined) {
      return yield* refused(`${backup} is damaged: ${fault}`, "Nothing was changed. Take another backup.")
    }
    const target = yield* partialBeside(database)
    yield* copyDatabase(source, { target, name: database })
    const contents = yield* Effect.scoped(bringUpToDate(target))
    yield* settle(database)
    const nowMs = yield* Clock.currentTimeMillis
    const kept = yield* withFiles(`cannot write ${database}`, "The database that was there still is.", () => {
      syncPath(target)
      const keptAs = keep(database, nowMs)
      renameSync(target, database)
      syncDirectoryOf(database)
      return keptAs
    })
    return { contents, kept }
  }).pipe(Effect.scoped)

/** Takes a copy through the migrations that it lacks, and makes one file of it again. */
const bringUpToDate = (target: string) =>
  Effect.gen(function* () {
    const database = yield* openDatabase(target)
    const contents = yield* readContents(database)
    yield* database.run("PRAGMA journal_mode = DELETE")
    return contents
  }).pipe(Effect.mapError((error) => readError(error, target, "backup")))

/**
 * Makes one file of the database that is there, so that nothing of it is left in its log. One that is too
 * damaged for that, or is none, is kept with its log; one that somebody else has open is not touched.
 */
const settle = (database: string): Effect.Effect<void, StorageError> =>
  Effect.gen(function* () {
    if (!existsSync(database)) return
    const options = { readwrite: true, create: false, disableWAL: true }
    const client = yield* SqliteClient.make({ filename: database, ...options })
    const open = new Database(yield* client.reserve)
    yield* open.run("PRAGMA busy_timeout = 2000")
    yield* open.run("PRAGMA journal_mode = DELETE")
  }).pipe(
    Effect.scoped,
    Effect.provide(Reactivity.layer),
    Effect.catchAllDefect(Effect.fail),
    Effect.catchAll((error) =>
      failureOf(error).code.startsWith("SQLITE_BUSY")
        ? Effect.fail(
            refused(`${database} is in use by another program`, "Nothing was changed. End that one.")
          )
        : Effect.logDebug(`cannot settle ${database}`, error)
    )
  )

/** Gives what is there another name beside its own, and takes its log away. Answers the name. */
const keep = (database: string, nowMs: number): string | undefined => {
  if (!isTaken(database)) return undefined
  const instant = new Date(nowMs).toISOString().replaceAll(/[-:]/g, "")
  const kept = `${database}.before-restore-${instant}`
  const found = ["", ...companions].filter((suffix) => existsSync(`${database}${suffix}`))
  for (const suffix of found) duplicate(`${database}${suffix}`, `${kept}${suffix}`)
  syncDirectoryOf(database)
  // SQLite would take it for that of the database that comes.
  removeCompanions(database)
  return kept
}

/** A second name for the file, or a copy where files have only one. */
const duplicate = (from: string, to: string): void => {
  try {
    linkSync(from, to)
  } catch (cause) {
    if (existsSync(to) || !statSync(from).isFile()) throw cause
    copyFileSync(from, to, constants.COPYFILE_EXCL)
    syncPath(to)
  }
}
