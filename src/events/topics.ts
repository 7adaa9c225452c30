/**
 * A tenant's events as messages below its own `$SYS/events/`: `$SYS/events/ClientConnected` and so on, each a
 * JSON object, at QoS 0, not retained.
 *
 * The broker publishes them itself, into the router of the tenant that the event is of and into no other; a
 * client sees them if it may subscribe to them. Events of such messages are not published, or each would
 * bring forth the next. What a tenant gets is limited a second; what is left out is told by an `EventsLost`.
 */

import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Event } from "./Event.ts"
import { eventJson } from "./eventJson.ts"
import { eventKinds } from "./eventKinds.ts"
import { LineLimit } from "./LineLimit.ts"

const EVENTS_PER_SECOND = 500

const PREFIX = "$SYS/events/"

/** A tenant, as its events go out. */
export interface EventOutlet {
  readonly settings: Pick<TenantSettings, "eventTopics">
  /** Publishes JSON to its clients; false when there is no room for it. */
  readonly publishJson: (topic: string, json: string) => boolean
}

export class EventTopics {
  private readonly limits = new Map<string, LineLimit>()

  /** `find`: a tenant that is there. */
  constructor(private readonly find: (tenant: string) => EventOutlet | undefined) {}

  /** The number of events that were lost now. */
  report(event: Event, atMs: number): number {
    const { tenant } = event
    if (tenant === undefined) return 0
    const outlet = this.find(tenant)
    if (event._tag === "TenantChanged" && event.change === "deleted") this.limits.delete(tenant)
    if (outlet?.settings.eventTopics !== true) return 0
    if (eventKinds[event._tag].audience !== "tenant" || isOfOwn(event)) return 0
    const limit = this.limits.get(tenant) ?? new LineLimit(EVENTS_PER_SECOND, atMs)
    this.limits.set(tenant, limit)
    const leftOut = limit.admit(atMs)
    if (leftOut === undefined) return 1
    if (leftOut > 0) publish(outlet, { _tag: "EventsLost", sink: "topics", tenant, count: leftOut }, atMs)
    return publish(outlet, event, atMs) ? 0 : 1
  }
}

const publish = (outlet: EventOutlet, event: Event, atMs: number): boolean =>
  outlet.publishJson(`${PREFIX}${event._tag}`, eventJson({ event, atMs }))

/** Of a message that the broker itself has published. */
const isOfOwn = (event: Event): boolean => "topic" in event && event.topic.startsWith("$SYS/")
