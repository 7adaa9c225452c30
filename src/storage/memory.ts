/**
 * Storage in this process: as durable as the process is, and the yardstick for every other layer.
 *
 * The state outlives a broker when it is kept: a second broker over the same `DurableState` resumes what the
 * first left.
 */

import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { AdministrationState } from "./AdministrationState.ts"
import { type AdministrationStores, layerAdministrationMemory } from "./administration.ts"
import { type DurableRecord, Recorded } from "./DurableRecord.ts"
import { bytesOf, DurableState, type StoredDelivery } from "./DurableState.ts"
import { Journal } from "./Journal.ts"
import { RetainedStore } from "./RetainedStore.ts"
import { type QueueRequest, SessionStore } from "./SessionStore.ts"

/** The journal and all stores over states in memory. Commits at once. */
export const layerMemory = (
  state: DurableState = new DurableState(),
  administration?: AdministrationState
): Layer.Layer<Journal | SessionStore | RetainedStore | AdministrationStores> =>
  Layer.provideMerge(layerAdministrationMemory(administration), layerRecords(state))

const layerRecords = (state: DurableState): Layer.Layer<Journal | SessionStore | RetainedStore> =>
  Layer.mergeAll(
    Layer.succeed(Journal, {
      append: ({ committed, records }) => {
        applyUnit(state, records)
        committed(undefined)
      },
      status: () => "ready",
      whenRelieved: (resume) => resume()
    }),
    Layer.succeed(SessionStore, {
      sessions: Stream.suspend(() => Stream.fromIterable(state.sessions())),
      queue: (request, answer) => answer(queuePage(state, request))
    }),
    Layer.succeed(RetainedStore, { messages: Stream.suspend(() => Stream.fromIterable(state.retained())) })
  )

/**
 * Applies a unit's records, but for those that became needless, and marks them as taken; those it applied.
 */
export const applyUnit = (
  state: DurableState,
  records: ReadonlyArray<DurableRecord>
): ReadonlyArray<DurableRecord> => {
  const needed = records.filter(isNeeded)
  for (const record of needed) {
    if (record._tag === "Enqueue") record.recorded = Recorded.Written
    state.apply(record)
  }
  return needed
}

const isNeeded = (record: DurableRecord): boolean =>
  record._tag !== "Enqueue" || record.recorded !== Recorded.Elided

/** The part of a queue that a request asks for. */
export const queuePage = (state: DurableState, request: QueueRequest): ReadonlyArray<StoredDelivery> => {
  const { bytesMax, clientId, from, messagesMax, tenant } = request
  const page: Array<StoredDelivery> = []
  let bytes = 0
  for (const delivery of state.queue(tenant, clientId, from)) {
    bytes += bytesOf(delivery.message)
    if (page.length === messagesMax || (page.length > 0 && bytes > bytesMax)) break
    page.push(delivery)
  }
  return page
}
