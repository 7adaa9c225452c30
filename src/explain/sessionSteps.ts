/** What a session's state has to say about a client's action. */

import type { SessionView } from "../session/view.ts"
import { NEVER_EXPIRES } from "../tenant/TenantSettings.ts"
import type { Finding, Question, Step } from "./Explanation.ts"

const say = (finding: Finding, detail: string): Step => ({ step: "session", finding, detail })

export const sessionSteps = (
  { action }: Question,
  session: SessionView | undefined,
  nowMs: number
): ReadonlyArray<Step> => {
  if (session === undefined) {
    const finding = action === "receive" ? "no" : "note"
    return [say(finding, "the client is not connected, and there is no session of it")]
  }
  const { identity, isConnected, isVersion5, parked } = session
  const steps: Array<Step> = []
  const owner = `of ${identity.principal}`
  if (isConnected) {
    const { address, transport } = identity.peer
    const from = address === "" ? "" : ` from ${address}`
    steps.push(say("yes", `${owner}, connected${from} by ${transport}, ${isVersion5 ? "MQTT 5" : "MQTT 3"}`))
  } else {
    steps.push(say("note", `${owner}, not connected; ${endText(session, nowMs)}`))
  }
  if (session.validUntilMs !== 0) {
    steps.push(say("note", `its credentials expire at ${new Date(session.validUntilMs).toISOString()}`))
  }
  if (parked !== undefined) steps.push(say("note", `its client is not read: ${parkedText(session, nowMs)}`))
  if (session.mailLength > 0) {
    steps.push(say("note", `${session.mailLength} messages wait to be looked at by the session`))
  }
  steps.push(...queueSteps(session))
  if (session.willTopic !== undefined) {
    const due = session.willDueMs === 0 ? "" : `, due at ${new Date(session.willDueMs).toISOString()}`
    steps.push(say("note", `it has a will for ${session.willTopic}${due}`))
  }
  return steps
}

const endText = ({ endsAtMs, expiryInterval }: SessionView, nowMs: number): string => {
  if (endsAtMs !== 0) return `its session ends in ${seconds(endsAtMs - nowMs)}`
  return expiryInterval === NEVER_EXPIRES ? "its session does not expire" : "its session is about to end"
}

const seconds = (ms: number): string => `${Math.max(0, Math.ceil(ms / 1000))} s`

const parkedText = ({ parked, throttledUntilMs }: SessionView, nowMs: number): string => {
  switch (parked) {
    case "Publish":
    case "Subscribe":
      return "it waits for the authorizer"
    case "PublishPolicy":
    case "SubscribePolicy":
    case "UnsubscribePolicy":
      return "it waits for the tenant's policy"
    case "Room":
    case "Filters":
      return "it waits for the tenant's router, which has too much to do"
    case "Acknowledgements":
      return "it has sent all that may be unacknowledged, and waits for the acknowledgements"
    case "Storage":
      return "it waits for storage, which has too much to write"
    case "Connack":
      return "it waits until storage has discarded its session before this one"
    case "Throttled":
      return throttledUntilMs === 0
        ? "it sends faster than the tenant may, and stands in line"
        : `it sends faster than it may, and is read again in ${seconds(throttledUntilMs - nowMs)}`
    default:
      return "it waits"
  }
}

const queueSteps = (session: SessionView): ReadonlyArray<Step> => {
  const { backlogBytes, isConnected, queuedBytes, queuedMessages, received, sendQuota, unacknowledged } =
    session
  const steps: Array<Step> = []
  if (queuedMessages > 0) {
    steps.push(
      say("note", `${queuedMessages} messages (${queuedBytes} bytes) wait for it or its acknowledgement`)
    )
  }
  if (isConnected && unacknowledged > 0) {
    const isFull = unacknowledged >= sendQuota
    const then = isFull ? ": nothing more is sent before it acknowledges one" : ""
    steps.push(say("note", `${unacknowledged} of ${sendQuota} messages are sent and not acknowledged${then}`))
  }
  if (received > 0) steps.push(say("note", `${received} QoS 2 messages of its own are not released`))
  if (backlogBytes > 0) steps.push(say("note", `its socket has not taken ${backlogBytes} bytes`))
  return steps
}
