/**
 * What its tenant's policy makes of a message on the way out, just before it leaves.
 *
 * A policy that has to ask somebody holds up what stands behind the message in its line, and nothing else:
 * the line of QoS 0 and that of the queue each wait for their own. The message is not taken out of its line
 * until the answer is there; where it has gone by then the answer is nobody's.
 */

import type { PublishContent } from "../protocol/Packet.ts"
import type { Publication } from "../router/Publication.ts"
import { changedMessage, type MessageChange } from "../tenant/policy/MessageChange.ts"
import { MessageView } from "../tenant/policy/PolicyMessage.ts"
import { type DeliverVerdict, isAnswered } from "../tenant/policy/Verdict.ts"
import { validateTopicName } from "../topic/TopicName.ts"
import { tellDropped } from "./dropped.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

export type Line = "qos0" | "queue"

/** The message at the head of a line that the policy was asked about. */
export interface AwaitedVerdict {
  readonly publication: Publication
  /** Undefined until the policy has answered. */
  readonly verdict: DeliverVerdict | undefined
}

/**
 * What leaves in a publication's place; `withheld` it does not leave; `awaited` that cannot be said yet, and
 * its line is held up.
 */
export type Outgoing = Publication | "withheld" | "awaited"

export const outgoing = (
  state: SessionState,
  publication: Publication,
  line: Line,
  nowMs: number,
  out: SessionOutputs
): Outgoing => {
  const hook = state.policy?.deliver
  if (hook === undefined) return publication
  const awaited = state.awaitedVerdicts?.[line]
  if (awaited !== undefined) {
    if (awaited.verdict === undefined) return "awaited"
    state.awaitedVerdicts = { ...state.awaitedVerdicts, [line]: undefined }
    // Else it was about a message that has gone from the head meanwhile: expired, or dropped for a newer one.
    if (awaited.publication === publication) return judged(state, publication, awaited.verdict, out)
  }
  const { publisherId } = publication
  const answer = hook(
    new MessageView(publication, publisherId, publication.remainingExpiry(nowMs)),
    state.identity
  )
  if (isAnswered(answer)) return judged(state, publication, answer, out)
  state.awaitedVerdicts = { ...state.awaitedVerdicts, [line]: { publication, verdict: undefined } }
  out.askAboutDelivery(line, answer)
  return "awaited"
}

/** Nothing more can leave from the line: its head waits for the policy. */
export const isHeldUp = ({ awaitedVerdicts }: SessionState, line: Line): boolean => {
  const awaited = awaitedVerdicts?.[line]
  return awaited !== undefined && awaited.verdict === undefined
}

/** The policy has answered. `pump` lets go what can leave now. */
export const onDeliveryVerdict = (
  state: SessionState,
  { line, verdict }: { readonly line: Line; readonly verdict: DeliverVerdict },
  pump: () => void
): void => {
  const awaited = state.awaitedVerdicts?.[line]
  if (awaited === undefined) return
  state.awaitedVerdicts = { ...state.awaitedVerdicts, [line]: { ...awaited, verdict } }
  pump()
  // It has gone and nothing is behind it, or it cannot leave now and is asked about again when it can.
  if (state.awaitedVerdicts[line]?.verdict === verdict)
    state.awaitedVerdicts = { ...state.awaitedVerdicts, [line]: undefined }
}

const judged = (
  state: SessionState,
  publication: Publication,
  verdict: DeliverVerdict,
  out: SessionOutputs
): Publication | "withheld" => {
  if (verdict._tag === "Allow") return publication
  const changed = verdict._tag === "Transform" ? contentOf(state, publication, verdict.change) : undefined
  if (changed !== undefined) return publication.withContent(changed)
  state.counters.droppedByPolicy++
  tellDropped(state, publication, "refused-by-policy", out)
  return "withheld"
}

/** Undefined when it could not be sent so. */
const contentOf = (
  state: SessionState,
  publication: Publication,
  change: MessageChange
): PublishContent | undefined => {
  const { forwardedProperties, payloadEnd, payloadStart, qos, retain, source, topic } = publication
  const message = { topic, source, payloadStart, payloadEnd, forwardedProperties, qos, retain }
  const changed = changedMessage({ ...message, messageExpiryInterval: -1 }, change, state.leavingTopic)
  if (changed === undefined || changed.topic === state.leavingTopic) return changed
  if (validateTopicName(changed.topic.name) !== undefined) return undefined
  state.leavingTopic = changed.topic
  return changed
}
