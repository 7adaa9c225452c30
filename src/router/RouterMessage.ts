/** What a tenant's router finds in its mailbox, and how much of the mailbox each takes. */

import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import type { Publication } from "./Publication.ts"
import type { SharedGroup } from "./SharedGroup.ts"
import type { RetainedRequest, Subscriber, Subscription } from "./Subscriber.ts"

export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly subscriber: Subscriber
  readonly subscriptions: ReadonlyArray<readonly [PlainFilter | SharedFilter, Subscription]>
  /** Given back with `Subscriber.subscribed`; 0 for those that were granted before: none is refused. */
  readonly token: number
}

export interface Unsubscribe {
  readonly _tag: "Unsubscribe"
  readonly subscriber: Subscriber
  readonly filters: ReadonlyArray<PlainFilter | SharedFilter>
  /** Given back with `Subscriber.unsubscribed`; 0 when nobody waits for that. */
  readonly token: number
}

/**
 * A subscriber has lost its connection: its undelivered messages of these groups may be somebody else's now.
 */
export interface MemberAway {
  readonly _tag: "MemberAway"
  readonly subscriber: Subscriber
  readonly groups: ReadonlyArray<SharedGroup>
}

/**
 * Messages of a shared group that the member they were given to has not acknowledged. They are held, and
 * expect the router's contribution, until they are handed on.
 */
export interface Redispatch {
  readonly _tag: "Redispatch"
  readonly group: SharedGroup
  readonly publications: ReadonlyArray<Publication>
}

/** A publication that another node has handed to this one. */
export interface Forwarded {
  readonly _tag: "Forwarded"
  readonly publication: Publication
  /** The key of the shared group that it is for; undefined for all who are not in a group. */
  readonly group: string | undefined
}

/** Somebody wants to know who would get what is published to a topic. */
export interface Inspect {
  readonly _tag: "Inspect"
  readonly topic: string
  readonly reply: (view: RouteView) => void
}

export interface RouteView {
  /** All whose subscriptions match, and those of them that are shown. */
  readonly subscribers: number
  readonly shown: ReadonlyArray<{
    readonly clientId: string
    readonly qos: number
    readonly isConnected: boolean
  }>
  readonly groups: ReadonlyArray<{
    readonly name: string
    readonly topicFilter: string
    readonly strategy: string
    readonly members: number
  }>
  readonly retained:
    | { readonly publisherId: string; readonly bytes: number; readonly qos: number }
    | undefined
}

/** Retained messages may have expired. */
export interface Sweep {
  readonly _tag: "Sweep"
}

export type RouterMessage =
  | Publication
  | Subscribe
  | Unsubscribe
  | RetainedRequest
  | MemberAway
  | Redispatch
  | Forwarded
  | Inspect
  | Sweep

/** Only publications count: there are as many of the others as there are sessions at most. */
export const bytesOf = (message: RouterMessage): number => {
  if (message._tag === "Publication") return message.bytes
  return message._tag === "Forwarded" ? message.publication.bytes : 0
}
