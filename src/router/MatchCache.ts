/**
 * From a topic to whom its messages go: the trie's answer, merged a subscriber at a time and kept until a
 * subscription changes.
 *
 * A look-up in the map costs 20-40 ns where the walk and the merge cost a microsecond and more. Any change of
 * the trie's generation makes all entries stale, and the map is emptied: a stale entry is of no use, and it
 * would hold sessions that are gone. The map is bounded by what it holds, topics and their subscribers: it is
 * emptied when full, which costs a tenant with more than that its cache, not its memory.
 */

import type { SubscriptionTrie } from "../topic/SubscriptionTrie.ts"
import { SharedGroup } from "./SharedGroup.ts"
import type { DeliveryOptions, Subscriber, Subscription } from "./Subscriber.ts"

export type Route = Subscription | SharedGroup

/** One subscriber of a topic. */
export interface Target {
  readonly subscriber: Subscriber
  readonly options: DeliveryOptions
  /**
   * For what the subscriber itself published: without its No Local subscriptions; undefined when none is
   * left. [MQTT-3.8.3-3]
   */
  readonly ownOptions: DeliveryOptions | undefined
}

export interface Match {
  readonly targets: ReadonlyArray<Target>
  readonly groups: ReadonlyArray<SharedGroup>
}

const NO_IDENTIFIERS: ReadonlyArray<number> = Object.freeze([])

export class MatchCache {
  private readonly matches = new Map<string, Match>()
  private readonly routes: Array<Route> = []
  private held = 0
  /** Of the trie, when the matches were compiled. */
  private generation = -1

  constructor(
    private readonly trie: SubscriptionTrie<object, Route>,
    private readonly weightMax: number
  ) {}

  get size(): number {
    return this.matches.size
  }

  /** Topics and targets held. */
  get weight(): number {
    return this.held
  }

  lookup(topic: string): Match {
    const { generation } = this.trie
    if (generation !== this.generation) {
      this.generation = generation
      this.clear()
    }
    const cached = this.matches.get(topic)
    if (cached !== undefined) return cached
    const match = this.compile(topic)
    this.keep(topic, match)
    return match
  }

  private keep(topic: string, match: Match): void {
    const weight = weightOf(match)
    if (weight > this.weightMax) return
    if (this.held + weight > this.weightMax) this.clear()
    this.matches.set(topic, match)
    this.held += weight
  }

  private clear(): void {
    this.matches.clear()
    this.held = 0
  }

  private compile(topic: string): Match {
    const { routes, trie } = this
    trie.match(topic, routes)
    const subscriptions: Array<Subscription> = []
    const groups: Array<SharedGroup> = []
    for (const route of routes) {
      if (route instanceof SharedGroup) groups.push(route)
      else subscriptions.push(route)
    }
    routes.length = 0
    return { targets: targetsOf(subscriptions), groups }
  }
}

const weightOf = ({ groups, targets }: Match): number => 1 + targets.length + groups.length

const targetsOf = (subscriptions: ReadonlyArray<Subscription>): ReadonlyArray<Target> => {
  const bySubscriber = new Map<Subscriber, Array<Subscription>>()
  for (const subscription of subscriptions) {
    const others = bySubscriber.get(subscription.subscriber)
    if (others === undefined) bySubscriber.set(subscription.subscriber, [subscription])
    else others.push(subscription)
  }
  const targets: Array<Target> = []
  for (const [subscriber, matching] of bySubscriber) {
    const options = merge(matching)
    if (options === undefined) continue
    const foreign = matching.filter((subscription) => !subscription.noLocal)
    targets.push({
      subscriber,
      options,
      ownOptions: foreign.length === matching.length ? options : merge(foreign)
    })
  }
  return targets
}

/**
 * Overlapping subscriptions of one session make one delivery. [MQTT-3.3.4-2] [MQTT-3.3.4-4] [v3 MQTT-3.3.5-1]
 */
const merge = (subscriptions: ReadonlyArray<Subscription>): DeliveryOptions | undefined => {
  if (subscriptions.length === 0) return undefined
  let qos: 0 | 1 | 2 = 0
  let retainAsPublished = false
  const identifiers: Array<number> = []
  for (const subscription of subscriptions) {
    if (subscription.qos > qos) qos = subscription.qos
    if (subscription.retainAsPublished) retainAsPublished = true
    if (subscription.subscriptionIdentifier !== 0) identifiers.push(subscription.subscriptionIdentifier)
  }
  return {
    qos,
    retainAsPublished,
    subscriptionIdentifiers: identifiers.length === 0 ? NO_IDENTIFIERS : identifiers,
    group: undefined,
    isRetained: false
  }
}
