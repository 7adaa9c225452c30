/** A backup of the database into one file, also while a broker runs. */

import { accessSync, constants, realpathSync, renameSync, statSync } from "node:fs"
import { dirname } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { StorageError } from "../../StorageError.ts"
import type { Contents } from "./contents.ts"
import { copyDatabase } from "./copy.ts"
import { isTaken, partialBeside, refused, removeCompanions, syncDirectoryOf, withFiles } from "./files.ts"
import { openReading } from "./reading.ts"

export interface BackupOptions {
  readonly database: string
  readonly backup: string
  /** Replace what `backup` is now. */
  readonly isForced: boolean
}

export interface Backup {
  readonly contents: Contents
  readonly bytes: number
  readonly durationMs: number
}

/** Writes a backup. Whatever goes wrong, nothing but a whole and proved copy gets its name. */
export const backupDatabase = (options: BackupOptions): Effect.Effect<Backup, StorageError> =>
  Effect.gen(function* () {
    const { backup, database, isForced } = options
    const startedMs = yield* Clock.currentTimeMillis
    const source = yield* openReading(database, "database")
    yield* refuseSame(backup, database)
    yield* refuseUnwritable(backup)
    if (!isForced && isTaken(backup)) return yield* taken(backup)
    const target = yield* partialBeside(backup)
    const contents = yield* copyDatabase(source, { target, name: backup })
    // Somebody else may have been as quick.
    if (!isForced && isTaken(backup)) return yield* taken(backup)
    const bytes = yield* withFiles(`cannot write ${backup}`, "Name another place.", () => {
      // What an older backup left beside it would be taken for this one's.
      removeCompanions(backup)
      renameSync(target, backup)
      syncDirectoryOf(backup)
      return statSync(backup).size
    })
    return { contents, bytes, durationMs: (yield* Clock.currentTimeMillis) - startedMs }
  }).pipe(Effect.scoped)

/** Fails when nothing can be written under that name. */
const refuseUnwritable = (backup: string): Effect.Effect<void, StorageError> =>
  Effect.gen(function* () {
    const { isFolder } = yield* withFiles(`cannot write ${backup}`, "Name another place.", () => {
      accessSync(dirname(backup), constants.W_OK)
      return { isFolder: statSync(backup, { throwIfNoEntry: false })?.isDirectory() === true }
    })
    if (isFolder) return yield* refused(`${backup} is a folder`, "Name a file in it.")
  })

const taken = (backup: string): Effect.Effect<never, StorageError> =>
  Effect.fail(refused(`${backup} is there already`, "Name another file, or replace it with --force."))

/** Fails when two names are of one file. */
export const refuseSame = (backup: string, database: string): Effect.Effect<void, StorageError> =>
  Effect.suspend(() =>
    realPathOf(backup) === realPathOf(database)
      ? Effect.fail(refused(`${backup} is the database itself`, "Name another file."))
      : Effect.void
  )

/** A file that is not there is only itself. */
const realPathOf = (file: string): string => {
  try {
    return realpathSync(file)
  } catch {
    return file
  }
}
