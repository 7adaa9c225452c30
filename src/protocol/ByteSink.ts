/**
 * Output memory: a `PagePool` of one broker lends pages to the `ByteSink`s of its connections while they have
 * something to send. Sizes are powers of two from 4 KB to 1 MB, and what the pool keeps is bounded, so an
 * idle connection holds no page and a burst does not stay. Larger buffers are made on demand and left to the
 * collector.
 */

import { Buffer } from "node:buffer"
import { emptyBuffer } from "./Cursor.ts"

const pageBytesMin = 4096
const pageBytesMax = 1024 * 1024
const minShift = 12

export interface PagePoolOptions {
  /** Bytes of free pages that the pool keeps. Default 16 MB. */
  readonly freeBytesMax?: number
}

export class PagePool {
  private readonly free: ReadonlyArray<Array<Buffer>> = Array.from({ length: 9 }, () => [])
  private readonly freeBytesMax: number
  private waiting = 0
  private lent = 0

  constructor(options: PagePoolOptions = {}) {
    this.freeBytesMax = options.freeBytesMax ?? 16 * 1024 * 1024
  }

  /** Bytes of pages that wait to be taken. */
  get freeBytes(): number {
    return this.waiting
  }

  /** Bytes of pages that are taken and not given back. */
  get lentBytes(): number {
    return this.lent
  }

  /** A page of at least `bytesMin` bytes, with whatever its last user left in it. */
  take(bytesMin: number): Buffer {
    const page = this.find(bytesMin)
    this.lent += page.length
    return page
  }

  private find(bytesMin: number): Buffer {
    if (bytesMin > pageBytesMax) return Buffer.allocUnsafeSlow(bytesMin)
    const shift = bytesMin <= pageBytesMin ? minShift : 32 - Math.clz32(bytesMin - 1)
    const page = this.free[shift - minShift]!.pop()
    if (page === undefined) return Buffer.allocUnsafeSlow(1 << shift)
    this.waiting -= page.length
    return page
  }

  /** Gives back a page that `take` returned and nobody refers to any more. */
  give(page: Buffer): void {
    const length = page.length
    this.lent -= length
    if (length < pageBytesMin || length > pageBytesMax || this.waiting + length > this.freeBytesMax) return
    this.waiting += length
    this.free[31 - Math.clz32(length) - minShift]!.push(page)
  }
}

/**
 * A growing run of bytes to send: [0, length) of `bytes`. It owns a page from the first `reserve` to
 * `release`.
 */
export class ByteSink {
  bytes: Buffer = emptyBuffer
  length = 0

  constructor(private readonly pool: PagePool) {}

  /** Makes room for `count` more bytes at `length`. `bytes` may be another buffer afterwards. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const page = this.pool.take(Math.max(needed, Math.min(2 * this.bytes.length, pageBytesMax)))
    this.bytes.copy(page, 0, 0, this.length)
    if (this.bytes.length > 0) this.pool.give(this.bytes)
    this.bytes = page
  }

  /** Appends bytes that are already encoded. */
  write(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Drops the first `count` bytes, which have been sent. */
  consume(count: number): void {
    if (count >= this.length) {
      this.release()
      return
    }
    this.bytes.copyWithin(0, count, this.length)
    this.length -= count
  }

  /** Empties the sink and gives its page back. */
  release(): void {
    if (this.bytes.length > 0) this.pool.give(this.bytes)
    this.bytes = emptyBuffer
    this.length = 0
  }
}
