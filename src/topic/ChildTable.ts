/**
 * The literal children of a trie node: an open-addressing hash table over the first level of each child's
 * label.
 *
 * It holds no keys: a child already knows its text, so that a look-up hashes and compares characters in place
 * and never cuts a level out of a topic. A `Map` from level strings would cost a key string and a larger
 * entry for each child, and an allocation for each level matched.
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
  /** A power of two of slots; three quarters are used at most, or all of up to four. */
  #slots: Array<N | undefined> | undefined = undefined
  /** Instead of slots: 256 tables, by the upper bits of the hash. */
  #parts: Array<ChildTable<N>> | undefined = undefined

  /** The child whose label begins with the level of `text` at `start`. */
  find(text: string, start: number): N | undefined {
    return this.count === 0 ? undefined : this.#find(text, start, hashLevel(text, start))
  }

  /** Adds a child whose first level is not in the table. */
  add(child: N): void {
    if (this.#slots !== undefined && this.count >= splitAt) this.#split()
    this.#add(child, hashLevel(child.text, child.start))
  }

  /** Puts `next` in the place of `child`; both begin with the same level. */
  replace(child: N, next: N): void {
    const hash = hashLevel(child.text, child.start)
    const table = this.#partOf(hash)
    if (table.#slots !== undefined) table.#slots[slotOf(table.#slots, child, hash)] = next
  }

  /** Removes a child that is in the table. */
  remove(child: N): void {
    const hash = hashLevel(child.text, child.start)
    this.count--
    if (this.#parts !== undefined) {
      this.#partOf(hash).remove(child)
      if (this.count < unsplitAt) this.#join()
    } else if (this.count === 0) {
      this.#slots = undefined
    } else if (this.#slots !== undefined) {
      clearSlot(this.#slots, slotOf(this.#slots, child, hash))
      const { length } = this.#slots
      if (length > smallCapacity && this.count <= length >> 3) this.#slots = resized(this.#slots, length >> 1)
    }
  }

  /** Any child; undefined when there is none. */
  any(): N | undefined {
    if (this.count === 0) return undefined
    if (this.#parts !== undefined) return this.#parts.find((part) => part.count > 0)?.any()
    return this.#slots?.find((child) => child !== undefined)
  }

  #find(text: string, start: number, hash: number): N | undefined {
    const slots = this.#slots
    if (slots === undefined) return this.#partOf(hash).#find(text, start, hash)
    const mask = slots.length - 1
    let slot = hash & mask
    // A table of up to four slots may be full, hence the count.
    for (let probes = 0; probes <= mask; probes++) {
      const child = slots[slot]
      if (child === undefined || beginsWithLevel(child, text, start)) return child
      slot = (slot + 1) & mask
    }
    return undefined
  }

  #add(child: N, hash: number): void {
    this.count++
    if (this.#parts !== undefined) {
      this.#partOf(hash).#add(child, hash)
      return
    }
    let slots = (this.#slots ??= [undefined, undefined])
    const room = slots.length <= smallCapacity ? slots.length : (slots.length >> 2) * 3
    if (this.count > room) slots = this.#slots = resized(slots, slots.length * 2)
    insert(slots, child, hash)
  }

  /** The table that holds the children with this hash: a part, or this table itself. */
  #partOf(hash: number): ChildTable<N> {
    return this.#parts?.[hash >>> partShift] ?? this
  }

  #split(): void {
    const slots = this.#slots ?? []
    this.#slots = undefined
    this.#parts = Array.from({ length: partCount }, () => new ChildTable<N>())
    for (const child of slots) {
      if (child === undefined) continue
      const hash = hashLevel(child.text, child.start)
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
  return hash
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

const slotOf = <N extends Labelled>(slots: Array<N | undefined>, child: N, hash: number): number => {
  const mask = slots.length - 1
  let slot = hash & mask
  while (slots[slot] !== child) slot = (slot + 1) & mask
  return slot
}

const insert = <N extends Labelled>(slots: Array<N | undefined>, child: N, hash: number): void => {
  const mask = slots.length - 1
  let slot = hash & mask
  while (slots[slot] !== undefined) slot = (slot + 1) & mask
  slots[slot] = child
}

/**
 * Empties a slot and closes the gap: an entry of the run behind it moves in, unless its own first slot is
 * behind too.
 */
const clearSlot = <N extends Labelled>(slots: Array<N | undefined>, cleared: number): void => {
  const mask = slots.length - 1
  let gap = cleared
  slots[gap] = undefined
  for (let slot = (gap + 1) & mask; slot !== gap; slot = (slot + 1) & mask) {
    const entry = slots[slot]
    if (entry === undefined) break
    const displacement = (slot - hashLevel(entry.text, entry.start)) & mask
    if (displacement >= ((slot - gap) & mask)) {
      slots[gap] = entry
      slots[slot] = undefined
      gap = slot
    }
  }
}

const resized = <N extends Labelled>(slots: Array<N | undefined>, capacity: number): Array<N | undefined> => {
  // Pushed, because a long `new Array(n)` is sparse.
  const next: Array<N | undefined> = []
  for (let slot = 0; slot < capacity; slot++) next.push(undefined)
  for (const child of slots) {
    if (child !== undefined) insert(next, child, hashLevel(child.text, child.start))
  }
  return next
}
