/**
 * What other nodes want: from a tenant's topic to the destinations that have subscriptions for it, and to the
 * shared subscriptions that have members elsewhere.
 *
 * Every subscription that was advertised counts; a route is gone with its last. A route's weight, how many
 * advertised it, is what a shared subscription's messages are spread by.
 *
 * Filters go into the same trie as a router's subscriptions. A destination that gets a message matches it
 * again, so a table may say too much, but never too little; this one says neither.
 */

import { SubscriptionTrie } from "../topic/SubscriptionTrie.ts"
import type { Destination } from "./Destination.ts"

/** Subscriptions of a tenant's to one filter, and where their messages go. */
export interface Route {
  readonly to: Destination
  readonly tenant: string
  readonly topicFilter: string
  /** The key of the shared subscription; undefined for those that are not shared. */
  readonly group: string | undefined
}

/** One place that has members of a shared subscription, and how many. */
export interface GroupShare {
  readonly to: Destination
  readonly weight: number
}

/** Where a message has to go. Each destination and each group is there once. */
export interface Destinations {
  readonly plain: ReadonlyArray<Destination>
  readonly groups: ReadonlyMap<string, ReadonlyArray<GroupShare>>
}

class Entry {
  weight = 0

  constructor(
    readonly to: Destination,
    readonly topicFilter: string,
    readonly group: string | undefined
  ) {}
}

interface TenantRoutes {
  readonly trie: SubscriptionTrie<Entry, Entry>
  readonly entries: Map<string, Entry>
}

export class Routes {
  private readonly tenants = new Map<string, TenantRoutes>()
  private readonly found: Array<Entry> = []

  add(route: Route): void {
    const { group, tenant, to, topicFilter } = route
    let routes = this.tenants.get(tenant)
    if (routes === undefined) {
      routes = { trie: new SubscriptionTrie(), entries: new Map() }
      this.tenants.set(tenant, routes)
    }
    const key = keyOf(route)
    let entry = routes.entries.get(key)
    if (entry === undefined) {
      entry = new Entry(to, topicFilter, group)
      routes.entries.set(key, entry)
      routes.trie.set(topicFilter, entry, entry)
    }
    entry.weight++
  }

  remove(route: Route): void {
    const routes = this.tenants.get(route.tenant)
    const entry = routes?.entries.get(keyOf(route))
    if (routes === undefined || entry === undefined) return
    entry.weight--
    if (entry.weight === 0) this.drop(route.tenant, routes, entry)
  }

  /** Removes all that a destination has advertised for a tenant. */
  removeAll(tenant: string, to: Destination): void {
    const routes = this.tenants.get(tenant)
    if (routes === undefined) return
    for (const entry of routes.entries.values()) if (entry.to === to) this.drop(tenant, routes, entry)
  }

  /** Undefined when nobody wants the message. */
  match(tenant: string, topic: string): Destinations | undefined {
    // All that a message pays for where there is one node.
    if (this.tenants.size === 0) return undefined
    const { found } = this
    this.tenants.get(tenant)?.trie.match(topic, found)
    if (found.length === 0) return undefined
    const plain = new Set<Destination>()
    const groups = new Map<string, Array<GroupShare>>()
    for (const { group, to, weight } of found) {
      const shares = group === undefined ? undefined : groups.get(group)
      if (group === undefined) plain.add(to)
      else if (shares === undefined) groups.set(group, [{ to, weight }])
      else shares.push({ to, weight })
    }
    found.length = 0
    return { plain: [...plain], groups }
  }

  private drop(tenant: string, routes: TenantRoutes, entry: Entry): void {
    routes.entries.delete(keyOf(entry))
    routes.trie.delete(entry.topicFilter, entry)
    if (routes.entries.size === 0) this.tenants.delete(tenant)
  }
}

/** Neither destinations nor filters contain U+0000, and a group's key contains its filter. */
const keyOf = ({ group, to, topicFilter }: Omit<Route, "tenant">): string =>
  `${to}\u0000${group ?? topicFilter}`
