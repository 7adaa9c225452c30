/**
 * The router actor of one tenant: hands every publication to those who subscribed. Its subscriptions are in
 * its `RoutingTable`, its retained messages with its `RetainedKeeper`.
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
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Mailbox } from "../actor/Mailbox.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { LiveSpan } from "../telemetry/tracing/Tracing.ts"
import type { SharedFilter } from "../topic/TopicFilter.ts"
import { excessOf } from "./fanout.ts"
import { payFanout } from "./fanoutRates.ts"
import { forward } from "./forward.ts"
import { GatheringLine } from "./Gathering.ts"
import type { Target } from "./MatchCache.ts"
import type { Publication } from "./Publication.ts"
import { RetainedKeeper, type RetainedKeeperOptions } from "./RetainedKeeper.ts"
import {
  bytesOf,
  type Forwarded,
  type Redispatch,
  type RouterMessage,
  type RouteView,
  type Subscribe
} from "./RouterMessage.ts"
import { RouterReporter, type RouterReporterOptions } from "./RouterReporter.ts"
import { type RoutingCensus, RoutingTable, type RoutingTableOptions } from "./RoutingTable.ts"
import type { SharedGroup } from "./SharedGroup.ts"
import type { Publisher, RetainedRequest, Subscriber } from "./Subscriber.ts"

export interface RouterOptions extends RetainedKeeperOptions, RoutingTableOptions, RouterReporterOptions {
  readonly runQueue: RunQueue
  readonly fork: ForkChild
  readonly nowMs: () => number
  readonly onDefect: (defect: unknown) => void
}

const MAILBOX_COUNT_MAX = 16_384
const MAILBOX_BYTES_MAX = 64 * 1024 * 1024
/** Publishers that were refused are told when the mailbox has come down to this many messages. */
const ROOM_AGAIN = MAILBOX_COUNT_MAX / 4
/** Subscribers and groups that an inspection names. */
const SHOWN_MAX = 100

export class Router implements Behaviour<RouterMessage> {
  private table: RoutingTable
  private readonly retained: RetainedKeeper
  private actor: Actor<RouterMessage>
  private readonly reporter: RouterReporter
  private readonly refused = new Set<Publisher>()
  private gatherings = new GatheringLine()
  /** The traced message that is being routed, and the span of that. */
  private traced: readonly [Publication, LiveSpan] | undefined = undefined

  constructor(private readonly options: RouterOptions) {
    this.table = new RoutingTable(options)
    this.reporter = new RouterReporter(options)
    this.retained = new RetainedKeeper(options, () => this.signal({ _tag: "Sweep" }))
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
    this.retained.restore(publication)
  }

  /** Takes what is not a client's publication: as many as there are sessions at most. */
  signal(message: RouterMessage): void {
    this.actor.signal(message)
  }

  /** The shared group of that key; undefined when nobody is in it. */
  group(key: string): SharedGroup | undefined {
    return this.table.group(key)
  }

  /** Whether anybody here may want what the broker says of itself; asked of thousands of tenants. */
  get hasSystemFilters(): boolean {
    return this.table.hasSystemFilters
  }

  /** Whether a message of that topic would go to anybody here. */
  wants(topic: string): boolean {
    const { groups, targets } = this.table.cache.lookup(topic)
    return targets.length > 0 || groups.length > 0
  }

  /** A publisher that is gone does not wait for room any more. */
  forget(publisher: Publisher): void {
    this.refused.delete(publisher)
  }

  stop(): void {
    this.retained.stop()
    this.options.forwarding.withdrawAll()
    this.actor.stop()
  }

  /** What is held; for leak tests and metrics. */
  get census(): RoutingCensus {
    return this.table.census
  }

  /**
   * A bug while handling a message: the mail is lost and the subscriptions are in doubt. The router begins
   * anew without any, keeps the retained messages, and its tenant has the sessions subscribe again.
   */
  onDefect(defect: unknown): void {
    this.table = new RoutingTable(this.options)
    this.refused.clear()
    // What is in the mail, or was being handled, will never be complete.
    this.gatherings.dissolve()
    this.gatherings = new GatheringLine()
    if (this.traced !== undefined) traceLost(this.traced)
    this.traced = undefined
    this.options.forwarding.withdrawAll()
    this.options.counters.subscriptions = 0
    this.actor = this.makeActor()
    this.options.onDefect(defect)
  }

  /** It stops, or has failed, with mail unread. */
  onDropped(message: RouterMessage): void {
    if (message._tag === "Publication") message.traceFailed(LOST)
  }

  turn(mail: Mailbox<RouterMessage>, budget: number): number {
    const nowMs = this.options.nowMs()
    let spent = 0
    while (spent < budget) {
      const message = mail.take()
      if (message === undefined) break
      spent += this.handle(message, nowMs)
    }
    this.retained.commit()
    this.reporter.flush(nowMs)
    if (this.refused.size > 0 && mail.length <= ROOM_AGAIN) {
      for (const publisher of this.refused) publisher.routerHasRoom()
      this.refused.clear()
    }
    return Math.max(1, spent)
  }

  private handle(message: RouterMessage, nowMs: number): number {
    switch (message._tag) {
      case "Publication":
        return this.route(message, nowMs)
      case "Subscribe":
        return this.subscribe(message)
      case "Unsubscribe":
        for (const filter of message.filters) this.table.remove(filter, message.subscriber)
        if (message.token > 0) message.subscriber.unsubscribed(message.token)
        return message.filters.length
      case "RetainedRequest":
        return 1 + this.replay(message, nowMs)
      case "MemberAway":
        for (const group of message.groups) {
          if (group.hasLiveMemberBeside(message.subscriber)) message.subscriber.reclaim(group)
        }
        break
      case "Redispatch":
        this.redispatch(message, nowMs)
        return message.publications.length + 1
      case "Forwarded":
        return this.routeForwarded(message)
      case "Sweep":
        this.retained.sweep(nowMs)
        break
      case "Inspect":
        message.reply(this.inspect(message.topic, nowMs))
        break
    }
    return 1
  }

  private replay(request: RetainedRequest, nowMs: number): number {
    const found = this.retained.replay(request, nowMs)
    if (this.options.settings.debugEvents) this.reporter.matched(request, found)
    return found
  }

  private inspect(topic: string, nowMs: number): RouteView {
    const { groups, targets } = this.table.cache.lookup(topic)
    const kept = this.retained.get(topic, nowMs)
    return {
      subscribers: targets.length,
      shown: targets.slice(0, SHOWN_MAX).map(({ options, subscriber }) => ({
        clientId: subscriber.clientId,
        qos: options.qos,
        isConnected: subscriber.isConnected
      })),
      groups: groups.slice(0, SHOWN_MAX).map(({ options, size }) => ({
        name: options.name,
        topicFilter: options.topicFilter,
        strategy: options.isOrdered ? "ordered" : options.strategy,
        members: size
      })),
      retained: kept && { publisherId: kept.publisherId, bytes: kept.payloadBytes, qos: kept.qos }
    }
  }

  private subscribe({ subscriber, subscriptions, token }: Subscribe): number {
    const refused: Array<SharedFilter> = []
    for (const [filter, subscription] of subscriptions) {
      const isRefused = token > 0 && filter._tag === "Shared" && this.table.isFull(filter, subscriber)
      if (isRefused) refused.push(filter)
      else this.table.add(filter, subscription)
    }
    // What is published after SUBACK matches, on whichever node. [MQTT-3.8.4-1]
    this.options.forwarding.barrier(() => subscriber.subscribed(token, this.retained.size > 0, refused))
    return 1 + subscriptions.length
  }

  private route(publication: Publication, nowMs: number): number {
    const { counters, forwarding, quota, settings } = this.options
    const { retain } = publication
    const routing = publication.traced?.child("route", { kind: "internal" })
    if (routing !== undefined) this.traced = [publication, routing]
    const match = this.table.cache.lookup(publication.topic.name)
    const excess = excessOf(publication, match, settings)
    if (excess !== undefined) return this.reject(publication, excess, routing)
    if (retain && publication.qos > 0 && !this.retained.canRetain(publication)) {
      return this.refuse(publication, routing)
    }
    const accepted = !retain || this.retain(publication, nowMs)
    publication.gathering?.enter(this.gatherings)
    const { groups, targets } = match
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
    if (quota?.limitsFanout === true) payFanout(quota, publication, match, nowMs)
    if (settings.debugEvents) this.reporter.routed(publication)
    if (routing !== undefined) this.endRouting(routing, publication)
    publication.contributed()
    publication.routed(outcome(accepted, matched))
    return 1 + targets.length
  }

  /** A publisher that waits for an answer hears of it if this is not accepted; of others nobody would. */
  private retain(publication: Publication, nowMs: number): boolean {
    const isAccepted = this.retained.retain(publication, nowMs, this.gatherings)
    if (isAccepted && this.options.settings.debugEvents) this.reporter.retained(publication)
    if (!isAccepted && publication.qos === 0) {
      const reason = this.retained.canRetain(publication) ? "retained-quota" : "not-stored"
      this.reporter.dropped(publication, reason, nowMs)
    }
    return isAccepted
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
    publication.traced?.event("dropped", { "heddle.reason": "mailbox-full" })
    if (isKeeping) publication.refuse()
  }

  private routeForwarded({ group, publication }: Forwarded): number {
    if (group !== undefined) return this.routeToGroup(publication, this.table.group(group))
    const { targets } = this.table.cache.lookup(publication.topic.name)
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

  private endRouting(routing: LiveSpan, { targets }: Publication): void {
    this.traced = undefined
    routing.set({ "heddle.targets": targets })
    routing.end()
  }

  private failRouting(routing: LiveSpan, reason: string): void {
    this.traced = undefined
    routing.fail(reason)
  }

  /** Over a limit of the tenant: nobody gets it, and nothing of it is stored. */
  private reject(publication: Publication, excess: string, routing: LiveSpan | undefined): number {
    this.options.counters.droppedFanout++
    if (routing !== undefined) this.failRouting(routing, excess)
    publication.reject(excess)?.overLimit(publication, excess)
    return 1
  }

  /** A retained message that cannot be stored: its publisher is to send it again. */
  private refuse(publication: Publication, routing: LiveSpan | undefined): number {
    this.options.counters.droppedNotStored++
    if (routing !== undefined) this.failRouting(routing, "it cannot be stored now")
    publication.contributed()
    publication.routed(ReasonCode.UnspecifiedError)
    return 1
  }

  /** The group may have come to its end meanwhile, and have begun anew. */
  private redispatch({ group, publications }: Redispatch, nowMs: number): void {
    const members = this.table.group(group.key)
    for (const publication of publications) {
      publication.gathering?.enter(this.gatherings)
      if (members === undefined) {
        this.options.counters.droppedNoMembers++
        this.reporter.dropped(publication, "no-members", nowMs)
      } else if (!members.deliver(publication)) this.mailboxFull(publication, members)
      publication.contributed()
      publication.settle(true)
    }
  }
}

/** Why a message that a router had goes no further. */
const LOST = "the router stopped, or failed"

const traceLost = ([publication, routing]: readonly [Publication, LiveSpan]): void => {
  routing.fail(LOST)
  publication.traceFailed(LOST)
}

/** [MQTT-3.4.2-1]: what PUBACK or PUBREC will say. */
const outcome = (accepted: boolean, matched: boolean): ReasonCode => {
  if (!accepted) return ReasonCode.QuotaExceeded
  return matched ? ReasonCode.Success : ReasonCode.NoMatchingSubscribers
}
