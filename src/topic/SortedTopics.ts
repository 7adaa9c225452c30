/**
 * A set of topics in the order of `<` (UTF-16 code units), cut into leaves so that an insertion moves a few
 * kilobytes at most: a tree of two levels, whose upper one is the array of leaves. Binary search in the
 * array, then in the leaf.
 */

/** A place in the sequence, good until the next change. */
export interface Position {
  leaf: number
  index: number
}

export class SortedTopics {
  readonly #leaves: Array<Array<string>> = []

  get leafCount(): number {
    return this.#leaves.length
  }

  /** Adds a topic that is not in the set. */
  add(topic: string): void {
    const at = this.#leafOf(topic)
    const leaf = this.#leaves[at]
    if (leaf === undefined) {
      this.#leaves.push([topic])
      return
    }
    const index = lowerBound(leaf, 0, topic)
    if (leaf.length < leafMax) {
      leaf.splice(index, 0, topic)
    } else if (index === leaf.length && at === this.#leaves.length - 1) {
      // Topics that arrive in order fill their leaves.
      this.#leaves.push([topic])
    } else {
      const upper = leaf.splice(leafMax >> 1)
      this.#leaves.splice(at + 1, 0, upper)
      if (index <= leaf.length) leaf.splice(index, 0, topic)
      else upper.splice(index - leaf.length, 0, topic)
    }
  }

  /** Removes a topic that is in the set. */
  delete(topic: string): void {
    const at = this.#leafOf(topic)
    const leaf = this.#leaves[at]
    if (leaf === undefined) return
    const index = lowerBound(leaf, 0, topic)
    if (leaf[index] !== topic) return
    leaf.splice(index, 1)
    if (leaf.length === 0) this.#leaves.splice(at, 1)
    else if (!this.#joinWithNext(at)) this.#joinWithNext(at - 1)
  }

  /** Moves to the first topic that is not before `key`; undefined when there is none. */
  seek(key: string, position: Position): string | undefined {
    position.leaf = this.#leafOf(key)
    const leaf = this.#leaves[position.leaf]
    if (leaf === undefined) return undefined
    position.index = lowerBound(leaf, 0, key)
    return leaf[position.index] ?? this.#firstOfNextLeaf(position)
  }

  /** Moves to the next topic. */
  next(position: Position): string | undefined {
    position.index++
    return this.#leaves[position.leaf]?.[position.index] ?? this.#firstOfNextLeaf(position)
  }

  /**
   * Moves forward to the first topic that is not before `key`, which is behind the position; cheap when it is
   * near.
   */
  leap(key: string, position: Position): string | undefined {
    const next = this.next(position)
    if (next === undefined || next >= key) return next
    const leaf = this.#leaves[position.leaf]
    const last = leaf?.[leaf.length - 1]
    if (leaf === undefined || last === undefined || last < key) return this.seek(key, position)
    position.index = lowerBound(leaf, position.index + 1, key)
    return leaf[position.index]
  }

  #firstOfNextLeaf(position: Position): string | undefined {
    position.leaf++
    position.index = 0
    return this.#leaves[position.leaf]?.[0]
  }

  /** The last leaf that does not begin behind `key`, or the first leaf. */
  #leafOf(key: string): number {
    let low = 0
    let high = this.#leaves.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#leaves[middle]?.[0] as string) <= key) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Joins a leaf with the next one when the two together are half full at most. */
  #joinWithNext(at: number): boolean {
    const leaf = this.#leaves[at]
    const next = this.#leaves[at + 1]
    if (leaf === undefined || next === undefined || leaf.length + next.length > leafMax >> 1) return false
    this.#leaves.splice(at, 2, leaf.concat(next))
    return true
  }
}

const leafMax = 512

/** The first index from `low` on whose topic is not before `key`. */
const lowerBound = (leaf: ReadonlyArray<string>, low: number, key: string): number => {
  let from = low
  let to = leaf.length
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((leaf[middle] as string) < key) from = middle + 1
    else to = middle
  }
  return from
}
