/**
 * What a policy may answer, as plain values: allow, transform, refuse, drop. A hook answers with one of them
 * or, where it has to ask somebody first, with an Effect of one.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Qos } from "../../protocol/Packet.ts"
import type { ReasonCode } from "../../protocol/ReasonCode.ts"
import type { MessageChange } from "./MessageChange.ts"

/** An answer that is there, or one that has yet to be found out. */
export type Answer<A> = A | Effect.Effect<A>

export interface Allow {
  readonly _tag: "Allow"
}

/** Goes on changed. What it becomes is judged by permissions and limits as if the client had sent it so. */
export interface Transform<Change> {
  readonly _tag: "Transform"
  readonly change: Change
}

export interface Refuse {
  readonly _tag: "Refuse"
  /** 0x80 or more. One that the answering packet does not have becomes Not authorized (0x87). */
  readonly reasonCode: ReasonCode
  /** For events, and for the Reason String of a version 5 client. */
  readonly reason: string
}

/** The message is not for this client. Nobody is told but the counters and events. */
export interface Drop {
  readonly _tag: "Drop"
  readonly reason: string
}

/** What becomes of a filter. A shared subscription's group stays; `topicFilter` is what stands behind it. */
export interface FilterChange {
  readonly topicFilter?: string
  /** Lowers what the client asked for; a higher one changes nothing. */
  readonly qos?: Qos
}

export type AdmitVerdict = Allow | Refuse
export type PublishVerdict = Allow | Transform<MessageChange> | Refuse
export type SubscribeVerdict = Allow | Transform<FilterChange> | Refuse
export type UnsubscribeVerdict = Allow | Transform<Pick<FilterChange, "topicFilter">> | Refuse
export type DeliverVerdict = Allow | Transform<DeliveryChange> | Drop

/** What a delivery may change: not what the subscription and the message agreed on. */
export type DeliveryChange = Omit<MessageChange, "qos" | "retain" | "messageExpiryInterval">

export const allow: Allow = Object.freeze({ _tag: "Allow" })

export const transform = <Change>(change: Change): Transform<Change> => ({ _tag: "Transform", change })

export const refuse = (reasonCode: ReasonCode, reason: string): Refuse => ({
  _tag: "Refuse",
  reasonCode,
  reason
})

export const drop = (reason: string): Drop => ({ _tag: "Drop", reason })

/** Whether an answer is there, rather than to be waited for. */
export const isAnswered = <A extends { readonly _tag: string }>(answer: Answer<A>): answer is A =>
  !Effect.isEffect(answer)

/** Goes on with an answer: at once when it is there. */
export const andThen = <A, B>(answer: Answer<A>, next: (value: A) => Answer<B>): Answer<B> => {
  if (!Effect.isEffect(answer)) return next(answer)
  if (Exit.isExit(answer) && Exit.isSuccess(answer)) return next(answer.value as A)
  return Effect.flatMap(answer, (value) => asEffect(next(value)))
}

const asEffect = <A>(answer: Answer<A>): Effect.Effect<A> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)
