/**
 * What went wrong in the database, as plain values that can go from one thread to another, and as the
 * `StorageError` that others see.
 */

import { StorageError } from "../StorageError.ts"

export interface Failure {
  /** SQLite's name for it, such as SQLITE_FULL; "" for what is not of SQLite. */
  readonly code: string
  readonly message: string
  readonly isFull: boolean
  readonly isCorrupt: boolean
}

/** From whatever was thrown: the client wraps the error of SQLite, which has the code. */
export const failureOf = (thrown: unknown): Failure => {
  if (isFailure(thrown)) return thrown
  let error = thrown
  while (error instanceof Error && !("code" in error) && error.cause !== undefined) error = error.cause
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  return {
    code,
    message: (error instanceof Error ? error.message : String(error)).replaceAll("\n", " "),
    isFull: code === "SQLITE_FULL" || code === "ENOSPC",
    isCorrupt: code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB"
  }
}

const isFailure = (value: unknown): value is Failure =>
  typeof value === "object" && value !== null && "isCorrupt" in value && "isFull" in value

/** `doing` says what could not be done: "cannot ...". */
export const storageErrorOf = (thrown: unknown, doing: string): StorageError => {
  if (thrown instanceof StorageError) return thrown
  const failure = failureOf(thrown)
  const because = failure.code === "" ? failure.message : `${failure.message} (${failure.code})`
  const wayOut = failure.isCorrupt
    ? ". It is damaged and was left as it is: restore a backup with `heddle restore`, or move the file away" +
      " to start empty."
    : failure.isFull
      ? ". There is no room left: free some on the disk, or let the database become larger."
      : ""
  return new StorageError({
    reason: `${doing}: ${because}${wayOut}`,
    cause: thrown,
    ...(failure.isFull ? { isFull: true } : {})
  })
}
