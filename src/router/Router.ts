/**
 * The router actor of one tenant: owns the tenant's subscriptions and retained messages and hands every
 * publication to those who subscribed.
 *
 * In: publications (refused when the mailbox is full, so that the publisher's session stops reading its
 * socket), changes of subscriptions, requests for retained messages, undelivered messages of shared groups.
 * Out: deliveries and outcomes through the handles that sessions passed in. It never waits: a subscriber that
 * cannot take a message loses it and is counted, an outcome is a message in the publisher's mailbox.
 *
 * One router a tenant, so that matching is paid from the tenant's own share of the processor.
 *
 * In a cluster every node has a router of the tenant. Each tells the others what its subscribers want, and
 * hands them what their subscribers want; what comes from another node is not handed on. Retained messages
 * and the handing on of undelivered messages of shared groups stay within a node.
 */

import { Actor, type Behaviour, type ForkChild } from "../actor/Actor.ts"
import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import type { Forwarding } from "../cluster/Forwarder.ts"
import type { Topic } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { RetainRecord, StoredMessage } from "../storage/DurableRecord.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { SubscriptionTrie } from "../topic/SubscriptionTrie.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import { forward } from "./forward.ts"
import { GatheringLine, type Store } from "./Gathering.ts"
import { MatchCache, type Route, type Target } from "./MatchCache.ts"
import type { Publication } from "./Publication.ts"
import { RetainedMessages } from "./RetainedMessages.ts"
import { groupKey, SharedGroup } from "./SharedGroup.ts"
import type { Publisher, RetainedRequest, Subscriber, Subscription } from "./Subscriber.ts"

export interface Subscribe {
  readonly _tag: "Subscribe"
  readonly subscriber: Subscriber
  readonly subscriptions: ReadonlyArray<readonly [PlainFilter | SharedFilter, Subscription]>
  /** Given back with `Subscriber.subscribed`. */
  readonly token: number
}

export interface Unsubscribe {
  readonly _tag: "Unsubscribe"
  readonly subscriber: Subscriber
  readonly filters: ReadonlyArray<PlainFilter | SharedFilter>
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

interface Sweep {
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
  | Sweep

export interface RouterOptions {
  readonly tenant: string
  /** Makes records durable as one unit that can be refused. */
  readonly store: Store
  /** The same, for what nobody waits for: kept until it can be stored. */
  readonly keep: (records: ReadonlyArray<RetainRecord>) => void
  /** False while nothing can be stored. */
  readonly canStore: () => boolean
  readonly runQueue: RunQueue
  readonly wheel: DeadlineWheel
  readonly fork: ForkChild
  readonly settings: TenantSettings
  readonly counters: Counters
  readonly random: () => number
  readonly forwarding: Forwarding
  readonly nowMs: () => number
  readonly onDefect: (defect: unknown) => void
}

const MAILBOX_COUNT_MAX = 16_384
const MAILBOX_BYTES_MAX = 64 * 1024 * 1024
/** Topics, and the subscribers of each, that the cache keeps: some 30 MB at most. */
const CACHE_WEIGHT_MAX = 262_144
/** Publishers that were refused are told when the mailbox has come down to this many messages. */
const ROOM_AGAIN = MAILBOX_COUNT_MAX / 4

export class Router implements Behaviour<RouterMessage> {
  private trie = new SubscriptionTrie<object, Route>()
  private cache = new MatchCache(this.trie, CACHE_WEIGHT_MAX)
  private readonly groups = new Map<string, SharedGroup>()
  private readonly retained: RetainedMessages
  private actor: Actor<RouterMessage>
  private readonly sweepDeadline: SweepDeadline
  private readonly refused = new Set<Publisher>()
  private gatherings = new GatheringLine()
  private records: Array<RetainRecord> = []
  private held: Array<Publication> = []

  constructor(private readonly options: RouterOptions) {
    this.retained = new RetainedMessages(options.settings, options.counters)
    this.sweepDeadline = new SweepDeadline(this)
    this.actor = this.makeActor()
  }

  private makeActor(): Actor<RouterMessage> {
    return new Actor({
      runQueue: this.options.runQueue,
      fork: this.options.fork,
      behaviour: this,
      limits: { countMax: MAILBOX_COUNT_MAX, bytesMax: MAILBOX_BYTES_MAX, bytesOf }
    })
  }

  /**
   * False when the mailbox is full: the publisher keeps the publication and hears `routerHasRoom` when to try
   * again.
   */
  publish(publication: Publication): boolean {
    if (this.actor.tell(publication)) return true
    if (publication.publisher !== undefined) this.refused.add(publication.publisher)
    return false
  }

  /** False when the mailbox is full: the node that sent it is told, and its publisher sends it again. */
  takeForwarded(publication: Publication, group: string | undefined): boolean {
    return this.actor.tell({ _tag: "Forwarded", publication, group })
  }

  /** Takes up a retained message that a store has kept. Before anything is published. */
  restore(publication: Publication): void {
    // One that has expired meanwhile is taken in as well: the sweep removes it here and from the store.
    this.retained.retain(publication, 0)
    if (publication.expiresAtMs !== 0) this.sweepAt(publication.expiresAtMs)
  }

  /** Takes what is not a client's publication: as many as there are sessions at most. */
  signal(message: RouterMessage): void {
    this.actor.signal(message)
  }

  /** The shared group of that key; undefined when nobody is in it. */
  group(key: string): SharedGroup | undefined {
    return this.groups.get(key)
  }

  /** A publisher that is gone does not wait for room any more. */
  forget(publisher: Publisher): void {
    this.refused.delete(publisher)
  }

  stop(): void {
    this.options.wheel.cancel(this.sweepDeadline)
    this.options.forwarding.withdrawAll()
    this.actor.stop()
  }

  /** What is held; for leak tests and metrics. */
  get census(): { readonly subscriptions: number; readonly trieNodes: number; readonly groups: number } {
    return { subscriptions: this.trie.size, trieNodes: this.trie.nodeCount, groups: this.groups.size }
  }

  /**
   * A bug while handling a message: the mail is lost and the subscriptions are in doubt. The router begins
   * anew without any, keeps the retained messages, and its tenant has the sessions subscribe again.
   */
  onDefect(defect: unknown): void {
    this.trie = new SubscriptionTrie<object, Route>()
    this.cache = new MatchCache(this.trie, CACHE_WEIGHT_MAX)
    this.groups.clear()
    this.refused.clear()
    // What is in the mail, or was being handled, will never be complete.
    this.gatherings.dissolve()
    this.gatherings = new GatheringLine()
    this.options.forwarding.withdrawAll()
    this.options.counters.subscriptions = 0
    this.actor = this.makeActor()
    this.options.onDefect(defect)
  }

  turn(mail: Mailbox<RouterMessage>, budget: number): number {
    const nowMs = this.options.nowMs()
    let spent = 0
    while (spent < budget) {
      const message = mail.take()
      if (message === undefined) break
      spent += this.handle(message, nowMs)
    }
    if (this.records.length > 0) this.commit()
    if (this.refused.size > 0 && mail.length <= ROOM_AGAIN) {
      for (const publisher of this.refused) publisher.routerHasRoom()
      this.refused.clear()
    }
    return Math.max(1, spent)
  }

  /** Stores the turn's retained messages; their publishers are told when that is done. */
  private commit(): void {
    const { held, records } = this
    this.records = []
    this.held = []
    this.options.store(records, (failure) => {
      if (failure !== undefined) this.keepRetained(records.map(({ message }) => message.topic))
      for (const publication of held) publication.settle(failure === undefined)
    })
  }

  /**
   * What these topics retain could not be stored. It is what subscribers get all the same, so that is what
   * the next broker has to give them.
   */
  private keepRetained(topics: ReadonlyArray<Topic>): void {
    const { keep, tenant } = this.options
    keep(
      topics.map((topic) => ({
        _tag: "Retain",
        tenant,
        message: this.retained.get(topic.name) ?? removalOf(topic)
      }))
    )
  }

  private handle(message: RouterMessage, nowMs: number): number {
    switch (message._tag) {
      case "Publication":
        return this.route(message, nowMs)
      case "Subscribe":
        for (const [filter, subscription] of message.subscriptions) this.add(filter, subscription)
        // What is published after SUBACK matches, on whichever node. [MQTT-3.8.4-1]
        this.options.forwarding.barrier(() =>
          message.subscriber.subscribed(message.token, this.retained.size > 0)
        )
        break
      case "Unsubscribe":
        for (const filter of message.filters) this.remove(filter, message.subscriber)
        return message.filters.length
      case "RetainedRequest":
        return this.replay(message, nowMs)
      case "MemberAway":
        for (const group of message.groups) {
          if (group.hasLiveMemberBeside(message.subscriber)) message.subscriber.reclaim(group)
        }
        break
      case "Redispatch":
        this.redispatch(message)
        return message.publications.length + 1
      case "Forwarded":
        return this.routeForwarded(message)
      case "Sweep":
        for (const expired of this.retained.sweep(nowMs)) this.record(removalOf(expired.topic))
        this.sweepAt(this.retained.nextExpiryMs())
        break
    }
    return 1
  }

  private route(publication: Publication, nowMs: number): number {
    const { canStore, counters, forwarding } = this.options
    const isKept = publication.gathering?.isRefusable === false
    if (publication.retain && publication.qos > 0 && !isKept && !canStore()) return this.refuse(publication)
    const accepted = !publication.retain || this.retain(publication, isKept, nowMs)
    publication.gathering?.enter(this.gatherings)
    const { groups, targets } = this.cache.lookup(publication.topic.name)
    publication.targets = targets.length + groups.length
    const elsewhere = forwarding.match(publication.topic.name)
    const given = elsewhere && forward(publication, elsewhere, { groups, ...this.options })
    let matched = elsewhere !== undefined
    if (this.deliver(publication, targets)) matched = true
    for (const group of groups) {
      if (group.size === 0 || given?.has(group.key) === true) continue
      matched = true
      if (!group.deliver(publication)) this.mailboxFull(publication, group)
    }
    if (!matched) counters.messagesUnmatched++
    publication.contributed()
    publication.routed(outcome(accepted, matched))
    return 1 + targets.length
  }

  /** Hands it to all of them. True when one of them wanted it. */
  private deliver(publication: Publication, targets: ReadonlyArray<Target>): boolean {
    const { publisher } = publication
    let matched = false
    for (const target of targets) {
      const options = (target.subscriber as object) === publisher ? target.ownOptions : target.options
      if (options === undefined) continue
      matched = true
      const { subscriber } = target
      if (!subscriber.deliver(publication, options)) this.mailboxFull(publication, subscriber)
    }
    return matched
  }

  private mailboxFull(publication: Publication, { isKeeping }: Pick<Subscriber, "isKeeping">): void {
    this.options.counters.droppedMailboxFull++
    if (isKeeping) publication.refuse()
  }

  private routeForwarded({ group, publication }: Forwarded): number {
    if (group !== undefined) return this.routeToGroup(publication, this.groups.get(group))
    const { targets } = this.cache.lookup(publication.topic.name)
    publication.targets = targets.length
    this.deliver(publication, targets)
    publication.routed(ReasonCode.Success)
    return 1 + targets.length
  }

  /** A group that has lost its last member meanwhile takes nothing: the publisher sends again. */
  private routeToGroup(publication: Publication, group: SharedGroup | undefined): number {
    publication.targets = 1
    if (group?.deliver(publication) === false) this.mailboxFull(publication, group)
    publication.routed(group === undefined ? ReasonCode.UnspecifiedError : ReasonCode.Success)
    return 2
  }

  /** A retained message that cannot be stored: its publisher is to send it again. */
  private refuse(publication: Publication): number {
    this.options.counters.droppedNotStored++
    publication.contributed()
    publication.routed(ReasonCode.UnspecifiedError)
    return 1
  }

  /** The group may have come to its end meanwhile, and have begun anew. */
  private redispatch({ group, publications }: Redispatch): void {
    const members = this.groups.get(group.key)
    for (const publication of publications) {
      publication.gathering?.enter(this.gatherings)
      if (members?.deliver(publication) !== true) this.options.counters.droppedNoMembers++
      publication.contributed()
      publication.settle(true)
    }
  }

  /** False when it is not accepted. `isKept`: it is stored as soon as that is possible. */
  private retain(publication: Publication, isKept: boolean, nowMs: number): boolean {
    if (!isKept && !this.options.canStore()) return false
    if (!this.retained.retain(publication, nowMs)) return false
    this.recordRetained(
      publication,
      publication.isExpired(nowMs) ? removalOf(publication.topic) : publication
    )
    if (publication.expiresAtMs !== 0) this.sweepAt(publication.expiresAtMs)
    return true
  }

  /** With the others of the turn, unless that would be before what was retained earlier. */
  private recordRetained(publication: Publication, message: StoredMessage): void {
    if (publication.gathering === undefined && this.gatherings.isEmpty) {
      this.record(message)
      this.held.push(publication.hold())
      return
    }
    if (this.records.length > 0) this.commit()
    const record: RetainRecord = { _tag: "Retain", tenant: this.options.tenant, message }
    if (publication.gathering === undefined) publication.gather(record, this.options.store, true)
    else publication.gathering.add(record)
    publication.gathering?.onFailure(() => this.keepRetained([publication.topic]))
  }

  private record(message: StoredMessage): void {
    this.records.push({ _tag: "Retain", tenant: this.options.tenant, message })
  }

  private replay(request: RetainedRequest, nowMs: number): number {
    const publications: Array<Publication> = []
    const cursor = this.retained.page(request, nowMs, publications)
    request.subscriber.retainedPage({ _tag: "RetainedPage", publications, request, cursor })
    return 1 + publications.length
  }

  private add(filter: PlainFilter | SharedFilter, subscription: Subscription): void {
    if (filter._tag === "Plain") {
      const previous = this.trie.set(filter.filter, subscription.subscriber, subscription)
      if (previous !== undefined) return
      this.options.counters.subscriptions++
      this.options.forwarding.advertise(filter.filter, undefined)
      return
    }
    const key = groupKey(filter.group, filter.filter, filter.ordered)
    let group = this.groups.get(key)
    if (group === undefined) {
      group = new SharedGroup({
        name: filter.group,
        topicFilter: filter.filter,
        isOrdered: filter.ordered,
        strategy: this.options.settings.sharedSubscriptionStrategy,
        random: this.options.random
      })
      this.groups.set(key, group)
      this.trie.set(filter.filter, group, group)
    }
    const before = group.size
    group.set(subscription)
    if (group.size === before) return
    this.options.counters.subscriptions++
    this.options.forwarding.advertise(filter.filter, key)
  }

  private remove(filter: PlainFilter | SharedFilter, subscriber: Subscriber): void {
    if (filter._tag === "Plain") {
      const removed = this.trie.delete(filter.filter, subscriber)
      if (removed === undefined) return
      this.options.counters.subscriptions--
      this.options.forwarding.withdraw(filter.filter, undefined)
      return
    }
    const key = groupKey(filter.group, filter.filter, filter.ordered)
    const group = this.groups.get(key)
    if (group?.delete(subscriber) !== true) return
    this.options.counters.subscriptions--
    this.options.forwarding.withdraw(filter.filter, key)
    if (group.size > 0) return
    this.groups.delete(key)
    this.trie.delete(filter.filter, group)
  }

  /** Sweeps at that instant, or earlier if that was planned. */
  private sweepAt(atMs: number | undefined): void {
    const deadline = this.sweepDeadline
    if (atMs === undefined || (deadline.scheduled && deadline.atMs <= atMs)) return
    this.options.wheel.schedule(deadline, atMs)
  }
}

class SweepDeadline extends Deadline {
  constructor(private readonly router: Router) {
    super()
  }

  onDeadline(): void {
    this.router.signal({ _tag: "Sweep" })
  }
}

const nothing = new Uint8Array(0)

/** On record, an empty payload removes a topic's message. */
const removalOf = (topic: Topic): StoredMessage => ({
  topic,
  payload: nothing,
  forwardedProperties: nothing,
  qos: 0,
  retain: true,
  expiresAtMs: 0,
  publisherId: "",
  traceContext: undefined
})

const bytesOf = (message: RouterMessage): number => {
  if (message._tag === "Publication") return message.bytes
  return message._tag === "Forwarded" ? message.publication.bytes : 0
}

/** [MQTT-3.4.2-1]: what PUBACK or PUBREC will say. */
const outcome = (accepted: boolean, matched: boolean): ReasonCode => {
  if (!accepted) return ReasonCode.QuotaExceeded
  return matched ? ReasonCode.Success : ReasonCode.NoMatchingSubscribers
}
