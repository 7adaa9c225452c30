import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { SubscriptionTrie } from "../../src/topic/SubscriptionTrie.ts"
import { crowdedFilter, crowdedName, referenceMatch, seeded, topicFilter, topicName } from "./reference.ts"

interface Key {
  readonly id: number
}

const keys: ReadonlyArray<Key> = Array.from({ length: 40 }, (_, id) => ({ id }))
const key = (id: number): Key => keys[id] ?? { id }

const trieOf = (...filters: ReadonlyArray<string>): SubscriptionTrie<Key, string> => {
  const trie = new SubscriptionTrie<Key, string>()
  for (const filter of filters) trie.set(filter, key(0), filter)
  return trie
}

const matches = <V>(trie: SubscriptionTrie<Key, V>, topic: string): ReadonlyArray<V> => {
  const into: Array<V> = []
  trie.match(topic, into)
  return into.sort()
}

describe("match", () => {
  test.each([
    ["[MQTT-4.7.1-1] # takes what is below and the level above", "a/b", ["#", "a/#", "a/b/#", "+/#"]],
    ["[MQTT-4.7.1-1] # below a deeper level does not match", "a", ["a/#", "#", "+/#", "+"]],
    [
      "[MQTT-4.7.1-2] + takes one level, the empty one included",
      "a/",
      ["a/+", "+/+", "a/", "a/#", "+/#", "#"]
    ],
    ["[MQTT-4.7.1-2] a slash in front is an empty level", "/a", ["/+", "+/+", "/#", "+/#", "#", "/a"]],
    ["[MQTT-4.7.2-1] wildcards in front leave out $ topics", "$SYS/a", ["$SYS/#", "$SYS/+", "$SYS/a"]],
    ["[MQTT-4.7.2-1] $ below the first level is ordinary", "a/$x", ["a/+", "a/#", "+/+", "+/#", "#"]],
    ["[MQTT-4.7.3-4] names of Object.prototype are ordinary", "__proto__", ["__proto__", "+", "#", "+/#"]]
  ])("%s", (_, topic, expected) => {
    const others = [
      "a/b/c",
      "b",
      "/",
      "//",
      "+/b/+",
      "$SYS",
      "$SYS/a/b",
      "constructor",
      "a/b/+/#",
      "ab",
      "a/c"
    ]
    expect(matches(trieOf(...expected, ...others), topic)).toEqual([...expected].sort())
  })

  test("appends, and leaves what is there", () => {
    const into = ["before"]
    trieOf("a").match("a", into)
    expect(into).toEqual(["before", "a"])
  })

  test("one key may have many filters, and one filter many keys", () => {
    const trie = new SubscriptionTrie<Key, number>()
    for (const { id } of keys) trie.set("a/+", key(id), id)
    trie.set("a/#", key(0), 100)
    expect([...matches(trie, "a/b")].sort((a, b) => a - b)).toEqual([...keys.map(({ id }) => id), 100])
    expect(trie.size).toBe(keys.length + 1)
    expect(trie.get("a/+", key(7))).toBe(7)
    for (const { id } of keys) expect(trie.delete("a/+", key(id))).toBe(id)
    expect(matches(trie, "a/b")).toEqual([100])
  })

  // Texts that are hard to compare, and few texts, so that filters share their levels and differ below a `+`.
  test.each([
    ["many texts", topicFilter, topicName],
    ["few texts", crowdedFilter, crowdedName]
  ])(
    "agrees with the reference while subscriptions come and go, and leaves nothing behind: %s",
    (_, filters, names) => {
      const change = fc.record({
        filter: filters,
        id: fc.oneof({ arbitrary: fc.nat(2), weight: 3 }, { arbitrary: fc.nat(39), weight: 1 }),
        isRemoval: fc.boolean()
      })
      fc.assert(
        fc.property(
          fc.array(change, { maxLength: 120 }),
          fc.array(names, { minLength: 5, maxLength: 10 }),
          (changes, topics) => {
            const trie = new SubscriptionTrie<Key, string>()
            const model = new Map<string, { filter: string; id: number; value: string }>()
            for (const [index, { filter, id, isRemoval }] of changes.entries()) {
              const name = `${id} ${filter}`
              const value = `${name} ${index}`
              const previous = model.get(name)?.value
              if (isRemoval) {
                expect(trie.delete(filter, key(id))).toBe(previous)
                model.delete(name)
              } else {
                expect(trie.set(filter, key(id), value)).toBe(previous)
                model.set(name, { filter, id, value })
              }
              expect(trie.get(filter, key(id))).toBe(model.get(name)?.value)
            }
            const entries = [...model.values()]
            expect(trie.size).toBe(entries.length)
            for (const topic of topics) {
              const expected = entries.filter(({ filter }) => referenceMatch(filter, topic))
              expect(matches(trie, topic)).toEqual(expected.map(({ value }) => value).sort())
            }
            for (const { filter, id, value } of entries.reverse())
              expect(trie.delete(filter, key(id))).toBe(value)
            expect([trie.size, trie.nodeCount]).toEqual([0, 0])
          }
        ),
        seeded(400)
      )
    }
  )
})

describe("bookkeeping", () => {
  test("the number of nodes follows from the filters, not from their history", () => {
    const trie = trieOf("a/b/c/d/e")
    expect(trie.nodeCount).toBe(1)
    trie.set("a/b/x", key(0), "x")
    expect(trie.nodeCount).toBe(3)
    trie.set("a/b", key(0), "upper")
    expect(trie.nodeCount).toBe(3)
    trie.delete("a/b/x", key(0))
    expect(trie.nodeCount).toBe(2)
    trie.delete("a/b", key(0))
    expect(trie.nodeCount).toBe(1)
    expect(matches(trie, "a/b/c/d/e")).toEqual(["a/b/c/d/e"])
    trie.delete("a/b/c/d/e", key(0))
    expect(trie.nodeCount).toBe(0)
  })

  test("the generation changes with what a match answers, and only then", () => {
    const trie = trieOf("a/b")
    const seen = [trie.generation]
    const isNew = (): boolean => {
      const last = seen[seen.length - 1]
      seen.push(trie.generation)
      return last !== trie.generation
    }
    trie.match("a/b", [])
    expect(isNew()).toBe(false)
    trie.set("a/b", key(1), "second")
    expect(isNew()).toBe(true)
    trie.set("a/b", key(1), "other options")
    expect(isNew()).toBe(true)
    trie.delete("a/b", key(2))
    trie.delete("a", key(0))
    trie.delete("a/b/c", key(0))
    expect(isNew()).toBe(false)
    trie.delete("a/b", key(1))
    expect(isNew()).toBe(true)
  })

  test("50,000 siblings come and go", () => {
    const trie = new SubscriptionTrie<Key, number>()
    const count = 50_000
    for (let id = 0; id < count; id++) trie.set(`devices/${id}/+`, key(0), id)
    expect(trie.nodeCount).toBe(count + 1)
    for (let id = 0; id < count; id++) expect(trie.get(`devices/${id}/+`, key(0))).toBe(id)
    expect(matches(trie, "devices/49999/x")).toEqual([49_999])
    expect(matches(trie, "devices/50000/x")).toEqual([])
    for (let id = 0; id < count; id++) {
      const other = (id * 7_919) % count
      expect(trie.delete(`devices/${other}/+`, key(0))).toBe(other)
      if (id % 5_000 === 0) expect(matches(trie, `devices/${other}/x`)).toEqual([])
    }
    expect([trie.size, trie.nodeCount]).toEqual([0, 0])
  })
})

test("filters of 32,768 levels, and one at every depth, need no recursion", () => {
  const trie = trieOf(`${"a/".repeat(32_767)}a`, `${"+/".repeat(32_767)}+`, `${"a/".repeat(20_000)}#`)
  expect(matches(trie, `${"a/".repeat(32_767)}a`)).toHaveLength(3)
  const prefixes = Array.from({ length: 2_000 }, (_, depth) => `${"b/".repeat(depth)}#`)
  for (const prefix of prefixes) trie.set(prefix, key(0), prefix)
  expect(matches(trie, `${"b/".repeat(1_999)}b`)).toHaveLength(2_000)
  for (const prefix of prefixes) expect(trie.delete(prefix, key(0))).toBe(prefix)
  expect(trie.size).toBe(3)
})
