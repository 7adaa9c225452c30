/**
 * The frame that carries messages from node to node. Little-endian:
 *
 *     0  u8  0xB7         4  u16  index of the sender         16  u64  number of the frame, from 1 on,
 *     1  u8  version      6  u16  records                              for each sender, lane and destination
 *     2  u8  lane         8  u64  incarnation of the sender   24       records
 *     3  u8  0
 *
 * A record is its kind (1), the tenant, the key of a shared subscription or "", and the message in the form
 * that journals keep it in. Expiry is an instant: the nodes' clocks have to agree.
 *
 * Pure: bytes in, records out, and the other way round.
 */

import type { StoredMessage } from "../storage/DurableRecord.ts"
import { ByteReader } from "../storage/frame/ByteReader.ts"
import { ByteWriter } from "../storage/frame/ByteWriter.ts"
import { readMessage, writeMessage } from "../storage/frame/content.ts"

export type Lane = "fast" | "sure"

export interface FrameHead {
  readonly lane: Lane
  /** The sender's index and incarnation as `Membership` has them. */
  readonly origin: number
  readonly incarnation: number
  readonly sequence: number
}

/** A message on its way to another node. */
export interface ForwardedMessage {
  readonly tenant: string
  /**
   * Undefined: for all whose subscriptions match and are not shared. Else for a member of that shared
   * subscription.
   */
  readonly group: string | undefined
  readonly message: StoredMessage
}

const magic = 0xb7
const version = 1
const headBytes = 24
const publication = 1
/** As many as the count can say. */
const recordsMax = 0xffff
/** A frame that has become this large takes no more. One message may exceed it. */
const frameBytesMax = 256 * 1024
const lanes: ReadonlyArray<Lane> = ["fast", "sure"]

/** A frame that takes messages until it is sealed. */
export class OpenFrame {
  private readonly writer = new ByteWriter()
  private records = 0

  constructor() {
    this.writer.reserve(headBytes)
    this.writer.length = headBytes
  }

  get isFull(): boolean {
    return this.records === recordsMax || this.writer.length >= frameBytesMax
  }

  /** Adds a record and returns its place. */
  add({ group, message, tenant }: ForwardedMessage): number {
    const { writer } = this
    writer.byte(publication)
    writer.text(tenant)
    writer.text(group ?? "")
    writeMessage(writer, message)
    return this.records++
  }

  /** The bytes, for good: nothing may be added any more. */
  seal({ incarnation, lane, origin, sequence }: FrameHead): Uint8Array {
    const { bytes, length } = this.writer
    bytes[0] = magic
    bytes[1] = version
    bytes[2] = lanes.indexOf(lane)
    bytes[3] = 0
    bytes.writeUInt16LE(origin, 4)
    bytes.writeUInt16LE(this.records, 6)
    bytes.writeBigUInt64LE(BigInt(incarnation), 8)
    bytes.writeBigUInt64LE(BigInt(sequence), 16)
    return bytes.subarray(0, length)
  }
}

export interface BusFrame extends FrameHead {
  readonly records: ReadonlyArray<ForwardedMessage>
}

/** Throws `MalformedFrame`. The messages are copies, independent of the frame. */
export const decodeBusFrame = (bytes: Uint8Array): BusFrame => {
  const reader = new ByteReader(bytes)
  reader.skipBytes(headBytes)
  const head = reader.bytes
  const lane = lanes[head[2]!]
  if (head[0] !== magic) reader.fail("it is no frame of the bus")
  if (head[1] !== version) reader.fail(`its version is ${head[1]}`)
  if (lane === undefined || head[3] !== 0) return reader.fail("its head is of a later version")
  const records: Array<ForwardedMessage> = []
  for (let count = head.readUInt16LE(6); count > 0; count--) records.push(readRecord(reader))
  if (!reader.isAtEnd) reader.fail("something follows its last record")
  return {
    lane,
    origin: head.readUInt16LE(4),
    incarnation: Number(head.readBigUInt64LE(8)),
    sequence: Number(head.readBigUInt64LE(16)),
    records
  }
}

const readRecord = (reader: ByteReader): ForwardedMessage => {
  if (reader.byte() !== publication) reader.fail("a record is of an unknown kind")
  const tenant = reader.text()
  const group = reader.text()
  return { tenant, group: group === "" ? undefined : group, message: readMessage(reader) }
}
