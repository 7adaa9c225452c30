/**
 * What happens in a broker that somebody may want to know of: one union, a cause and a reason in everything
 * that was refused or lost.
 *
 * No event holds a payload, a password, a token or any other secret. `tenant` and `clientId` are those of the
 * client that it happened to. What a client can make happen as often as it likes is reported at most some
 * times a second, and `count` says how many times it happened since the last report, this one included.
 */

import type { ProtocolVersion } from "../protocol/Packet.ts"
import type { TransportKind } from "../transport/Transport.ts"
import type { Cause } from "./Cause.ts"
import type { DebugEvent } from "./DebugEvent.ts"

/** Why a message did not reach somebody. */
export type DropReason =
  | "queue-full"
  | "slow-consumer"
  | "mailbox-full"
  | "expired"
  | "too-large"
  | "not-authorized"
  | "no-members"
  | "retained-quota"
  | "tenant-queue-full"
  | "not-stored"
  | "refused-by-policy"

interface OfClient {
  readonly tenant: string
  readonly clientId: string
}

/** SUBACK or UNSUBACK has left; the Reason Codes are those of its filters, in their order. */
export interface SubscriptionEvent {
  readonly _tag: "Subscribed" | "Unsubscribed"
  readonly topicFilters: ReadonlyArray<string>
  readonly reasonCodes: ReadonlyArray<number>
}

/** Permissions have changed, and a subscription that the session held is not allowed any more. */
export interface SubscriptionRevoked {
  readonly _tag: "SubscriptionRevoked"
  readonly topicFilter: string
  readonly reason: string
}

/** A client of a tenant comes, goes, or changes what it wants. */
export type ClientEvent =
  | ({
      readonly _tag: "ClientConnected"
      readonly transport: TransportKind
      readonly address: string
      readonly principal: string
      readonly protocolVersion: ProtocolVersion
      /** Seconds; as the client asked for it. */
      readonly keepAlive: number
      readonly cleanStart: boolean
      readonly sessionPresent: boolean
      readonly hasWill: boolean
    } & OfClient)
  | ({
      readonly _tag: "ClientDisconnected"
      /** Who ended it: the client (or its network), or we, for the reason given. */
      readonly by: "client" | "server"
      readonly cause: Cause
      /** The rule of the specification that the client broke, such as `MQTT-3.3.2-2`. */
      readonly clause?: string
      /** Where a client was sent that is served elsewhere. */
      readonly serverReference?: string | undefined
      readonly reasonCode: number
      readonly reason: string
    } & OfClient)
  /** Another connection goes on with the session, and the one before has been closed. */
  | ({ readonly _tag: "SessionTakenOver"; readonly byAddress: string } & OfClient)
  | ({ readonly _tag: "SessionStarted"; readonly principal: string } & OfClient)
  | ({ readonly _tag: "SessionEnded"; readonly reason: string } & OfClient)
  | (SubscriptionEvent & OfClient)
  | ({ readonly _tag: "WillPublished"; readonly topic: string } & OfClient)
  /** It has not acknowledged anything for too long, or does not read. */
  | ({
      readonly _tag: "ClientStalled"
      /** Messages that it was sent and has not acknowledged, and how long the oldest has waited. */
      readonly unacknowledged: number
      readonly forMs: number
      /** Bytes that its socket has not taken. */
      readonly backlogBytes: number
    } & OfClient)

/** Somebody was refused something, or a message did not reach somebody. */
export type RefusalEvent =
  | {
      readonly _tag: "ConnectRefused"
      readonly listener: string
      readonly transport: TransportKind
      readonly address: string
      /** Undefined as long as nobody knows who it is. */
      readonly tenant: string | undefined
      /** As the client says; "" when it has not said. */
      readonly clientId: string
      readonly cause: Cause
      readonly clause?: string
      readonly serverReference?: string | undefined
      readonly reasonCode: number
      readonly reason: string
    }
  | ({
      readonly _tag: "SubscribeRefused"
      readonly topicFilter: string
      readonly cause: Cause
      readonly reasonCode: number
      readonly reason: string
      readonly count: number
    } & OfClient)
  | ({
      readonly _tag: "PublishRefused"
      readonly topic: string
      readonly qos: number
      readonly retain: boolean
      readonly isWill: boolean
      readonly cause: Cause
      readonly reasonCode: number
      readonly reason: string
      readonly count: number
    } & OfClient)
  /** `clientId` is who did not get it; "" when nobody in particular. */
  | ({
      readonly _tag: "MessageDropped"
      readonly topic: string
      readonly qos: number
      readonly reason: DropReason
      readonly count: number
    } & OfClient)
  /** A limit of the tenant was reached; `clientId` is "" where nobody in particular reached it. */
  | ({ readonly _tag: "QuotaReached"; readonly resource: string; readonly outcome: string } & OfClient)
  | (SubscriptionRevoked & OfClient)
  /** A policy threw, took too long or answered nonsense: its answer was taken for no. */
  | ({ readonly _tag: "PolicyFailed"; readonly hook: string; readonly reason: string } & OfClient)

/** What concerns a tenant as a whole, or the broker. */
export type OperationEvent =
  /** Four fifths of a limit are used. */
  | {
      readonly _tag: "QuotaWarning"
      readonly tenant: string
      readonly resource: string
      readonly used: number
      readonly limit: number
    }
  | {
      readonly _tag: "TenantChanged"
      readonly tenant: string
      readonly change: "created" | "updated" | "suspended" | "resumed" | "draining" | "deleted"
    }
  | {
      readonly _tag: "ActorDefect"
      readonly actor: string
      readonly tenant: string
      readonly defect: unknown
    }
  /** A sink could not take so many events; those after this one it takes again. */
  | {
      readonly _tag: "EventsLost"
      readonly sink: string
      /** Whose events they were, where the sink is one tenant's. */
      readonly tenant: string | undefined
      readonly count: number
    }

export type Event = ClientEvent | RefusalEvent | OperationEvent | (DebugEvent & OfClient)
