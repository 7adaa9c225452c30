/**
 * The effects that the session's state machine asks for: requests passed on to the link, the router or a
 * service, whose answers come back through the session's own mailbox. Nothing here steps the state.
 *
 * What concerns the record is in `SessionRecorder`.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AuthenticationStep } from "../auth/Authenticator.ts"
import type { Decision, Permissions } from "../auth/Authorizer.ts"
import type { AckTag, ServerControlPacket, Will } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { RetainedPage } from "../router/Subscriber.ts"
import type { SessionRecord } from "../storage/DurableRecord.ts"
import { StorageError } from "../storage/StorageError.ts"
import type { Tracing } from "../telemetry/tracing/Tracing.ts"
import {
  type Answer,
  type DeliverVerdict,
  drop,
  isAnswered,
  type PublishVerdict,
  refuse,
  type SubscribeVerdict
} from "../tenant/policy/Verdict.ts"
import type { Gate } from "../tenant/quota/Gate.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import type { Backlog } from "./Backlog.ts"
import type { Ending, Link } from "./Link.ts"
import { refusalOfWill } from "./quota.ts"
import type { AuthRequest } from "./reauthentication.ts"
import { type PublishRefusal, refusalOfTopic } from "./refusals.ts"
import { SessionRecorder } from "./SessionRecorder.ts"
import type {
  HeldSubscription,
  JudgedFilter,
  PendingSuback,
  PendingUnsuback,
  Replay,
  SessionOutputs,
  SubscribeAnswer
} from "./SessionState.ts"
import type { Line } from "./screenedDelivery.ts"
import { screenWill } from "./screening.ts"
import { isAbout, onSubscribed, onUnsubscribed, takeBack, textOf } from "./subscriptions.ts"
import { traceUnanswered, traceWill, withoutTrace } from "./tracing.ts"

/** What is read back of a backlog at a time. */
const BACKLOG_PAGE = 256
const BACKLOG_PAGE_BYTES = 1024 * 1024

/** A SUBACK on its way: it leaves when its subscriptions are stored and the router has them. */
interface AwaitedSuback {
  readonly _tag: "Suback"
  readonly pending: PendingSuback
  readonly filters: number
  isStored: boolean
  /** What the router answered; undefined until it has. */
  answer: SubscribeAnswer | undefined
}

/** An UNSUBACK on its way: it leaves when that is stored, and the router has taken the filters out. */
interface AwaitedUnsuback {
  readonly _tag: "Unsuback"
  readonly pending: PendingUnsuback | undefined
  readonly filters: number
  isStored: boolean
  isAnswered: boolean
}

export abstract class SessionOutlet extends SessionRecorder implements SessionOutputs {
  /** SUBSCRIBEs and UNSUBSCRIBEs that the router is working on, by token. */
  private awaited: Map<number, AwaitedSuback | AwaitedUnsuback> | undefined
  private nextToken = 1
  /** A page of retained messages that waits for the tenant's rates. */
  private delayedReplay: { readonly replay: Replay; readonly limit: number } | undefined
  /** How many filters they have, each packet one at least. */
  protected filtersUnderWay = 0

  get tracing(): Tracing | undefined {
    return this.services.tracing
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

  greetAfterCommit(link: Link, connack: ServerControlPacket): void {
    this.afterDiscard(() => {
      link.send(connack)
      this.actor.signal({ _tag: "Greeted", link })
    })
  }

  route(publication: Publication): boolean {
    return this.router.publish(publication)
  }

  subscribe(subscriptions: ReadonlyArray<HeldSubscription>, pending: PendingSuback): void {
    const awaited: AwaitedSuback = {
      _tag: "Suback",
      pending,
      filters: Math.max(1, subscriptions.length),
      isStored: pending.link === undefined,
      answer: undefined
    }
    const token = this.expectAnswer(awaited)
    this.router.signal({
      _tag: "Subscribe",
      subscriber: this,
      subscriptions: subscriptions.map((held) => [held.filter, held.subscription] as const),
      token
    })
    if (awaited.isStored) return
    // SUBACK says that they are routed and stored, in whichever order that comes.
    this.afterCommit(() => {
      awaited.isStored = true
      if (awaited.answer !== undefined)
        this.actor.signal({ _tag: "Subscribed", token, answer: awaited.answer })
    })
  }

  unsubscribe(
    filters: ReadonlyArray<PlainFilter | SharedFilter>,
    pending: PendingUnsuback | undefined
  ): void {
    const awaited: AwaitedUnsuback = {
      _tag: "Unsuback",
      pending,
      filters: Math.max(1, filters.length),
      isStored: pending === undefined,
      isAnswered: false
    }
    const token = this.expectAnswer(awaited)
    this.router.signal({ _tag: "Unsubscribe", subscriber: this, filters, token })
    if (awaited.isStored) return
    // Also when it repeats one that is yet to be committed.
    this.afterAllCommits(() => {
      awaited.isStored = true
      if (awaited.isAnswered) this.unsubscribed(token)
    })
  }

  private expectAnswer(awaited: AwaitedSuback | AwaitedUnsuback): number {
    const token = this.nextToken++
    this.awaited ??= new Map()
    this.awaited.set(token, awaited)
    this.filtersUnderWay += awaited.filters
    return token
  }

  /** The router has answered, or what it has answered before is stored. */
  protected acknowledgeSubscribe(token: number, answer: SubscribeAnswer): void {
    const awaited = this.awaited?.get(token)
    if (awaited?._tag !== "Suback") return
    if (awaited.answer === undefined) {
      this.filtersUnderWay -= awaited.filters
      awaited.answer = answer
      takeBack(
        this.state,
        answer.refused.filter((filter) => !this.isAskedAgain(token, textOf(filter))),
        this
      )
    }
    if (!awaited.isStored) return
    this.awaited?.delete(token)
    onSubscribed(this.state, awaited.pending, answer, this)
  }

  /** A later SUBSCRIBE, of which the router has yet to hear, has the filter again. */
  private isAskedAgain(token: number, topicFilter: string): boolean {
    for (const [later, each] of this.awaited ?? []) {
      if (later > token && each._tag === "Suback" && isAbout(each.pending, topicFilter)) return true
    }
    return false
  }

  protected acknowledgeUnsubscribe(token: number): void {
    const awaited = this.awaited?.get(token)
    if (awaited?._tag !== "Unsuback") return
    if (!awaited.isAnswered) this.filtersUnderWay -= awaited.filters
    awaited.isAnswered = true
    if (!awaited.isStored) return
    this.awaited?.delete(token)
    if (awaited.pending !== undefined) onUnsubscribed(awaited.pending, this)
  }

  /** The router will not answer any more: it has lost what it was asked. */
  protected forgetAwaited(): void {
    for (const each of this.awaited?.values() ?? []) {
      if (each._tag === "Suback") traceUnanswered(each.pending)
    }
    this.awaited = undefined
    this.filtersUnderWay = 0
  }

  /** What it costs is known when the page is there: until then no other session of the tenant asks. */
  askRetained(replay: Replay, limit: number): void {
    const { clientId, counters, quota } = this.state
    const nowMs = this.services.nowMs()
    if (quota?.replaying.isLimited !== true || quota.replaying.occupy(this, nowMs)) {
      this.router.signal({ _tag: "RetainedRequest", subscriber: this, limit, ...replay })
      return
    }
    if (this.delayedReplay === undefined) counters.throttledReplays++
    this.delayedReplay = { replay, limit }
    const { resource } = quota.replaying
    if (resource !== undefined) quota.reached(resource, clientId, "delayed", nowMs)
  }

  /** It is the session's turn to be given retained messages. */
  protected askDelayed(gate: Gate, nowMs: number): void {
    const { delayedReplay } = this
    this.delayedReplay = undefined
    if (delayedReplay === undefined || !this.isConnected) gate.release(this, nowMs)
    else this.askRetained(delayedReplay.replay, delayedReplay.limit)
  }

  protected payReplay({ publications }: RetainedPage, nowMs: number): void {
    const { quota } = this.state
    if (quota === undefined) return
    const { replaying } = quota
    if (replaying.isLimited) {
      const bytes = publications.reduce((sum, publication) => sum + publication.bytes, 0)
      replaying.pay(publications.length, bytes, nowMs)
    }
    // Also where the limit has gone meanwhile: others may still stand in the line.
    replaying.release(this, nowMs)
  }

  groupOf(key: string): SharedGroup | undefined {
    return this.router.group(key)
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

  /** [MQTT-3.1.2-8]; it is judged again now, because permissions may have changed since CONNECT. */
  publishWill(will: Will, record: SessionRecord | undefined): void {
    const { state } = this
    const { identity } = state
    const isEnd = record?._tag === "End"
    if (isEnd) this.endBegun()
    const publish = (screened: Will) => {
      state.counters.messagesReceived++
      const receivedAtMs = this.services.nowMs()
      const over = refusalOfWill(state, screened, receivedAtMs)
      if (over !== undefined) return refuseWill(over)
      this.services.report({
        _tag: "WillPublished",
        tenant: identity.tenant,
        clientId: identity.clientId,
        topic: screened.topic
      })
      const strips = state.settings.tracePropagation === "strip"
      const publication = Publication.fromWill(strips ? withoutTrace(screened) : screened, {
        publisher: this,
        packetId: 0,
        epoch: 0,
        receivedAtMs
      })
      if (this.tracing !== undefined) traceWill(state, publication, receivedAtMs, this.tracing)
      if (record !== undefined) this.gather(publication, record, false)
      this.router.signal(publication)
    }
    const refuseWill = (refusal: PublishRefusal) => {
      if (record !== undefined) {
        const committed = () => (isEnd ? this.endCommitted() : undefined)
        this.append({ records: [record], mayWait: false, isRefusable: false, committed })
      }
      this.refused({
        _tag: "PublishRefused",
        topic: will.topic,
        qos: will.qos,
        retain: will.retain,
        isWill: true,
        ...refusal
      })
    }
    if (refusalOfTopic(will.topic, state.settings) !== undefined) return refuseWill(unauthorizedWill)
    // The tenant's fiber, not the actor's: the will outlives the session that left it.
    this.services.answerLater(screenWill(will, state), (screened) => {
      if (screened._tag === "Refused") return refuseWill(screened.refusal)
      const { qos, retain, topic } = screened.will
      this.services.decideLater(state.permissions.publish(topic, qos, retain), (allowed) =>
        allowed ? publish(screened.will) : refuseWill(unauthorizedWill)
      )
    })
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

  decide(decisions: ReadonlyArray<Decision>): void {
    const { link } = this.state
    this.actor.spawn(this.services.settle(decisions), (exit) => ({
      _tag: "Decided",
      link,
      allowed: Exit.isSuccess(exit) ? exit.value : decisions.map(() => false)
    }))
  }

  askPolicy(answers: ReadonlyArray<Answer<PublishVerdict | SubscribeVerdict>>): void {
    const { link } = this.state
    const asked = Effect.forEach(answers, (each) => (isAnswered(each) ? Effect.succeed(each) : each), {
      concurrency: 16
    })
    this.actor.spawn(asked, (exit) => ({
      _tag: "PolicyAnswered",
      link,
      verdicts: Exit.isSuccess(exit) ? exit.value : answers.map(() => policyFailed)
    }))
  }

  askAboutDelivery(line: Line, answer: Answer<DeliverVerdict>): void {
    const { link } = this.state
    const asked = isAnswered(answer) ? Effect.succeed(answer) : answer
    this.actor.spawn(asked, (exit) => ({
      _tag: "DeliveryJudged",
      link,
      line,
      verdict: Exit.isSuccess(exit) ? exit.value : drop(policyFailed.reason)
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
    const { identity } = this.state
    this.actor.spawn(this.services.permissions(identity), (exit) => ({
      _tag: "Permitted",
      identity,
      permissions: Exit.isSuccess(exit) ? exit.value : undefined
    }))
  }

  judge(permissions: Permissions, asked: ReadonlyArray<JudgedFilter>): void {
    const answers = this.services.answers(asked.map(({ decision }) => decision))
    this.actor.spawn(answers, (exit) => ({
      _tag: "Judged",
      permissions,
      asked,
      answers: Exit.isSuccess(exit) ? exit.value : asked.map(() => undefined)
    }))
  }
}

const unauthorizedWill: PublishRefusal = {
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the will may not be published to this topic"
}

const policyFailed = refuse(ReasonCode.ImplementationSpecificError, "the server's policy failed")

const authenticatorFailed: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator failed"
}
