/**
 * The journal: where records become durable. The one writer of what survives.
 *
 * `append` never waits and never throws: a turn's records go in as one batch, and `committed` tells when they
 * are as durable as this journal makes them, which may be before `append` returns. Acknowledgements to
 * clients hang on it: PUBACK and PUBREC leave when everything that their message changed is committed.
 * Batches commit in the order of `append`.
 */

import * as Context from "effect/Context"
import type { DurableRecord } from "./DurableRecord.ts"
import type { StorageError } from "./StorageError.ts"

/** How an append ended; undefined when it is committed. After a failure nothing of the batch is durable. */
export type CommitOutcome = StorageError | undefined

export class Journal extends Context.Tag("heddle/Journal")<
  Journal,
  {
    readonly append: (
      records: ReadonlyArray<DurableRecord>,
      committed: (outcome: CommitOutcome) => void
    ) => void
  }
>() {}
