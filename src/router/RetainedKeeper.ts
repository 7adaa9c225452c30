/**
 * Keeps a tenant's retained messages for its router: takes them in, has them stored, gives them to new
 * subscribers, removes what has expired and tells the store.
 *
 * What one turn retained is stored as one unit, and their publications are held until that is done. A message
 * that gathers records of others has its record among those. The order of records is that of the messages: on
 * one topic a crash must not bring an older one back.
 */

import { Deadline, type DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { Topic } from "../protocol/Packet.ts"
import type { RetainRecord, StoredMessage } from "../storage/DurableRecord.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { TenantQuota } from "../tenant/quota/TenantQuota.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { GatheringLine, Store } from "./Gathering.ts"
import type { Publication } from "./Publication.ts"
import { RetainedMessages } from "./RetainedMessages.ts"
import type { RetainedRequest } from "./Subscriber.ts"

export interface RetainedKeeperOptions {
  readonly tenant: string
  /** Makes records durable as one unit that can be refused. */
  readonly store: Store
  /** The same, for what nobody waits for: kept until it can be stored. */
  readonly keep: (records: ReadonlyArray<RetainRecord>) => void
  /** False while nothing can be stored. */
  readonly canStore: () => boolean
  readonly wheel: DeadlineWheel
  readonly settings: TenantSettings
  readonly counters: Counters
  /** What the tenant has of rates; undefined where it has none. */
  readonly quota?: TenantQuota | undefined
  /**
   * Hands on those of the messages whose publishers may still publish them, at once or later; undefined where
   * nobody asks.
   */
  readonly judgePublishers?: JudgePublishers | undefined
}

export type JudgePublishers = (
  publications: ReadonlyArray<Publication>,
  then: (allowed: ReadonlyArray<Publication>) => void
) => void

export class RetainedKeeper {
  private readonly messages: RetainedMessages
  private readonly sweepDeadline: SweepDeadline
  /** Of this turn, and the publications that wait for them. */
  private records: Array<RetainRecord> = []
  private held: Array<Publication> = []

  /** `sweepDue`: `sweep` should be called, in a turn. */
  constructor(
    private readonly options: RetainedKeeperOptions,
    sweepDue: () => void
  ) {
    this.messages = new RetainedMessages(options.settings, options.counters)
    this.sweepDeadline = new SweepDeadline(sweepDue)
  }

  get size(): number {
    return this.messages.size
  }

  /** The message of a topic, unless it has expired. */
  get(topic: string, nowMs: number): Publication | undefined {
    const publication = this.messages.get(topic)
    return publication?.isExpired(nowMs) === true ? undefined : publication
  }

  /** Takes up a message that a store has kept. */
  restore(publication: Publication): void {
    // One that has expired meanwhile is taken in as well: the sweep removes it here and from the store.
    this.messages.retain(publication, 0)
    if (publication.expiresAtMs !== 0) this.sweepAt(publication.expiresAtMs)
  }

  /** False when it cannot be stored now and may be refused. */
  canRetain({ gathering }: Publication): boolean {
    // One that cannot be refused is stored as soon as that is possible.
    return gathering?.isRefusable === false || this.options.canStore()
  }

  /** False when it is not accepted. `line`: the units that are not stored yet. */
  retain(publication: Publication, nowMs: number, line: GatheringLine): boolean {
    if (!this.canRetain(publication)) return false
    if (!this.messages.retain(publication, nowMs)) {
      this.reached(publication, nowMs)
      return false
    }
    this.warn()
    const message = publication.isExpired(nowMs) ? removalOf(publication.topic) : publication
    this.recordRetained(publication, message, line)
    if (publication.expiresAtMs !== 0) this.sweepAt(publication.expiresAtMs)
    return true
  }

  private reached({ publisherId }: Publication, nowMs: number): void {
    const { quota, settings } = this.options
    const isFull = this.size >= settings.retainedMessagesMax
    quota?.reached(isFull ? "retainedMessagesMax" : "retainedBytesMax", publisherId, "not-retained", nowMs)
  }

  /** Tells in time when the limits come near. */
  private warn(): void {
    const { counters, quota } = this.options
    quota?.isFull("retainedMessagesMax", counters.retainedMessages, 0)
    quota?.isFull("retainedBytesMax", counters.retainedBytes, 0)
  }

  /** Gives the subscriber the page that it asked for. Returns how many messages are on it. */
  replay(request: RetainedRequest, nowMs: number): number {
    const publications: Array<Publication> = []
    const cursor = this.messages.page(request, nowMs, publications)
    const give = (publications: ReadonlyArray<Publication>) =>
      request.subscriber.retainedPage({ _tag: "RetainedPage", publications, request, cursor })
    const { judgePublishers, settings } = this.options
    if (judgePublishers === undefined || !settings.retainedPublisherCheck) give(publications)
    else judgePublishers(publications, give)
    return publications.length
  }

  /** Removes what has expired, some at a time. */
  sweep(nowMs: number): void {
    for (const expired of this.messages.sweep(nowMs)) this.record(removalOf(expired.topic))
    this.sweepAt(this.messages.nextExpiryMs())
  }

  /** Stores what the turn has retained; the publishers are told when that is done. */
  commit(): void {
    const { held, records } = this
    if (records.length === 0) return
    this.records = []
    this.held = []
    this.options.store(records, (failure) => {
      if (failure !== undefined) this.keepRetained(records.map(({ message }) => message.topic))
      for (const publication of held) publication.settle(failure === undefined)
    })
  }

  stop(): void {
    this.options.wheel.cancel(this.sweepDeadline)
  }

  /**
   * What these topics retain could not be stored. It is what subscribers get all the same, so that is what
   * the next broker has to give them.
   */
  private keepRetained(topics: ReadonlyArray<Topic>): void {
    const { keep, tenant } = this.options
    keep(
      topics.map((topic) => ({
        _tag: "Retain",
        tenant,
        message: this.messages.get(topic.name) ?? removalOf(topic)
      }))
    )
  }

  /** With the others of the turn, unless that would be before what was retained earlier. */
  private recordRetained(publication: Publication, message: StoredMessage, line: GatheringLine): void {
    if (publication.gathering === undefined && line.isEmpty) {
      this.record(message)
      this.held.push(publication.hold())
      return
    }
    this.commit()
    const record: RetainRecord = { _tag: "Retain", tenant: this.options.tenant, message }
    if (publication.gathering === undefined) publication.gather(record, this.options.store, true)
    else publication.gathering.add(record)
    publication.gathering?.onFailure(() => this.keepRetained([publication.topic]))
  }

  private record(message: StoredMessage): void {
    this.records.push({ _tag: "Retain", tenant: this.options.tenant, message })
  }

  /** Sweeps at that instant, or earlier if that was planned. */
  private sweepAt(atMs: number | undefined): void {
    const deadline = this.sweepDeadline
    if (atMs === undefined || (deadline.scheduled && deadline.atMs <= atMs)) return
    this.options.wheel.schedule(deadline, atMs)
  }
}

class SweepDeadline extends Deadline {
  constructor(readonly onDeadline: () => void) {
    super()
  }
}

const nothing = new Uint8Array(0)

/** On record, an empty payload removes a topic's message. */
const removalOf = (topic: Topic): StoredMessage => ({
  topic,
  payload: nothing,
  forwardedProperties: nothing,
  qos: 0,
  retain: true,
  expiresAtMs: 0,
  publisherId: "",
  traceContext: undefined
})
