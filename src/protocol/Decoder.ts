/**
 * Bytes of one client in, packets out, whatever the chunks: `push` a chunk, then `next` until it returns
 * undefined.
 *
 * - The first byte of a connection must be that of CONNECT; anything else is refused before a second byte is
 *   looked at.
 * - The size that a fixed header declares is checked as soon as it is complete, before anything is buffered.
 * - A packet that lies in one chunk is read in place. One that spans chunks is gathered in a buffer that
 *   grows with what has arrived, not with what was declared, and each byte is copied a bounded number of
 *   times.
 * - Buffers that were handed out in a `Publish` are never written again.
 * - What breaks a rule throws `MalformedPacket`, once and for all: every later `next` throws it again.
 *
 * Topic aliases, packet identifiers in use and all other state of a session are not known here.
 */

import { Buffer } from "node:buffer"
import { ControlReader, type ControlReaderOptions } from "./ControlReader.ts"
import { emptyBuffer } from "./Cursor.ts"
import { MalformedPacket } from "./MalformedPacket.ts"
import type { ClientPacket, Pingreq, ProtocolVersion } from "./Packet.ts"
import { type Frame, readAck, readPublish, TopicMemo } from "./PublishReader.ts"
import { type Rule, rules, violation } from "./Rule.ts"
import { asBuffer } from "./Utf8.ts"

export interface DecoderOptions {
  /** Largest packet accepted, fixed header included. */
  readonly packetBytesMax: number
  /** Shared by the decoders of a broker; one of its own when absent. */
  readonly control?: ControlReader
}

/** CONNECT, the packet type of 1 with reserved flags 0. */
const connectByte = 0x10

const pingreq: Pingreq = Object.freeze({ _tag: "Pingreq" })

/**
 * First bytes that a client may send after CONNECT, at 1. MQTT 3.1 and AUTH are looked at more closely below.
 */
const isOrdinary = new Uint8Array(256)
for (const byte of [0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0]) isOrdinary[byte] = 1
for (const byte of [0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3a, 0x3b, 0x3c, 0x3d]) isOrdinary[byte] = 1

/** The rule that a first byte breaks, or undefined. */
const firstByteRule = (byte: number, version: ProtocolVersion | 0): Rule | undefined => {
  const type = byte >> 4
  if (version === 0) {
    if (byte === connectByte) return undefined
    return type === 1 ? rules.reservedFlags : rules.firstPacketNotConnect
  }
  // In MQTT 3.1 a PUBREL, SUBSCRIBE or UNSUBSCRIBE that is sent again has DUP set.
  if (version === 3 && (byte === 0x6a || byte === 0x8a || byte === 0xaa)) return undefined
  switch (type) {
    case 1:
      return rules.secondConnect // [MQTT-3.1.0-2]
    case 2:
    case 9:
    case 11:
    case 13:
      return rules.serverOnlyType
    case 3:
      return (byte & 0x06) === 0x06 ? rules.publishQos3 : rules.dupAtQos0
    case 6:
      return rules.pubrelFlags
    case 8:
      return rules.subscribeFlags
    case 10:
      return rules.unsubscribeFlags
    case 14:
      return rules.disconnectFlags
    case 15:
      if (version !== 5) return rules.reservedType
      return byte === 0xf0 ? undefined : rules.authFlags
    default:
      return type === 0 ? rules.reservedType : rules.reservedFlags
  }
}

/**
 * The protocol level of a CONNECT with a known protocol name, at `body`; 0 when it has none. Level 0 counts
 * as 1: neither was ever a version, and both are answered. [v3 MQTT-3.1.2-2]
 */
const levelOf = (bytes: Buffer, body: number, end: number): number => {
  if (body + 2 > end) return 0
  const level = body + 2 + bytes.readUInt16BE(body)
  if (level >= end) return 0
  const name = bytes.toString("latin1", body + 2, level)
  return name === "MQTT" || name === "MQIsdp" ? Math.max(1, bytes[level]!) : 0
}

/** Chunks that were read and still stand in the queue. */
const QUEUE_READ_MAX = 32

export class Decoder {
  /** 0 until CONNECT was read. */
  version: ProtocolVersion | 0 = 0
  /**
   * The protocol level that CONNECT asked for, also when it was then refused: 5 or more wants a CONNACK of
   * 5.0, 1 to 4 one of 3.1.1, 0 (no CONNECT, or an unknown protocol name) none.
   */
  attemptedLevel = 0
  /** Largest packet accepted, fixed header included. A change holds from the next fixed header on. */
  packetBytesMax: number

  private readonly control: ControlReader
  private readonly topics = new TopicMemo()
  private failure: MalformedPacket | undefined

  /** The chunk being read; [at, chunk.length) is still to come, then the queue. */
  private chunk: Buffer = emptyBuffer
  private at = 0
  private queue: Array<Buffer> | undefined
  private queueHead = 0
  private queuedBytes = 0

  /** The packet being gathered from several chunks. Its total is 0 until its fixed header is complete. */
  private pending: Buffer = emptyBuffer
  private pendingLength = 0
  private pendingTotal = 0

  /** Set by `measure`: where the body of the packet measured last starts, relative to the packet. */
  private headerLength = 0

  constructor(options: DecoderOptions) {
    this.packetBytesMax = options.packetBytesMax
    this.control = options.control ?? new ControlReader()
  }

  /** Bytes received that no packet returned so far has used up. */
  get bufferedBytes(): number {
    return this.pendingLength + this.chunk.length - this.at + this.queuedBytes
  }

  /** Takes a chunk. The decoder owns it from now on; packets may refer to it. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.failure !== undefined) return
    // With the chunk used up there may still be a queue, and what comes now stands behind it.
    if (this.at === this.chunk.length && this.queuedBytes === 0) {
      this.chunk = asBuffer(chunk)
      this.at = 0
      return
    }
    this.queue ??= []
    this.queue.push(asBuffer(chunk))
    this.queuedBytes += chunk.length
  }

  /** The next complete packet, undefined when more bytes are needed. Throws `MalformedPacket`. */
  next(): ClientPacket | undefined {
    if (this.failure !== undefined) throw this.failure
    try {
      return this.take()
    } catch (error) {
      if (error instanceof MalformedPacket) {
        this.failure = error
        this.release()
      }
      throw error
    }
  }

  /** A copy of the bytes that no packet has used up, in order; they stay in the decoder. */
  remainder(): Uint8Array {
    return Buffer.concat([
      this.pending.subarray(0, this.pendingLength),
      this.chunk.subarray(this.at),
      ...(this.queue ?? []).slice(this.queueHead)
    ])
  }

  private release(): void {
    this.chunk = this.pending = emptyBuffer
    this.at = this.pendingLength = this.pendingTotal = this.queuedBytes = this.queueHead = 0
    this.queue = undefined
  }

  /** Moves on to the next chunk of the queue, if there is one. */
  private advance(): boolean {
    this.chunk = emptyBuffer
    this.at = 0
    const { queue } = this
    const chunk = queue?.[this.queueHead++]
    if (queue === undefined || chunk === undefined) {
      this.queue = undefined
      this.queueHead = 0
      return false
    }
    // A client that always sends before we are through never empties the queue: what was read is let go now
    // and then.
    if (this.queueHead === QUEUE_READ_MAX) {
      queue.splice(0, QUEUE_READ_MAX)
      this.queueHead = 0
    }
    this.chunk = chunk
    this.queuedBytes -= chunk.length
    return true
  }

  private take(): ClientPacket | undefined {
    for (;;) {
      const { at, chunk } = this
      const available = chunk.length - at
      if (available === 0) {
        if (!this.advance()) return undefined
      } else if (this.pendingLength > 0) {
        if (this.gather()) return this.takePending()
      } else {
        const total = this.measure(chunk, at, available)
        if (total > 0 && total <= available) {
          this.at = at + total
          return this.read(chunk, at, at + this.headerLength, at + total)
        }
        this.hold(total)
      }
    }
  }

  /**
   * Checks the fixed header at `at` as far as it has arrived. Returns the size of the whole packet, or 0
   * while the header is not complete.
   */
  private measure(bytes: Buffer, at: number, available: number): number {
    const firstByte = bytes[at]!
    if (this.version === 0 || isOrdinary[firstByte] === 0) {
      const rule = firstByteRule(firstByte, this.version)
      if (rule !== undefined) throw violation(rule, this.version)
    }
    let remaining = 0
    for (let index = 1; index < available; index++) {
      const byte = bytes[at + index]!
      remaining |= (byte & 0x7f) << (7 * (index - 1))
      if (byte < 0x80) {
        if (byte === 0 && index > 1) throw violation(rules.varintNotMinimal, this.version) // [MQTT-1.5.5-1]
        const total = 1 + index + remaining
        if (total > this.packetBytesMax) throw violation(rules.packetTooLarge, this.version)
        this.headerLength = 1 + index
        return total
      }
      if (index === 4) throw violation(rules.varintTooLong, this.version)
    }
    return 0
  }

  /**
   * Puts the rest of the chunk aside: the start of a packet of `total` bytes, 0 when that is not known yet.
   */
  private hold(total: number): void {
    const length = this.chunk.length - this.at
    this.pending = Buffer.allocUnsafeSlow(total === 0 ? 8 : Math.min(total, Math.max(length, 256)))
    this.chunk.copy(this.pending, 0, this.at)
    this.pendingLength = length
    this.pendingTotal = total
    this.at = this.chunk.length
  }

  /** Moves bytes of the chunk to the pending packet. True when that is complete. */
  private gather(): boolean {
    while (this.pendingTotal === 0) {
      if (this.at === this.chunk.length) return false
      this.pending[this.pendingLength++] = this.chunk[this.at++]!
      this.pendingTotal = this.measure(this.pending, 0, this.pendingLength)
    }
    const length = Math.min(this.pendingTotal - this.pendingLength, this.chunk.length - this.at)
    this.reserve(this.pendingLength + length)
    this.chunk.copy(this.pending, this.pendingLength, this.at, this.at + length)
    this.at += length
    this.pendingLength += length
    return this.pendingLength === this.pendingTotal
  }

  /**
   * Makes room for `needed` bytes in all; doubling keeps the copying linear and the room below twice what
   * came.
   */
  private reserve(needed: number): void {
    if (needed <= this.pending.length) return
    const size = Math.min(this.pendingTotal, Math.max(needed, 2 * this.pending.length, 256))
    const grown = Buffer.allocUnsafeSlow(size)
    this.pending.copy(grown, 0, 0, this.pendingLength)
    this.pending = grown
  }

  private takePending(): ClientPacket {
    const bytes = this.pending
    const total = this.pendingTotal
    this.pending = emptyBuffer
    this.pendingLength = this.pendingTotal = 0
    return this.read(bytes, 0, this.headerLength, total)
  }

  private read(bytes: Buffer, start: number, body: number, end: number): ClientPacket {
    const firstByte = bytes[start]!
    const version = this.version
    if (version === 0) return this.readConnect(bytes.subarray(start, end), body - start)
    const type = firstByte >> 4
    if (type === 3) {
      const frame: Frame = { bytes, body, end, firstByte, version }
      return readPublish(frame, this.topics, this.control)
    }
    if (type >= 4 && type <= 7) return readAck({ bytes, body, end, firstByte, version }, this.control)
    if (type === 12) {
      if (body !== end) throw violation(rules.trailingBytes, version)
      return pingreq
    }
    const frame = this.controlFrame(bytes, start, end)
    switch (type) {
      case 8:
        return this.control.subscribe(frame, body - start, version)
      case 10:
        return this.control.unsubscribe(frame, body - start, version)
      case 14:
        return this.control.disconnect(frame, body - start, version)
      default:
        return this.control.auth(frame, body - start)
    }
  }

  private readConnect(frame: Buffer, body: number): ClientPacket {
    this.attemptedLevel = levelOf(frame, body, frame.length)
    const connect = this.control.connect(frame, body)
    this.version = connect.protocolVersion
    return connect
  }

  /**
   * The bytes of a control packet. MQTT 3.1's DUP flag, which says nothing that we need, is taken out of a
   * copy.
   */
  private controlFrame(bytes: Buffer, start: number, end: number): Buffer {
    const frame = bytes.subarray(start, end)
    if (this.version !== 3 || (frame[0]! & 0x08) === 0) return frame
    const copy = Buffer.from(frame)
    copy[0] = copy[0]! & 0xf7
    return copy
  }
}

/** A factory of decoders that share their scratch memory: one per broker. */
export const makeDecoders = (
  options: ControlReaderOptions = {}
): ((options: { readonly packetBytesMax: number }) => Decoder) => {
  const control = new ControlReader(options)
  return ({ packetBytesMax }) => new Decoder({ packetBytesMax, control })
}
