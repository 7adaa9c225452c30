/**
 * A session as others see it: the handle that the router holds, and the effects that the state machine asks
 * for.
 *
 * `Session` adds the turns to it. Everything here either puts a message in the session's own mailbox or
 * passes a request on to the link, the router or a service; nothing steps the state.
 */

import * as Exit from "effect/Exit"
import { Actor, type Behaviour, type ForkChild } from "../actor/Actor.ts"
import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { MailboxLimits } from "../actor/Mailbox.ts"
import type { AuthenticationStep } from "../auth/Authenticator.ts"
import type { Decision } from "../auth/Authorizer.ts"
import type { DropReason, Event } from "../events/Event.ts"
import type { AckTag, ServerControlPacket, Will } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Store } from "../router/Gathering.ts"
import { Publication } from "../router/Publication.ts"
import type { Router } from "../router/Router.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { DeliveryOptions, RetainedPage } from "../router/Subscriber.ts"
import type { EnqueueRecord, SessionRecord } from "../storage/DurableRecord.ts"
import type { CommitOutcome, JournalUnit } from "../storage/Journal.ts"
import { StorageError } from "../storage/StorageError.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import type { Backlog } from "./Backlog.ts"
import { recordAdvance } from "./durability.ts"
import { refusalOfTopic } from "./inbound.ts"
import type { Ending } from "./Link.ts"
import { OutboundEntry, Phase } from "./OutboundEntry.ts"
import type { AuthRequest } from "./reauthentication.ts"
import type { SessionMessage } from "./SessionMessage.ts"
import type { SessionServices } from "./SessionServices.ts"
import type {
  HeldSubscription,
  PendingSuback,
  Refusal,
  Replay,
  SessionOutputs,
  SessionState
} from "./SessionState.ts"
import { TurnRecords } from "./TurnRecords.ts"

/**
 * Deliveries that may wait in the mailbox: QoS 0 up to the first number, QoS 1 and 2 up to the second. Their
 * bytes are shared with all who get the message; the router may hand out 64 MB of them in one turn.
 */
const MAIL_QOS0_MAX = 16_384
const MAIL_MAX = 65_536
const MAIL_BYTES_MAX = 128 * 1024 * 1024
const DROP_REPORT_MS = 1000
/** What is read back of a backlog at a time. */
const BACKLOG_PAGE = 256
const BACKLOG_PAGE_BYTES = 1024 * 1024

export interface SessionOptions {
  readonly state: SessionState
  readonly runQueue: RunQueue
  readonly wheel: DeadlineWheel
  readonly fork: ForkChild
  readonly router: Router
  readonly services: SessionServices
}

/** A SUBACK on its way: it leaves when its subscriptions are stored and the router has them. */
interface AwaitedSuback {
  readonly pending: PendingSuback
  isStored: boolean
  /** What the router answered; undefined until it has. */
  hasRetained: boolean | undefined
}

export abstract class SessionOutlet extends Deadline implements SessionOutputs {
  protected readonly state: SessionState
  protected readonly actor: Actor<SessionMessage>
  protected readonly router: Router
  protected readonly services: SessionServices
  /** SUBSCRIBEs that the router is working on, by token. */
  protected pending: Map<number, AwaitedSuback> | undefined
  private nextToken = 1
  /** Why we closed the present connection. */
  protected ending: Ending | undefined
  /** What the turn has put on record; undefined while that is nothing. */
  private turnRecords: TurnRecords | undefined
  /** What the last turn that had something to record has recorded; undefined when it is committed. */
  private uncommitted: TurnRecords | undefined
  /** Messages that could not be stored, until the session has dealt with them. */
  private unstored: Array<OutboundEntry> | undefined
  private isStoredSignalled = false
  /** Units of ours that may wait and are not committed. */
  private waitingUnits = 0
  private accountedMessages = 0
  private accountedBytes = 0

  constructor(options: SessionOptions) {
    super()
    this.state = options.state
    this.router = options.router
    this.services = options.services
    this.actor = new Actor({
      runQueue: options.runQueue,
      fork: options.fork,
      behaviour: this.behaviour(),
      limits
    })
  }

  protected abstract behaviour(): Behaviour<SessionMessage>

  get clientId(): string {
    return this.state.clientId
  }

  get isConnected(): boolean {
    return this.state.link !== undefined
  }

  get isKeeping(): boolean {
    return this.state.keepsState
  }

  get inflight(): number {
    const { backlog, queue } = this.state
    return (queue?.size ?? 0) + (backlog?.size ?? 0) + this.actor.mailLength
  }

  onDeadline(): void {
    this.actor.signal({ _tag: "Deadline" })
  }

  // As the router sees it

  deliver(publication: Publication, options: DeliveryOptions): boolean {
    const isHeld = this.isKeeping && publication.qos > 0
    const isExpected = isHeld && publication.gathering !== undefined
    const isTaken =
      (publication.qos > 0 || this.actor.mailLength < MAIL_QOS0_MAX) &&
      this.actor.tell({ _tag: "Delivery", publication, options, isHeld, isExpected })
    if (!isTaken) this.dropped(publication.topic.name, "mailbox-full")
    else if (isHeld) {
      publication.hold()
      if (isExpected) publication.gathering?.expect()
    }
    return isTaken
  }

  published({ epoch, packetId }: Publication, reasonCode: ReasonCode): void {
    this.actor.signal({ _tag: "Published", packetId, epoch, reasonCode })
  }

  routerHasRoom(): void {
    this.actor.signal({ _tag: "RouterHasRoom" })
  }

  subscribed(token: number, hasRetained: boolean): void {
    this.actor.signal({ _tag: "Subscribed", token, hasRetained })
  }

  retainedPage(page: RetainedPage): void {
    this.actor.signal(page)
  }

  reclaim(group: SharedGroup): void {
    this.actor.signal({ _tag: "Reclaim", group })
  }

  /** Hands the turn's records to the journal. */
  protected commit(): void {
    const { turnRecords } = this
    if (turnRecords === undefined) return
    const { advancedIn: epoch, advancedTo: before } = turnRecords
    if (before >= 0) recordAdvance(this.state, { epoch, before }, this)
    this.turnRecords = undefined
    if (!turnRecords.isEmpty) {
      this.uncommitted = turnRecords
      turnRecords.afterCommit(() => {
        if (this.uncommitted === turnRecords) this.uncommitted = undefined
      })
    }
    turnRecords.commit(
      (unit) => this.append(unit.mayWait ? this.counted(unit) : unit),
      (entry, outcome) => this.stored(entry, outcome),
      this.waitingUnits > 0
    )
  }

  private get onRecord(): TurnRecords {
    return (this.turnRecords ??= new TurnRecords())
  }

  /** Counts it among those that wait as long as it is not committed. */
  private counted(unit: Omit<JournalUnit, "level">): Omit<JournalUnit, "level"> {
    this.waitingUnits++
    const committed = (outcome: CommitOutcome) => {
      this.waitingUnits--
      unit.committed(outcome)
    }
    return { ...unit, committed }
  }

  private append(unit: Omit<JournalUnit, "level">): void {
    this.services.journal.append({ ...unit, level: this.services.durability() })
  }

  /** A copy of ours has been put on record, or could not be. */
  stored(entry: EnqueueRecord, outcome: CommitOutcome): void {
    if (!(entry instanceof OutboundEntry) || entry.phase === Phase.Gone) return
    entry.isStored = outcome === undefined
    entry.release(entry.isStored)
    if (!entry.isStored) (this.unstored ??= []).push(entry)
    else if (entry.qos === 1 && this.isConnected && this.state.backlog === undefined) return
    if (this.isStoredSignalled) return
    this.isStoredSignalled = true
    this.actor.signal({ _tag: "Stored" })
  }

  /** Brings what waits for the client into the tenant's counters. */
  protected account(): void {
    const { backlog, counters, queue } = this.state
    const messages = (queue?.size ?? 0) + (backlog?.size ?? 0)
    const bytes = (queue?.bytes ?? 0) + (backlog?.bytes ?? 0)
    counters.queuedMessages += messages - this.accountedMessages
    counters.queuedBytes += bytes - this.accountedBytes
    this.accountedMessages = messages
    this.accountedBytes = bytes
  }

  /** The session is gone, and with it what waited. */
  protected unaccount(): void {
    const { counters } = this.state
    counters.queuedMessages -= this.accountedMessages
    counters.queuedBytes -= this.accountedBytes
    this.accountedMessages = 0
    this.accountedBytes = 0
  }

  /** What could not be stored since the last call. */
  protected takeUnstored(): ReadonlyArray<OutboundEntry> {
    this.isStoredSignalled = false
    const { unstored = [] } = this
    this.unstored = undefined
    return unstored
  }

  // What the state machine asks for

  record(record: SessionRecord): void {
    this.onRecord.add(record)
  }

  keep(entry: OutboundEntry): void {
    this.onRecord.addCopy(entry)
  }

  advance(before: number): void {
    this.onRecord.advancedTo = before
    this.onRecord.advancedIn = this.state.epoch
  }

  get isStorageFailing(): boolean {
    const { durability, journal } = this.services
    return journal.status() === "failing" && durability() !== "memory"
  }

  gather(publication: Publication, record: SessionRecord, isRefusable: boolean): void {
    const store: Store = (records, committed) =>
      this.append({ records, mayWait: false, isRefusable, committed })
    publication.gather(record, store, isRefusable)
  }

  readBacklog(backlog: Backlog, from: number): void {
    const { clientId, identity } = this.state
    const request = {
      tenant: identity.tenant,
      clientId,
      from,
      messagesMax: BACKLOG_PAGE,
      bytesMax: BACKLOG_PAGE_BYTES
    }
    this.services.readQueue(request, (answer) =>
      this.actor.signal({
        _tag: "BacklogPage",
        backlog,
        from,
        deliveries: answer instanceof StorageError ? undefined : answer
      })
    )
  }

  groupOf(key: string): SharedGroup | undefined {
    return this.router.group(key)
  }

  afterCommit(action: () => void): void {
    if (this.turnRecords === undefined || this.turnRecords.isEmpty) action()
    else this.turnRecords.afterCommit(action)
  }

  afterAllCommits(action: () => void): void {
    const { turnRecords, uncommitted } = this
    if (turnRecords !== undefined && !turnRecords.isEmpty) turnRecords.afterCommit(action)
    else if (uncommitted !== undefined) uncommitted.afterCommit(action)
    else action()
  }

  settleAfterCommit(publication: Publication): void {
    this.onRecord.settleAfterCommit(publication)
  }

  sendPublish(publication: Publication, header: PublishHeader): boolean {
    return this.state.link?.sendPublish(publication, header) ?? true
  }

  sendAck(tag: AckTag, packetId: number, reasonCode: number, reason: string): void {
    this.state.link?.sendAck(tag, packetId, reasonCode, reason)
  }

  send(packet: ServerControlPacket): void {
    this.state.link?.send(packet)
  }

  close(ending: Ending): void {
    this.ending ??= ending
    this.state.link?.close(ending)
  }

  route(publication: Publication): boolean {
    return this.router.publish(publication)
  }

  subscribe(subscriptions: ReadonlyArray<HeldSubscription>, pending: PendingSuback): void {
    const token = this.nextToken++
    const awaited: AwaitedSuback = { pending, isStored: pending.link === undefined, hasRetained: undefined }
    this.pending ??= new Map()
    this.pending.set(token, awaited)
    this.router.signal({
      _tag: "Subscribe",
      subscriber: this,
      subscriptions: subscriptions.map((held) => [held.filter, held.subscription] as const),
      token
    })
    // SUBACK says that they are routed and stored, in whichever order that comes.
    this.afterCommit(() => {
      awaited.isStored = true
      if (awaited.hasRetained !== undefined) this.subscribed(token, awaited.hasRetained)
    })
  }

  unsubscribe(filters: ReadonlyArray<PlainFilter | SharedFilter>): void {
    this.router.signal({ _tag: "Unsubscribe", subscriber: this, filters })
  }

  askRetained(replay: Replay, limit: number): void {
    this.router.signal({ _tag: "RetainedRequest", subscriber: this, limit, ...replay })
  }

  memberAway(groups: ReadonlyArray<SharedGroup>): void {
    this.router.signal({ _tag: "MemberAway", subscriber: this, groups })
  }

  redispatch(group: SharedGroup, publications: ReadonlyArray<Publication>): void {
    for (const publication of publications) {
      publication.hold()
      publication.gathering?.expect()
    }
    this.router.signal({ _tag: "Redispatch", group, publications })
  }

  /** [MQTT-3.1.2-8]; its topic is judged again now, because permissions may have changed since CONNECT. */
  publishWill(will: Will, record: SessionRecord | undefined): void {
    const { state } = this
    const { identity } = state
    const publish = () => {
      state.counters.messagesReceived++
      this.services.report({
        _tag: "WillPublished",
        tenant: identity.tenant,
        clientId: identity.clientId,
        topic: will.topic
      })
      const receivedAtMs = this.services.nowMs()
      const publication = Publication.fromWill(will, { publisher: this, packetId: 0, epoch: 0, receivedAtMs })
      if (record !== undefined) this.gather(publication, record, false)
      this.router.signal(publication)
    }
    const refuse = () => {
      if (record !== undefined) {
        this.append({ records: [record], mayWait: false, isRefusable: false, committed: () => {} })
      }
      this.refused({
        _tag: "PublishRefused",
        topic: will.topic,
        reasonCode: ReasonCode.NotAuthorized,
        reason: "the will may not be published to this topic"
      })
    }
    if (refusalOfTopic(will.topic, state.settings) !== undefined) return refuse()
    // The tenant's fiber, not the actor's: the will outlives the session that left it.
    this.services.decideLater(state.permissions.publish(will.topic), (allowed) =>
      allowed ? publish() : refuse()
    )
  }

  decide(decisions: ReadonlyArray<Decision>): void {
    const { link } = this.state
    this.actor.spawn(this.services.settle(decisions), (exit) => ({
      _tag: "Decided",
      link,
      allowed: Exit.isSuccess(exit) ? exit.value : decisions.map(() => false)
    }))
  }

  authenticate(request: AuthRequest): void {
    const { identity, link } = this.state
    this.actor.spawn(this.services.authenticate(identity, request), (exit) => ({
      _tag: "Authenticated",
      link,
      step: Exit.isSuccess(exit) ? exit.value : authenticatorFailed
    }))
  }

  renewPermissions(): void {
    const { identity, link, permissions } = this.state
    this.actor.spawn(this.services.permissions(identity), (exit) => ({
      _tag: "Permitted",
      link,
      permissions: Exit.isSuccess(exit) ? exit.value : { ...permissions, publish: never, subscribe: never }
    }))
  }

  dropped(topic: string, reason: DropReason): void {
    const { state } = this
    const nowMs = this.services.nowMs()
    if (nowMs - state.dropReportedMs < DROP_REPORT_MS) return
    state.dropReportedMs = nowMs
    const { clientId, identity } = state
    this.services.report({ _tag: "MessageDropped", tenant: identity.tenant, clientId, topic, reason })
  }

  refused(refusal: Refusal): void {
    const { clientId, identity } = this.state
    const { reason, reasonCode, topic } = refusal
    const of = { tenant: identity.tenant, clientId, reasonCode, reason }
    const event: Event =
      refusal._tag === "PublishRefused"
        ? { _tag: "PublishRefused", topic, ...of }
        : { _tag: "SubscribeRefused", topicFilter: topic, ...of }
    this.services.report(event)
  }
}

const never = (): boolean => false

const authenticatorFailed: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator failed"
}

const bytesOf = (message: SessionMessage): number =>
  message._tag === "Delivery" ? message.publication.bytes : 0

/** One object for all sessions. */
const limits: MailboxLimits<SessionMessage> = { countMax: MAIL_MAX, bytesMax: MAIL_BYTES_MAX, bytesOf }
