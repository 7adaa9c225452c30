/**
 * One tenant's subscriptions: from a topic to the values of every filter that matches it.
 *
 * Owns the index only: what a key (a subscriber) and a value (its subscription) are is the router's business.
 * Filters are valid ones without `$share/group/`, topics are valid names; both are judged before they come
 * here.
 *
 * The tree is compressed: a node stands for one or more levels, because most filters share a beginning and
 * then go their own way (`devices/{id}/…`). A filter alone on its branch is one node, however many levels it
 * has; a node is split when another filter leaves it half-way and joined again when that one goes. A node
 * does not copy its label: it keeps a filter that passes through it and the range of the label in it. The
 * range always ends at a level's end, and `text[0, end)` is the whole path from the root, so that splitting
 * and joining only move `start` and `end`.
 *
 * Invariants: a node with subscribers has its own filter as `text`; one without has two children at least,
 * and the text of one of them. Hence no text outlives its subscriptions. All loops are iterative: a filter
 * can have 65,536 levels.
 *
 * Measured with a million filters like `devices/{id}/commands`, against a tree with a `Map` from level to
 * child in each node and topics split by `/` (Bun 1.4.5, 2026-11, one busy core):
 *
 *     |                                 | this trie   | Map per level |
 *     | memory beside the filters       | 87 B each   | 412 B each    |
 *     | the same, two filters a device  | 162 B each  | 291 B each    |
 *     | match, 1,000 filters            | 150 ns      | 270 ns        |
 *     | match, 1,000,000 filters        | 380-520 ns  | 600 ns        |
 *     | match of nothing, either number | 35 ns       |               |
 *     | add                             | 550,000 /s  | 570,000 /s    |
 *     | longest addition                | 7 ms        | 205 ms        |
 */

import { LiteralPaths } from "./LiteralPaths.ts"
import { Subscribers } from "./Subscribers.ts"
import { levelEnd, matchLevels } from "./TopicFilter.ts"
import { dollar, plus } from "./TopicName.ts"
import {
  addTo,
  anyChild,
  appendValues,
  type Branches,
  branchesOf,
  childAt,
  childCount,
  commonEnd,
  dropEmptyBranches,
  hasSubscribers,
  removeFrom,
  replaceIn,
  subscriberValue,
  TrieNode
} from "./TrieNode.ts"

export class SubscriptionTrie<K extends object, V> {
  readonly #root = new TrieNode<K, V>("", 0, -1)
  readonly #paths = new LiteralPaths()
  /** Nodes and topic positions that a match has still to visit. Kept, so that a match allocates nothing. */
  readonly #pendingNodes: Array<TrieNode<K, V>> = []
  readonly #pendingPositions: Array<number> = []
  #size = 0
  #nodeCount = 0
  #generation = 0

  /** Subscriptions: pairs of filter and key. */
  get size(): number {
    return this.#size
  }

  /** Nodes beside the root; 0 when the trie is empty. */
  get nodeCount(): number {
    return this.#nodeCount
  }

  /** Changes with every change after which a topic may match other values. */
  get generation(): number {
    return this.#generation
  }

  get(filter: string, key: K): V | undefined {
    const node = this.#walk(filter, undefined)
    return node === undefined ? undefined : subscriberValue(node, key)
  }

  /** Subscribes `key`, and returns the value that it had on this filter before. */
  set(filter: string, key: K, value: V): V | undefined {
    const node = this.#reach(filter)
    this.#generation++
    const many = node.branches?.many
    if (many !== undefined) {
      const before = many.size
      const previous = many.set(key, value)
      this.#size += many.size - before
      return previous
    }
    if (node.key === key) {
      const previous = node.value
      node.value = value
      return previous
    }
    this.#size++
    if (node.key === undefined) {
      // A leaf that was just made is counted; this is a place that others pass through.
      if (node.branches !== undefined) this.#paths.add(filter, filter.length + 1)
      node.text = filter
      node.key = key
      node.value = value
      return undefined
    }
    const subscribers = new Subscribers<K, V>()
    subscribers.set(node.key, node.value as V)
    subscribers.set(key, value)
    node.key = undefined
    node.value = undefined
    branchesOf(node).many = subscribers
    return undefined
  }

  /** Ends a subscription, and returns its value. */
  delete(filter: string, key: K): V | undefined {
    const path: Array<TrieNode<K, V>> = []
    const node = this.#walk(filter, path)
    if (node === undefined) return undefined
    const before = this.#size
    const value = this.#removeSubscriber(node, key)
    if (this.#size === before) return undefined
    this.#generation++
    if (!hasSubscribers(node)) this.#prune(node, path)
    return value
  }

  /**
   * Appends to `into` the values of every subscription whose filter matches `topic`, in no particular order.
   */
  match(topic: string, into: Array<V>): void {
    const nodes = this.#pendingNodes
    const positions = this.#pendingPositions
    const length = topic.length
    // [MQTT-4.7.2-1]
    let wildcards = topic.charCodeAt(0) !== dollar
    let reach = this.#paths.reach(topic)
    let node: TrieNode<K, V> | undefined = this.#root
    let position = 0
    for (;;) {
      const branches: Branches<K, V> | undefined = node.branches
      if (position > length) appendValues(node, into)
      let next: TrieNode<K, V> | undefined
      let from = 0
      if (branches !== undefined) {
        // `#` also matches the level above it: `a/#` matches `a`.
        if (wildcards && branches.hash !== undefined) appendValues(branches.hash, into)
        if (position <= length) {
          if (wildcards && branches.plus !== undefined) {
            nodes.push(branches.plus)
            positions.push(position)
          }
          next = position <= reach ? branches.find(topic, position) : undefined
          if (next !== undefined) {
            const end = levelEnd(topic, position)
            from = next.start + (end - position) + 1
            position = end + 1
          }
        }
      }
      wildcards = true
      for (;;) {
        if (next !== undefined) {
          position = matchLevels(next.text, from, next.end, topic, position)
          if (position !== -1) {
            // Below a wildcard, also one within a node, the way is no literal one.
            if (position > reach && next.branches !== undefined && hasPlus(next, from)) reach = length
            break
          }
        }
        next = nodes.pop()
        if (next === undefined) return
        reach = length
        from = next.start
        position = positions.pop() as number
      }
      node = next
    }
  }

  /**
   * The node of exactly this filter, with or without subscribers. `path` takes its ancestors from the root
   * on.
   */
  #walk(filter: string, path: Array<TrieNode<K, V>> | undefined): TrieNode<K, V> | undefined {
    let node = this.#root
    while (node.end < filter.length) {
      const start = node.end + 1
      const child = childAt(node, filter, start)
      if (child === undefined || child.end > filter.length) return undefined
      if (commonEnd(child, filter, start) !== child.end) return undefined
      path?.push(node)
      node = child
    }
    return node
  }

  /** The node of exactly this filter, made if there is none. */
  #reach(filter: string): TrieNode<K, V> {
    let node = this.#root
    while (node.end < filter.length) {
      const start = node.end + 1
      const child = childAt(node, filter, start)
      if (child === undefined) {
        const leaf = new TrieNode<K, V>(filter, start, filter.length)
        addTo(node, leaf)
        this.#paths.add(filter, start)
        this.#nodeCount++
        return leaf
      }
      const common = commonEnd(child, filter, start)
      if (common === child.end) {
        node = child
        continue
      }
      const upper = new TrieNode<K, V>(child.text, start, common)
      replaceIn(node, child, upper)
      child.start = common + 1
      addTo(upper, child)
      this.#nodeCount++
      node = upper
    }
    return node
  }

  #removeSubscriber(node: TrieNode<K, V>, key: K): V | undefined {
    if (node.key === key) {
      const value = node.value
      node.key = undefined
      node.value = undefined
      this.#size--
      return value
    }
    const many = node.branches?.many
    if (many === undefined || node.branches === undefined) return undefined
    const before = many.size
    const value = many.delete(key)
    this.#size += many.size - before
    const last = many.only()
    if (last !== undefined) {
      node.key = last.key
      node.value = last.value
      node.branches.many = undefined
      dropEmptyBranches(node)
    }
    return value
  }

  /** Takes a node that has lost its last subscriber out of the tree, as far as its children allow. */
  #prune(node: TrieNode<K, V>, path: Array<TrieNode<K, V>>): void {
    const removed = node.text
    const parent = path[path.length - 1]
    if (parent === undefined) return
    const children = childCount(node)
    this.#paths.remove(removed, children === 0 ? node.start : removed.length + 1)
    if (children === 0) {
      removeFrom(parent, node)
      this.#nodeCount--
      const above = path[path.length - 2]
      if (above !== undefined && !hasSubscribers(parent) && childCount(parent) === 1) {
        this.#join(parent, above)
        path.pop()
      }
    } else if (children === 1) {
      this.#join(node, parent)
    } else {
      node.text = anyChild(node).text
    }
    // Upwards, so that each node finds a child whose text is right already.
    for (let index = path.length - 1; index > 0; index--) {
      const ancestor = path[index] as TrieNode<K, V>
      if (!hasSubscribers(ancestor) && ancestor.text === removed) ancestor.text = anyChild(ancestor).text
    }
  }

  /** Joins a node without subscribers with its only child. */
  #join(node: TrieNode<K, V>, parent: TrieNode<K, V>): void {
    const child = anyChild(node)
    child.start = node.start
    replaceIn(parent, node, child)
    this.#nodeCount--
  }
}

/** Whether a `+` is among the levels of a node from `from` on. */
const hasPlus = ({ end, text }: { readonly text: string; readonly end: number }, from: number): boolean => {
  for (let at = from; at < end; at = levelEnd(text, at) + 1) if (text.charCodeAt(at) === plus) return true
  return false
}
