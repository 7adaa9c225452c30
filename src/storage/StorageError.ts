import * as Data from "effect/Data"

/**
 * The journal or a store cannot do what it is asked. Handled where it shows: a broker that cannot read its
 * state does not start; a publisher whose message cannot be stored is refused (5.0: 0x80) or, before version
 * 5, not acknowledged.
 */
export class StorageError extends Data.TaggedError("StorageError")<{
  readonly reason: string
  readonly cause: unknown
}> {
  override get message(): string {
    return this.reason
  }
}
