/**
 * What a look-up of the router's match cache costs: `bun test/bench/micro/run.ts [--quick] cache`.
 *
 * A miss is one that is not kept, so that every look-up walks the trie and merges again. Churn is a tenant in
 * which a subscription changes after every so many look-ups: what the cache is worth to those who publish
 * while others come and go. Topics are asked in a shuffled order, the same in every run.
 */

import { MatchCache, type Route } from "../../../src/router/MatchCache.ts"
import { SubscriptionTrie } from "../../../src/topic/SubscriptionTrie.ts"
import { Peer, subscriptionOf } from "../../router/support.ts"
import type { Figure, RunOptions } from "./run.ts"
import { sampled, shuffled } from "./Sampling.ts"

const topicCount = 1_000

const topics = shuffled(
  Array.from({ length: topicCount }, (_, id) => `plant/line-${id % 20}/device-${id}/state`)
)

/** Each topic has this many subscribers, half of them through a wildcard. */
const trieWith = (subscribers: number): SubscriptionTrie<object, Route> => {
  const trie = new SubscriptionTrie<object, Route>()
  for (let index = 0; index < subscribers; index++) {
    const peer = new Peer(`subscriber-${index}`)
    const subscription = subscriptionOf(peer)
    if (index % 2 === 1) trie.set("plant/+/+/state", peer, subscription)
    else for (const topic of topics) trie.set(topic, peer, subscription)
  }
  return trie
}

const enough = 1_000_000

export const run = ({ quick }: RunOptions): ReadonlyArray<Figure> => {
  const timeNs = quick ? 2e7 : 4e8
  return [1, 10, 100].flatMap((subscribers) => {
    const trie = trieWith(subscribers)
    const name = `look up, ${subscribers} to each topic`
    return [
      { name: `${name}, hit`, unit: "ns", ...hits(trie, timeNs) },
      { name: `${name}, miss`, unit: "ns", ...misses(trie, timeNs) },
      { name: `${name}, a change every 100`, unit: "ns", ...churn(trie, 100, timeNs) },
      { name: `${name}, a change every 10,000`, unit: "ns", ...churn(trie, 10_000, timeNs) }
    ]
  })
}

const lookUpAll = (cache: MatchCache): void => {
  for (const topic of topics) cache.lookup(topic)
}

const hits = (trie: SubscriptionTrie<object, Route>, timeNs: number) => {
  const cache = new MatchCache(trie, enough)
  return sampled(topicCount, timeNs, () => lookUpAll(cache))
}

const misses = (trie: SubscriptionTrie<object, Route>, timeNs: number) => {
  const cache = new MatchCache(trie, 0)
  return sampled(topicCount, timeNs, () => lookUpAll(cache))
}

/** The time of the change itself is part of it. */
const churn = (trie: SubscriptionTrie<object, Route>, every: number, timeNs: number) => {
  const cache = new MatchCache(trie, enough)
  const peer = new Peer("passer-by")
  const subscription = subscriptionOf(peer)
  let looks = 0
  let isThere = false
  const look = (topic: string): void => {
    cache.lookup(topic)
    if (++looks % every !== 0) return
    isThere = !isThere
    if (isThere) trie.set("elsewhere/passer-by", peer, subscription)
    else trie.delete("elsewhere/passer-by", peer)
  }
  const units = Math.max(topicCount, every)
  return sampled(units, timeNs, () => {
    for (let index = 0; index < units; index++) look(topics[index % topicCount]!)
  })
}
