/** A reading position in what a `ByteWriter` wrote. Every read checks the end and throws `MalformedFrame`. */

import type { Buffer } from "node:buffer"
import { copyRange } from "../../protocol/Cursor.ts"
import { asBuffer, decodeUtf8 } from "../../protocol/Utf8.ts"
import { MalformedFrame } from "./MalformedFrame.ts"

export class ByteReader {
  readonly bytes: Buffer
  at = 0
  readonly end: number
  /** The range that the last `skip` passed over. */
  from = 0
  to = 0

  constructor(bytes: Uint8Array) {
    this.bytes = asBuffer(bytes)
    this.end = bytes.length
  }

  get isAtEnd(): boolean {
    return this.at >= this.end
  }

  fail(reason: string): never {
    throw new MalformedFrame({ reason })
  }

  byte(): number {
    if (this.at >= this.end) this.fail("it ends too early")
    return this.bytes[this.at++]!
  }

  number(): number {
    const first = this.byte()
    if (first < 0x80) return first
    let value = first & 0x7f
    for (let scale = 0x80; ; scale *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) this.fail("a number is too large")
      if (byte < 0x80) return value
    }
  }

  uint32(): number {
    if (this.at + 4 > this.end) this.fail("it ends too early")
    this.at += 4
    return this.bytes.readUInt32LE(this.at - 4)
  }

  /** Passes over a string or binary data: its range becomes [from, to). */
  skip(): void {
    this.skipBytes(this.number())
  }

  /** Passes over `count` bytes: their range becomes [from, to). */
  skipBytes(count: number): void {
    if (count > this.end - this.at) this.fail("it ends too early")
    this.from = this.at
    this.to = this.at += count
  }

  text(): string {
    this.skip()
    return decodeUtf8(this.bytes, this.from, this.to)
  }

  /** Binary data as bytes of their own. */
  binary(): Uint8Array {
    this.skip()
    return copyRange(this.bytes, this.from, this.to)
  }

  /** The range of the last `skip`, shared with the buffer. */
  range(): Uint8Array {
    return this.bytes.subarray(this.from, this.to)
  }
}
