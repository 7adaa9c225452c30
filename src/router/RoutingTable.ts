/**
 * Who of a tenant gets what on this node: its subscriptions and shared groups, and the cache through which
 * the router looks a topic up.
 *
 * Counts every subscription, and tells the other nodes of each that comes and goes. A group begins with its
 * first member and ends with its last.
 */

import type { Forwarding } from "../cluster/Forwarder.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import { SubscriptionTrie } from "../topic/SubscriptionTrie.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import { MatchCache, type Route } from "./MatchCache.ts"
import { groupKey, SharedGroup } from "./SharedGroup.ts"
import type { Subscriber, Subscription } from "./Subscriber.ts"

export interface RoutingTableOptions {
  readonly settings: TenantSettings
  readonly counters: Counters
  readonly random: () => number
  readonly forwarding: Forwarding
}

/** What a table holds; for leak tests and metrics. */
export interface RoutingCensus {
  readonly subscriptions: number
  readonly trieNodes: number
  readonly groups: number
}

/** Topics, and the subscribers of each, that the cache keeps: some 30 MB at most. */
const CACHE_WEIGHT_MAX = 262_144

export class RoutingTable {
  private readonly trie = new SubscriptionTrie<object, Route>()
  private readonly groups = new Map<string, SharedGroup>()
  /** Subscriptions that may want what the broker says of itself. */
  private systemFilters = 0
  /** Whom a topic's messages go to. */
  readonly cache = new MatchCache(this.trie, CACHE_WEIGHT_MAX)

  constructor(private readonly options: RoutingTableOptions) {}

  get census(): RoutingCensus {
    return { subscriptions: this.trie.size, trieNodes: this.trie.nodeCount, groups: this.groups.size }
  }

  /** Whether anybody here wants what is said below `$SYS`. */
  get hasSystemFilters(): boolean {
    return this.systemFilters > 0
  }

  /** The shared group of that key; undefined when nobody is in it. */
  group(key: string): SharedGroup | undefined {
    return this.groups.get(key)
  }

  /** Whether a shared subscription has as many members as it may, without this one. */
  isFull({ filter, group, ordered }: SharedFilter, subscriber: Subscriber): boolean {
    const members = this.groups.get(groupKey(group, filter, ordered))
    return (
      members !== undefined &&
      members.size >= this.options.settings.sharedGroupMembersMax &&
      !members.has(subscriber)
    )
  }

  /** Adds a subscription, or replaces the one that its subscriber had with that filter. */
  add(filter: PlainFilter | SharedFilter, subscription: Subscription): void {
    if (filter._tag === "Plain") {
      const previous = this.trie.set(filter.filter, subscription.subscriber, subscription)
      if (previous !== undefined) return
      this.count(filter, 1)
      this.options.forwarding.advertise(filter.filter, undefined)
      return
    }
    const key = groupKey(filter.group, filter.filter, filter.ordered)
    let group = this.groups.get(key)
    if (group === undefined) {
      const { settings } = this.options
      group = new SharedGroup({
        name: filter.group,
        topicFilter: filter.filter,
        isOrdered: filter.ordered,
        get strategy() {
          return settings.sharedSubscriptionStrategy
        },
        random: this.options.random
      })
      this.groups.set(key, group)
      this.trie.set(filter.filter, group, group)
    }
    const before = group.size
    group.set(subscription)
    if (group.size === before) return
    this.count(filter, 1)
    this.options.forwarding.advertise(filter.filter, key)
  }

  private count({ filter }: PlainFilter | SharedFilter, change: 1 | -1): void {
    this.options.counters.subscriptions += change
    // A filter that begins with a wildcard matches none of those topics. [MQTT-4.7.2-1]
    if (filter.startsWith("$SYS")) this.systemFilters += change
  }

  /** Does nothing when there is none. */
  remove(filter: PlainFilter | SharedFilter, subscriber: Subscriber): void {
    if (filter._tag === "Plain") {
      const removed = this.trie.delete(filter.filter, subscriber)
      if (removed === undefined) return
      this.count(filter, -1)
      this.options.forwarding.withdraw(filter.filter, undefined)
      return
    }
    const key = groupKey(filter.group, filter.filter, filter.ordered)
    const group = this.groups.get(key)
    if (group?.delete(subscriber) !== true) return
    this.count(filter, -1)
    this.options.forwarding.withdraw(filter.filter, key)
    if (group.size > 0) return
    this.groups.delete(key)
    this.trie.delete(filter.filter, group)
  }
}
