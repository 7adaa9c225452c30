/**
 * What its tenant's policy makes of a message on the way in: a PUBLISH, or a will.
 *
 * The policy gets a message whose topic is valid; what it makes of it is looked at as if the client had sent
 * it so. A message that the policy has moved is thereby judged by the topic that it has now, and cannot come
 * where its client may not.
 */

import { Buffer } from "node:buffer"
import type { Topic, Will } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { changedMessage, type MessageContent } from "../tenant/policy/MessageChange.ts"
import { MessageView, WillView } from "../tenant/policy/PolicyMessage.ts"
import { type Answer, andThen, type PublishVerdict } from "../tenant/policy/Verdict.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { type PublishRefusal, refusalOfTopic } from "./refusals.ts"
import type { SessionState } from "./SessionState.ts"

/** What the policy says of a PUBLISH; undefined where it has nothing to say. */
export const askAboutPublish = (
  { clientId, identity, policy }: SessionState,
  message: MessageContent
): Answer<PublishVerdict> | undefined => {
  if (policy?.publish === undefined) return undefined
  return policy.publish(new MessageView(message, clientId, message.messageExpiryInterval), identity)
}

/** What holds for a message, whoever made it what it is. */
interface Limits {
  readonly settings: TenantSettings
  readonly maximumQos: number
  readonly retainAvailable: boolean
  /** A topic that was found to be valid. */
  readonly known: Topic | undefined
}

/** The message as it goes on, or why it does not. */
export const screened = (
  message: MessageContent,
  verdict: PublishVerdict,
  limits: Limits
): MessageContent | PublishRefusal => {
  if (verdict._tag === "Allow") return message
  if (verdict._tag === "Refuse") {
    const { reason, reasonCode } = verdict
    return { reasonCode, reason, cause: "refused-by-policy" }
  }
  const changed = changedMessage(message, verdict.change, limits.known)
  if (changed === undefined) return notUtf8
  const { qos, retain, topic } = changed
  if (topic !== message.topic && topic !== limits.known) {
    const refusal = refusalOfTopic(topic.name, limits.settings)
    if (refusal !== undefined) return refusal
  }
  return qos > limits.maximumQos || (retain && !limits.retainAvailable) ? beyondTerms : changed
}

export const isRefusal = (result: MessageContent | PublishRefusal): result is PublishRefusal =>
  "reasonCode" in result

const notUtf8: PublishRefusal = {
  reasonCode: ReasonCode.PayloadFormatInvalid,
  reason: "the policy's payload is not the UTF-8 that its format indicator promises",
  cause: "refused-by-policy"
}

const beyondTerms: PublishRefusal = {
  reasonCode: ReasonCode.ImplementationSpecificError,
  reason: "the policy's QoS or RETAIN is not supported",
  cause: "refused-by-policy"
}

/** A will as it is to be published, or why it is not. */
export type ScreenedWill =
  | { readonly _tag: "Screened"; readonly will: Will }
  | { readonly _tag: "Refused"; readonly refusal: PublishRefusal }

/** What the policy makes of a will that has a valid topic. */
export const screenWill = (
  will: Will,
  { identity, policy, settings }: Pick<SessionState, "identity" | "policy" | "settings">
): Answer<ScreenedWill> => {
  if (policy?.publish === undefined) return { _tag: "Screened", will }
  const { clientId } = identity
  const message = messageOf(will)
  const view = new WillView(message, clientId, will.messageExpiryInterval)
  const { maximumQos, retainAvailable } = settings
  return andThen(policy.publish(view, identity), (verdict) => {
    const result = screened(message, verdict, { settings, maximumQos, retainAvailable, known: undefined })
    return isRefusal(result)
      ? { _tag: "Refused", refusal: result }
      : { _tag: "Screened", will: willOf(will, result) }
  })
}

const messageOf = (will: Will): MessageContent => ({
  ...will,
  topic: { name: will.topic, bytes: Buffer.from(will.topic, "utf8") },
  source: will.payload,
  payloadStart: 0,
  payloadEnd: will.payload.length
})

const willOf = (will: Will, message: MessageContent): Will => {
  const { forwardedProperties, messageExpiryInterval, payloadEnd, payloadStart, qos, retain, source, topic } =
    message
  return {
    topic: topic.name,
    payload: source.subarray(payloadStart, payloadEnd),
    qos,
    retain,
    delayInterval: will.delayInterval,
    messageExpiryInterval,
    forwardedProperties
  }
}
