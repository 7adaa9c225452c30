/**
 * What happens in a broker that somebody may want to know of: one union, a reason in everything that was
 * refused or lost.
 */

import type { TransportKind } from "../transport/Transport.ts"

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

interface OfClient {
  readonly tenant: string
  readonly clientId: string
}

export type Event =
  | ({
      readonly _tag: "ClientConnected"
      readonly transport: TransportKind
      readonly address: string
      readonly sessionPresent: boolean
    } & OfClient)
  | ({
      readonly _tag: "ClientDisconnected"
      /** Who ended it: the client (or its network), or we, for the reason given. */
      readonly by: "client" | "server"
      readonly reasonCode: number
      readonly reason: string
    } & OfClient)
  | {
      readonly _tag: "ConnectRefused"
      readonly listener: string
      readonly transport: TransportKind
      readonly address: string
      readonly clientId: string
      readonly reasonCode: number
      readonly reason: string
    }
  | ({ readonly _tag: "SessionTakenOver" } & OfClient)
  | ({ readonly _tag: "SessionEnded"; readonly reason: string } & OfClient)
  | ({
      readonly _tag: "SubscribeRefused"
      readonly topicFilter: string
      readonly reasonCode: number
      readonly reason: string
    } & OfClient)
  | ({
      readonly _tag: "PublishRefused"
      readonly topic: string
      readonly reasonCode: number
      readonly reason: string
    } & OfClient)
  | ({ readonly _tag: "MessageDropped"; readonly topic: string; readonly reason: DropReason } & OfClient)
  | ({ readonly _tag: "WillPublished"; readonly topic: string } & OfClient)
  /** A limit of the tenant was reached; `clientId` is "" where nobody in particular reached it. */
  | ({ readonly _tag: "QuotaReached"; readonly resource: string; readonly outcome: string } & OfClient)
  /** Four fifths of a limit are used. */
  | {
      readonly _tag: "QuotaWarning"
      readonly tenant: string
      readonly resource: string
      readonly used: number
      readonly limit: number
    }
  /** Permissions have changed, and a live subscription is not allowed any more. */
  | ({
      readonly _tag: "SubscriptionRevoked"
      readonly topicFilter: string
      readonly reason: string
    } & OfClient)
  /** A policy threw, took too long or answered nonsense: its answer was taken for no. */
  | ({ readonly _tag: "PolicyFailed"; readonly hook: string; readonly reason: string } & OfClient)
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
