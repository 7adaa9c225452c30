/**
 * A node of the subscription trie, and what can be said of one node and its children; the tree is
 * SubscriptionTrie's.
 *
 * A node stands for one or more levels of the filters that pass through it, its label: `text[start, end)`,
 * where `text` is one of those filters. The range ends where a level ends, and `text[0, end)` is the whole
 * path from the root.
 */

import { ChildTable } from "./ChildTable.ts"
import type { Subscribers } from "./Subscribers.ts"
import { hash, plus, slash } from "./TopicName.ts"

/**
 * Six fields, because the engine then spends 64 bytes; the seventh would make it 80. Everything that a filter
 * with one subscriber on the end of a branch does not need is in `branches`.
 */
export class TrieNode<K extends object, V> {
  key: K | undefined = undefined
  value: V | undefined = undefined
  branches: Branches<K, V> | undefined = undefined

  constructor(
    public text: string,
    public start: number,
    public end: number
  ) {}
}

/**
 * The children of a node (the table itself has the literal ones), and its subscribers when they are more than
 * one.
 */
export class Branches<K extends object, V> extends ChildTable<TrieNode<K, V>> {
  many: Subscribers<K, V> | undefined = undefined
  plus: TrieNode<K, V> | undefined = undefined
  hash: TrieNode<K, V> | undefined = undefined
}

export const hasSubscribers = <K extends object, V>(node: TrieNode<K, V>): boolean =>
  node.key !== undefined || node.branches?.many !== undefined

export const subscriberValue = <K extends object, V>(node: TrieNode<K, V>, key: K): V | undefined =>
  node.key === key ? node.value : node.branches?.many?.get(key)

export const appendValues = <K extends object, V>(node: TrieNode<K, V>, into: Array<V>): void => {
  if (node.key !== undefined) into.push(node.value as V)
  else node.branches?.many?.appendTo(into)
}

export const branchesOf = <K extends object, V>(node: TrieNode<K, V>): Branches<K, V> =>
  (node.branches ??= new Branches<K, V>())

export const dropEmptyBranches = <K extends object, V>(node: TrieNode<K, V>): void => {
  if (node.branches?.many === undefined && childCount(node) === 0) node.branches = undefined
}

export const childCount = <K extends object, V>({ branches }: TrieNode<K, V>): number =>
  branches === undefined
    ? 0
    : branches.count + (branches.plus === undefined ? 0 : 1) + (branches.hash === undefined ? 0 : 1)

/** The child whose label begins with the level of `filter` at `start`. */
export const childAt = <K extends object, V>(
  { branches }: TrieNode<K, V>,
  filter: string,
  start: number
): TrieNode<K, V> | undefined => {
  if (branches === undefined) return undefined
  const code = start < filter.length ? filter.charCodeAt(start) : slash
  if (code === plus) return branches.plus
  if (code === hash) return branches.hash
  return branches.find(filter, start)
}

export const addTo = <K extends object, V>(node: TrieNode<K, V>, child: TrieNode<K, V>): void => {
  const branches = branchesOf(node)
  const code = child.start < child.end ? child.text.charCodeAt(child.start) : slash
  if (code === plus) branches.plus = child
  else if (code === hash) branches.hash = child
  else branches.add(child)
}

export const replaceIn = <K extends object, V>(
  { branches }: TrieNode<K, V>,
  child: TrieNode<K, V>,
  next: TrieNode<K, V>
): void => {
  if (branches === undefined) return
  if (branches.plus === child) branches.plus = next
  else branches.replace(child, next)
}

export const removeFrom = <K extends object, V>(node: TrieNode<K, V>, child: TrieNode<K, V>): void => {
  const { branches } = node
  if (branches === undefined) return
  if (branches.plus === child) branches.plus = undefined
  else if (branches.hash === child) branches.hash = undefined
  else branches.remove(child)
  dropEmptyBranches(node)
}

/** Any child of a node that has one. */
export const anyChild = <K extends object, V>(node: TrieNode<K, V>): TrieNode<K, V> => {
  const { branches } = node
  const child = branches?.plus ?? branches?.hash ?? branches?.any()
  if (child === undefined) throw new RangeError("a trie node without subscribers has no child")
  return child
}

/**
 * Where the last whole level ends that a child's label and `filter` have in common; both begin at `start`.
 */
export const commonEnd = <K extends object, V>(
  child: TrieNode<K, V>,
  filter: string,
  start: number
): number => {
  const { end, text } = child
  const stop = Math.min(end, filter.length)
  let common = start
  for (let at = start; at < stop; at++) {
    const code = text.charCodeAt(at)
    if (code !== filter.charCodeAt(at)) return common
    if (code === slash) common = at
  }
  const endsLevel = end < filter.length ? filter.charCodeAt(stop) === slash : endsAt(text, stop)
  return endsLevel ? stop : common
}

/** Whether a level of `text` ends at `at`. */
const endsAt = (text: string, at: number): boolean => at === text.length || text.charCodeAt(at) === slash
