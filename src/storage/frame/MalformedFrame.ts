import * as Data from "effect/Data"

/**
 * Bytes that are no frame, or one of a later version. Handled by who reads them: nothing of them is applied.
 */
export class MalformedFrame extends Data.TaggedError("MalformedFrame")<{
  readonly reason: string
}> {
  override get message(): string {
    return this.reason
  }
}
