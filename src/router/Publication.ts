/**
 * A message on its way: made once by the session that received it, shared by everybody who gets a copy.
 *
 * It begins as a view of the chunk that its socket delivered, which is all that a message needs that leaves
 * in the same turn. Whoever keeps it longer - a queue, the retained store, a window of unacknowledged
 * messages - calls `keep`, which copies it out once, so that a kept message of 64 bytes does not hold a chunk
 * of 64 kilobytes.
 */

import type { Publish, PublishContent, Qos, Topic, Will } from "../protocol/Packet.ts"
import { type Frame, publishFrame } from "../protocol/PublishWriter.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { asBuffer } from "../protocol/Utf8.ts"
import type { DurableRecord, StoredMessage } from "../storage/DurableRecord.ts"
import type { LiveSpan } from "../telemetry/tracing/Tracing.ts"
import { Gathering, type Store } from "./Gathering.ts"
import type { Publisher } from "./Subscriber.ts"

/** Payload bytes up to which `keep` copies without a look at what it would save. */
const COPIED_UNSEEN = 1024

export interface PublicationOrigin {
  /**
   * Who hears of the outcome, and whose own subscriptions No Local leaves out; undefined for the broker's own
   * messages.
   */
  readonly publisher: Publisher | undefined
  /** 0 when nobody waits for an acknowledgement. */
  readonly packetId: number
  /** Which connection of the publisher it came on. */
  readonly epoch: number
  readonly receivedAtMs: number
  /** Where the publisher itself is not at hand. */
  readonly publisherId?: string
  readonly publisherPrincipal?: string | undefined
}

export class Publication implements PublishContent {
  readonly _tag = "Publication"
  readonly topic: Topic
  source: Uint8Array
  payloadStart: number
  payloadEnd: number
  forwardedProperties: Uint8Array
  readonly qos: Qos
  /** RETAIN as the publisher set it. */
  readonly retain: boolean
  /** Until it has heard the outcome. */
  publisher: Publisher | undefined
  /** "" for the broker's own messages. */
  readonly publisherId: string
  /** Whose right to publish it may be asked for again: of a retained message, where it is known. */
  readonly publisherPrincipal: string | undefined
  readonly packetId: number
  readonly epoch: number
  /** Milliseconds since the epoch; 0 for one that an earlier broker, or another node, has received. */
  readonly receivedAtMs: number
  /** Milliseconds since the epoch; 0 when it never expires. */
  readonly expiresAtMs: number
  /** The trace that it belongs to; undefined when it is not traced. */
  traceContext: string | undefined = undefined
  /** Its first span, until its publisher has heard the outcome; undefined when it is not sampled. */
  traced: LiveSpan | undefined = undefined
  private storing: LiveSpan | undefined = undefined
  /** How many targets it has; with more than one the encoded frame is worth keeping. Set by the router. */
  targets = 0
  private kept = false
  /**
   * Those who must be done with it before its publisher is told, the router first of all, and what it will be
   * told.
   */
  private holds = 1
  private outcome: ReasonCode = ReasonCode.Success
  /** What is stored with it in one unit, as long as that has not been handed to the journal. */
  gathering: Gathering | undefined = undefined
  private frames: [Frame | undefined, Frame | undefined, Frame | undefined, Frame | undefined] | undefined

  constructor(content: PublishContent, header: PublicationHeader, origin: PublicationOrigin) {
    this.topic = content.topic
    this.source = content.source
    this.payloadStart = content.payloadStart
    this.payloadEnd = content.payloadEnd
    this.forwardedProperties = content.forwardedProperties
    this.qos = header.qos
    this.retain = header.retain
    this.publisher = origin.publisher
    this.publisherId = origin.publisher?.clientId ?? origin.publisherId ?? ""
    this.publisherPrincipal = header.retain
      ? (origin.publisherPrincipal ?? origin.publisher?.principal)
      : undefined
    this.packetId = origin.packetId
    this.epoch = origin.epoch
    this.receivedAtMs = origin.receivedAtMs
    this.expiresAtMs =
      header.messageExpiryInterval < 0 ? 0 : origin.receivedAtMs + header.messageExpiryInterval * 1000
  }

  static fromPacket(packet: Publish, topic: Topic, origin: PublicationOrigin): Publication {
    const content = packet.topic === topic ? packet : { ...packet, topic }
    return new Publication(content, packet, origin)
  }

  static fromWill(will: Will, origin: PublicationOrigin): Publication {
    const content: PublishContent = {
      topic: { name: will.topic, bytes: Buffer.from(will.topic, "utf8") },
      source: will.payload,
      payloadStart: 0,
      payloadEnd: will.payload.length,
      forwardedProperties: will.forwardedProperties
    }
    return new Publication(content, will, origin)
  }

  /** `publisher` hears whether it is safe; else nobody waits for that. */
  static fromStored(message: StoredMessage, publisher?: Publisher): Publication {
    if (message instanceof Publication) return message
    const { expiresAtMs, forwardedProperties, payload, publisherId, publisherPrincipal, qos, retain, topic } =
      message
    const content = {
      topic,
      source: payload,
      payloadStart: 0,
      payloadEnd: payload.length,
      forwardedProperties
    }
    const header = { qos, retain, messageExpiryInterval: expiresAtMs === 0 ? -1 : expiresAtMs / 1000 }
    const packetId = publisher === undefined ? 0 : 1
    const origin = { publisher, publisherId, publisherPrincipal, packetId, epoch: 0, receivedAtMs: 0 }
    const publication = new Publication(content, header, origin)
    publication.traceContext = message.traceContext
    return publication
  }

  /** The same message outside of its trace, for who keeps it when that is long over. */
  untraced(): Publication {
    if (this.traceContext === undefined) return this
    const { epoch, expiresAtMs, packetId, publisherId, publisherPrincipal, qos, retain } = this
    const header = { qos, retain, messageExpiryInterval: expiresAtMs === 0 ? -1 : expiresAtMs / 1000 }
    const origin = { publisher: undefined, publisherId, publisherPrincipal, packetId, epoch, receivedAtMs: 0 }
    return new Publication(this, header, origin)
  }

  /** The message as one receiver gets it: with other content. */
  withContent(content: PublishContent): Publication {
    const { publisherId, qos, retain, traceContext } = this
    const header = { qos, retain, messageExpiryInterval: -1 }
    const origin = { publisher: undefined, publisherId, packetId: 0, epoch: 0, receivedAtMs: 0 }
    const changed = new Publication(content, header, origin)
    changed.traceContext = traceContext
    return changed
  }

  get payloadBytes(): number {
    return this.payloadEnd - this.payloadStart
  }

  /** What it weighs against limits of bytes: payload, properties and topic. */
  get bytes(): number {
    return this.payloadEnd - this.payloadStart + this.forwardedProperties.length + this.topic.bytes.length
  }

  /**
   * A view of the payload, valid as long as the publication. One that was kept is mostly a buffer of its own,
   * and a view of that is one more object for each message that is stored.
   */
  get payload(): Uint8Array {
    const { payloadEnd, payloadStart, source } = this
    if (payloadStart === 0 && payloadEnd === source.length) return source
    return source.subarray(payloadStart, payloadEnd)
  }

  isExpired(nowMs: number): boolean {
    return this.expiresAtMs !== 0 && nowMs >= this.expiresAtMs
  }

  /** The Message Expiry Interval to forward, in seconds; -1 when there is none. [MQTT-3.3.2-6] */
  remainingExpiry(nowMs: number): number {
    return this.expiresAtMs === 0 ? -1 : Math.max(0, Math.ceil((this.expiresAtMs - nowMs) / 1000))
  }

  /**
   * Makes it independent of the chunk it came in. Call before keeping it beyond the turn; calling again costs
   * nothing.
   */
  keep(): this {
    if (this.kept) return this
    this.kept = true
    const payloadBytes = this.payloadBytes
    // A chunk that hardly holds anything else may as well be kept as it is; asking how large one is costs as
    // much as a small copy.
    if (payloadBytes <= COPIED_UNSEEN || this.source.buffer.byteLength > payloadBytes * 2 + 512) {
      const own = Buffer.allocUnsafe(payloadBytes)
      asBuffer(this.source).copy(own, 0, this.payloadStart, this.payloadEnd)
      this.source = own
      this.payloadStart = 0
      this.payloadEnd = payloadBytes
    }
    const properties = this.forwardedProperties
    if (properties.length > 0 && properties.buffer.byteLength > properties.length * 2 + 512) {
      this.forwardedProperties = Buffer.from(properties)
    }
    return this
  }

  /** Somebody has to store something before the publisher may be told that the message is safe. */
  hold(): this {
    this.holds++
    return this
  }

  /** The router is done with it: what the publisher will be told unless storing fails. */
  routed(outcome: ReasonCode): void {
    if (this.outcome === ReasonCode.Success) this.outcome = outcome
    if (this.traced !== undefined && this.holds > 1) {
      this.storing = this.traced.child("store", { kind: "internal" })
    }
    this.settle(true)
  }

  /**
   * The record is stored together with the copies of those who get the message: with those that the router
   * has yet to hand it to, who must say `contributed` when that is done.
   */
  gather(record: DurableRecord, store: Store, isRefusable: boolean): Gathering {
    if (this.gathering === undefined) {
      this.hold()
      this.gathering = new Gathering(isRefusable, store, (outcome) => this.settle(outcome === undefined))
    }
    this.gathering.expect()
    this.gathering.add(record)
    return this.gathering
  }

  /** Somebody who should keep it cannot take it: its publisher is not told that it is safe. */
  refuse(): void {
    if (this.gathering === undefined) this.outcome = ReasonCode.UnspecifiedError
    else this.gathering.refuse()
  }

  /**
   * It is not taken, for that reason, as if it had never been published. Who is to be told, which is the
   * caller's to do.
   */
  reject(reason: string): Publisher | undefined {
    const { publisher } = this
    this.publisher = undefined
    this.traceFailed(reason, ReasonCode.QuotaExceeded)
    this.gathering?.reject()
    this.contributed()
    this.settle(true)
    return publisher
  }

  /** One of those that were expected has added its records. */
  contributed(): void {
    const { gathering } = this
    if (gathering?.contributed() !== true) return
    this.gathering = undefined
    gathering.complete()
  }

  /** One hold less. With the last the publisher hears the outcome, if it waits for one. */
  settle(isStored: boolean): void {
    if (!isStored) this.outcome = ReasonCode.UnspecifiedError
    this.holds--
    if (this.holds > 0) return
    const { publisher } = this
    if (this.traced !== undefined) this.endTrace(this.traced)
    // Nobody waits any more; and a message that is kept for long must not keep its publisher's session.
    this.publisher = undefined
    if (this.packetId !== 0) publisher?.published(this, this.outcome)
  }

  private endTrace(traced: LiveSpan): void {
    const { outcome } = this
    if (isFailure(outcome)) return this.traceFailed(`reason code 0x${outcome.toString(16)}`, outcome)
    this.traced = undefined
    this.storing?.end()
    this.storing = undefined
    traced.set({ "mqtt.reason_code": outcome })
    traced.end()
  }

  /** Its first span ends: it goes no further, or its publisher is refused. Nothing where it has ended. */
  traceFailed(reason: string, reasonCode?: ReasonCode): void {
    const { storing, traced } = this
    if (traced === undefined) return
    this.traced = undefined
    this.storing = undefined
    storing?.fail(reason)
    traced.set({ "mqtt.reason_code": reasonCode })
    traced.fail(reason, reasonCode)
  }

  /** The encoded packet, shared by all receivers of that protocol version. */
  frame(isVersion5: boolean, hasPacketId: boolean): Frame {
    const frames = (this.frames ??= [undefined, undefined, undefined, undefined])
    const index = (isVersion5 ? 2 : 0) + (hasPacketId ? 1 : 0)
    return (frames[index] ??= publishFrame(isVersion5 ? 5 : 4, this, hasPacketId))
  }
}

export interface PublicationHeader {
  readonly qos: Qos
  readonly retain: boolean
  /** Seconds; -1 when there is none. */
  readonly messageExpiryInterval: number
}

/** The same message for one receiver, with other properties. */
export const tracedCopy = (publication: Publication, forwardedProperties: Uint8Array): Publication => {
  const { epoch, expiresAtMs, packetId, payloadEnd, payloadStart, publisherId, qos, retain, source, topic } =
    publication
  const content = { topic, source, payloadStart, payloadEnd, forwardedProperties }
  const header = { qos, retain, messageExpiryInterval: expiresAtMs === 0 ? -1 : expiresAtMs / 1000 }
  return new Publication(content, header, {
    publisher: undefined,
    packetId,
    epoch,
    receivedAtMs: 0,
    publisherId
  })
}
