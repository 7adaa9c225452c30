/**
 * What a router tells as events: messages that nobody gets, once a second for each reason, and what happens
 * to single messages where the tenant's `debugEvents` is on.
 */

import type { DebugEvent } from "../events/DebugEvent.ts"
import { type Drops, DropTally } from "../events/DropTally.ts"
import type { DropReason, Event } from "../events/Event.ts"
import type { Publication } from "./Publication.ts"
import type { RetainedRequest } from "./Subscriber.ts"

export interface RouterReporterOptions {
  readonly tenant: string
  readonly report: (event: Event) => void
}

export class RouterReporter {
  private drops: DropTally | undefined

  constructor(private readonly options: RouterReporterOptions) {}

  dropped({ qos, topic }: Publication, reason: DropReason, nowMs: number): void {
    this.drops ??= new DropTally((drops) => this.tellOf(drops))
    this.drops.dropped(topic.name, reason, qos, nowMs)
  }

  private tellOf(drops: Drops): void {
    const { report, tenant } = this.options
    report({ _tag: "MessageDropped", tenant, clientId: "", ...drops })
  }

  /** The turn is over: what was left out and may be told is told. */
  flush(nowMs: number): void {
    if (this.drops?.isTold === false) this.drops.flush(nowMs, false)
  }

  routed({ publisherId, qos, targets, topic }: Publication): void {
    this.tell(publisherId, { _tag: "MessageRouted", topic: topic.name, qos, targets })
  }

  retained({ payloadBytes, publisherId, topic }: Publication): void {
    const change = payloadBytes === 0 ? "removed" : "set"
    this.tell(publisherId, { _tag: "RetainedChanged", topic: topic.name, change })
  }

  matched({ subscriber, topicFilter }: RetainedRequest, messages: number): void {
    this.tell(subscriber.clientId, { _tag: "RetainedMatched", topicFilter, messages })
  }

  private tell(clientId: string, event: DebugEvent): void {
    const { report, tenant } = this.options
    report({ ...event, tenant, clientId })
  }
}
