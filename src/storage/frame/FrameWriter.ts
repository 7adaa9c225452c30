/**
 * From records to a journal frame, the unit of durability: what it holds is applied together or not at all.
 *
 *     byte     version
 *     uint32   CRC-32 of all that follows
 *     uint32   where the session keys begin, from the start of the frame
 *     number   sequence number
 *     records  until the session keys
 *     keys     tenant and client identifier of each session that a record is of, until the end
 *
 * A record is a byte with its kind and, in the upper four bits, flags; for those of a session the index of
 * its key and the epoch; then what its kind has. A message that several records share is written with the
 * first and is an index in the others. `FrameReader` reads it.
 */

import type {
  ConnectRecord,
  DetachRecord,
  DurableRecord,
  EnqueueRecord,
  SessionRecord,
  StoredMessage
} from "../DurableRecord.ts"
import { ByteWriter } from "./ByteWriter.ts"
import { hasExtra, optionsOf, writeExtra, writeMessage, writeWill } from "./content.ts"

export const frameVersion = 1

/** Bytes before the sequence number, and of those the ones that the checksum does not cover. */
export const frameHead = { bytes: 9, uncheckedBytes: 5 } as const

/** The lower four bits of a record's first byte. */
export const Kind = {
  Connect: 1,
  Detach: 2,
  WillDone: 3,
  End: 4,
  Subscribe: 5,
  Unsubscribe: 6,
  Enqueue: 7,
  Advance: 8,
  Dequeue: 9,
  Release: 10,
  Inbound: 11,
  Retain: 12
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** The upper four bits of the first byte of an `Enqueue`. */
export const EnqueueBit = { Qos2: 16, Retain: 32, Released: 64, Extra: 128 } as const
export const ConnectBit = { CleanStart: 16, Will: 32 } as const
export const DetachBit = { Will: 16 } as const
export const InboundBit = { Released: 16 } as const

export class FrameWriter {
  private readonly writer = new ByteWriter()
  private readonly keys = new ByteWriter()
  private readonly keyIndexes = new Map<string, Map<string, number>>()
  private keyCount = 0
  private readonly messageIndexes = new Map<StoredMessage, number>()

  /** Bytes written since `begin`. */
  get bytes(): number {
    return this.writer.length + this.keys.length
  }

  /** Starts a frame; what was not finished is forgotten. */
  begin(sequence: number): void {
    this.writer.clear()
    this.keys.clear()
    this.keyIndexes.clear()
    this.keyCount = 0
    this.messageIndexes.clear()
    this.writer.byte(frameVersion)
    this.writer.uint32(0)
    this.writer.uint32(0)
    this.writer.number(sequence)
  }

  /** The frame, in a buffer of its own. */
  finish(): Uint8Array<ArrayBuffer> {
    const { keys, writer } = this
    writer.setUint32(5, writer.length)
    writer.append(keys.bytes.subarray(0, keys.length))
    const frame = writer.copy()
    new DataView(frame.buffer).setUint32(1, checksumOf(frame), true)
    return frame
  }

  add(record: DurableRecord): void {
    const { writer } = this
    switch (record._tag) {
      case "Enqueue":
        return this.enqueue(record)
      case "Advance":
        this.head(Kind.Advance, record)
        return writer.number(record.before)
      case "Dequeue":
        this.head(Kind.Dequeue, record)
        return writer.number(record.position)
      case "Release":
        this.head(Kind.Release, record)
        return writer.number(record.position)
      case "Inbound":
        this.head(Kind.Inbound | (record.isReleased ? InboundBit.Released : 0), record)
        return writer.number(record.packetId)
      case "Retain":
        writer.byte(Kind.Retain)
        writer.text(record.tenant)
        return this.message(record.message)
      case "Connect":
        return this.connect(record)
      case "Detach":
        return this.detach(record)
      case "WillDone":
        return this.head(Kind.WillDone, record)
      case "End":
        return this.head(Kind.End, record)
      case "Subscribe":
        this.head(Kind.Subscribe, record)
        writer.text(record.request.topicFilter)
        writer.byte(optionsOf(record.request))
        return writer.number(record.subscriptionIdentifier)
      case "Unsubscribe":
        this.head(Kind.Unsubscribe, record)
        return writer.text(record.topicFilter)
    }
  }

  private head(first: number, record: SessionRecord): void {
    this.writer.byte(first)
    this.writer.number(this.keyOf(record.tenant, record.clientId))
    this.writer.number(record.epoch)
  }

  private keyOf(tenant: string, clientId: string): number {
    let indexes = this.keyIndexes.get(tenant)
    if (indexes === undefined) {
      indexes = new Map()
      this.keyIndexes.set(tenant, indexes)
    }
    let index = indexes.get(clientId)
    if (index === undefined) {
      index = this.keyCount++
      indexes.set(clientId, index)
      this.keys.text(tenant)
      this.keys.text(clientId)
    }
    return index
  }

  private enqueue(record: EnqueueRecord): void {
    const extra = hasExtra(record)
    this.head(
      Kind.Enqueue |
        (record.qos === 2 ? EnqueueBit.Qos2 : 0) |
        (record.retain ? EnqueueBit.Retain : 0) |
        (record.isReleased ? EnqueueBit.Released : 0) |
        (extra ? EnqueueBit.Extra : 0),
      record
    )
    this.writer.number(record.position)
    this.message(record.message)
    if (!extra) return
    const at = this.beginSized()
    writeExtra(this.writer, record)
    this.endSized(at)
  }

  /** The index of a message, and the message itself when no record before has it. */
  private message(message: StoredMessage): void {
    const known = this.messageIndexes.get(message)
    if (known !== undefined) return this.writer.number(known)
    const index = this.messageIndexes.size
    this.messageIndexes.set(message, index)
    this.writer.number(index)
    const at = this.beginSized()
    writeMessage(this.writer, message)
    this.endSized(at)
  }

  /** What is written until `endSized` has its size in four bytes before it. */
  private beginSized(): number {
    this.writer.uint32(0)
    return this.writer.length
  }

  private endSized(at: number): void {
    this.writer.setUint32(at - 4, this.writer.length - at)
  }

  private connect(record: ConnectRecord): void {
    const { writer } = this
    const { expiryInterval, isCleanStart, principal, will } = record
    this.head(
      Kind.Connect | (isCleanStart ? ConnectBit.CleanStart : 0) | (will === undefined ? 0 : ConnectBit.Will),
      record
    )
    writer.text(principal)
    writer.number(expiryInterval)
    if (will !== undefined) writeWill(writer, will)
  }

  private detach(record: DetachRecord): void {
    const { writer } = this
    this.head(Kind.Detach | (record.hasWill ? DetachBit.Will : 0), record)
    writer.number(record.expiryInterval)
    writer.number(record.endsAtMs)
    writer.number(record.willDueMs)
    writer.number(finiteOr0(record.sentBefore))
  }
}

/** 0 for a position that is not known, which is infinite; otherwise one more than it. */
export const finiteOr0 = (position: number): number =>
  position === Number.POSITIVE_INFINITY ? 0 : position + 1

/** The inverse of `finiteOr0`. */
export const positionOf = (written: number): number =>
  written === 0 ? Number.POSITIVE_INFINITY : written - 1

export const checksumOf = (frame: Uint8Array): number =>
  Bun.hash.crc32(frame.subarray(frameHead.uncheckedBytes))

/** A frame of these records. */
export const encodeFrame = (
  sequence: number,
  records: Iterable<DurableRecord>,
  writer: FrameWriter = new FrameWriter()
): Uint8Array<ArrayBuffer> => {
  writer.begin(sequence)
  for (const record of records) writer.add(record)
  return writer.finish()
}
