/** The router stepped by hand, and what a broker does when it fails. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import { DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { Router } from "../../src/router/Router.ts"
import type { Subscription } from "../../src/router/Subscriber.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { parseTopicFilter } from "../../src/topic/TopicFilter.ts"
import { handDispatcher } from "../actor/handDispatcher.ts"
import { seeded } from "../topic/reference.ts"
import { alone, messageTo, Peer, subscriptionOf } from "./support.ts"

class Rig {
  readonly counters = new Counters()
  readonly defects: Array<unknown> = []
  readonly wheel = new DeadlineWheel(0)
  readonly router: Router
  private readonly hand = handDispatcher()

  constructor(settings: Partial<TenantSettings> = {}) {
    const { dispatcher, time } = this.hand
    this.router = new Router({
      tenant: "default",
      report: () => {},
      store: (_records, committed) => committed(undefined),
      keep: () => {},
      canStore: () => true,
      runQueue: dispatcher.runQueue(1),
      wheel: this.wheel,
      fork: (effect) => Effect.runFork(effect),
      settings: { ...defaultTenantSettings, ...settings },
      counters: this.counters,
      random: () => 0,
      forwarding: alone,
      nowMs: () => time.nowMs,
      onDefect: (defect) => this.defects.push(defect)
    })
  }

  get nowMs(): number {
    return this.hand.time.nowMs
  }

  /** Moves time, and lets what is due happen. */
  wait(ms: number): void {
    this.hand.time.nowMs += ms
    this.wheel.advance(this.nowMs)
    this.run()
  }

  /** Until the mailbox is empty. */
  run(): void {
    for (let tick = 0; tick < 100; tick++) this.hand.dispatcher.tick()
  }

  subscribe(peer: Peer, text: string, options: Partial<Subscription> = {}, token = 1): void {
    const filter = parsed(text)
    const subscriptions = [[filter, subscriptionOf(peer, options)] as const]
    this.router.signal({ _tag: "Subscribe", subscriber: peer, subscriptions, token })
  }

  unsubscribe(peer: Peer, ...texts: ReadonlyArray<string>): void {
    this.router.signal({ _tag: "Unsubscribe", subscriber: peer, filters: texts.map(parsed), token: 3 })
  }
}

const parsed = (text: string) => {
  const filter = parseTopicFilter(text)
  if (filter._tag === "Invalid") throw new Error(`${text} ${filter.reason}`)
  return filter
}

describe("in the order of the mailbox", () => {
  test("[MQTT-3.8.4-1] a message matches the subscriptions that came before it and not those that came after", () => {
    const rig = new Rig()
    const [early, late] = [new Peer("early"), new Peer("late")]
    rig.subscribe(early, "a")
    rig.router.publish(messageTo("a", { payload: "1" }))
    rig.subscribe(late, "a")
    rig.router.publish(messageTo("a", { payload: "2" }))
    rig.unsubscribe(early, "a")
    rig.router.publish(messageTo("a", { payload: "3" }))
    rig.run()
    expect([early.take(), late.take()]).toEqual([
      ["1", "2"],
      ["2", "3"]
    ])
    expect(early.tokens).toEqual([[1, false]])
  })

  test("[MQTT-4.6.0-5] messages of a publisher reach a subscriber as they came", () => {
    const rig = new Rig()
    const peer = new Peer()
    rig.subscribe(peer, "#")
    const payloads = Array.from({ length: 1000 }, (_, index) => String(index))
    for (const payload of payloads) rig.router.publish(messageTo(`t/${Number(payload) % 7}`, { payload }))
    rig.run()
    expect(peer.take()).toEqual(payloads)
  })

  test("[MQTT-3.8.3-3] No Local leaves out what the subscriber published itself", () => {
    const rig = new Rig()
    const [own, other] = [new Peer("own"), new Peer("other")]
    rig.subscribe(own, "a", { noLocal: true, qos: 1 })
    rig.subscribe(other, "a", { noLocal: true })
    rig.router.publish(messageTo("a", { publisher: own }))
    rig.run()
    expect([own.take(), other.take()]).toEqual([[], ["payload"]])
    rig.subscribe(own, "+", { qos: 0 })
    rig.router.publish(messageTo("a", { publisher: own }))
    rig.run()
    expect(own.deliveries.map(([, options]) => options.qos)).toEqual([0])
  })
})

describe("what a publisher is told", () => {
  const outcomes: ReadonlyArray<
    readonly [name: string, prepare: (rig: Rig, publisher: Peer) => void, code: ReasonCode]
  > = [
    ["Success when somebody subscribes", (rig) => rig.subscribe(new Peer(), "#"), ReasonCode.Success],
    [
      "Success also to the members of a group",
      (rig) => rig.subscribe(new Peer(), "$share/g/#"),
      ReasonCode.Success
    ],
    ["No matching subscribers when nobody does", () => {}, ReasonCode.NoMatchingSubscribers],
    [
      "No matching subscribers when only No Local is left",
      (rig, publisher) => rig.subscribe(publisher, "#", { noLocal: true }),
      ReasonCode.NoMatchingSubscribers
    ]
  ]
  test.each(outcomes)("[MQTT-3.4.2-1] %s", (_name, prepare, code) => {
    const rig = new Rig()
    const publisher = new Peer("publisher")
    prepare(rig, publisher)
    rig.router.publish(messageTo("a", { publisher, packetId: 7, qos: 1 }))
    rig.router.publish(messageTo("a", { publisher }))
    rig.run()
    expect(publisher.outcomes).toEqual([[7, code]])
  })

  test("Quota exceeded when the message could not be retained; it is delivered all the same", () => {
    const rig = new Rig({ retainedMessagesMax: 0 })
    const [publisher, subscriber] = [new Peer("publisher"), new Peer()]
    rig.subscribe(subscriber, "#")
    rig.router.publish(messageTo("a", { publisher, packetId: 7, qos: 1, retain: true }))
    rig.run()
    expect(publisher.outcomes).toEqual([[7, ReasonCode.QuotaExceeded]])
    expect(subscriber.take()).toEqual(["payload"])
  })

  test("a subscriber whose mailbox is full loses the message, is counted, and does not hold up the others", () => {
    const rig = new Rig()
    const [slow, quick] = [new Peer("slow"), new Peer("quick")]
    slow.isFull = true
    rig.subscribe(slow, "#")
    rig.subscribe(quick, "#")
    rig.router.publish(messageTo("a"))
    rig.run()
    expect(quick.take()).toEqual(["payload"])
    expect(rig.counters.droppedMailboxFull).toBe(1)
  })
})

describe("a full mailbox", () => {
  test("refuses, and says once when there is room again", () => {
    const rig = new Rig()
    const [publisher, other] = [new Peer("publisher"), new Peer("other")]
    let taken = 0
    while (rig.router.publish(messageTo("a", { publisher }))) taken++
    expect(rig.router.publish(messageTo("a", { publisher }))).toBe(false)
    expect(rig.router.publish(messageTo("a", { publisher: other }))).toBe(false)
    rig.router.forget(other)
    expect(taken).toBeGreaterThan(1000)
    rig.run()
    expect([publisher.rooms, other.rooms]).toEqual([1, 0])
    expect(rig.router.publish(messageTo("a", { publisher }))).toBe(true)
  })

  test("takes changes of subscriptions all the same", () => {
    const rig = new Rig()
    const peer = new Peer()
    while (rig.router.publish(messageTo("a")));
    rig.subscribe(peer, "a")
    rig.run()
    expect(peer.tokens.length).toBe(1)
  })

  test("is full by bytes as well", () => {
    const rig = new Rig()
    const payload = "x".repeat(1024 * 1024)
    let taken = 0
    while (rig.router.publish(messageTo("a", { payload }))) taken++
    expect(taken).toBeLessThan(70)
  })
})

describe("shared subscriptions", () => {
  test("[MQTT-4.8.2-4] what a member that left had not finished goes to another", () => {
    const rig = new Rig()
    const [leaving, staying] = [new Peer("leaving"), new Peer("staying")]
    for (const peer of [leaving, staying]) rig.subscribe(peer, "$share/g/a", { qos: 1 })
    rig.router.publish(messageTo("a", { qos: 1, payload: "1" }))
    rig.run()
    const [, options] = leaving.deliveries[0] ?? []
    if (options?.group === undefined) throw new Error("nothing was delivered through the group")
    leaving.isConnected = false
    rig.router.signal({ _tag: "MemberAway", subscriber: leaving, groups: [options.group] })
    rig.run()
    expect(leaving.reclaimed).toEqual([options.group])
    rig.router.signal({
      _tag: "Redispatch",
      group: options.group,
      publications: [messageTo("a", { payload: "1" })]
    })
    rig.run()
    expect(staying.take()).toEqual(["1"])
  })

  test("a member that leaves alone keeps its messages", () => {
    const rig = new Rig()
    const leaving = new Peer("leaving")
    rig.subscribe(leaving, "$share/g/a", { qos: 1 })
    rig.router.publish(messageTo("a", { qos: 1 }))
    rig.run()
    const [, options] = leaving.deliveries[0] ?? []
    if (options?.group === undefined) throw new Error("nothing was delivered through the group")
    rig.router.signal({ _tag: "MemberAway", subscriber: leaving, groups: [options.group] })
    rig.run()
    expect(leaving.reclaimed).toEqual([])
    rig.unsubscribe(leaving, "$share/g/a")
    rig.router.signal({ _tag: "Redispatch", group: options.group, publications: [messageTo("a")] })
    rig.run()
    expect(rig.counters.droppedNoMembers).toBe(1)
  })

  test("one that the other members have no room for is not one without members", () => {
    const rig = new Rig()
    const [leaving, full] = [new Peer("leaving"), new Peer("full")]
    for (const peer of [leaving, full]) rig.subscribe(peer, "$share/g/a", { qos: 1 })
    rig.router.publish(messageTo("a", { qos: 1 }))
    rig.run()
    const options = [...leaving.deliveries, ...full.deliveries].map(([, each]) => each)[0]
    if (options?.group === undefined) throw new Error("nothing was delivered through the group")
    rig.unsubscribe(leaving, "$share/g/a")
    full.isFull = true
    rig.router.signal({
      _tag: "Redispatch",
      group: options.group,
      publications: [messageTo("a", { qos: 1 })]
    })
    rig.run()
    expect([rig.counters.droppedNoMembers, rig.counters.droppedMailboxFull]).toEqual([0, 1])
  })
})

describe("retained messages", () => {
  test("[MQTT-3.3.1-9] are told of at SUBSCRIBE and read page by page; RETAIN 0 retains nothing", () => {
    const rig = new Rig()
    const peer = new Peer()
    rig.router.publish(messageTo("a/1"))
    for (const topic of ["a/2", "a/3", "b"])
      rig.router.publish(messageTo(topic, { retain: true, payload: topic }))
    rig.subscribe(peer, "a/#")
    const request = {
      _tag: "RetainedRequest",
      subscriber: peer,
      topicFilter: "a/#",
      options: {
        qos: 0,
        retainAsPublished: true,
        subscriptionIdentifiers: [],
        group: undefined,
        isRetained: true
      },
      from: undefined,
      limit: 10
    } as const
    rig.router.signal(request)
    rig.run()
    expect(peer.tokens).toEqual([[1, true]])
    const payloads = peer.pages.flatMap((page) =>
      page.publications.map((publication) => Buffer.from(publication.payload).toString())
    )
    expect(payloads).toEqual(["a/2", "a/3"])
    expect(peer.pages[0]?.request).toBe(request)
    expect(peer.take()).toEqual([])
  })

  test("[MQTT-3.3.2-5] are swept when they have expired", () => {
    const rig = new Rig()
    const { nowMs: receivedAtMs } = rig
    rig.router.publish(messageTo("a", { retain: true, messageExpiryInterval: 60, receivedAtMs }))
    rig.router.publish(messageTo("b", { retain: true, messageExpiryInterval: 2, receivedAtMs }))
    rig.run()
    expect(rig.counters.retainedMessages).toBe(2)
    rig.wait(2200)
    expect(rig.counters.retainedMessages).toBe(1)
    rig.wait(60_000)
    expect([rig.counters.retainedMessages, rig.counters.retainedBytes, rig.wheel.size]).toEqual([0, 0, 0])
  })
})

describe("nothing is left behind", () => {
  const filters = [
    "a",
    "a/b",
    "+",
    "#",
    "a/+",
    "$share/g/a",
    "$share/g/#",
    "$share/h/a",
    "$oshare/g/a",
    "a/b/c/d"
  ]
  const step = fc.record({
    peer: fc.nat(3),
    filter: fc.constantFrom(...filters),
    isSubscribe: fc.boolean()
  })

  test("by any sequence of subscriptions when all have been ended", () => {
    fc.assert(
      fc.property(fc.array(step, { size: "max", maxLength: 80 }), (steps) => {
        const rig = new Rig()
        const peers = [0, 1, 2, 3].map((index) => new Peer(String(index)))
        const held = new Set<string>()
        for (const { filter, isSubscribe, peer } of steps) {
          const who = peers[peer] as Peer
          if (isSubscribe) rig.subscribe(who, filter)
          else rig.unsubscribe(who, filter)
          if (isSubscribe) held.add(`${peer} ${filter}`)
          else held.delete(`${peer} ${filter}`)
        }
        rig.router.publish(messageTo("a/b"))
        rig.run()
        expect(rig.counters.subscriptions).toBe(held.size)
        for (const peer of peers) rig.unsubscribe(peer, ...filters)
        rig.run()
        expect(rig.router.census).toEqual({ subscriptions: 0, trieNodes: 0, groups: 0 })
        expect(rig.counters.subscriptions).toBe(0)
        expect(rig.defects).toEqual([])
      }),
      seeded(200)
    )
  })
})

describe("a router that fails", () => {
  test("begins anew without subscriptions, keeps what is retained, and takes mail again", () => {
    const rig = new Rig()
    const [poison, peer, publisher] = [new Peer("poison"), new Peer("peer"), new Peer("publisher")]
    poison.deliver = () => {
      throw new TypeError("a bug")
    }
    rig.router.publish(messageTo("kept", { retain: true }))
    rig.subscribe(poison, "a")
    rig.subscribe(peer, "$share/g/#")
    rig.run()
    while (rig.router.publish(messageTo("a", { publisher })));
    rig.run()
    expect(rig.defects).toEqual([new TypeError("a bug")])
    expect(rig.router.census).toEqual({ subscriptions: 0, trieNodes: 0, groups: 0 })
    expect([rig.counters.subscriptions, rig.counters.retainedMessages]).toEqual([0, 1])
    rig.subscribe(peer, "a")
    expect(rig.router.publish(messageTo("a", { payload: "after" }))).toBe(true)
    rig.run()
    expect(peer.take()).toContain("after")
    expect(peer.tokens.at(-1)).toEqual([1, true])
  })
})
