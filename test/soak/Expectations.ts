/**
 * What a client must have received in the end. From the SUBACK of a filter that is one neighbour's topic
 * until its UNSUBSCRIBE or the end of the session, every QoS 1 or 2 message that the neighbour publishes and
 * gets acknowledged is owed to the client, however often its connection is cut.
 */

import type { Ledger, Received } from "./Ledger.ts"

interface Owner {
  readonly publisher: number
  /** First sequence number that is certainly published after the subscription. */
  readonly from: number
}

interface Pending {
  readonly filter: string
  readonly publisher: number
}

export class Expectations {
  private readonly pending = new Map<number, Pending>()
  private readonly owed = new Map<string, Owner>()

  constructor(private readonly ledger: Ledger) {}

  /** SUBSCRIBE leaves. `publisher` is undefined when the filter is not one neighbour's topic. */
  subscribing(packetId: number, filter: string, qos: number, publisher: number | undefined): void {
    this.unsubscribing(filter)
    if (qos > 0 && publisher !== undefined) this.pending.set(packetId, { filter, publisher })
  }

  subscribed(packetId: number): void {
    const pending = this.pending.get(packetId)
    if (pending === undefined) return
    this.pending.delete(packetId)
    const { filter, publisher } = pending
    this.owed.set(filter, { publisher, from: this.ledger.nextSequence(publisher) })
  }

  unsubscribing(filter: string): void {
    this.owed.delete(filter)
    for (const [packetId, pending] of this.pending) {
      if (pending.filter === filter) this.pending.delete(packetId)
    }
  }

  /** The connection is another one: SUBACKs of the old one do not come any more. */
  reconnected(sessionPresent: boolean): void {
    this.pending.clear()
    if (!sessionPresent) this.owed.clear()
  }

  /** What was owed and has not come. */
  missing(received: Received): ReadonlyArray<string> {
    return [...this.owed.values()].flatMap(({ from, publisher }) =>
      this.ledger
        .acknowledgedBy(publisher)
        .filter(({ payload, sequence }) => sequence >= from && !received.has(payload))
        .map(({ payload }) => payload)
    )
  }
}
