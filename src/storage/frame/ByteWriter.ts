/**
 * One growing buffer that binary forms are written to, kept from one use to the next.
 *
 * Numbers are non-negative integers up to 2^53 - 1 in groups of seven bits, least significant first. Strings
 * and binary data carry their length in bytes before them.
 */

import { Buffer } from "node:buffer"

const bytesMin = 4096
/** What one large batch needed is not kept for ever. */
const keptBytesMax = 8 * 1024 * 1024

export class ByteWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(bytesMin)
  length = 0

  clear(): void {
    this.length = 0
    if (this.bytes.length > keptBytesMax) this.bytes = Buffer.allocUnsafeSlow(bytesMin)
  }

  /** Makes room for `count` more bytes. `bytes` may be another buffer afterwards. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }

  byte(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  number(value: number): void {
    this.reserve(8)
    const { bytes } = this
    let at = this.length
    let rest = value
    while (rest > 0x7fffffff) {
      bytes[at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[at++] = rest
    this.length = at
  }

  uint32(value: number): void {
    this.reserve(4)
    this.bytes.writeUInt32LE(value, this.length)
    this.length += 4
  }

  /** Overwrites four bytes that were written before. */
  setUint32(at: number, value: number): void {
    this.bytes.writeUInt32LE(value, at)
  }

  binary(value: Uint8Array): void {
    this.number(value.length)
    this.append(value)
  }

  /** The bytes alone. A loop beats `set` for few of them. */
  append(value: Uint8Array): void {
    const count = value.length
    this.reserve(count)
    const { bytes, length } = this
    if (count > 32) bytes.set(value, length)
    else for (let at = 0; at < count; at++) bytes[length + at] = value[at]!
    this.length = length + count
  }

  /** A string as UTF-8. Most are short and ASCII: a loop writes these faster than native code. */
  text(value: string): void {
    const count = value.length
    if (count < 64) {
      this.reserve(count + 1)
      const { bytes, length } = this
      let at = 0
      for (; at < count; at++) {
        const code = value.charCodeAt(at)
        if (code > 0x7f) break
        bytes[length + 1 + at] = code
      }
      if (at === count) {
        bytes[length] = count
        this.length = length + 1 + count
        return
      }
    }
    const size = Buffer.byteLength(value, "utf8")
    this.number(size)
    this.reserve(size)
    this.bytes.write(value, this.length, size, "utf8")
    this.length += size
  }

  /** A copy of what was written, in a buffer of its own that may be handed to another thread. */
  copy(): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(this.length)
    copy.set(this.bytes.subarray(0, this.length))
    return copy
  }
}
