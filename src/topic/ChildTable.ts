/**
 * The literal children of a trie node: an open-addressing hash table over the first level of each child's
 * label.
 *
 * It holds no keys: a child already knows its text, so that a look-up hashes and compares characters in place
 * and never cuts a level out of a topic. A `Map` from level strings would cost a key string and a larger
 * entry for each child, and an allocation for each level matched.
 *
 * Beside the slots of all but the smallest tables stand the children's hashes, sixteen to a line of the
 * processor's cache. A probe looks at the hash alone: only a child that very probably is the one is followed
 * to its node, its text and the text's characters, each of which is a wait for memory of its own in a tree
 * that no cache holds. So a table may be fuller as well, and to grow it reads no text. With a million filters
 * of five levels an addition takes 0.9 µs, without hashes 2.6, a removal 1.7 and 3.2 (medians of three runs
 * side by side on a busy machine, Bun 1.4.5, 2026-11).
 *
 * A large table is cut into parts that grow one by one: to rehash a million children at once stops the thread
 * for a quarter of a second (Bun 1.4.5, 2026-11).
 *
 * Clients choose the levels, so the hash starts from a random seed and every character is mixed in through a
 * multiply and a shift: nobody can prepare levels that collide. Nothing that a caller sees depends on the
 * seed.
 */

import { slash } from "./TopicName.ts"

/** What the table needs of a child: the first level of its label is `text[start..]` up to the next `/`. */
export interface Labelled {
  readonly text: string
  readonly start: number
}

export class ChildTable<N extends Labelled> {
  count = 0
  /** A power of two of slots; seven eighths are used at most, or all of up to four. */
  #slots: Array<N | undefined> | undefined = undefined
  /** The hash of the child in each slot, 0 where there is none. Small tables have none. */
  #hashes: Int32Array | undefined = undefined
  /** Instead of slots: 256 tables, by the upper bits of the hash. */
  #parts: Array<ChildTable<N>> | undefined = undefined

  /** The child whose label begins with the level of `text` at `start`. */
  find(text: string, start: number): N | undefined {
    if (this.count === 0) return undefined
    const slots = this.#slots
    if (slots !== undefined && this.#hashes === undefined) return scan(slots, text, start)
    return this.#find(text, start, hashLevel(text, start))
  }

  /** Adds a child whose first level is not in the table. */
  add(child: N): void {
    if (this.#slots !== undefined && this.count >= splitAt) this.#split()
    this.#add(child, hashLevel(child.text, child.start))
  }

  /** Puts `next` in the place of `child`; both begin with the same level. */
  replace(child: N, next: N): void {
    const table = this.#partOf(hashLevel(child.text, child.start))
    if (table.#slots !== undefined) table.#slots[table.#slotOf(child)] = next
  }

  /** Removes a child that is in the table. */
  remove(child: N): void {
    this.count--
    if (this.#parts !== undefined) {
      this.#partOf(hashLevel(child.text, child.start)).remove(child)
      if (this.count < unsplitAt) this.#join()
    } else if (this.count === 0) {
      this.#slots = this.#hashes = undefined
    } else if (this.#slots !== undefined) {
      this.#clear(this.#slots, this.#slotOf(child))
      const { length } = this.#slots
      if (length > smallCapacity && this.count <= length >> 3) this.#resize(length >> 1)
    }
  }

  /** Any child; undefined when there is none. */
  any(): N | undefined {
    if (this.count === 0) return undefined
    if (this.#parts !== undefined) return this.#parts.find((part) => part.count > 0)?.any()
    return this.#slots?.find((child) => child !== undefined)
  }

  #find(text: string, start: number, hash: number): N | undefined {
    const hashes = this.#hashes
    const slots = this.#slots
    if (slots === undefined) {
      const part = this.#partOf(hash)
      return part === this ? undefined : part.#find(text, start, hash)
    }
    if (hashes === undefined) return scan(slots, text, start)
    const mask = slots.length - 1
    // A table with hashes is never full.
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = hashes[slot]
      if (found === 0) return undefined
      if (found !== hash) continue
      const child = slots[slot]
      if (child !== undefined && beginsWithLevel(child, text, start)) return child
    }
  }

  #add(child: N, hash: number): void {
    this.count++
    if (this.#parts !== undefined) {
      this.#partOf(hash).#add(child, hash)
      return
    }
    const slots = (this.#slots ??= [undefined, undefined])
    const room = slots.length <= smallCapacity ? slots.length : (slots.length >> 3) * 7
    if (this.count > room) this.#resize(slots.length * 2)
    this.#insert(child, hash)
  }

  #insert(child: N, hash: number): void {
    const slots = this.#slots ?? []
    const hashes = this.#hashes
    if (hashes === undefined) {
      slots[slots.indexOf(undefined)] = child
      return
    }
    const mask = slots.length - 1
    let slot = hash & mask
    while (hashes[slot] !== 0) slot = (slot + 1) & mask
    hashes[slot] = hash
    slots[slot] = child
  }

  /** The table that holds the children with this hash: a part, or this table itself. */
  #partOf(hash: number): ChildTable<N> {
    return this.#parts?.[hash >>> partShift] ?? this
  }

  /** Where a child stands that is in this table. */
  #slotOf(child: N): number {
    const slots = this.#slots ?? []
    if (this.#hashes === undefined) return slots.indexOf(child)
    const mask = slots.length - 1
    let slot = hashLevel(child.text, child.start) & mask
    while (slots[slot] !== child) slot = (slot + 1) & mask
    return slot
  }

  /**
   * Empties a slot and closes the gap: an entry of the run behind it moves in, unless its own first slot is
   * behind too.
   */
  #clear(slots: Array<N | undefined>, cleared: number): void {
    slots[cleared] = undefined
    const hashes = this.#hashes
    if (hashes === undefined) return
    const mask = slots.length - 1
    let gap = cleared
    hashes[gap] = 0
    for (let slot = (gap + 1) & mask; slot !== gap; slot = (slot + 1) & mask) {
      const hash = hashes[slot] ?? 0
      if (hash === 0) break
      const displacement = (slot - hash) & mask
      if (displacement < ((slot - gap) & mask)) continue
      slots[gap] = slots[slot]
      hashes[gap] = hash
      slots[slot] = undefined
      hashes[slot] = 0
      gap = slot
    }
  }

  #resize(capacity: number): void {
    const slots = this.#slots ?? []
    const hashes = this.#hashes
    // Pushed, because a long `new Array(n)` is sparse.
    const next: Array<N | undefined> = []
    for (let slot = 0; slot < capacity; slot++) next.push(undefined)
    this.#slots = next
    this.#hashes = capacity > smallCapacity ? new Int32Array(capacity) : undefined
    for (let slot = 0; slot < slots.length; slot++) {
      const child = slots[slot]
      if (child !== undefined) this.#insert(child, hashes?.[slot] ?? hashLevel(child.text, child.start))
    }
  }

  #split(): void {
    const slots = this.#slots ?? []
    const hashes = this.#hashes
    this.#slots = this.#hashes = undefined
    this.#parts = Array.from({ length: partCount }, () => new ChildTable<N>())
    for (const [slot, child] of slots.entries()) {
      if (child === undefined) continue
      const hash = hashes?.[slot] ?? hashLevel(child.text, child.start)
      this.#partOf(hash).#add(child, hash)
    }
  }

  #join(): void {
    const parts = this.#parts ?? []
    this.#parts = undefined
    this.count = 0
    for (const part of parts) {
      for (const child of part.#slots ?? []) if (child !== undefined) this.add(child)
    }
  }
}

/** Tables of up to this many slots are searched from end to end. */
const smallCapacity = 4
const partShift = 24
const partCount = 256
/** A table with more children has parts; one with far fewer has none again. Parts have no parts. */
const splitAt = 16_384
const unsplitAt = splitAt >> 2

const seed = crypto.getRandomValues(new Int32Array(1))[0] ?? 0

const hashLevel = (text: string, start: number): number => {
  let hash = seed
  for (let index = start; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === slash) break
    hash = Math.imul(hash ^ code, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  // 0 says that a slot is empty.
  return hash === 0 ? 1 : hash
}

const beginsWithLevel = (child: Labelled, text: string, start: number): boolean => {
  const own = child.text
  let at = child.start
  for (let index = start; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === slash) break
    if (at >= own.length || own.charCodeAt(at) !== code) return false
    at++
  }
  return at >= own.length || own.charCodeAt(at) === slash
}

const scan = <N extends Labelled>(
  slots: ReadonlyArray<N | undefined>,
  text: string,
  start: number
): N | undefined => {
  for (const child of slots) if (child !== undefined && beginsWithLevel(child, text, start)) return child
  return undefined
}
