/**
 * Whether a message may be received, asked when it arrives and again when it is sent.
 *
 * Where rules allow whole filters nothing is looked at. A deny inside an allowed wildcard is looked at for
 * each message. And since permissions have changed, or the session has been taken up again, what waits may
 * have come through a subscription that is gone: such messages are judged by what may be received at all.
 */

import type { Publication } from "../router/Publication.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"
import { matchesFilter } from "../topic/TopicFilter.ts"
import { tellDropped } from "./dropped.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** Position of a message that waits without having one. */
export const WAITED = -1

export interface Receivable {
  readonly publication: Publication
  readonly options: DeliveryOptions
  /** Of the delivery; what its message and its subscription make of it when absent. */
  readonly qos?: 0 | 1 | 2
  /** In the queue; undefined for one that has just come. */
  readonly position?: number
}

/** Counts a message that may not be received. */
export const mayReceive = (state: SessionState, message: Receivable, out: SessionOutputs): boolean => {
  if (state.permissions.deliver === undefined && state.strictBefore === 0) return true
  if (isAllowed(state, message)) return true
  const { publication } = message
  state.counters.droppedNotAuthorized++
  tellDropped(state, publication, "not-authorized", out)
  return false
}

const isAllowed = (state: SessionState, { options, position, publication, qos }: Receivable): boolean => {
  const { deliver, receive } = state.permissions
  const topic = publication.topic.name
  const given = qos ?? (publication.qos < options.qos ? publication.qos : options.qos)
  const group = options.group?.options.name
  const { strictBefore } = state
  if (position === undefined ? strictBefore === Number.POSITIVE_INFINITY : position < strictBefore) {
    const may =
      receive === undefined ? holdsFilterFor(state, topic, options.group) : receive(topic, given, group)
    if (!may) return false
  }
  return deliver === undefined || deliver(topic, given, group)
}

/** Whether something that the session is still subscribed to brings it such messages. */
const holdsFilterFor = (state: SessionState, topic: string, group: SharedGroup | undefined): boolean => {
  if (group !== undefined) return isMember(state, group)
  for (const topicFilter of state.subscriptions?.keys() ?? []) {
    if (matchesFilter(topicFilter, topic)) return true
  }
  return false
}

/** Whether the session still holds the subscription that makes it a member of the group. */
export const isMember = (state: SessionState, { options }: SharedGroup): boolean => {
  const share = options.isOrdered ? "$oshare" : "$share"
  return state.subscriptions?.has(`${share}/${options.name}/${options.topicFilter}`) === true
}
