import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Publication } from "../../src/router/Publication.ts"
import { RetainedMessages } from "../../src/router/RetainedMessages.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { referenceMatch, seeded } from "../topic/reference.ts"
import { type MessageOptions, messageTo, Peer } from "./support.ts"

const make = (settings: Partial<TenantSettings> = {}) => {
  const counters = new Counters()
  return { counters, retained: new RetainedMessages({ ...defaultTenantSettings, ...settings }, counters) }
}

const retainedTo = (topic: string, options: MessageOptions = {}): Publication =>
  messageTo(topic, { retain: true, ...options })

const options = {
  qos: 0,
  retainAsPublished: true,
  subscriptionIdentifiers: [],
  group: undefined,
  isRetained: true
} as const

/** All that matches, page by page. */
const read = (
  retained: RetainedMessages,
  topicFilter: string,
  { limit = 3, nowMs = 0 }: { readonly limit?: number; readonly nowMs?: number } = {}
): ReadonlyArray<string> => {
  const payloads: Array<string> = []
  let from: string | undefined
  do {
    const page: Array<Publication> = []
    const request = {
      _tag: "RetainedRequest",
      subscriber: new Peer(),
      topicFilter,
      options,
      from,
      limit
    } as const
    from = retained.page(request, nowMs, page)
    expect(page.length).toBeLessThanOrEqual(limit)
    payloads.push(...page.map((publication) => Buffer.from(publication.payload).toString()))
  } while (from !== undefined)
  return payloads
}

describe("retained messages", () => {
  test("[MQTT-3.3.1-5] the last one of a topic replaces the one before", () => {
    const { counters, retained } = make()
    retained.retain(retainedTo("a", { payload: "first" }), 0)
    retained.retain(retainedTo("a", { payload: "second!" }), 0)
    expect(read(retained, "#")).toEqual(["second!"])
    expect([counters.retainedMessages, counters.retainedBytes]).toEqual([1, "second!".length + 1])
  })

  test("[MQTT-3.3.1-6] [MQTT-3.3.1-7] an empty one removes it and is not kept itself", () => {
    const { counters, retained } = make()
    retained.retain(retainedTo("a"), 0)
    expect(retained.retain(retainedTo("a", { payload: "" }), 0)).toBe(true)
    expect(retained.retain(retainedTo("never/there", { payload: "" }), 0)).toBe(true)
    expect([counters.retainedMessages, counters.retainedBytes, retained.nodeCount]).toEqual([0, 0, 0])
  })

  test("a message over a limit is refused, and the old one of its topic stays", () => {
    const { counters, retained } = make({ retainedMessagesMax: 2, retainedBytesMax: 20 })
    expect(retained.retain(retainedTo("a", { payload: "1" }), 0)).toBe(true)
    expect(retained.retain(retainedTo("b", { payload: "2" }), 0)).toBe(true)
    expect(retained.retain(retainedTo("c", { payload: "3" }), 0)).toBe(false)
    expect(retained.retain(retainedTo("a", { payload: "x".repeat(30) }), 0)).toBe(false)
    expect(retained.retain(retainedTo("a", { payload: "x".repeat(10) }), 0)).toBe(true)
    expect(read(retained, "#")).toEqual(["x".repeat(10), "2"])
    expect(counters.droppedRetainedQuota).toBe(2)
    expect([counters.retainedMessages, counters.retainedBytes]).toEqual([2, 13])
  })

  test("[MQTT-3.3.2-5] an expired one is not read, and the sweep removes it", () => {
    const { counters, retained } = make()
    retained.retain(retainedTo("soon", { payload: "soon", messageExpiryInterval: 1 }), 0)
    retained.retain(retainedTo("later", { payload: "later", messageExpiryInterval: 10 }), 0)
    retained.retain(retainedTo("never", { payload: "never" }), 0)
    expect(retained.nextExpiryMs()).toBe(1000)
    expect(read(retained, "#", { nowMs: 999 }).length).toBe(3)
    expect(read(retained, "#", { nowMs: 1000 })).toEqual(["later", "never"])
    expect(retained.size).toBe(3)
    retained.sweep(1000)
    expect([retained.size, counters.retainedMessages, retained.nextExpiryMs()]).toEqual([2, 2, 10_000])
    retained.sweep(10_000)
    expect([retained.size, retained.nextExpiryMs()]).toEqual([1, undefined])
  })

  test("what replaces an expiring message, or removes it, is not swept", () => {
    const { retained } = make()
    retained.retain(retainedTo("a", { messageExpiryInterval: 1 }), 0)
    retained.retain(retainedTo("a", { payload: "stays" }), 0)
    retained.retain(retainedTo("b", { messageExpiryInterval: 1 }), 0)
    retained.retain(retainedTo("b", { payload: "" }), 0)
    expect(retained.nextExpiryMs()).toBeUndefined()
    retained.sweep(5000)
    expect(read(retained, "#", { nowMs: 5000 })).toEqual(["stays"])
  })

  test("a message that has expired on its way takes the old one with it", () => {
    const { retained } = make()
    retained.retain(retainedTo("a"), 0)
    retained.retain(retainedTo("a", { messageExpiryInterval: 1 }), 2000)
    expect(retained.size).toBe(0)
  })

  test("a sweep is bounded, and the next ones come to the rest", () => {
    const { retained } = make()
    for (let index = 0; index < 2500; index++) {
      retained.retain(retainedTo(`t/${index}`, { messageExpiryInterval: index < 1500 ? 100 : 1 }), 0)
    }
    const sizes = [1, 2, 3].map(() => {
      retained.sweep(5000)
      return retained.size
    })
    expect(sizes).toEqual([2500, 2000, 1500])
    expect(retained.nextExpiryMs()).toBe(100_000)
  })

  test("[MQTT-3.3.1-9] pages together are exactly what matches, whatever their size", () => {
    const topic = fc.constantFrom("a", "a/b", "a/c", "b", "b/c/d", "$SYS/x", "a//", "/")
    const filter = fc.constantFrom("#", "+", "a/#", "a/+", "+/c/#", "$SYS/#", "b/c/d", "+/+")
    fc.assert(
      fc.property(fc.array(topic), filter, fc.integer({ min: 1, max: 4 }), (topics, topicFilter, limit) => {
        const { counters, retained } = make()
        for (const each of topics) retained.retain(retainedTo(each, { payload: each }), 0)
        const all = [...new Set(topics)]
        const expected = all.filter((each) => referenceMatch(topicFilter, each))
        expect(read(retained, topicFilter, { limit }).toSorted()).toEqual(expected.toSorted())
        expect(counters.retainedBytes).toBe(all.reduce((sum, each) => sum + 2 * each.length, 0))
      }),
      seeded(300)
    )
  })
})
