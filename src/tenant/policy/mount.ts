/**
 * A mount: all that a client publishes and subscribes to lies below a prefix of its own, and the client never
 * sees it. Wills, retained messages, response topics and shared subscriptions included; permissions see the
 * whole names.
 *
 * Topics that begin with `$` are not mounted but refused: below a prefix they would be ordinary topics, which
 * wildcards match. [MQTT-4.7.2-1]
 */

import type { Identity } from "../../auth/Authenticator.ts"
import { substitute, templateOf, valuesOf } from "../../auth/acl/substitute.ts"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { isSystemTopic, validateTopicName } from "../../topic/TopicName.ts"
import type { PolicyMessage } from "./PolicyMessage.ts"
import type { Policy } from "./TenantPolicy.ts"
import { allow, drop, type Refuse, refuse, transform } from "./Verdict.ts"

/**
 * Mounts clients at `prefix`, which ends in `/`: text in which `${tenant}`, `${principal}`, `${clientId}`,
 * `${username}` and `${cert.cn}` stand for the client's own, as in access rules. One whose name is not a
 * single level of a topic is not let in. User names and certificates are not known of a client that has not
 * come back since the broker started: its will is not published.
 */
export const mount = (prefix: string): Policy => {
  const template = templateOf(prefix)
  // For as long as the connection, whose identity is one object.
  const known = new WeakMap<Identity, string>()
  const prefixOf = (client: Identity): string | undefined => {
    const found = known.get(client) ?? prefixFor(template, client)
    if (found !== undefined) known.set(client, found)
    return found
  }
  return {
    admit: ({ identity }) => (prefixOf(identity) === undefined ? noPlace : allow),
    publish: (message, client) => {
      const place = prefixOf(client)
      if (place === undefined) return noPlace
      return isSystemTopic(message.topic) ? system : mounted(message, place)
    },
    subscribe: ({ topicFilter }, client) => {
      const place = prefixOf(client)
      if (place === undefined) return noPlace
      return isSystemTopic(topicFilter) ? system : transform({ topicFilter: place + topicFilter })
    },
    unsubscribe: ({ topicFilter }, client) => {
      const place = prefixOf(client)
      return place === undefined ? noPlace : transform({ topicFilter: place + topicFilter })
    },
    deliver: (message, client) => {
      const place = prefixOf(client)
      if (place === undefined) return drop(noPlace.reason)
      const topic = without(place, message.topic)
      if (topic === undefined) return drop("it does not lie below the client's mount")
      const { responseTopic } = message
      if (responseTopic === undefined) return transform({ topic })
      // One that the client could not answer to is nobody's business here.
      return transform({ topic, responseTopic: without(place, responseTopic) })
    }
  }
}

const mounted = ({ responseTopic, topic }: PolicyMessage, place: string) => {
  if (responseTopic === undefined) return transform({ topic: place + topic })
  const response = place + responseTopic
  if (validateTopicName(response) !== undefined) return tooLong
  return transform({ topic: place + topic, responseTopic: response })
}

/** What stands behind the prefix; undefined where nothing does. */
const without = (place: string, topic: string): string | undefined =>
  topic.length > place.length && topic.startsWith(place) ? topic.slice(place.length) : undefined

/** Undefined where a name has a separator or wildcard in it, and would reach into the places of others. */
const prefixFor = (template: ReturnType<typeof templateOf>, client: Identity): string | undefined => {
  if ("unknownName" in template) return undefined
  const place = substitute(template, valuesOf(client), "allow")?.topicFilter
  if (place === undefined || !place.endsWith("/")) return undefined
  return isSystemTopic(place) || validateTopicName(place) !== undefined ? undefined : place
}

const noPlace: Refuse = refuse(ReasonCode.NotAuthorized, "the client's name cannot be part of a topic")
const system: Refuse = refuse(ReasonCode.NotAuthorized, "topics that begin with $ are not the client's")
const tooLong: Refuse = refuse(ReasonCode.TopicNameInvalid, "the response topic is too long")
