/**
 * What the topic indexes cost: `bun test/bench/micro/run.ts [--quick] topic`.
 *
 * Times are the median of many rounds over prepared texts, after a warm-up; bytes are what the heap loses
 * when everything is removed again, without the filters and topics themselves. Quick runs take 100,000 in
 * place of 1,000,000.
 */

import { heapStats } from "bun:jsc"
import { SubscriptionTrie } from "../../../src/topic/SubscriptionTrie.ts"
import { TopicTree } from "../../../src/topic/TopicTree.ts"
import type { Figure, RunOptions } from "./run.ts"
import { nanosecondsOf, type Sample, sampled } from "./Sampling.ts"

export const run = (options: RunOptions): ReadonlyArray<Figure> => {
  const large = options.quick ? 100_000 : 1_000_000
  return [
    ...subscriptions("devices/{id}/commands", large, (id) => `devices/device-${id}/commands`),
    ...subscriptions("plant/{site}/{line}/{id}/+", large, (id) => `${lineOf(id)}/device-${id}/+`),
    ...subscriptions(
      "devices/{id}/{cmd,cfg}",
      large,
      (id) => `devices/device-${id >> 1}/${id & 1 ? "cmd" : "cfg"}`
    ),
    ...matching(1_000),
    ...matching(large),
    ...retained(1_000),
    ...retained(large)
  ]
}

const timeNs = 2e8

const key = {}
const value = {}

/** 50 sites of 20 lines. */
const lineOf = (id: number): string => `plant/site-${id % 50}/line-${id % 1_000}`

const subscriptions = (
  shape: string,
  count: number,
  filterOf: (id: number) => string
): ReadonlyArray<Figure> => {
  const filters = textsOf(count, filterOf)
  const trie = new SubscriptionTrie<object, object>()
  let longest = 0
  let last = Bun.nanoseconds()
  const start = last
  for (const filter of filters) {
    trie.set(filter, key, value)
    const now = Bun.nanoseconds()
    longest = Math.max(longest, now - last)
    last = now
  }
  const added = last - start
  const full = heapBytes()
  const removed = nanosecondsOf(() => {
    for (const filter of filters) trie.delete(filter, key)
  })
  const bytes = full - heapBytes()
  const name = `trie, ${count} of ${shape}`
  return [
    { name: `${name}: add`, value: (count * 1e9) / added, unit: "/s" },
    { name: `${name}: remove`, value: (count * 1e9) / removed, unit: "/s" },
    { name: `${name}: longest addition`, value: longest / 1e6, unit: "ms" },
    { name: `${name}: heap`, value: bytes / count, unit: "B/subscription" }
  ]
}

const matching = (count: number): ReadonlyArray<Figure> => {
  const trie = new SubscriptionTrie<object, object>()
  for (const filter of textsOf(count, (id) => `${lineOf(id)}/device-${id}/+`)) trie.set(filter, key, value)
  for (const filter of ["plant/+/+/gateway/+", "plant/site-7/#", "other/+/#"]) trie.set(filter, key, value)
  const into: Array<object> = []
  const perMatch = (topics: ReadonlyArray<string>): Sample =>
    sampled(topics.length, timeNs, () => {
      for (const topic of topics) {
        into.length = 0
        trie.match(topic, into)
      }
    })
  const rows: ReadonlyArray<readonly [name: string, topicOf: (id: number) => string]> = [
    ["one match", (id) => `${lineOf(id)}/device-${(id * 7_919) % count}/state`],
    ["two matches by wildcards", (id) => `plant/site-7/line-${id}/gateway/state`],
    ["none", (id) => `elsewhere/site-7/line-${id}/gateway/state`]
  ]
  return rows.map(([row, topicOf]) => ({
    name: `trie, ${count} subscriptions: match, ${row}`,
    unit: "ns",
    ...perMatch(textsOf(1_000, topicOf))
  }))
}

const retained = (count: number): ReadonlyArray<Figure> => {
  const topicOf = (id: number): string => `${lineOf(id)}/device-${id}/state`
  const topics = textsOf(count, topicOf)
  const tree = new TopicTree<object>()
  const added = nanosecondsOf(() => setAll(tree, topics))
  const some = textsOf(1_000, (id) => topicOf((id * 7_919) % count))
  const name = `retained, ${count} topics`
  const perMatch = (filters: ReadonlyArray<string>): Sample =>
    sampled(filters.length, timeNs, () => {
      for (const filter of filters) tree.match(filter, () => true)
    })
  const rows: ReadonlyArray<Figure> = [
    { name: `${name}: add`, value: (count * 1e9) / added, unit: "/s" },
    { name: `${name}: replace`, unit: "ns", ...sampled(1_000, timeNs, () => setAll(tree, some)) },
    { name: `${name}: look up a topic`, unit: "ns", ...perMatch(some) },
    {
      name: `${name}: look up {device}/+, one match`,
      unit: "ns",
      ...perMatch(textsOf(1_000, (id) => some[id]?.replace("/state", "/+") ?? ""))
    },
    { name: `${name}: look up other/#, none`, unit: "ns", ...perMatch(["other/#"]) },
    {
      name: `${name}: # in pages of 256, per topic`,
      unit: "ns",
      ...sampled(count, timeNs, () => replay(tree))
    }
  ]
  const full = heapBytes()
  for (const topic of topics) tree.delete(topic)
  return [...rows, { name: `${name}: heap`, value: (full - heapBytes()) / count, unit: "B/topic" }]
}

const setAll = (tree: TopicTree<object>, topics: ReadonlyArray<string>): void => {
  for (const topic of topics) tree.set(topic, value)
}

const replay = (tree: TopicTree<object>): void => {
  let from: string | undefined
  do {
    from = tree.matchPage({ filter: "#", from, matchesMax: 256, looksMax: 1_024 }, () => {})
  } while (from !== undefined)
}

/** Flat strings: the engine joins a template's parts when a character is first asked for. */
const textsOf = (count: number, textOf: (id: number) => string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, id) => {
    const text = textOf(id)
    text.charCodeAt(0)
    return text
  })

const heapBytes = (): number => {
  Bun.gc(true)
  const { extraMemorySize, heapSize } = heapStats()
  return heapSize + extraMemorySize
}
