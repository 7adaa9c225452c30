/**
 * A queue of ring-less simplicity: an array and the index of its head. Taking is a read and an increment; the
 * consumed front is cut off in one piece when it outweighs the rest, so a message costs amortised constant
 * time and an emptied queue keeps no memory worth speaking of.
 */

/** Below this many consumed slots nothing is cut off: moving a handful of elements is not worth a call. */
const CUT_AT = 512

export class Fifo<A> {
  private items: Array<A | undefined> = []
  private head = 0

  get length(): number {
    return this.items.length - this.head
  }

  push(item: A): void {
    this.items.push(item)
  }

  /** The oldest element, removed; undefined when there is none. Do not store undefined. */
  shift(): A | undefined {
    const { items } = this
    const item = items[this.head]
    if (item === undefined) return undefined
    items[this.head++] = undefined
    if (this.head === items.length) {
      if (items.length > CUT_AT) this.items = []
      else items.length = 0
      this.head = 0
    } else if (this.head >= CUT_AT && this.head * 2 >= items.length) {
      items.splice(0, this.head)
      this.head = 0
    }
    return item
  }

  peek(): A | undefined {
    return this.items[this.head]
  }

  /** All elements, oldest first. The queue must not change meanwhile. */
  *values(): Iterable<A> {
    for (let index = this.head; index < this.items.length; index++) yield this.items[index] as A
  }

  clear(): void {
    this.items = []
    this.head = 0
  }
}
