/**
 * The way out: collects what this node's routers have for others in one frame for each destination and lane,
 * and gives the frames to the bus at the end of the tick.
 *
 * A message on the sure lane is held until its destination has taken it. When that does not answer in time,
 * the publisher is told that the message was not taken, although it may have been: QoS 1 allows for that, and
 * QoS 2 is exactly once between nodes as long as both live.
 */

import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { Flushable } from "../actor/Dispatcher.ts"
import type { StoredMessage } from "../storage/DurableRecord.ts"
import type { Bus, SureOutcome } from "./Bus.ts"
import { type Lane, OpenFrame } from "./BusFrame.ts"
import { type Destination, nodeDestination } from "./Destination.ts"
import type { NodeIdentity } from "./Membership.ts"
import type { Destinations } from "./Routes.ts"
import type { RouteTable } from "./RouteTable.ts"

/** One message for one destination. */
export interface Forwarded {
  readonly to: Destination
  /** The key of the shared subscription that it is for; undefined for those that are not shared. */
  readonly group: string | undefined
  readonly message: StoredMessage
  /** Called once; undefined for QoS 0, which nobody waits for. */
  readonly settled: ((isTaken: boolean) => void) | undefined
}

/** A tenant's way to the other nodes. */
export interface Forwarding {
  /** Where else a message has to go; undefined when nowhere. */
  readonly match: (topic: string) => Destinations | undefined
  /** Sends it at the end of the tick; the message is read at once. */
  readonly send: (forwarded: Forwarded) => void
  readonly advertise: (topicFilter: string, group: string | undefined) => void
  readonly withdraw: (topicFilter: string, group: string | undefined) => void
  readonly withdrawAll: () => void
  /** Calls back when the others know what was advertised. */
  readonly barrier: (passed: () => void) => void
}

export interface ForwarderOptions {
  readonly self: NodeIdentity
  readonly bus: Pick<Bus["Type"], "fast" | "sure">
  readonly table: RouteTable["Type"]
  readonly wheel: DeadlineWheel
  readonly nowMs: () => number
  readonly flushLater: (flushable: Flushable) => void
}

/** How long a destination has to take what is sent to it. */
const sureTimeoutMs = 10_000

type Settle = (isTaken: boolean) => void

interface Parcel {
  readonly lane: Lane
  readonly to: Destination
  readonly frame: OpenFrame
  /** By the place in the frame. */
  readonly settles: Array<Settle>
}

export class Forwarder implements Flushable {
  /** By lane and destination: what this tick has for them. */
  private readonly parcels: Record<Lane, Map<Destination, Parcel>> = { fast: new Map(), sure: new Map() }
  /** Of the last frame, by lane and destination: as many as there have ever been nodes and cells. */
  private readonly sequences: Record<Lane, Map<Destination, number>> = { fast: new Map(), sure: new Map() }
  private isDue = false

  constructor(private readonly options: ForwarderOptions) {}

  /** For the router of a tenant. */
  of(tenant: string): Forwarding {
    const { self, table } = this.options
    const to = nodeDestination(self.id)
    return {
      match: (topic) => table.match(tenant, topic),
      send: (forwarded) => this.send(tenant, forwarded),
      advertise: (topicFilter, group) => table.advertise({ to, tenant, topicFilter, group }),
      withdraw: (topicFilter, group) => table.withdraw({ to, tenant, topicFilter, group }),
      withdrawAll: () => table.withdrawAll(tenant, to),
      barrier: table.barrier
    }
  }

  flush(): void {
    this.isDue = false
    for (const parcels of [this.parcels.sure, this.parcels.fast]) {
      for (const parcel of parcels.values()) this.dispatch(parcel)
      parcels.clear()
    }
  }

  private send(tenant: string, { group, message, settled, to }: Forwarded): void {
    const lane: Lane = settled === undefined ? "fast" : "sure"
    const parcels = this.parcels[lane]
    let parcel = parcels.get(to)
    if (parcel === undefined) {
      parcel = { lane, to, frame: new OpenFrame(), settles: [] }
      parcels.set(to, parcel)
    }
    parcel.frame.add({ tenant, group, message })
    if (settled !== undefined) parcel.settles.push(settled)
    if (parcel.frame.isFull) {
      parcels.delete(to)
      this.dispatch(parcel)
    } else if (!this.isDue) {
      this.isDue = true
      this.options.flushLater(this)
    }
  }

  private dispatch({ frame, lane, settles, to }: Parcel): void {
    const { bus, nowMs, self, wheel } = this.options
    const sequence = (this.sequences[lane].get(to) ?? 0) + 1
    this.sequences[lane].set(to, sequence)
    const { incarnation, index } = self
    const bytes = frame.seal({ lane, origin: index, incarnation, sequence })
    if (lane === "fast") return bus.fast(to, bytes)
    const awaited = new Awaited(settles)
    wheel.schedule(awaited, nowMs() + sureTimeoutMs)
    bus.sure({
      to,
      frame: bytes,
      settled: (outcome) => {
        wheel.cancel(awaited)
        awaited.settle(outcome)
      }
    })
  }
}

/** A frame on the sure lane that is on its way, and its deadline. */
class Awaited extends Deadline {
  constructor(private settles: ReadonlyArray<Settle>) {
    super()
  }

  onDeadline(): void {
    this.settleAll(() => false)
  }

  settle(outcome: SureOutcome): void {
    if (outcome === undefined) return this.settleAll(() => true)
    if (outcome._tag !== "Refused" || outcome.records === "all") return this.settleAll(() => false)
    const refused = new Set(outcome.records)
    this.settleAll((place) => !refused.has(place))
  }

  private settleAll(isTaken: (place: number) => boolean): void {
    const { settles } = this
    // What comes after the deadline changes nothing.
    this.settles = []
    for (const [place, settle] of settles.entries()) settle(isTaken(place))
  }
}
