/**
 * Messages of shared subscriptions that this member has not finished: another member may be given them.
 */

import type { SharedGroup } from "../router/SharedGroup.ts"
import { goneRecord, isOnRecord, recordHandedOn } from "./durability.ts"
import type { OutboundEntry } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/**
 * The shared subscriptions that have something in the queue which another member could deliver.
 * [MQTT-4.8.2-4]
 */
export const sharedGroupsOf = (state: SessionState): ReadonlyArray<SharedGroup> => {
  const groups = new Set<SharedGroup>()
  if (state.queue !== undefined) {
    for (const entry of state.queue.entries()) {
      if (mayMove(entry)) groups.add(entry.options.group)
    }
  }
  return [...groups]
}

/**
 * Takes the messages of a group out of the queue and hands them back to the group's other members. That one
 * has lost a message and another has it is put on record in one unit.
 */
export const giveBack = (state: SessionState, group: SharedGroup, out: SessionOutputs): void => {
  const { queue } = state
  if (queue === undefined) return
  const entries = [...queue.entries()].filter((entry) => mayMove(entry) && entry.options.group === group)
  if (entries.length > 0) handOn(state, queue, entries, out)
}

/** The same for some of its messages, which belong to one group. */
export const handOn = (
  state: SessionState,
  queue: OutboundQueue,
  entries: ReadonlyArray<OutboundEntry>,
  out: SessionOutputs
): void => {
  const group = entries[0]?.options.group
  if (group === undefined) return
  for (const entry of entries)
    if (isOnRecord(entry)) out.gather(entry.publication, goneRecord(state, entry), false)
  const publications = entries.map((entry) => entry.publication)
  out.redispatch(group, publications)
  for (const entry of entries) {
    queue.remove(entry)
    if (isOnRecord(entry)) entry.publication.contributed()
    recordHandedOn(entry)
  }
}

type SharedEntry = OutboundEntry & { readonly options: { readonly group: SharedGroup } }

/**
 * QoS 1 may go to another member at any time; QoS 2 only while this client has not seen it. [MQTT-4.8.2-4]
 * [MQTT-4.8.2-5]
 */
const mayMove = (entry: OutboundEntry): entry is SharedEntry =>
  entry.options.group !== undefined && (entry.qos === 1 || !entry.wasSent)
