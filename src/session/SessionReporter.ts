/**
 * What a session tells of itself as events: that a client came, left, was refused something, that messages
 * were dropped.
 *
 * A client can bring about refusals and drops as fast as it can send. Those are told some times a second,
 * with the number of them; the tenant's counters count them all.
 */

import { type Cause, causeOf, refusalCauseOf } from "../events/Cause.ts"
import type { DebugEvent } from "../events/DebugEvent.ts"
import { type Drops, DropTally } from "../events/DropTally.ts"
import type { DropReason, SubscriptionEvent, SubscriptionRevoked } from "../events/Event.ts"
import { LineLimit } from "../events/LineLimit.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Ending } from "./Link.ts"
import { SessionHandle } from "./SessionHandle.ts"
import type { Attach } from "./SessionMessage.ts"
import type { Refusal } from "./SessionState.ts"

const REFUSALS_PER_SECOND = 20

export abstract class SessionReporter extends SessionHandle {
  private drops: DropTally | undefined
  private refusals: LineLimit | undefined
  /** Why we closed the present connection. */
  protected ending: Ending | undefined

  private get who(): { readonly tenant: string; readonly clientId: string } {
    const { clientId, identity } = this.state
    return { tenant: identity.tenant, clientId }
  }

  dropped(topic: string, reason: DropReason, qos: number): void {
    this.drops ??= new DropTally((drops) => this.tellOf(drops))
    this.drops.dropped(topic, reason, qos, this.services.nowMs())
  }

  private tellOf(drops: Drops): void {
    this.services.report({ _tag: "MessageDropped", ...this.who, ...drops })
  }

  /** Tells of the drops that were not told of; at the end of a session of all of them. */
  protected tellDrops(isLast: boolean): void {
    if (this.drops?.isTold === false) this.drops.flush(this.services.nowMs(), isLast)
  }

  refused(refusal: Refusal): void {
    const nowMs = this.services.nowMs()
    const leftOut = (this.refusals ??= new LineLimit(REFUSALS_PER_SECOND, nowMs)).admit(nowMs)
    if (leftOut === undefined) return
    const { cause, isWill = false, qos = 0, reason, reasonCode, retain = false, topic } = refusal
    const of = { cause: cause ?? refusalCauseOf(reasonCode), reasonCode, reason, count: leftOut + 1 }
    if (refusal._tag === "SubscribeRefused") {
      this.services.report({ _tag: "SubscribeRefused", ...this.who, topicFilter: topic, ...of })
    } else {
      this.services.report({ _tag: "PublishRefused", ...this.who, topic, qos, retain, isWill, ...of })
    }
  }

  override published(publication: Publication, reasonCode: ReasonCode): void {
    if (isFailure(reasonCode)) {
      const { qos, retain, topic } = publication
      const reason = reasonCode === ReasonCode.QuotaExceeded ? "a limit of the tenant is reached" : unstored
      this.refused({ _tag: "PublishRefused", topic: topic.name, qos, retain, reasonCode, reason })
    }
    super.published(publication, reasonCode)
  }

  overLimit(publication: Publication, reason: string): void {
    const { packetId, qos, retain, topic } = publication
    const reasonCode = ReasonCode.QuotaExceeded
    this.refused({ _tag: "PublishRefused", topic: topic.name, qos, retain, reasonCode, reason })
    if (packetId !== 0) super.published(publication, reasonCode)
  }

  reached(resource: keyof TenantSettings, outcome: string): void {
    this.services.report({ _tag: "QuotaReached", ...this.who, resource, outcome })
  }

  stalled(forMs: number): void {
    const { link, unacknowledged } = this.state
    const backlogBytes = link?.backlogBytes ?? 0
    this.state.counters.clientsStalled++
    this.services.report({ _tag: "ClientStalled", ...this.who, unacknowledged, forMs, backlogBytes })
  }

  tell(event: DebugEvent | SubscriptionEvent | SubscriptionRevoked): void {
    this.services.report({ ...event, ...this.who })
  }

  protected tellConnected({ connect, identity }: Attach, sessionPresent: boolean): void {
    const { clientId, peer, principal, tenant } = identity
    const { cleanStart, keepAlive, protocolVersion } = connect
    if (!sessionPresent) this.services.report({ _tag: "SessionStarted", tenant, clientId, principal })
    this.services.report({
      _tag: "ClientConnected",
      tenant,
      clientId,
      principal,
      transport: peer.transport,
      address: peer.address,
      protocolVersion,
      keepAlive,
      cleanStart,
      sessionPresent,
      hasWill: connect.will !== undefined
    })
  }

  /** The client has ended its connection, or its network has. */
  protected tellLeft(cause: Cause, reasonCode: number, reason: string): void {
    const by = "client" as const
    this.state.counters.disconnects++
    this.services.report({ _tag: "ClientDisconnected", ...this.who, by, cause, reasonCode, reason })
  }

  /** We have ended the connection. */
  protected tellClosed({ cause, reasonCode, ...ending }: Ending): void {
    this.state.counters.disconnects++
    const why = { cause: cause ?? causeOf(reasonCode), reasonCode, ...ending }
    this.services.report({ _tag: "ClientDisconnected", ...this.who, by: "server", ...why })
  }

  protected tellEnded(reason: string): void {
    this.tellDrops(true)
    this.services.report({ _tag: "SessionEnded", ...this.who, reason })
  }
}

const unstored = "the message could not be stored"
