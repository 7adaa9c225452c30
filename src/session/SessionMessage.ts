/**
 * What a session actor is told: by its connection, the router, its tenant, the wheel, and the services that
 * it asked.
 */

import type { AuthenticationStep, Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { ClientPacket } from "../protocol/Packet.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { Delivery, RetainedPage } from "../router/Subscriber.ts"
import type { Tap } from "../telemetry/follow/Tap.ts"
import type { LiveSpan } from "../telemetry/tracing/Tracing.ts"
import type { DeliverVerdict, PublishVerdict, SubscribeVerdict } from "../tenant/policy/Verdict.ts"
import type { Gate } from "../tenant/quota/Gate.ts"
import type { Attachment } from "./attach.ts"
import type { Ending, Link } from "./Link.ts"
import type { BacklogPage } from "./refill.ts"
import type { Session } from "./Session.ts"
import type { Judged, SubscribeAnswer } from "./SessionState.ts"
import type { Line } from "./screenedDelivery.ts"
import type { Survey } from "./survey.ts"
import type { Inquiry, SessionView } from "./view.ts"

/** A link as its session reads from it. */
export interface ClientLink extends Link {
  /**
   * The next packet that arrived, also after the peer closed; undefined without one or once we closed. May
   * throw `MalformedPacket`.
   */
  readonly nextPacket: () => ClientPacket | undefined
  /** The session has attached: from now on it hears `readable` when something arrives. */
  readonly attached: (session: Session) => void
  /** The span of the handshake, until CONNACK; undefined when it is not traced. */
  readonly traced: LiveSpan | undefined
  /** Somebody follows the client: the tap is told of its packets from now on. */
  readonly follow: (tap: Tap) => void
  /** What had arrived was read: the socket may be read again. */
  readonly resumeReading: () => void
}

export interface Attach extends Attachment {
  readonly _tag: "Attach"
  readonly link: ClientLink
  /** Of the tenant, before the authorizer was asked: when it is another by now, it is asked again. */
  readonly permissionsRevision?: number
}

export interface Lost {
  readonly _tag: "Lost"
  readonly link: Link
  /**
   * The peer closed: what it sent before is still to be read. Else we closed, and nothing more comes from the
   * link.
   */
  readonly isByPeer: boolean
  /** The broker is shutting down: whether there is a will to publish is the tenant's to say. */
  readonly isShutdown: boolean
  /** Why we closed, where the session does not know it already. */
  readonly ending: Ending | undefined
}

/** The permissions of an identity have been asked for again. */
export interface Permitted {
  readonly _tag: "Permitted"
  readonly identity: Identity
  /** Undefined when there was no answer. */
  readonly permissions: Permissions | undefined
}

/** The router is done with a message, and all who keep it have stored it. */
export interface Published {
  readonly _tag: "Published"
  readonly packetId: number
  readonly epoch: number
  readonly receivedAtMs: number
  readonly reasonCode: ReasonCode
}

export type SessionMessage =
  | Delivery
  | Attach
  | RetainedPage
  | BacklogPage
  | { readonly _tag: "Readable"; readonly link: Link }
  | { readonly _tag: "Drained"; readonly link: Link }
  | Lost
  | Published
  | { readonly _tag: "Subscribed"; readonly token: number; readonly answer: SubscribeAnswer }
  | { readonly _tag: "Unsubscribed"; readonly token: number }
  | { readonly _tag: "RouterHasRoom" }
  /** It is the session's turn at a rate of its tenant. */
  | { readonly _tag: "MayPass"; readonly gate: Gate }
  /** Messages of the queue have been put on record, or could not be. */
  | { readonly _tag: "Stored" }
  | { readonly _tag: "StorageRelieved" }
  /** CONNACK has left that waited for storage. */
  | { readonly _tag: "Greeted"; readonly link: Link }
  | { readonly _tag: "Reclaim"; readonly group: SharedGroup }
  | { readonly _tag: "Decided"; readonly link: Link | undefined; readonly allowed: ReadonlyArray<boolean> }
  | {
      readonly _tag: "PolicyAnswered"
      readonly link: Link | undefined
      readonly verdicts: ReadonlyArray<PublishVerdict | SubscribeVerdict>
    }
  | {
      readonly _tag: "DeliveryJudged"
      readonly link: Link | undefined
      readonly line: Line
      readonly verdict: DeliverVerdict
    }
  | { readonly _tag: "Authenticated"; readonly link: Link | undefined; readonly step: AuthenticationStep }
  | Permitted
  | ({ readonly _tag: "Judged" } & Judged)
  | {
      readonly _tag: "Close"
      readonly ending: Ending
      /** Only a connection of somebody like that; of anybody when it is absent. */
      readonly covers?: (identity: Identity) => boolean
    }
  | { readonly _tag: "Purge"; readonly withWill: boolean }
  /** Somebody wants to know how the session is. */
  | {
      readonly _tag: "Inspect"
      readonly inquiry: Inquiry
      /** Undefined when the session has ended before it has looked. */
      readonly reply: (view: SessionView | undefined) => void
    }
  /** Somebody wants to know what it has of permissions. */
  | { readonly _tag: "Survey"; readonly reply: (survey: Survey | undefined) => void }
  /** Somebody follows the client of the present connection. */
  | { readonly _tag: "Follow"; readonly tap: Tap }
  | { readonly _tag: "Resubscribe" }
  /** The tenant's settings are others now. */
  | { readonly _tag: "SettingsChanged" }
  | { readonly _tag: "Orphaned" }
  | { readonly _tag: "Deadline" }

/** What does not come with the traffic of a connection. */
export type LifecycleMessage = Exclude<SessionMessage, { readonly _tag: TrafficTag }>

type TrafficTag =
  | "Delivery"
  | "Readable"
  | "Published"
  | "Drained"
  | "RetainedPage"
  | "Subscribed"
  | "Unsubscribed"
  | "RouterHasRoom"
  | "Decided"
  | "PolicyAnswered"
  | "DeliveryJudged"
  | "Stored"
