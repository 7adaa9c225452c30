import * as Data from "effect/Data"

/**
 * The journal or a store cannot do what it is asked. Handled where it shows: a broker that cannot read its
 * state does not start; a publisher whose message cannot be stored is refused (5.0: 0x80, or 0x97 when there
 * is no room) or, before version 5, not acknowledged.
 */
export class StorageError extends Data.TaggedError("StorageError")<{
  readonly reason: string
  readonly cause: unknown
  /** The disk is full, or the database as large as it may become. */
  readonly isFull?: boolean
}> {
  override get message(): string {
    return this.reason
  }
}
