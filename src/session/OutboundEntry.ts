/**
 * A QoS 1 or 2 message on its way to one client, from its place in the queue to its acknowledgement.
 *
 * It is its own record: what the journal reads of it, when it comes to writing, is what the entry is by then.
 * One that was acknowledged first is left out.
 */

import type { Publication } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"
import { type EnqueueRecord, Recorded } from "../storage/DurableRecord.ts"
import type { SessionState } from "./SessionState.ts"

/** How far the delivery of a message has come. */
export const Phase = {
  Waiting: 0,
  /** PUBLISH sent; PUBACK or PUBREC outstanding. */
  Published: 1,
  /** PUBREC received, PUBREL sent; PUBCOMP outstanding. [MQTT-4.3.3-6] */
  Released: 2,
  /** Completed, expired or dropped: no longer in the queue. */
  Gone: 3
} as const
export type Phase = (typeof Phase)[keyof typeof Phase]

export class OutboundEntry implements EnqueueRecord {
  readonly _tag = "Enqueue"
  phase: Phase = Phase.Waiting
  /**
   * It was sent before, on this connection or an earlier one: the next PUBLISH carries DUP. [MQTT-3.3.1-1]
   */
  wasSent = false
  recorded: Recorded = Recorded.Pending
  /** The journal has committed it; also said of one that is never put on record. */
  isStored = false
  /** PUBREC is on record: PUBREL may be sent. */
  isReleaseStored = false
  /** Its publisher is not told of a message that is neither stored nor acknowledged. */
  isHolding = false
  /** In which it came: written late, it must not become a message of a session that began anew since. */
  readonly epoch: number
  /** When it was sent last; 0 before that, and when another broker has sent it. */
  sentAtMs = 0

  constructor(
    private readonly session: SessionState,
    readonly publication: Publication,
    readonly options: DeliveryOptions,
    readonly qos: 1 | 2,
    readonly position: number
  ) {
    this.epoch = session.epoch
  }

  /**
   * A QoS 2 message may not be seen by its client before it is on record: after a crash its identifier would
   * be another message's, and the client would take that for a repetition. [MQTT-4.3.3-12]
   */
  get maySend(): boolean {
    return this.isStored || this.qos === 1
  }

  get tenant(): string {
    return this.session.identity.tenant
  }

  get clientId(): string {
    return this.session.clientId
  }

  get message(): Publication {
    return this.publication
  }

  get retain(): boolean {
    const { isRetained, retainAsPublished } = this.options
    return isRetained || (retainAsPublished && this.publication.retain)
  }

  get subscriptionIdentifiers(): ReadonlyArray<number> {
    return this.options.subscriptionIdentifiers
  }

  get group(): string | undefined {
    return this.options.group?.key
  }

  get isReleased(): boolean {
    return this.phase === Phase.Released
  }

  /** Its publisher may be told, or is told that storing it failed. */
  release(isStored: boolean): void {
    if (!this.isHolding) return
    this.isHolding = false
    this.publication.settle(isStored)
  }
}
