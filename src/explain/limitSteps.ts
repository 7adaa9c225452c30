/** What a tenant's settings and limits have to say about a client's action, whoever the client is. */

import { refusalOfTopic } from "../session/refusals.ts"
import type { SessionView } from "../session/view.ts"
import type { TenantState } from "../storage/TenantStore.ts"
import type { LiveTenant } from "../tenant/administration.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { parseTopicFilter } from "../topic/TopicFilter.ts"
import { instant, type Question, type Step, say } from "./Explanation.ts"

/** What is known of the tenant, whether it is live or not. */
export interface Place {
  readonly live: LiveTenant | undefined
  readonly state: TenantState
  readonly settings: TenantSettings
}

/** What the tenant does not take from anybody. */
export const limitSteps = (
  question: Question,
  place: Place,
  session: SessionView | undefined
): ReadonlyArray<Step> => {
  const { action, qos, retain, topic } = question
  const { settings } = place
  if (action === "connect") return connectSteps(place, session)
  if (action === "receive") return []
  const steps: Array<Step> = []
  const refusal = session === undefined ? refusalFor(action, topic, settings) : session.refusal
  if (refusal !== undefined) steps.push(say("limits", "no", refusal))
  if (action === "publish" && retain && !settings.retainAvailable) {
    steps.push(say("limits", "no", "the tenant takes no retained messages (retainAvailable)"))
  }
  if (qos > settings.maximumQos) {
    const finding = action === "publish" ? "no" : "note"
    steps.push(say("limits", finding, `the tenant grants QoS ${settings.maximumQos} at most (maximumQos)`))
  }
  if (steps.every(({ finding }) => finding !== "no")) {
    steps.push(
      say("limits", "yes", `the tenant's settings allow the ${action === "publish" ? "topic" : "filter"}`)
    )
  }
  return steps
}

/** What the tenant may use up in a day or a month, where that is used up. */
export const windowSteps = ({ action }: Question, { live }: Place, nowMs: number): ReadonlyArray<Step> => {
  if (live === undefined || action !== "publish") return []
  const over = [...live.quota.windows.states(nowMs)].filter(({ limit, used }) => used >= limit)
  return over.map(({ endsAtMs, limit, resource }) =>
    say("limits", "no", `the tenant's ${resource} of ${limit} is used up until ${instant(endsAtMs)}`)
  )
}

const refusalFor = (
  action: "publish" | "subscribe",
  topic: string,
  settings: TenantSettings
): string | undefined => {
  if (action === "publish") return refusalOfTopic(topic, settings)?.reason
  const filter = parseTopicFilter(topic)
  return filter._tag === "Invalid" ? `the filter ${filter.reason} [${filter.clause}]` : undefined
}

/** Whether there is room for the client. */
const connectSteps = ({ live, settings }: Place, session: SessionView | undefined): ReadonlyArray<Step> => {
  const { connectionsMax, sessionsMax } = settings
  const counters = live?.counters ?? { connections: 0, sessions: 0 }
  const steps: Array<Step> = []
  if (session?.isConnected !== true && connectionsMax > 0 && counters.connections >= connectionsMax) {
    steps.push(say("limits", "no", `the tenant has its ${connectionsMax} connections (connectionsMax)`))
  }
  if (session === undefined && sessionsMax > 0 && counters.sessions >= sessionsMax) {
    steps.push(say("limits", "no", `the tenant has its ${sessionsMax} sessions (sessionsMax)`))
  }
  for (const [name, isServed] of versionsOf(settings)) {
    if (!isServed) steps.push(say("limits", "note", `clients of ${name} are turned off`))
  }
  return steps.length > 0 ? steps : [say("limits", "yes", "the tenant has room for the client")]
}

const versionsOf = ({ mqtt5, mqtt31, mqtt311 }: TenantSettings) =>
  [
    ["MQTT 3.1 (mqtt31)", mqtt31],
    ["MQTT 3.1.1 (mqtt311)", mqtt311],
    ["MQTT 5 (mqtt5)", mqtt5]
  ] as const
