/**
 * All that a session has of permissions: what it is subscribed to, what its client publishes and its will.
 * Made by the actor in its own turn, for those who want to know what other permissions would take from it.
 */

import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { Qos, Will } from "../protocol/Packet.ts"
import { heldSubscriptions } from "./held.ts"
import type { SessionState } from "./SessionState.ts"

export interface SurveyedSubscription {
  /** As the client wrote it. */
  readonly text: string
  /** Without the `$share/group/` in front, which is `group`. */
  readonly topicFilter: string
  readonly group: string | undefined
  readonly qos: Qos
}

export interface Survey {
  readonly identity: Identity
  readonly permissions: Permissions
  readonly isConnected: boolean
  readonly subscriptions: ReadonlyArray<SurveyedSubscription>
  readonly will: Will | undefined
  /** Topics that its client has published to on this connection, as far as they are still known. */
  readonly topics: ReadonlyArray<string>
}

export const surveyOf = (state: SessionState): Survey => ({
  identity: state.identity,
  permissions: state.permissions,
  isConnected: state.link !== undefined,
  subscriptions: heldSubscriptions(state).map(({ filter, subscription: { qos } }) => {
    if (filter._tag === "Plain") {
      return { text: filter.filter, topicFilter: filter.filter, group: undefined, qos }
    }
    const share = filter.ordered ? "$oshare" : "$share"
    const text = `${share}/${filter.group}/${filter.filter}`
    return { text, topicFilter: filter.filter, group: filter.group, qos }
  }),
  will: state.will,
  topics: topicsOf(state)
})

const topicsOf = ({ inboundAliases = [], judgedTopic }: SessionState): ReadonlyArray<string> => {
  const topics = new Set<string>()
  for (const topic of [judgedTopic, ...inboundAliases]) if (topic !== undefined) topics.add(topic.name)
  return [...topics]
}
