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
import type { HeldSubscription, PendingSuback, Replay, SessionOutputs } from "./SessionState.ts"

/** What is read back of a backlog at a time. */
const BACKLOG_PAGE = 256
const BACKLOG_PAGE_BYTES = 1024 * 1024

/** A SUBACK on its way: it leaves when its subscriptions are stored and the router has them. */
interface AwaitedSuback {
  readonly pending: PendingSuback
  isStored: boolean
  /** What the router answered; undefined until it has. */
  hasRetained: boolean | undefined
}

export abstract class SessionOutlet extends SessionRecorder implements SessionOutputs {
  /** SUBSCRIBEs that the router is working on, by token. */
  protected pending: Map<number, AwaitedSuback> | undefined
  private nextToken = 1

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
