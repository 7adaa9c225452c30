/**
 * A database opened to be read and for nothing else, also while a broker writes to it: in WAL mode neither
 * waits for the other. What is no database of ours, or a later version's, is refused.
 */

import { accessSync, constants, statSync } from "node:fs"
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-bun/SqliteClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StorageError } from "../../StorageError.ts"
import { applicationId, Database, textAt } from "../Database.ts"
import { failureOf } from "../failure.ts"
import { schemaVersion } from "../schema.ts"
import { becauseOf, refused } from "./files.ts"

/** What a file is to whoever opens it: it decides what can be done when something is wrong with it. */
export type Role = "database" | "backup"

export interface Reading {
  readonly file: string
  readonly role: Role
  readonly database: Database
  /** Number of the last migration that it went through. */
  readonly schema: number
}

interface WaysOut {
  readonly missing: string
  readonly foreign: string
  readonly damaged: string
  readonly other: string
}

const waysOut: Readonly<Record<Role, WaysOut>> = {
  database: {
    missing: "A broker makes it when it first starts; storage.path says where.",
    foreign: "It was left as it is. storage.path says where the database is.",
    damaged: "It is damaged and was left as it is. `heddle restore` brings a backup back.",
    other: "It was left as it is."
  },
  backup: {
    missing: "Nothing was changed.",
    foreign: "Nothing was changed. Name a file that `heddle backup` wrote.",
    damaged: "It is damaged, and nothing was changed. Take another backup.",
    other: "Nothing was changed."
  }
}

const notAllowed = "Run this as the user that the broker runs as."

/** Opens `file`; closed with the scope. */
export const openReading = (file: string, role: Role): Effect.Effect<Reading, StorageError, Scope.Scope> =>
  Effect.gen(function* () {
    const isFile = yield* Effect.try({
      try: () => {
        accessSync(file, constants.R_OK)
        return statSync(file).isFile()
      },
      catch: (cause) => readError(cause, file, role)
    })
    if (!isFile) return yield* refused(`${file} is not a file`, waysOut[role].foreign)
    const database = yield* connect(file).pipe(Effect.mapError((error) => readError(error, file, role)))
    const schema = yield* schemaOf(database, file, role).pipe(
      Effect.mapError((error) => readError(error, file, role))
    )
    return { database, file, role, schema }
  })

const connect = (file: string): Effect.Effect<Database, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { readonly: true, readwrite: false, create: false, disableWAL: true }
    const client = yield* SqliteClient.make({ filename: file, ...options })
    const database = new Database(yield* client.reserve)
    // Somebody may just be recovering the log.
    yield* database.run("PRAGMA busy_timeout = 5000")
    return database
  }).pipe(
    Effect.provide(Reactivity.layer),
    // The constructor of the client throws.
    Effect.catchAllDefect(Effect.fail)
  )

const schemaOf = (
  database: Database,
  file: string,
  role: Role
): Effect.Effect<number, StorageError | SqlError> =>
  Effect.gen(function* () {
    const { foreign } = waysOut[role]
    if ((yield* database.number("PRAGMA application_id")) !== applicationId) {
      return yield* refused(`${file} is not a Heddle database`, foreign)
    }
    const tables = yield* database.rows("SELECT name FROM sqlite_schema WHERE name IN ('migration', 'meta')")
    if (tables.length < 2) return yield* refused(`${file} is a Heddle database with nothing in it`, foreign)
    const schema = yield* database.number("SELECT max(migration_id) FROM migration")
    if (schema <= schemaVersion) return schema
    return yield* refused(
      `${file} has schema version ${schema}, and this Heddle knows none later than ${schemaVersion}`,
      "It was left as it is. Use the Heddle that wrote it, or a newer one."
    )
  })

/** What SQLite says when reading fails, with what can be done. */
export const readError = (thrown: unknown, file: string, role: Role): StorageError => {
  if (thrown instanceof StorageError) return thrown
  return new StorageError({
    reason: `cannot read ${file}: ${becauseOf(thrown)}. ${wayOutOf(thrown, role)}`,
    cause: thrown
  })
}

const wayOutOf = (thrown: unknown, role: Role): string => {
  const { code, isCorrupt } = failureOf(thrown)
  const { damaged, foreign, missing, other } = waysOut[role]
  if (code === "ENOENT") return missing
  // SQLite keeps a file of its own beside the database, also when it only reads.
  if (code === "EACCES" || /^SQLITE_(CANTOPEN|READONLY|PERM)/.test(code)) return notAllowed
  // What is no database at all may be one whose beginning was overwritten.
  if (code === "SQLITE_NOTADB" && role === "backup") return foreign
  return isCorrupt ? damaged : other
}

/** Fails unless the database has this program's schema, which the queries of some are made for. */
export const refuseOlder = ({ file, schema }: Reading): Effect.Effect<void, StorageError> =>
  schema === schemaVersion
    ? Effect.void
    : Effect.fail(
        refused(
          `${file} has schema version ${schema}, and this Heddle works with ${schemaVersion}`,
          "Start the broker once, which brings it up to date."
        )
      )

/** Runs reads that belong together: all see the database as it is at one moment. */
export const atOneMoment = <A, E>(
  { database, file, role }: Reading,
  reads: Effect.Effect<A, E>
): Effect.Effect<A, E | StorageError> =>
  Effect.acquireUseRelease(
    Effect.mapError(database.run("BEGIN"), (error) => readError(error, file, role)),
    () => reads,
    () => Effect.either(database.run("COMMIT"))
  )

/** The first thing that SQLite finds wrong with the file; undefined when nothing is. */
export const firstFault = (
  { database, file, role }: Reading,
  depth: "quick" | "integrity"
): Effect.Effect<string | undefined, StorageError> =>
  database.rows(`PRAGMA ${depth}_check(1)`).pipe(
    Effect.map(([row]) => {
      const verdict = textAt(row ?? [], 0)
      return verdict === "ok" ? undefined : verdict.replaceAll(/\s+/g, " ")
    }),
    Effect.mapError((error) => readError(error, file, role))
  )
