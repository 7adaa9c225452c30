/**
 * The handles that sessions pass to the router. The router knows a session by these alone, so a session on
 * another node or a stored one can stand behind them as well.
 */

import type { Qos } from "../protocol/Packet.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { SharedFilter } from "../topic/TopicFilter.ts"
import type { Publication } from "./Publication.ts"
import type { SharedGroup } from "./SharedGroup.ts"

/**
 * How a publication is to be delivered: what is left of the matching subscriptions after they were merged.
 */
export interface DeliveryOptions {
  /** Highest granted QoS of the matching subscriptions. [MQTT-3.3.4-2] */
  readonly qos: Qos
  readonly retainAsPublished: boolean
  /** Of all the matching subscriptions that have one. [MQTT-3.3.4-4] */
  readonly subscriptionIdentifiers: ReadonlyArray<number>
  /** The shared subscription through which it comes, to give it back if this member cannot finish it. */
  readonly group: SharedGroup | undefined
  /** Sent because of a new subscription: RETAIN is 1 whatever else holds. [MQTT-3.3.1-8] */
  readonly isRetained: boolean
}

/** A publication and how to deliver it: what a session finds in its mailbox. */
export interface Delivery {
  readonly _tag: "Delivery"
  readonly publication: Publication
  readonly options: DeliveryOptions
  /** The session holds the publication until it has stored its copy. */
  readonly isHeld: boolean
  /** Its copy is expected in the unit that the publication gathers. */
  readonly isExpected: boolean
}

export interface Publisher {
  readonly clientId: string
  /** Who it is; undefined for one that is not a client. */
  readonly principal?: string
  /**
   * The router is done with a QoS 1 or 2 publication: Success, No matching subscribers, or why it was not
   * accepted.
   */
  readonly published: (publication: Publication, reasonCode: ReasonCode) => void
  /** The router refused a publication because its mailbox was full, and now takes more. */
  readonly routerHasRoom: () => void
  /** Instead of `published`, and at QoS 0 as well: it would go to more than it may, so nobody gets it. */
  readonly overLimit: (publication: Publication, reason: string) => void
}

/** One retained message of a page, with the cursor that continues after the page. */
export interface RetainedPage {
  readonly _tag: "RetainedPage"
  readonly publications: ReadonlyArray<Publication>
  readonly request: RetainedRequest
  /** Undefined at the end. */
  readonly cursor: string | undefined
}

/** Asks for the next retained messages that match a filter. */
export interface RetainedRequest {
  readonly _tag: "RetainedRequest"
  readonly subscriber: Pick<Subscriber, "clientId" | "retainedPage">
  readonly topicFilter: string
  readonly options: DeliveryOptions
  /** Where the page begins; undefined for the first. */
  readonly from: string | undefined
  readonly limit: number
}

export interface Subscriber {
  readonly clientId: string
  /** Has a live connection: preferred for shared subscriptions. A hint, read without asking. */
  readonly isConnected: boolean
  /** What it gets must be safe before the publisher is told so. */
  readonly isKeeping: boolean
  /** Messages on their way to the client; a hint for the least-inflight strategy. */
  readonly inflight: number
  /**
   * False when the subscriber's mailbox refused it: the publication is lost for this subscriber, and the
   * router counts it.
   */
  readonly deliver: (publication: Publication, options: DeliveryOptions) => boolean
  /**
   * The subscriptions of that SUBSCRIBE match from now on, but for those that were refused. `retained` is
   * false when there is surely nothing retained.
   */
  readonly subscribed: (token: number, retained: boolean, refused: ReadonlyArray<SharedFilter>) => void
  /** The filters of that UNSUBSCRIBE match no more. */
  readonly unsubscribed: (token: number) => void
  readonly retainedPage: (page: RetainedPage) => void
  /**
   * Other members of a group are live, so undelivered messages of it can be handed back with `Redispatch`.
   */
  readonly reclaim: (group: SharedGroup) => void
}

/** One subscription in the trie. */
export interface Subscription {
  readonly subscriber: Subscriber
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  /** 0 when absent. */
  readonly subscriptionIdentifier: number
}
