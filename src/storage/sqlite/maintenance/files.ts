/** Files of and beside the database: made safe on the disk, and told in one line when something is wrong. */

import { closeSync, existsSync, fsyncSync, openSync, rmSync } from "node:fs"
import { dirname } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StorageError } from "../../StorageError.ts"
import { failureOf } from "../failure.ts"

/** What SQLite keeps beside a database while it is in use, and after a crash: changes that belong to it. */
export const companions: ReadonlyArray<string> = ["-wal", "-journal"]

/** Can be made again from the others. */
const sharedMemory = "-shm"

/** A failure that is no fault of SQLite's: what was found, and what can be done. */
export const refused = (what: string, wayOut: string): StorageError =>
  new StorageError({ reason: `${what}. ${wayOut}`, cause: undefined })

/** Why something failed, in a few words. */
export const becauseOf = (thrown: unknown): string => {
  const { code, message } = failureOf(thrown)
  // "ENOENT: no such file or directory, open '...'": the file is named already.
  const system = /^E[A-Z0-9]+: ([^,]+)/.exec(message)
  if (system !== null) return system[1]!
  return code === "" ? message : `${message} (${code})`
}

/** Work with files; `doing` says what could not be done: "cannot ...". */
export const withFiles = <A>(doing: string, wayOut: string, work: () => A): Effect.Effect<A, StorageError> =>
  Effect.try({
    try: work,
    catch: (cause) =>
      new StorageError({
        reason: `${doing}: ${becauseOf(cause)}. ${wayOut}`,
        cause,
        ...(failureOf(cause).isFull && { isFull: true })
      })
  })

/** After this, what was written to a file, or which files are in a directory, survives a power cut. */
export const syncPath = (path: string): void => {
  const descriptor = openSync(path, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export const syncDirectoryOf = (file: string): void => syncPath(dirname(file))

/** What is beside a database, so that it does not belong to another one that takes its name. */
export const removeCompanions = (file: string): void => {
  for (const suffix of [...companions, sharedMemory]) rmSync(`${file}${suffix}`, { force: true })
}

const removeDatabase = (file: string): void => {
  removeCompanions(file)
  rmSync(file, { force: true })
}

/** Something of a database is there. */
export const isTaken = (file: string): boolean =>
  ["", ...companions].some((suffix) => existsSync(`${file}${suffix}`))

/**
 * A name beside `file` for what becomes it when it is whole; whatever has that name when the scope closes is
 * removed. It has the process in it: nobody else that runs writes there, and what is there was cut short.
 */
export const partialBeside = (file: string): Effect.Effect<string, StorageError, Scope.Scope> => {
  const partial = `${file}.${process.pid}.partial`
  return Effect.as(
    Effect.acquireRelease(
      withFiles(`cannot write ${partial}`, "Nothing was changed.", () => removeDatabase(partial)),
      () => Effect.either(withFiles(`cannot remove ${partial}`, "", () => removeDatabase(partial)))
    ),
    partial
  )
}
