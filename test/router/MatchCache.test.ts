import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Qos } from "../../src/protocol/Packet.ts"
import { MatchCache, type Route } from "../../src/router/MatchCache.ts"
import { SharedGroup } from "../../src/router/SharedGroup.ts"
import type { DeliveryOptions, Subscription } from "../../src/router/Subscriber.ts"
import { SubscriptionTrie } from "../../src/topic/SubscriptionTrie.ts"
import { referenceMatch, seeded } from "../topic/reference.ts"
import { Peer, subscriptionOf } from "./support.ts"

const peers = ["a", "b", "c"].map((name) => new Peer(name))
const filters = ["t", "+", "#", "t/#", "t/+", "u/#", "$SYS/#"]
const topics = ["t", "t/1", "u", "u/1", "$SYS/x"]

type Step =
  | {
      readonly _tag: "Set"
      readonly peer: number
      readonly filter: string
      readonly options: Partial<Subscription>
    }
  | { readonly _tag: "Delete"; readonly peer: number; readonly filter: string }
  | { readonly _tag: "Look"; readonly topic: string }

const filter = fc.constantFrom(...filters)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    _tag: fc.constant("Set" as const),
    peer: fc.nat(2),
    filter,
    options: fc.record({
      qos: fc.constantFrom<Qos>(0, 1, 2),
      noLocal: fc.boolean(),
      retainAsPublished: fc.boolean(),
      subscriptionIdentifier: fc.nat(3)
    })
  }),
  fc.record({ _tag: fc.constant("Delete" as const), peer: fc.nat(2), filter }),
  fc.record({ _tag: fc.constant("Look" as const), topic: fc.constantFrom(...topics) })
)

interface Expected {
  readonly clientId: string
  readonly qos: Qos
  readonly retainAsPublished: boolean
  readonly identifiers: ReadonlyArray<number>
}

/**
 * What overlapping subscriptions come to, from the words of the specification. [MQTT-3.3.4-2] [MQTT-3.3.4-4]
 */
const merged = (clientId: string, matching: ReadonlyArray<Subscription>): Expected | undefined =>
  matching.length === 0
    ? undefined
    : {
        clientId,
        qos: Math.max(...matching.map((each) => each.qos)) as Qos,
        retainAsPublished: matching.some((each) => each.retainAsPublished),
        identifiers: matching.flatMap((each) => each.subscriptionIdentifier || []).sort()
      }

const summary = (clientId: string, options: DeliveryOptions | undefined): Expected | undefined =>
  options && {
    clientId,
    qos: options.qos,
    retainAsPublished: options.retainAsPublished,
    identifiers: [...options.subscriptionIdentifiers].sort()
  }

describe("matching and merging", () => {
  test("[MQTT-3.3.4-2] [MQTT-3.3.4-4] [MQTT-3.8.3-3] agrees with all subscriptions looked at one by one", () => {
    fc.assert(
      fc.property(fc.array(step, { size: "max", maxLength: 60 }), (steps) => {
        const trie = new SubscriptionTrie<object, Route>()
        const cache = new MatchCache(trie, 3)
        const held = new Map<string, Subscription>()
        for (const each of steps) {
          if (each._tag === "Look") {
            const { targets } = cache.lookup(each.topic)
            const matching = (peer: Peer) =>
              [...held]
                .filter(([key, { subscriber }]) => {
                  return subscriber === peer && referenceMatch(key.slice(2), each.topic)
                })
                .map(([, subscription]) => subscription)
            const actual = targets.map(({ options, ownOptions, subscriber }) => [
              summary(subscriber.clientId, options),
              summary(subscriber.clientId, ownOptions)
            ])
            const expected = peers
              .map((peer) => [
                merged(peer.clientId, matching(peer)),
                merged(
                  peer.clientId,
                  matching(peer).filter((subscription) => !subscription.noLocal)
                )
              ])
              .filter(([all]) => all !== undefined)
            const byClient = (list: typeof actual) =>
              list.toSorted((one, other) => ((one[0]?.clientId ?? "") < (other[0]?.clientId ?? "") ? -1 : 1))
            expect(byClient(actual)).toEqual(byClient(expected))
            expect(cache.size).toBeLessThanOrEqual(3)
            continue
          }
          const peer = peers[each.peer] as Peer
          const key = `${peer.clientId} ${each.filter}`
          if (each._tag === "Delete") {
            trie.delete(each.filter, peer)
            held.delete(key)
          } else {
            const subscription = subscriptionOf(peer, each.options)
            trie.set(each.filter, peer, subscription)
            held.set(key, subscription)
          }
        }
      }),
      seeded(300)
    )
  })

  test("an unchanged trie is asked once a topic", () => {
    const trie = new SubscriptionTrie<object, Route>()
    const cache = new MatchCache(trie, 10)
    const peer = new Peer()
    trie.set("t", peer, subscriptionOf(peer))
    const first = cache.lookup("t")
    expect(cache.lookup("t")).toBe(first)
    trie.set("other", peer, subscriptionOf(peer))
    expect(cache.lookup("t")).not.toBe(first)
    expect(cache.lookup("t").targets).toEqual(first.targets)
  })

  test("a change leaves nothing of those who are gone", () => {
    const trie = new SubscriptionTrie<object, Route>()
    const cache = new MatchCache(trie, 100)
    for (const clientId of ["1", "2", "3"]) {
      const peer = new Peer(clientId)
      trie.set(clientId, peer, subscriptionOf(peer))
      expect(cache.lookup(clientId).targets.length).toBe(1)
      trie.delete(clientId, peer)
    }
    expect(cache.lookup("other").targets).toEqual([])
    expect([cache.size, cache.weight]).toEqual([1, 1])
  })

  test("groups stand beside the targets, each once", () => {
    const trie = new SubscriptionTrie<object, Route>()
    const cache = new MatchCache(trie, 10)
    const group = new SharedGroup({
      name: "g",
      topicFilter: "t/#",
      isOrdered: false,
      strategy: "round-robin",
      random: () => 0
    })
    trie.set("t/#", group, group)
    const { groups, targets } = cache.lookup("t/1")
    expect(targets).toEqual([])
    expect(groups.map((each) => each.key)).toEqual(["$share/g/t/#"])
  })

  test("what it keeps is bounded by the topics and by the subscribers that they have", () => {
    const trie = new SubscriptionTrie<object, Route>()
    const cache = new MatchCache(trie, 100)
    for (let index = 0; index < 50; index++) {
      const peer = new Peer(String(index))
      trie.set("#", peer, subscriptionOf(peer))
    }
    for (let index = 0; index < 1000; index++) {
      expect(cache.lookup(`topic/${index}`).targets.length).toBe(50)
      expect(cache.weight).toBeLessThanOrEqual(100)
    }
    expect(cache.size).toBe(1)
  })

  test("one that fills takes only topics that are asked for again", () => {
    const trie = new SubscriptionTrie<object, Route>()
    const cache = new MatchCache(trie, 80)
    const ask = (from: number, to: number) => {
      for (let index = from; index < to; index++) cache.lookup(`topic/${index}`)
    }
    ask(0, 1000)
    expect(cache.size).toBe(10)
    ask(990, 1000)
    expect(cache.size).toBe(20)
    ask(0, 20)
    expect(cache.size).toBe(30)
  })
})
