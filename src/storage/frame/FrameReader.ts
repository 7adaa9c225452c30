/**
 * A walk through the records of a frame. The frequent kinds are left as numbers and ranges of bytes, so that
 * who stores them makes no objects of them; `decodeFrame` makes records of all.
 *
 * A frame is checked as a whole before its first record is read: one that was torn or changed is refused.
 */

import {
  type ConnectRecord,
  type DetachRecord,
  type DurableRecord,
  Recorded,
  type StoredMessage,
  type SubscribeRecord
} from "../DurableRecord.ts"
import { ByteReader } from "./ByteReader.ts"
import {
  type MessageHead,
  noExtra,
  readExtra,
  readHead,
  readMessage,
  readWill,
  requestOf
} from "./content.ts"
import {
  ConnectBit,
  checksumOf,
  DetachBit,
  EnqueueBit,
  frameHead,
  frameVersion,
  InboundBit,
  Kind,
  positionOf
} from "./FrameWriter.ts"

export interface SessionKey {
  readonly tenant: string
  readonly clientId: string
}

/** A message in a frame: [from, to) of its bytes. */
export interface FrameMessage extends MessageHead {
  readonly from: number
  readonly to: number
}

/** The kinds whose records are walked without making them. */
export type WalkedKind =
  | typeof Kind.Enqueue
  | typeof Kind.Advance
  | typeof Kind.Dequeue
  | typeof Kind.Release
  | typeof Kind.Inbound
  | typeof Kind.WillDone
  | typeof Kind.End

export class FrameReader {
  readonly sequence: number
  readonly keys: ReadonlyArray<SessionKey>
  readonly messages: Array<FrameMessage> = []
  readonly bytes: ByteReader
  /** Of the record that `next` came to. */
  kind: Kind = Kind.Connect
  flags = 0
  key = 0
  epoch = 0
  /** Of Enqueue, Dequeue and Release; `before` of Advance; the Packet Identifier of Inbound. */
  position = 0
  /** Of Enqueue and Retain: an index of `messages`. */
  message = 0
  /** The range of what an Enqueue has beside its message; empty when it has nothing. */
  extraFrom = 0
  extraTo = 0
  /** Of Retain. */
  tenant = ""
  private readonly recordsEnd: number

  constructor(frame: Uint8Array) {
    const reader = new ByteReader(frame)
    this.bytes = reader
    const version = reader.byte()
    if (version !== frameVersion) reader.fail(`a frame of version ${version} is not known`)
    const checksum = reader.uint32()
    this.recordsEnd = reader.uint32()
    if (checksumOf(frame) !== checksum) reader.fail("the checksum does not fit")
    if (this.recordsEnd < frameHead.bytes || this.recordsEnd > frame.length) {
      reader.fail("the keys stand outside")
    }
    this.keys = this.readKeys()
    reader.at = frameHead.bytes
    this.sequence = reader.number()
  }

  private readKeys(): ReadonlyArray<SessionKey> {
    const reader = this.bytes
    const keys: Array<SessionKey> = []
    reader.at = this.recordsEnd
    while (!reader.isAtEnd) keys.push({ tenant: reader.text(), clientId: reader.text() })
    return keys
  }

  /** Goes to the next record; false at the end. A record of another kind than `WalkedKind` must be read. */
  next(): boolean {
    const reader = this.bytes
    if (reader.at >= this.recordsEnd) {
      if (reader.at > this.recordsEnd) reader.fail("the last record is too long")
      return false
    }
    const first = reader.byte()
    const kind = first & 15
    if (kind === 0 || kind > Kind.Retain) reader.fail(`a record of kind ${kind} is not known`)
    this.kind = kind as Kind
    this.flags = first & 0xf0
    if (kind === Kind.Retain) {
      this.tenant = reader.text()
      this.readMessage()
      return true
    }
    this.key = reader.number()
    if (this.key >= this.keys.length) reader.fail("a record is of no session")
    this.epoch = reader.number()
    if (kind >= Kind.Enqueue) this.position = reader.number()
    if (kind === Kind.Enqueue) {
      this.readMessage()
      this.readExtra()
    }
    return true
  }

  private readMessage(): void {
    const reader = this.bytes
    const index = reader.number()
    this.message = index
    if (index < this.messages.length) return
    if (index > this.messages.length) reader.fail("a message is missing")
    const size = reader.uint32()
    const from = reader.at
    const to = from + size
    if (to > this.recordsEnd) reader.fail("a message is too long")
    const { bytes, expiresAtMs, payloadBytes } = readHead(reader)
    if (reader.at > to) reader.fail("a message is too short")
    reader.at = to
    this.messages.push({ from, to, bytes, expiresAtMs, payloadBytes })
  }

  private readExtra(): void {
    const reader = this.bytes
    this.extraFrom = this.extraTo = reader.at
    if ((this.flags & EnqueueBit.Extra) === 0) return
    reader.skipBytes(reader.uint32())
    this.extraFrom = reader.from
    this.extraTo = reader.to
  }

  private get sessionKey(): SessionKey {
    return this.keys[this.key]!
  }

  readConnect(): ConnectRecord {
    const reader = this.bytes
    return {
      _tag: "Connect",
      ...this.sessionKey,
      epoch: this.epoch,
      isCleanStart: (this.flags & ConnectBit.CleanStart) !== 0,
      principal: reader.text(),
      expiryInterval: reader.number(),
      will: (this.flags & ConnectBit.Will) === 0 ? undefined : readWill(reader)
    }
  }

  readDetach(): DetachRecord {
    const reader = this.bytes
    return {
      _tag: "Detach",
      ...this.sessionKey,
      epoch: this.epoch,
      hasWill: (this.flags & DetachBit.Will) !== 0,
      expiryInterval: reader.number(),
      endsAtMs: reader.number(),
      willDueMs: reader.number(),
      sentBefore: positionOf(reader.number())
    }
  }

  readSubscribe(): SubscribeRecord {
    const reader = this.bytes
    const request = requestOf(reader.text(), reader.byte())
    if (request === undefined) return reader.fail("a subscription has unknown options")
    const subscriptionIdentifier = reader.number()
    return { _tag: "Subscribe", ...this.sessionKey, epoch: this.epoch, request, subscriptionIdentifier }
  }

  /** The topic filter of an Unsubscribe. */
  readFilter(): string {
    return this.bytes.text()
  }
}

export interface Frame {
  readonly sequence: number
  readonly records: ReadonlyArray<DurableRecord>
}

/** All records of a frame. Throws `MalformedFrame`. */
export const decodeFrame = (bytes: Uint8Array): Frame => {
  const reader = new FrameReader(bytes)
  const messages: Array<StoredMessage> = []
  const records: Array<DurableRecord> = []
  while (reader.next()) records.push(recordOf(reader, messages))
  return { sequence: reader.sequence, records }
}

const recordOf = (reader: FrameReader, messages: Array<StoredMessage>): DurableRecord => {
  const { epoch, flags, kind, position, tenant } = reader
  if (kind === Kind.Retain) return { _tag: "Retain", tenant, message: messageOf(reader, messages) }
  const session = { ...reader.keys[reader.key]!, epoch }
  switch (kind) {
    case Kind.Connect:
      return reader.readConnect()
    case Kind.Detach:
      return reader.readDetach()
    case Kind.WillDone:
      return { _tag: "WillDone", ...session }
    case Kind.End:
      return { _tag: "End", ...session }
    case Kind.Subscribe:
      return reader.readSubscribe()
    case Kind.Unsubscribe:
      return { _tag: "Unsubscribe", ...session, topicFilter: reader.readFilter() }
    case Kind.Enqueue:
      return {
        _tag: "Enqueue",
        ...session,
        position,
        message: messageOf(reader, messages),
        qos: (flags & EnqueueBit.Qos2) === 0 ? 1 : 2,
        retain: (flags & EnqueueBit.Retain) !== 0,
        ...extraOf(reader),
        isReleased: (flags & EnqueueBit.Released) !== 0,
        recorded: Recorded.Written
      }
    case Kind.Advance:
      return { _tag: "Advance", ...session, before: position }
    case Kind.Dequeue:
      return { _tag: "Dequeue", ...session, position }
    case Kind.Release:
      return { _tag: "Release", ...session, position }
    case Kind.Inbound:
      return {
        _tag: "Inbound",
        ...session,
        packetId: position,
        isReleased: (flags & InboundBit.Released) !== 0
      }
  }
}

/** The same object for every record that shares a message. */
const messageOf = (reader: FrameReader, messages: Array<StoredMessage>): StoredMessage => {
  const index = reader.message
  const known = messages[index]
  if (known !== undefined) return known
  const { from, to } = reader.messages[index]!
  const message = readMessage(new ByteReader(reader.bytes.bytes.subarray(from, to)))
  messages[index] = message
  return message
}

const extraOf = (reader: FrameReader) =>
  reader.extraFrom === reader.extraTo
    ? noExtra
    : readExtra(new ByteReader(reader.bytes.bytes.subarray(reader.extraFrom, reader.extraTo)))
