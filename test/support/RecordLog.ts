/** A durable state that remembers what was applied to it, so that a state can be made of a part of it. */

import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { decodeFrame } from "../../src/storage/frame/FrameReader.ts"
import { encodeFrame } from "../../src/storage/frame/FrameWriter.ts"

export class RecordLog extends DurableState {
  /** Each as it was when it was applied: a session's own goes on changing. */
  readonly records: Array<DurableRecord> = []

  override apply(record: DurableRecord): void {
    this.records.push(...decodeFrame(encodeFrame(0, [record])).records)
    super.apply(record)
  }

  /** A state that has seen all that this one has. */
  replayed(): DurableState {
    const state = new DurableState()
    for (const record of this.records) state.apply(record)
    return state
  }
}
