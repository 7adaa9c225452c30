/**
 * The state of one session: what MQTT calls the Session State, and what its present connection adds to it.
 *
 * Owned by the session's actor; the functions of `attach`, `inbound`, `outbound`, `subscriptions` and
 * `expiry` step it and nothing else touches it. Parts that an idle session does not need are made when they
 * are first used.
 */

import type { Fifo } from "../actor/Fifo.ts"
import type { Challenge, Identity } from "../auth/Authenticator.ts"
import type { Decision, Permissions } from "../auth/Authorizer.ts"
import type { Cause } from "../events/Cause.ts"
import type { DebugEvent } from "../events/DebugEvent.ts"
import type { DropReason, SubscriptionEvent, SubscriptionRevoked } from "../events/Event.ts"
import type {
  AckTag,
  Publish,
  Qos,
  ServerControlPacket,
  Subscribe,
  SubscriptionRequest,
  Topic,
  Unsubscribe,
  Will
} from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Keeper } from "../router/Gathering.ts"
import type { Publication } from "../router/Publication.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { DeliveryOptions, Publisher, Subscriber, Subscription } from "../router/Subscriber.ts"
import type { SessionRecord } from "../storage/DurableRecord.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { LiveSpan, Tracing } from "../telemetry/tracing/Tracing.ts"
import type { MessageContent } from "../tenant/policy/MessageChange.ts"
import type { Policy } from "../tenant/policy/TenantPolicy.ts"
import type { Answer, DeliverVerdict, PublishVerdict, SubscribeVerdict } from "../tenant/policy/Verdict.ts"
import type { Waiter } from "../tenant/quota/Gate.ts"
import type { TenantQuota } from "../tenant/quota/TenantQuota.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import type { AckLedger } from "./AckLedger.ts"
import type { AliasTable } from "./AliasTable.ts"
import type { Backlog } from "./Backlog.ts"
import type { Ending, Link } from "./Link.ts"
import type { OutboundEntry } from "./OutboundEntry.ts"
import type { OutboundQueue } from "./OutboundQueue.ts"
import type { AuthRequest } from "./reauthentication.ts"
import { SessionAccount } from "./SessionAccount.ts"
import type { AwaitedVerdict, Line } from "./screenedDelivery.ts"
import type { ScreenedSubscribe } from "./screenedFilters.ts"
import { type ConnectionTerms, offlineTerms } from "./terms.ts"
import type { SessionRates, Throttled } from "./throttle.ts"

/** A filter and what was granted on it. */
export interface HeldSubscription {
  readonly filter: PlainFilter | SharedFilter
  readonly subscription: Subscription
}

/**
 * Work of the client that waits for somebody's answer; everything the client sent after it waits behind it.
 */
export type Parked =
  | { readonly _tag: "Publish"; readonly packet: Publish; readonly message: MessageContent }
  | { readonly _tag: "Subscribe"; readonly packet: ScreenedSubscribe }
  | { readonly _tag: "PublishPolicy"; readonly packet: Publish; readonly message: MessageContent }
  | { readonly _tag: "SubscribePolicy"; readonly packet: Subscribe }
  | { readonly _tag: "UnsubscribePolicy"; readonly packet: Unsubscribe }
  | { readonly _tag: "Room"; readonly publication: Publication }
  /** So many filters are on their way through the router that it should take these first. */
  | { readonly _tag: "Filters" }
  | { readonly _tag: "Acknowledgements" }
  | { readonly _tag: "Storage" }
  /** What the client discards by its CONNECT is not off the record yet: it has no CONNACK. */
  | { readonly _tag: "Connack" }
  | Throttled

/** A QoS 2 message between its PUBLISH and its PUBREL. */
export interface ReceivedPublish {
  /** The connection that it came on. */
  readonly epoch: number
  /**
   * What the router said of it; a repetition hears the same. Undefined until then: it can still be lost, and
   * the client must send it again.
   */
  outcome: ReasonCode | undefined
  /** The connection that sent it last: the one whose Receive Maximum it counts against. */
  countsFor: number
}

/** A SUBSCRIBE whose subscriptions the router is taking up. */
export interface PendingSuback {
  /** Who asked: SUBACK is for nobody else. Undefined for the session's own question, see `ghosts`. */
  readonly link: Link | undefined
  readonly packetId: number
  /** What was asked for, and what each is answered. */
  readonly requests: ReadonlyArray<SubscriptionRequest>
  readonly reasonCodes: ReadonlyArray<number>
  /** What has to be replayed once SUBACK has left. */
  readonly replays: ReadonlyArray<Replay>
  /** Until SUBACK; undefined when it is not traced. */
  readonly traced?: LiveSpan | undefined
}

/** An UNSUBSCRIBE whose filters the router is taking out. */
export interface PendingUnsuback {
  readonly link: Link | undefined
  readonly packetId: number
  readonly topicFilters: ReadonlyArray<string>
  readonly reasonCodes: ReadonlyArray<number>
}

/** What became of a SUBSCRIBE at the router. */
export interface SubscribeAnswer {
  /** False when there is surely nothing retained. */
  readonly hasRetained: boolean
  /** Shared subscriptions that have as many members as they may. */
  readonly refused: ReadonlyArray<SharedFilter>
}

/** A replay of retained messages that has not come to its end. */
export interface Replay {
  readonly topicFilter: string
  readonly options: DeliveryOptions
  readonly noLocal: boolean
  readonly from: string | undefined
  /** Messages that have come of it. */
  readonly given: number
}

/** A subscription that the authorizer is asked about again. */
export interface JudgedFilter {
  readonly topicFilter: string
  readonly subscription: Subscription
  readonly decision: Decision
}

export interface Judged {
  readonly permissions: Permissions
  readonly asked: ReadonlyArray<JudgedFilter>
  /** In their order; undefined where there is none. */
  readonly answers: ReadonlyArray<boolean | undefined>
}

export class SessionState {
  link: Link | undefined = undefined
  terms: ConnectionTerms = offlineTerms
  identity: Identity
  permissions: Permissions
  /** What the tenant's policy says; it does not fail. Undefined where there is none. */
  policy: Policy | undefined = undefined
  /** Seconds; 4294967295 never expires. */
  expiryInterval = 0
  /** There is Session State that a later connection may resume. */
  isStored = false
  /** The journal knows the session; and whether it knows all of it or only its will. */
  isRecorded = false
  keepsState = false
  will: Will | undefined = undefined
  /** When the will of a lost connection is due; 0 when none is. */
  willDueMs = 0
  /** When the session ends unless a client comes; 0 while connected or never. */
  endsAtMs = 0
  lastPacketMs = 0
  /** When the credentials of the present connection expire; 0 never. */
  validUntilMs = 0
  /** When a client that has gone is given up, whatever of it has not been read; 0 while it is there. */
  departsAtMs = 0
  parked: Parked | undefined = undefined

  /** By the text of their filters; see `held.ts`. */
  subscriptions: Map<string, Subscription> | undefined = undefined
  /** How many of them are shared. */
  sharedHeld = 0
  lastGranted: Subscription | undefined = undefined
  /**
   * Ended sessions whose deliveries may still be on their way: until the router has answered, what comes is
   * theirs.
   */
  ghosts = 0
  queue: OutboundQueue | undefined = undefined
  /** What waits behind the queue and is, or is about to be, on record alone. */
  backlog: Backlog | undefined = undefined
  /** Sent on this connection and not completed: what counts against the send quota. */
  unacknowledged = 0
  /** Since when the client has owed us something without a sign of taking it; 0 while it owes nothing. */
  owedSinceMs = 0
  isStallTold = false
  /** QoS 0 messages kept for an absent client, or one over its rate, and what they weigh. */
  queuedQos0: Fifo<readonly [Publication, DeliveryOptions]> | undefined = undefined
  queuedQos0Bytes = 0
  replays: Array<Replay> | undefined = undefined
  replayAsked = false
  /** What waits at positions below this is judged by what may be received at all; see `judging.ts`. */
  strictBefore = 0
  /** Nothing is sent before what the session holds has been judged. */
  isWithheld = false

  /**
   * Counts the session's connections: what the router answers late must not be taken for the answer to a
   * later PUBLISH.
   */
  epoch = 0
  /** QoS 2 messages received and not yet released, by identifier. [MQTT-4.3.3-10] */
  received: Map<number, ReceivedPublish> | undefined = undefined
  /** How many of them count against our Receive Maximum: those that the present connection sent. */
  receivedUnderWay = 0
  ledger: AckLedger | undefined = undefined
  /** QoS 1 messages received on this connection whose PUBACK has not left. */
  owedPubacks = 0
  /** A re-authentication is under way, and where it stands. */
  isAuthenticating = false
  challenge: Challenge | undefined = undefined
  /** The last topic that passed the tenant's limits. */
  judgedTopic: Topic | undefined = undefined
  /** The last topic that the policy has made of one, and that passed them. */
  screenedTopic: Topic | undefined = undefined
  /** The same on the way out. */
  leavingTopic: Topic | undefined = undefined
  /** What the policy was asked of messages on their way out. */
  awaitedVerdicts: Partial<Record<Line, AwaitedVerdict | undefined>> | undefined = undefined
  inboundAliases: Array<Topic | undefined> | undefined = undefined
  outboundAliases: AliasTable | undefined = undefined

  /** What its tenant has of rates and windows; undefined for one that has none at all. */
  quota: TenantQuota | undefined = undefined
  rates: SessionRates | undefined = undefined
  /** When messages may be sent again; 0 while they may, or the tenant's gate will tell. */
  sendsAtMs = 0
  isInSendingLine = false
  /** The span of the PUBLISH that is being judged, and of asking others about it. */
  traced: LiveSpan | undefined = undefined
  authorizing: LiveSpan | undefined = undefined
  /** Spans of what the client has yet to acknowledge, by packet identifier. */
  deliveries: Map<number, LiveSpan> | undefined = undefined
  /** Why PUBLISHes were refused, where the Reason Code does not say it, by packet identifier. */
  refusals: Map<number, string> | undefined = undefined
  readonly account: SessionAccount

  constructor(
    readonly clientId: string,
    readonly settings: TenantSettings,
    readonly counters: Counters,
    identity: Identity,
    permissions: Permissions
  ) {
    this.identity = identity
    this.permissions = permissions
    this.account = new SessionAccount(counters)
  }
}

/**
 * The effects of a step: performed by the actor, recorded by a test. Calls that reach the client do nothing
 * without a link.
 */
export interface SessionOutputs extends Subscriber, Publisher, Keeper, Waiter {
  /** Undefined while nothing is traced. */
  readonly tracing: Tracing | undefined
  readonly sendPublish: (publication: Publication, header: PublishHeader) => boolean
  readonly sendAck: (tag: AckTag, packetId: number, reasonCode: number, reason: string) => void
  readonly send: (packet: ServerControlPacket) => void
  /** Ends the connection from our side; the session hears of it again when the connection has gone. */
  readonly close: (ending: Ending) => void
  /** Sends CONNACK, and reads on, when what the turn puts on record is committed. */
  readonly greetAfterCommit: (link: Link, connack: ServerControlPacket) => void
  /** False when the router's mailbox is full; `routerHasRoom` follows. */
  readonly route: (publication: Publication) => boolean
  readonly subscribe: (subscriptions: ReadonlyArray<HeldSubscription>, pending: PendingSuback) => void
  /** `pending` is answered when the router has taken them out; undefined when nobody waits for that. */
  readonly unsubscribe: (
    filters: ReadonlyArray<PlainFilter | SharedFilter>,
    pending: PendingUnsuback | undefined
  ) => void
  readonly askRetained: (replay: Replay, limit: number) => void
  readonly memberAway: (groups: ReadonlyArray<SharedGroup>) => void
  readonly redispatch: (group: SharedGroup, publications: ReadonlyArray<Publication>) => void
  /** The record, if any, becomes durable together with the copies of those who get the will. */
  readonly publishWill: (will: Will, record: SessionRecord | undefined) => void
  /** Asks for decisions that suspend; `decided` follows with the answers in order. */
  readonly decide: (decisions: ReadonlyArray<Decision>) => void
  /** Asks for what the policy has to say of a packet; `onPolicyAnswered` follows with it, in order. */
  readonly askPolicy: (answers: ReadonlyArray<Answer<SubscribeVerdict | PublishVerdict>>) => void
  /** The same of the message at the head of a line; `onDeliveryVerdict` follows. */
  readonly askAboutDelivery: (line: Line, answer: Answer<DeliverVerdict>) => void
  /** Puts a change on record; it is committed with the others of the turn. */
  readonly record: (record: SessionRecord) => void
  /** Puts a message of the queue on record, unless it is acknowledged first. */
  readonly keep: (entry: OutboundEntry) => void
  /** Nothing below that position is held any more: on record at the end of the turn. */
  readonly advance: (before: number) => void
  /** Puts a change on record in one unit with the copies of all who get the publication. */
  readonly gather: (publication: Publication, record: SessionRecord, isRefusable: boolean) => void
  /** Nothing can be stored now. */
  readonly isStorageFailing: boolean
  /** Asks for the messages of a backlog from a position on; `onBacklogPage` follows. */
  readonly readBacklog: (backlog: Backlog, from: number) => void
  readonly groupOf: (key: string) => SharedGroup | undefined
  /**
   * Does something when the turn's records are committed; at once when there are none. Not done if the commit
   * fails.
   */
  readonly afterCommit: (action: () => void) => void
  /** The same when all that the session has put on record is, in this turn or an earlier one. */
  readonly afterAllCommits: (action: () => void) => void
  /** Gives back a hold on a publication when the turn's records are committed or have failed. */
  readonly settleAfterCommit: (publication: Publication) => void
  readonly authenticate: (request: AuthRequest) => void
  /** Asks the authorizer again; `onPermissions` follows. */
  readonly renewPermissions: () => void
  /** Asks about subscriptions that are held; `onJudged` follows. */
  readonly judge: (permissions: Permissions, asked: ReadonlyArray<JudgedFilter>) => void
  readonly dropped: (topic: string, reason: DropReason, qos: number) => void
  /** An event of the client's; those of single messages only where the tenant's `debugEvents` is on. */
  readonly tell: (event: DebugEvent | SubscriptionEvent | SubscriptionRevoked) => void
  readonly refused: (what: Refusal) => void
  /** Tells that the client came to a limit of the tenant, and what became of what it wanted. */
  readonly reached: (setting: keyof TenantSettings, outcome: string) => void
  /** Tells that the client has taken nothing of what it was sent for so long. */
  readonly stalled: (forMs: number) => void
}

export interface Refusal {
  readonly _tag: "SubscribeRefused" | "PublishRefused"
  readonly topic: string
  readonly qos?: Qos
  readonly retain?: boolean
  readonly isWill?: boolean
  readonly reasonCode: ReasonCode
  readonly reason: string
  /** Where the Reason Code does not say it. */
  readonly cause?: Cause
}
