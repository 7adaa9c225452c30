import { describe, expect, test } from "bun:test"
import { groupKey, SharedGroup } from "../../src/router/SharedGroup.ts"
import type { SharedSubscriptionStrategy } from "../../src/tenant/TenantSettings.ts"
import { seeded } from "../support/raw.ts"
import { messageTo, Peer, subscriptionOf } from "./support.ts"

const strategies: ReadonlyArray<SharedSubscriptionStrategy> = [
  "round-robin",
  "random",
  "sticky",
  "least-inflight",
  "hash-topic",
  "hash-client"
]

const groupOf = (
  peers: ReadonlyArray<Peer>,
  strategy: SharedSubscriptionStrategy = "round-robin",
  isOrdered = false
): SharedGroup => {
  const below = seeded(1)
  const random = () => below(1_000_000) / 1_000_000
  const group = new SharedGroup({ name: "g", topicFilter: "#", isOrdered, strategy, random })
  for (const peer of peers) group.set(subscriptionOf(peer, { qos: 1 }))
  return group
}

const three = (): ReadonlyArray<Peer> => ["a", "b", "c"].map((name) => new Peer(name))

const counts = (peers: ReadonlyArray<Peer>): ReadonlyArray<number> =>
  peers.map((peer) => peer.deliveries.length)

const sendMany = (group: SharedGroup, count: number): void => {
  for (let index = 0; index < count; index++) {
    const publisher = new Peer(`publisher ${index % 10}`)
    expect(group.deliver(messageTo(`topic/${index}`, { publisher }))).toBe(true)
  }
}

describe("whatever the strategy", () => {
  for (const strategy of strategies) {
    test(`[MQTT-4.8.2-4] ${strategy}: each message goes to one member`, () => {
      const peers = three()
      sendMany(groupOf(peers, strategy), 300)
      expect(counts(peers).reduce((sum, count) => sum + count, 0)).toBe(300)
    })

    test(`${strategy}: to one with a live connection as long as there is one`, () => {
      const peers = three()
      const [first, second, third] = peers
      if (first === undefined || second === undefined || third === undefined) throw new Error("no peers")
      const group = groupOf(peers, strategy)
      first.isConnected = false
      third.isConnected = false
      sendMany(group, 30)
      expect(counts(peers)).toEqual([0, 30, 0])
      second.isConnected = false
      sendMany(group, 1)
      expect(counts(peers).reduce((sum, count) => sum + count, 0)).toBe(31)
    })

    test(`${strategy}: to another live one when the chosen one's mailbox is full, to nobody when all are`, () => {
      const peers = three()
      const [first, second, third] = peers
      if (first === undefined || second === undefined || third === undefined) throw new Error("no peers")
      const group = groupOf(peers, strategy)
      first.isFull = true
      third.isFull = true
      sendMany(group, 30)
      expect(counts(peers)).toEqual([0, 30, 0])
      second.isFull = true
      expect(group.deliver(messageTo("topic"))).toBe(false)
    })

    test(`${strategy}: with no member there is nobody`, () => {
      expect(groupOf([], strategy).deliver(messageTo("topic"))).toBe(false)
    })
  }
})

describe("the choice", () => {
  test("round-robin: one after the other", () => {
    const peers = three()
    sendMany(groupOf(peers, "round-robin"), 30)
    expect(counts(peers)).toEqual([10, 10, 10])
  })

  test("random: everybody gets a fair part", () => {
    const peers = three()
    sendMany(groupOf(peers, "random"), 3000)
    for (const count of counts(peers)) expect(Math.abs(count - 1000)).toBeLessThan(100)
  })

  test("sticky: always the same, until it is not live", () => {
    const peers = three()
    const group = groupOf(peers, "sticky")
    sendMany(group, 10)
    const chosen = peers.find((peer) => peer.deliveries.length > 0)
    expect(chosen?.deliveries.length).toBe(10)
    if (chosen !== undefined) chosen.isConnected = false
    sendMany(group, 10)
    expect(counts(peers).toSorted()).toEqual([0, 10, 10])
  })

  test("sticky: also when the chosen one has left", () => {
    const peers = three()
    const group = groupOf(peers, "sticky")
    sendMany(group, 1)
    const chosen = peers.find((peer) => peer.deliveries.length > 0)
    if (chosen === undefined) throw new Error("nobody was chosen")
    expect(group.delete(chosen)).toBe(true)
    sendMany(group, 5)
    expect(counts(peers).toSorted()).toEqual([0, 1, 5])
  })

  test("least-inflight: who has least on its way", () => {
    const peers = three()
    for (const [index, peer] of peers.entries()) peer.inflight = [5, 2, 9][index] ?? 0
    sendMany(groupOf(peers, "least-inflight"), 3)
    expect(counts(peers)).toEqual([0, 3, 0])
  })

  test("hash-topic: one topic, one member; many topics, all of them", () => {
    const peers = three()
    const group = groupOf(peers, "hash-topic")
    for (let index = 0; index < 5; index++) group.deliver(messageTo("same"))
    expect(counts(peers).toSorted()).toEqual([0, 0, 5])
    sendMany(group, 300)
    for (const count of counts(peers)) expect(count).toBeGreaterThan(50)
  })

  test("hash-client: one publisher, one member", () => {
    const peers = three()
    const group = groupOf(peers, "hash-client")
    const publisher = new Peer("same")
    for (let index = 0; index < 5; index++) group.deliver(messageTo(`topic/${index}`, { publisher }))
    expect(counts(peers).toSorted()).toEqual([0, 0, 5])
  })

  test("an ordered group keeps a publisher's messages with one member, whatever the strategy", () => {
    const peers = three()
    const group = groupOf(peers, "round-robin", true)
    const publisher = new Peer("same")
    const payloads = ["1", "2", "3", "4"]
    for (const payload of payloads) group.deliver(messageTo("topic", { publisher, payload }))
    expect(peers.map((peer) => peer.take()).filter((taken) => taken.length > 0)).toEqual([payloads])
    sendMany(group, 300)
    expect(peers.filter((peer) => peer.deliveries.length > 0).length).toBeGreaterThan(1)
  })
})

describe("members", () => {
  test("[MQTT-4.8.2-3] each gets by its own subscription", () => {
    const peer = new Peer()
    const group = groupOf([peer])
    group.set(subscriptionOf(peer, { qos: 2, retainAsPublished: true, subscriptionIdentifier: 7 }))
    expect(group.size).toBe(1)
    sendMany(group, 1)
    const options = peer.deliveries[0]?.[1]
    expect(options).toMatchObject({ qos: 2, retainAsPublished: true, subscriptionIdentifiers: [7], group })
  })

  test("who is not a member cannot leave", () => {
    const group = groupOf(three())
    expect(group.delete(new Peer("stranger"))).toBe(false)
    expect(group.size).toBe(3)
  })

  test("whether another one is live", () => {
    const peers = three()
    const [first] = peers
    if (first === undefined) throw new Error("no peers")
    const group = groupOf(peers)
    expect(group.hasLiveMemberBeside(first)).toBe(true)
    for (const peer of peers) peer.isConnected = peer === first
    expect(group.hasLiveMemberBeside(first)).toBe(false)
  })

  test("[MQTT-4.8.2-2] name, filter and order tell groups apart", () => {
    const keys = [
      groupKey("g", "a/b", false),
      groupKey("g", "a/b", true),
      groupKey("h", "a/b", false),
      groupKey("g", "a", false)
    ]
    expect(new Set(keys).size).toBe(4)
  })
})
