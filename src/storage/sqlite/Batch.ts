/**
 * A frame as what it does to the tables: each record in order, as `DurableState.apply` would, on the rows of
 * the sessions that it names. What the end of the batch does not show - a message that came and went, the
 * steps of a queue but the last - is never written.
 *
 * Pure: it reads no table. The rows of all sessions in the frame come in, and go out changed; when the commit
 * fails they are worthless.
 */

import { optionsOf } from "../frame/content.ts"
import type { FrameReader } from "../frame/FrameReader.ts"
import { EnqueueBit, InboundBit, Kind } from "../frame/FrameWriter.ts"
import { SessionRow, willBytes } from "./SessionRow.ts"

export interface PendingRetained {
  readonly tenant: string
  readonly topic: string
  /** An index of the frame's messages; undefined removes. */
  readonly message: number | undefined
}

/** Identifiers that a batch takes new ones from. */
export interface Identifiers {
  nextSession: number
  nextMessage: number
}

export class Batch {
  /** The sessions that are there in the end, by their key in the frame. */
  readonly sessions: Array<SessionRow | undefined>
  /** Stored ones that are not there any more. */
  readonly ended: Array<SessionRow> = []
  /** By tenant and topic. */
  readonly retained = new Map<string, PendingRetained>()

  constructor(
    private readonly frame: FrameReader,
    /** As they are stored, by their key in the frame. */
    stored: ReadonlyArray<SessionRow | undefined>,
    private readonly identifiers: Identifiers,
    private readonly topicOf: (message: number) => string
  ) {
    this.sessions = [...stored]
  }

  /** Steps through all records. Throws `MalformedFrame`. */
  apply(): void {
    const { frame } = this
    while (frame.next()) {
      if (frame.kind === Kind.Retain) this.retain()
      else if (frame.kind === Kind.Connect) this.connect()
      else this.step(this.sessions[frame.key])
    }
  }

  private retain(): void {
    const { message, messages, tenant } = this.frame
    const topic = this.topicOf(message)
    const isRemoved = messages[message]!.payloadBytes === 0
    this.retained.set(`${tenant.length}:${tenant}${topic}`, {
      tenant,
      topic,
      message: isRemoved ? undefined : message
    })
  }

  private connect(): void {
    const { epoch, expiryInterval, isCleanStart, principal, will, tenant, clientId } =
      this.frame.readConnect()
    let session = this.sessions[this.frame.key]
    if (session === undefined || isCleanStart) {
      this.end()
      session = new SessionRow(this.identifiers.nextSession++, tenant, clientId)
      session.since = epoch
      this.sessions[this.frame.key] = session
    }
    session.epoch = epoch
    session.principal = principal
    session.expiryInterval = expiryInterval
    session.will = willBytes(will)
    session.isConnected = true
    session.endsAtMs = 0
    session.willDueMs = 0
    session.sentBefore = null
    session.change().terms = true
  }

  private end(): void {
    const session = this.sessions[this.frame.key]
    if (session?.isStored === true) this.ended.push(session)
    this.sessions[this.frame.key] = undefined
  }

  /** A record of a session that has ended, or began anew, since it was made changes nothing. */
  private step(session: SessionRow | undefined): void {
    const { frame } = this
    const isStale = session === undefined || frame.epoch < session.since
    switch (frame.kind) {
      case Kind.Detach: {
        const record = frame.readDetach()
        if (isStale) return
        session.isConnected = false
        session.expiryInterval = record.expiryInterval
        session.endsAtMs = record.endsAtMs
        session.willDueMs = record.willDueMs
        session.sentBefore = Number.isFinite(record.sentBefore) ? record.sentBefore : null
        if (!record.hasWill) session.will = null
        session.change().terms = true
        return
      }
      case Kind.Subscribe: {
        const { request, subscriptionIdentifier } = frame.readSubscribe()
        if (isStale) return
        const subscription = { options: optionsOf(request), identifier: subscriptionIdentifier }
        session.change().subscriptions.set(request.topicFilter, subscription)
        return
      }
      case Kind.Unsubscribe: {
        const topicFilter = frame.readFilter()
        if (!isStale) session.change().subscriptions.set(topicFilter, undefined)
        return
      }
      case Kind.WillDone:
        // The connection has another one already.
        if (isStale || frame.epoch !== session.epoch) return
        session.will = null
        session.willDueMs = 0
        session.change().terms = true
        return
      case Kind.End:
        if (!isStale) this.end()
        return
      default:
        if (!isStale) this.stepQueue(session)
    }
  }

  private stepQueue(session: SessionRow): void {
    const { flags, kind, position } = this.frame
    const changes = session.change()
    switch (kind) {
      case Kind.Enqueue:
        return this.enqueue(session)
      case Kind.Advance:
        if (position <= session.head) return
        session.head = position
        // Messages that were acknowledged before they were written had positions, too.
        session.nextPosition = Math.max(session.nextPosition, position)
        changes.progress = true
        return
      case Kind.Dequeue:
        if (!changes.deliveries.delete(position) && this.mayBeStored(session)) changes.dequeued.push(position)
        return
      case Kind.Release: {
        const delivery = changes.deliveries.get(position)
        if (delivery !== undefined) delivery.flags |= EnqueueBit.Released
        else if (this.mayBeStored(session)) changes.released.push(position)
        return
      }
      case Kind.Inbound:
        changes.inbound.set(position, (flags & InboundBit.Released) === 0)
    }
  }

  private enqueue(session: SessionRow): void {
    const { extraFrom, extraTo, flags, message, position, bytes } = this.frame
    const changes = session.change()
    if (position >= session.nextPosition) {
      session.nextPosition = position + 1
      changes.progress = true
    }
    if (position < session.head) return
    // What is there already, if anything, gives way.
    if (this.mayBeStored(session)) changes.dequeued.push(position)
    const extra = extraFrom === extraTo ? null : bytes.bytes.subarray(extraFrom, extraTo)
    changes.deliveries.set(position, { message, extra, flags })
  }

  private mayBeStored(session: SessionRow): boolean {
    const { position } = this.frame
    return position < session.change().storedBefore && position >= session.head
  }
}
