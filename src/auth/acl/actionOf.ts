/** What somebody writes as an action, with a topic or with a filter as a client would send it. */

import { parseTopicFilter } from "../../topic/TopicFilter.ts"
import { validateTopicName } from "../../topic/TopicName.ts"
import type { Action } from "../Acl.ts"

export type Message = Omit<Extract<Action, { readonly _tag: "Publish" }>, "_tag" | "topic">

/** The action, or why there is no such. */
export const actionOf = (
  verb: "publish" | "subscribe",
  topic: string,
  message: Message
): Action | { readonly problem: string } => {
  if (verb === "publish") {
    const invalid = validateTopicName(topic)
    return invalid === undefined ? { _tag: "Publish", topic, ...message } : { problem: invalid.reason }
  }
  const filter = parseTopicFilter(topic)
  if (filter._tag === "Invalid") return { problem: `the filter ${filter.reason}` }
  const group = filter._tag === "Shared" ? filter.group : undefined
  return { _tag: "Subscribe", topicFilter: filter.filter, qos: message.qos, group }
}
