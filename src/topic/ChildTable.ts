/**
 * The literal children of a trie node: an open-addressing hash table over the first level of each child's label, as
 * free functions over an array of slots that the node owns.
 *
 * It holds no keys: a child already knows its text, so that a look-up hashes and compares characters in place and
 * never cuts a level out of a topic. Against a `Map` keyed by level strings that is a key string (64 bytes) and 30-50
 * bytes of table saved for each child, and no allocation for each level matched.
 *
 * Clients choose the levels, so the hash starts from a random seed and every character is mixed in through a multiply
 * and a shift: nobody can prepare levels that collide. Nothing that a caller sees depends on the seed.
 */

import { slash } from "./TopicName.ts"

/** What the table needs of a child: the first level of its label is `text[start..]` up to the next `/`. */
export interface Labelled {
  readonly text: string
  readonly start: number
}

/** A power of two of slots, filled without gaps inside a probe sequence. */
export type Slots<N extends Labelled> = Array<N | undefined>

/** The child whose label begins with the level `text[start, end)`. */
export const findChild = <N extends Labelled>(
  slots: Slots<N>,
  text: string,
  start: number,
  end: number
): N | undefined => {
  const mask = slots.length - 1
  let slot = hashLevel(text, start, end) & mask
  // A table of up to four slots may be full, hence the count.
  for (let probes = 0; probes <= mask; probes++) {
    const child = slots[slot]
    if (child === undefined || hasFirstLevel(child, text, start, end)) return child
    slot = (slot + 1) & mask
  }
  return undefined
}

/** Adds a child that is not in the table of `count` children; returns the slots to keep, larger ones if need be. */
export const addChild = <N extends Labelled>(
  slots: Slots<N> | undefined,
  count: number,
  child: N
): Slots<N> => {
  const target = slots === undefined ? [undefined, undefined] : withRoom(slots, count)
  insert(target, child)
  return target
}

/** Puts `next` in the place of `child`; both begin with the same level. */
export const replaceChild = <N extends Labelled>(slots: Slots<N>, child: N, next: N): void => {
  slots[slotOf(slots, child)] = next
}

/** Removes a child from a table of `count` children; returns the slots to keep, undefined when none is left. */
export const removeChild = <N extends Labelled>(
  slots: Slots<N>,
  count: number,
  child: N
): Slots<N> | undefined => {
  if (count === 1) return undefined
  const mask = slots.length - 1
  let gap = slotOf(slots, child)
  slots[gap] = undefined
  // Close the gap: a later entry of the run moves into it, unless its own first slot lies behind the gap.
  for (let slot = (gap + 1) & mask; slot !== gap; slot = (slot + 1) & mask) {
    const entry = slots[slot]
    if (entry === undefined) break
    const home = homeOf(entry, mask)
    if (((slot - home) & mask) >= ((slot - gap) & mask)) {
      slots[gap] = entry
      slots[slot] = undefined
      gap = slot
    }
  }
  return slots.length > smallCapacity && count - 1 <= slots.length >> 3
    ? resized(slots, slots.length >> 1)
    : slots
}

/** Any child of a table that has one. */
export const anyOf = <N extends Labelled>(slots: Slots<N>): N | undefined => {
  for (const child of slots) if (child !== undefined) return child
  return undefined
}

const smallCapacity = 4

const seed = crypto.getRandomValues(new Int32Array(1))[0] ?? 0

const hashLevel = (text: string, start: number, end: number): number => {
  let hash = seed
  for (let index = start; index < end; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash
}

const homeOf = (child: Labelled, mask: number): number => {
  const { text } = child
  let hash = seed
  for (let index = child.start; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === slash) break
    hash = Math.imul(hash ^ code, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash & mask
}

const hasFirstLevel = (child: Labelled, text: string, start: number, end: number): boolean => {
  const own = child.text
  let at = child.start
  if (at + (end - start) > own.length) return false
  for (let index = start; index < end; index++) {
    if (own.charCodeAt(at) !== text.charCodeAt(index)) return false
    at++
  }
  return at === own.length || own.charCodeAt(at) === slash
}

const slotOf = <N extends Labelled>(slots: Slots<N>, child: N): number => {
  const mask = slots.length - 1
  let slot = homeOf(child, mask)
  while (slots[slot] !== child) slot = (slot + 1) & mask
  return slot
}

const insert = <N extends Labelled>(slots: Slots<N>, child: N): void => {
  const mask = slots.length - 1
  let slot = homeOf(child, mask)
  while (slots[slot] !== undefined) slot = (slot + 1) & mask
  slots[slot] = child
}

const withRoom = <N extends Labelled>(slots: Slots<N>, count: number): Slots<N> => {
  const room = slots.length <= smallCapacity ? slots.length : (slots.length >> 2) * 3
  return count < room ? slots : resized(slots, slots.length * 2)
}

const resized = <N extends Labelled>(slots: Slots<N>, capacity: number): Slots<N> => {
  // Pushed, because `new Array(n)` beyond 100,000 makes a sparse array.
  const next: Slots<N> = []
  for (let slot = 0; slot < capacity; slot++) next.push(undefined)
  for (const child of slots) if (child !== undefined) insert(next, child)
  return next
}
