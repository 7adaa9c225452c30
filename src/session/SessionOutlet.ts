/**
 * The effects that the session's state machine asks for: requests passed on to the link, the router or a
 * service, whose answers come back through the session's own mailbox. Nothing here steps the state.
 *
 * What concerns the record is in `SessionRecorder`.
 */

import * as Exit from "effect/Exit"
import type { AuthenticationStep } from "../auth/Authenticator.ts"
import type { Decision } from "../auth/Authorizer.ts"
import type { AckTag, ServerControlPacket, Will } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { Publication } from "../router/Publication.ts"
import type { SharedGroup } from "../router/SharedGroup.ts"
import type { SessionRecord } from "../storage/DurableRecord.ts"
import { StorageError } from "../storage/StorageError.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import type { Backlog } from "./Backlog.ts"
import type { Ending } from "./Link.ts"
import type { AuthRequest } from "./reauthentication.ts"
import { refusalOfTopic } from "./refusals.ts"
import { SessionRecorder } from "./SessionRecorder.ts"
import type {
  HeldSubscription,
  PendingSuback,
  PendingUnsuback,
  Replay,
  SessionOutputs,
  SubscribeAnswer
} from "./SessionState.ts"
import { isAbout, onSubscribed, onUnsubscribed, takeBack, textOf } from "./subscriptions.ts"

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
  /** How many filters they have, each packet one at least. */
  protected filtersUnderWay = 0

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
    this.awaited = undefined
    this.filtersUnderWay = 0
  }

  askRetained(replay: Replay, limit: number): void {
    this.router.signal({ _tag: "RetainedRequest", subscriber: this, limit, ...replay })
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
        qos: will.qos,
        retain: will.retain,
        isWill: true,
        reasonCode: ReasonCode.NotAuthorized,
        reason: "the will may not be published to this topic"
      })
    }
    if (refusalOfTopic(will.topic, state.settings) !== undefined) return refuse()
    // The tenant's fiber, not the actor's: the will outlives the session that left it.
    this.services.decideLater(state.permissions.publish(will.topic, will.qos, will.retain), (allowed) =>
      allowed ? publish() : refuse()
    )
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
}

const never = (): boolean => false

const authenticatorFailed: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator failed"
}
