/**
 * A tenant's retained messages: the last one of each topic, found by filter at a cost that grows with what
 * matches.
 *
 * A message with an expiry is skipped once it has expired and removed by the sweep that `nextExpiryMs` asks
 * for. Limits of number and bytes are the tenant's; a message over a limit is refused and the old one of its
 * topic stays.
 */

import type { Counters } from "../telemetry/Counters.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { TopicTree } from "../topic/TopicTree.ts"
import type { Publication } from "./Publication.ts"
import type { RetainedRequest } from "./Subscriber.ts"

/** Expiring messages looked at by one sweep. */
const SWEEP_MAX = 1000
/** Topics looked at for one page, whether they match or not. */
const LOOKS_MAX = 1000

export class RetainedMessages {
  private readonly tree = new TopicTree<Publication>()
  /** The topics of messages that expire, with the instant: usually few. */
  private readonly expiring = new Map<string, number>()
  private bytes = 0

  constructor(
    private readonly settings: TenantSettings,
    private readonly counters: Counters
  ) {}

  get size(): number {
    return this.tree.size
  }

  /** Tree nodes; for leak tests. */
  get nodeCount(): number {
    return this.tree.nodeCount
  }

  /**
   * Stores, replaces or (with an empty payload) removes the topic's message. False when a limit forbids it.
   */
  retain(publication: Publication, nowMs: number): boolean {
    const topic = publication.topic.name
    // [MQTT-3.3.1-6] [MQTT-3.3.1-7]
    if (publication.payloadBytes === 0 || publication.isExpired(nowMs)) {
      this.remove(topic)
      return true
    }
    const previous = this.tree.get(topic)
    const bytes = this.bytes - (previous?.bytes ?? 0) + publication.bytes
    const size = this.tree.size + (previous === undefined ? 1 : 0)
    if (size > this.settings.retainedMessagesMax || bytes > this.settings.retainedBytesMax) {
      this.counters.droppedRetainedQuota++
      return false
    }
    // [MQTT-3.3.1-5]
    // What is replayed for years adds nothing to the trace of the day that it came.
    this.tree.set(topic, publication.keep().untraced())
    if (publication.expiresAtMs === 0) this.expiring.delete(topic)
    else this.expiring.set(topic, publication.expiresAtMs)
    this.bytes = bytes
    this.account()
    return true
  }

  /** The message of a topic. */
  get(topic: string): Publication | undefined {
    return this.tree.get(topic)
  }

  /**
   * The next messages that match a filter; answers where the page after them begins, undefined at the end.
   */
  page(request: RetainedRequest, nowMs: number, into: Array<Publication>): string | undefined {
    const { from, limit, topicFilter } = request
    return this.tree.matchPage(
      { filter: topicFilter, from, matchesMax: limit, looksMax: LOOKS_MAX },
      (_topic, publication) => {
        if (!publication.isExpired(nowMs)) into.push(publication)
      }
    )
  }

  /** Milliseconds since the epoch at which a sweep is worth while; undefined when nothing expires. */
  nextExpiryMs(): number | undefined {
    let next: number | undefined
    let looked = 0
    for (const instant of this.expiring.values()) {
      if (next === undefined || instant < next) next = instant
      if (++looked === SWEEP_MAX) break
    }
    return next
  }

  /**
   * Removes expired messages, a bounded number a call, and returns them; looks at those first that it has not
   * seen for longest.
   */
  sweep(nowMs: number): ReadonlyArray<Publication> {
    const removed: Array<Publication> = []
    let looked = 0
    for (const [topic, instant] of this.expiring) {
      if (looked++ === SWEEP_MAX) break
      if (instant <= nowMs) {
        const expired = this.remove(topic)
        if (expired !== undefined) removed.push(expired)
      } else if (this.expiring.size > SWEEP_MAX) {
        this.expiring.delete(topic)
        this.expiring.set(topic, instant)
      }
    }
    return removed
  }

  private remove(topic: string): Publication | undefined {
    const previous = this.tree.delete(topic)
    if (previous === undefined) return undefined
    this.bytes -= previous.bytes
    this.expiring.delete(topic)
    this.account()
    return previous
  }

  private account(): void {
    this.counters.retainedMessages = this.tree.size
    this.counters.retainedBytes = this.bytes
  }
}
