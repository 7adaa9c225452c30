/**
 * Storage in this process: as durable as the process is, and the yardstick for every other layer.
 *
 * The state outlives a broker when it is kept: a second broker over the same `DurableState` resumes what the
 * first left.
 */

import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { DurableState } from "./DurableState.ts"
import { Journal } from "./Journal.ts"
import { RetainedStore } from "./RetainedStore.ts"
import { SessionStore } from "./SessionStore.ts"

/** The journal and the stores over one state in memory. Commits at once. */
export const layerMemory = (
  state: DurableState = new DurableState()
): Layer.Layer<Journal | SessionStore | RetainedStore> =>
  Layer.mergeAll(
    Layer.succeed(Journal, {
      append: (records, committed) => {
        for (const record of records) state.apply(record)
        committed(undefined)
      }
    }),
    Layer.succeed(SessionStore, { sessions: Stream.suspend(() => Stream.fromIterable(state.sessions())) }),
    Layer.succeed(RetainedStore, { messages: Stream.suspend(() => Stream.fromIterable(state.retained())) })
  )
