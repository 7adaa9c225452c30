/**
 * A copy of a database as it is at one moment, whoever else writes to it meanwhile.
 *
 * SQLite makes it (`VACUUM INTO`) out of a snapshot that holds nobody up: commits go on into the log, which
 * only cannot start over until the copy is made. The copy is one file without a log, has no free pages, and
 * is read again before anybody relies on it.
 */

import * as Effect from "effect/Effect"
import { StorageError } from "../../StorageError.ts"
import { failureOf } from "../failure.ts"
import { type Contents, readContents } from "./contents.ts"
import { becauseOf, syncPath, withFiles } from "./files.ts"
import { firstFault, openReading, type Reading, readError } from "./reading.ts"

export interface CopyOptions {
  /** A file that is not there. */
  readonly target: string
  /** What messages call it. */
  readonly name: string
}

/** Copies a database; answers what the copy holds. When it succeeds, the copy is safe on the disk. */
export const copyDatabase = (
  source: Reading,
  { name, target }: CopyOptions
): Effect.Effect<Contents, StorageError> =>
  Effect.gen(function* () {
    const before = yield* momentOf(source)
    yield* Effect.mapError(source.database.run("VACUUM INTO ?", [target]), (error) =>
      failureOf(error).isCorrupt ? readError(error, source.file, source.role) : writeError(error, name)
    )
    const after = yield* momentOf(source)
    yield* withFiles(`cannot write ${name}`, nothingChanged, () => syncPath(target))
    const copy = yield* Effect.scoped(verified(target, name))
    const isWhole =
      copy.schema === source.schema &&
      // Who wrote between the two looks may have done so before or after the snapshot.
      (before.version !== after.version || isSame(copy.contents, before.contents))
    if (!isWhole) return yield* unproved(name, "does not hold what the database does")
    return copy.contents
  })

const nothingChanged = "Nothing was changed. Make room, or name another place."

const writeError = (thrown: unknown, name: string): StorageError =>
  new StorageError({
    reason: `cannot write ${name}: ${becauseOf(thrown)}. ${nothingChanged}`,
    cause: thrown,
    ...(failureOf(thrown).isFull && { isFull: true })
  })

const unproved = (name: string, what: string): StorageError =>
  new StorageError({
    reason: `the copy written for ${name} ${what}. It was removed. Try another disk.`,
    cause: undefined
  })

interface Moment {
  /** Another one when somebody else has committed. */
  readonly version: number
  readonly contents: Contents
}

const momentOf = ({ database, file, role }: Reading): Effect.Effect<Moment, StorageError> =>
  Effect.all({ version: database.number("PRAGMA data_version"), contents: readContents(database) }).pipe(
    Effect.mapError((error) => readError(error, file, role))
  )

const verified = (target: string, name: string) =>
  Effect.gen(function* () {
    const copy = yield* openReading(target, "backup")
    const fault = yield* firstFault(copy, "quick")
    if (fault !== undefined) return yield* unproved(name, `is damaged: ${fault}`)
    const contents = yield* Effect.mapError(readContents(copy.database), (error) =>
      readError(error, target, "backup")
    )
    return { contents, schema: copy.schema }
  })

const isSame = (a: Contents, b: Contents): boolean =>
  (Object.keys(a) as ReadonlyArray<keyof Contents>).every((name) => a[name] === b[name])
