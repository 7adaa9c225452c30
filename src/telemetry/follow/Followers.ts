/**
 * Clients that are followed live, and by whom.
 *
 * A connection of such a client has a tap, which is told of its packets; one that nobody follows has none,
 * and that is all it costs. A tap is put on when CONNECT comes with the identifier, and by message on a
 * connection that is there already. Until a client is authenticated nobody knows its tenant: what it does up
 * to then is shown to whoever follows its identifier.
 */

import type { Event } from "../../events/Event.ts"
import { eventObject } from "../../events/eventJson.ts"
import { Follower, type FollowOptions } from "./Follower.ts"
import { shortened } from "./packetFields.ts"
import { Tap } from "./Tap.ts"

/** Each looks at every packet of its client. */
export const FOLLOWERS_MAX = 16

/** Packets say the same. */
const repeating: ReadonlySet<Event["_tag"]> = new Set<Event["_tag"]>([
  "MessageSent",
  "MessageAcknowledged",
  "DeliveryConfirmed",
  "PingReceived"
])

export class Followers {
  private readonly all = new Set<Follower>()
  private connections = 0

  /** Somebody follows a client: without that there is nothing to ask. */
  get isAny(): boolean {
    return this.all.size > 0
  }

  /** Undefined when there are as many as there may be. */
  add(options: FollowOptions, nowMs: number): Follower | undefined {
    for (const follower of this.all) follower.tick(nowMs)
    if (this.all.size >= FOLLOWERS_MAX) return undefined
    const follower = new Follower(options, nowMs, (over) => this.all.delete(over))
    this.all.add(follower)
    return follower
  }

  /** Those who follow a client; one whose tenant is undefined could be anybody's. */
  *of(clientId: string, tenant: string | undefined): Iterable<Follower> {
    for (const follower of this.all) if (follower.follows(clientId, tenant)) yield follower
  }

  /** A number for a connection that is shown. */
  nextNumber(): number {
    return ++this.connections
  }

  /** A tap for a connection; undefined when nobody follows its client. */
  tap(clientId: string, tenant: string | undefined): Tap | undefined {
    for (const _ of this.of(clientId, tenant)) return new Tap(this, clientId, tenant)
    return undefined
  }

  /** Something has happened that may be of a client that is followed. */
  happened(event: Event, atMs: number): void {
    if (!("clientId" in event) || repeating.has(event._tag)) return
    for (const follower of this.of(event.clientId, event.tenant)) {
      if (follower.admits(atMs)) follower.add(eventLine(event, atMs), atMs)
    }
  }
}

const eventLine = (event: Event, atMs: number) => {
  const fields = Object.entries(eventObject({ event, atMs })).map(
    ([name, value]) => [name, typeof value === "string" ? shortened(value) : value] as const
  )
  return { kind: "event" as const, at: new Date(atMs).toISOString(), ...Object.fromEntries(fields) }
}
