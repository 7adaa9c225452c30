import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { Acl, type AclRule } from "../../src/auth/Acl.ts"
import type { Qos } from "../../src/protocol/Packet.ts"
import { referenceMatch, seeded, topicFilter, topicName } from "../topic/reference.ts"

const rule = (text: string): AclRule => {
  const [permission, action, filter] = text.split(" ")
  if (permission !== "allow" && permission !== "deny") throw new Error(`no permission in ${text}`)
  if (action !== "publish" && action !== "subscribe" && action !== "all")
    throw new Error(`no action in ${text}`)
  return { permission, action, topicFilter: filter ?? "" }
}

const acl = (...rules: ReadonlyArray<string>): Acl => new Acl(rules.map(rule))

describe("publishing", () => {
  const cases: ReadonlyArray<
    readonly [name: string, rules: ReadonlyArray<string>, topic: string, allowed: boolean]
  > = [
    ["nothing is allowed without a rule", [], "a", false],
    ["a rule for subscribing does not allow it", ["allow subscribe a"], "a", false],
    ["a rule for all does", ["allow all a"], "a", true],
    ["the first rule that matches decides: allow", ["allow publish a/+", "deny publish a/b"], "a/b", true],
    ["the first rule that matches decides: deny", ["deny publish a/b", "allow publish a/+"], "a/b", false],
    ["[MQTT-4.7.2-1] # does not cover the server's topics", ["allow publish #"], "$SYS/a", false],
    ["[MQTT-4.7.1-2] # covers its parent", ["allow publish a/#"], "a", true],
    ["[MQTT-4.7.3-4] names are compared as they are", ["allow publish A"], "a", false]
  ]
  test.each(cases)("%s", (_name, rules, topic, allowed) => {
    expect(acl(...rules).publish(topic)).toBe(allowed)
  })
})

describe("subscribing", () => {
  const cases: ReadonlyArray<
    readonly [name: string, rules: ReadonlyArray<string>, filter: string, allowed: boolean]
  > = [
    ["nothing is allowed without a rule", [], "a", false],
    ["a rule for publishing does not allow it", ["allow publish a"], "a", false],
    ["a narrower filter is covered", ["allow subscribe a/#"], "a/+/c", true],
    ["a wider filter is not", ["allow subscribe a/+"], "a/#", false],
    [
      "the union of two rules covers no filter that neither covers",
      ["allow all a", "allow all a/+"],
      "a/#",
      false
    ],
    ["a deny that covers it all refuses", ["deny all a/#", "allow all #"], "a/b", false],
    ["a deny that covers a part does not", ["deny all a/b", "allow all #"], "#", true],
    ["a later deny does not undo an allow", ["allow all a/b", "deny all a/#"], "a/b", true],
    ["[MQTT-4.7.2-1] # does not cover the server's topics", ["allow all #"], "$SYS/#", false]
  ]
  test.each(cases)("%s", (_name, rules, filter, allowed) => {
    expect(acl(...rules).subscribe(filter)).toBe(allowed)
  })

  test("deliveries are judged one by one only where a deny overlaps an allow", () => {
    expect(acl("allow all a/#", "deny all b/#").deliver).toBeUndefined()
    expect(acl("deny publish a/b", "allow all a/#").deliver).toBeUndefined()
    const { deliver } = acl("deny subscribe a/b", "allow all a/#")
    expect(["a", "a/b", "a/c"].map((topic) => deliver?.(topic))).toEqual([true, false, true])
  })
})

const rules = fc.array(
  fc.record<AclRule>({
    permission: fc.constantFrom("allow", "deny"),
    action: fc.constantFrom("publish", "subscribe", "all"),
    topicFilter
  }),
  { maxLength: 6 }
)

/** The first rule for the action that matches, in the plainest form. */
const allows = (list: ReadonlyArray<AclRule>, action: AclRule["action"], topic: string): boolean =>
  list.find(
    (each) => (each.action === action || each.action === "all") && referenceMatch(each.topicFilter, topic)
  )?.permission === "allow"

describe("whatever the rules", () => {
  test("a subscription that is allowed delivers no topic that is denied", () => {
    let delivered = 0
    fc.assert(
      fc.property(rules, topicFilter, topicName, (list, filter, topic) => {
        const judge = new Acl(list)
        if (!judge.subscribe(filter) || !referenceMatch(filter, topic)) return
        delivered++
        expect(judge.deliver?.(topic) ?? true).toBe(allows(list, "subscribe", topic))
      }),
      seeded(20_000)
    )
    expect(delivered).toBeGreaterThan(200)
  })

  test("a topic may be published exactly when the first rule that matches it says so", () => {
    fc.assert(
      fc.property(rules, topicName, (list, topic) => {
        expect(new Acl(list).publish(topic)).toBe(allows(list, "publish", topic))
      }),
      seeded(2000)
    )
  })

  test("a filter without wildcards may be subscribed to exactly when its topic may be delivered", () => {
    fc.assert(
      fc.property(rules, topicName, (list, topic) => {
        expect(new Acl(list).subscribe(topic)).toBe(allows(list, "subscribe", topic))
      }),
      seeded(2000)
    )
  })
})

describe("decisions that are kept", () => {
  const qos = fc.constantFrom<Qos>(0, 1, 2)
  const conditional = fc.record<AclRule>({
    permission: fc.constantFrom("allow", "deny"),
    action: fc.constantFrom("publish", "subscribe", "all"),
    topicFilter: fc.constantFrom("a/#", "+/b", "a/b", "#", "+", "b/+", "a"),
    qos: fc.option(fc.subarray<Qos>([0, 1, 2]), { nil: undefined }),
    retain: fc.option(fc.boolean(), { nil: undefined }),
    shared: fc.option(fc.constantFrom(true, false, "g"), { nil: undefined })
  })
  const topic = fc.constantFrom("a", "b", "a/b", "b/b", "a/c", "b/c", "x".repeat(300))
  const group = fc.constantFrom(undefined, "g", "h")
  const isFor = ({ shared }: AclRule, name: string | undefined): boolean =>
    shared === undefined || (typeof shared === "string" ? shared === name : shared === (name !== undefined))

  test("are those that the rules make, however often and in whatever order they are asked for", () => {
    fc.assert(
      fc.property(
        fc.array(conditional, { minLength: 1, maxLength: 20 }),
        fc.array(fc.tuple(topic, qos, fc.boolean(), group), { minLength: 20, maxLength: 60 }),
        (list, asked) => {
          const judge = new Acl(list)
          for (const [name, level, retain, share] of asked) {
            const publishes = list.find(
              (each) =>
                each.action !== "subscribe" &&
                (each.qos ?? [0, 1, 2]).includes(level) &&
                (each.retain ?? retain) === retain &&
                isFor(each, undefined) &&
                referenceMatch(each.topicFilter, name)
            )
            expect(judge.publish(name, level, retain)).toBe(publishes?.permission === "allow")
            const receives = list.find(
              (each) =>
                each.action !== "publish" &&
                (each.qos ?? [0, 1, 2]).some((of) =>
                  each.permission === "allow" ? of >= level : of === level
                ) &&
                each.retain !== true &&
                isFor(each, share) &&
                referenceMatch(each.topicFilter, name)
            )
            expect(judge.receive(name, level, share)).toBe(receives?.permission === "allow")
          }
        }
      ),
      seeded(500)
    )
  })

  test("are kept for some topics only", () => {
    const judge = new Acl(Array.from({ length: 20 }, (_, at) => rule(`allow publish ${at}/#`)))
    for (let round = 0; round < 2; round++) {
      for (let at = 0; at < 1000; at++) expect(judge.publish(`${at}/x`)).toBe(at < 20)
    }
  })
})

describe("a rule for some", () => {
  const only = (condition: Partial<AclRule>, text = "allow all a/#") =>
    new Acl([{ ...rule(text), ...condition }])

  test("QoS", () => {
    const judge = only({ qos: [0, 1] })
    expect(([0, 1, 2] as const).map((qos) => judge.publish("a", qos))).toEqual([true, true, false])
    expect(([0, 1, 2] as const).map((qos) => judge.subscribe("a/+", qos))).toEqual([true, true, false])
    // A message may be of less than what its subscription was granted.
    expect(([0, 1, 2] as const).map((qos) => only({ qos: [1] }).receive("a", qos))).toEqual([
      true,
      true,
      false
    ])
  })

  test("RETAIN", () => {
    expect([true, false].map((retain) => only({ retain: false }).publish("a", 0, retain))).toEqual([
      false,
      true
    ])
    expect([true, false].map((retain) => only({ retain }).subscribe("a"))).toEqual([false, true])
  })

  test("shared subscriptions", () => {
    const of = (shared: boolean | string) =>
      [undefined, "g", "h"].map((group) => only({ shared }).subscribe("a", 0, group))
    expect(of(true)).toEqual([false, true, true])
    expect(of(false)).toEqual([true, false, false])
    expect(of("g")).toEqual([false, true, false])
    expect(only({ shared: true }).publish("a")).toBe(false)
  })

  test("denies everything by `coversAll`, and allows nothing by it", () => {
    const denied = new Acl([{ ...rule("deny all #"), coversAll: true }, rule("allow all $x/#")])
    expect([denied.publish("$x/a"), denied.subscribe("$x/#"), denied.deliver?.("$x/a")]).toEqual([
      false,
      false,
      false
    ])
    expect(only({ coversAll: true }).publish("b")).toBe(false)
  })
})
