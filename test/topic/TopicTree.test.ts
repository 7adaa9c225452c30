import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { TopicTree } from "../../src/topic/TopicTree.ts"
import { referenceMatch, seeded, topicFilter, topicName } from "./reference.ts"

const treeOf = (...topics: ReadonlyArray<string>): TopicTree<number> => {
  const tree = new TopicTree<number>()
  for (const [index, topic] of topics.entries()) tree.set(topic, index)
  return tree
}

const matches = <V>(tree: TopicTree<V>, filter: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  tree.match(filter, (topic) => found.push(topic) > 0)
  return found
}

/** What a filter matches among topics, in the order of code units. */
const expectedOf = (topics: Iterable<string>, filter: string): ReadonlyArray<string> =>
  [...topics].filter((topic) => referenceMatch(filter, topic)).sort((a, b) => (a < b ? -1 : 1))

describe("match", () => {
  const topics = [
    "a",
    "a/",
    "a/b",
    "a/b/c",
    "a!",
    "a0",
    "/a",
    "/",
    "b/b",
    "$SYS",
    "$SYS/a",
    "__proto__",
    "ab/c"
  ]
  test.each([
    ["[MQTT-4.7.1-1] # takes the level above and all below", "a/#", ["a", "a/", "a/b", "a/b/c"]],
    ["[MQTT-4.7.1-1] # below a + needs the level of the +", "+/b/#", ["a/b", "a/b/c", "b/b"]],
    ["[MQTT-4.7.1-2] + takes one level, the empty one included", "a/+", ["a/", "a/b"]],
    ["[MQTT-4.7.1-2] + in front", "+/b", ["a/b", "b/b"]],
    ["[MQTT-4.7.1-2] + for an empty level in front", "+/a", ["/a"]],
    ["[MQTT-4.7.2-1] + leaves out $ topics", "+", ["__proto__", "a", "a!", "a0"]],
    ["[MQTT-4.7.2-1] $SYS/# takes them", "$SYS/#", ["$SYS", "$SYS/a"]],
    ["[MQTT-4.7.3-4] a filter without wildcards is one topic", "a", ["a"]],
    ["[MQTT-4.7.3-4] nothing there", "constructor", []]
  ])("%s", (_, filter, expected) => {
    expect(matches(treeOf(...topics), filter)).toEqual(expected)
  })

  test("[MQTT-4.7.2-1] # leaves out $ topics", () => {
    expect(matches(treeOf(...topics), "#")).toEqual(expectedOf(topics, "#"))
    expect(matches(treeOf(...topics), "#")).toHaveLength(topics.length - 2)
  })

  test("stops when the visitor says so", () => {
    const tree = treeOf("a/1", "a/2", "a/3")
    const found: Array<string> = []
    tree.match("a/+", (topic) => found.push(topic) < 2)
    expect(found).toEqual(["a/1", "a/2"])
    let visits = 0
    tree.match("a/1", () => ++visits < 0)
    expect(visits).toBe(1)
  })

  test("looks at what matches and leaps over the rest", () => {
    const tree = new TopicTree<number>()
    for (let index = 0; index < 20_000; index++) tree.set(`a/${index % 4}/x/${index}`, index)
    tree.set("a/1/y", 1)
    const from = tree.matchPage({ filter: "a/+/y", from: undefined, matchesMax: 9, looksMax: 20 }, () => {})
    expect(from).toBeUndefined()
    expect(matches(tree, "a/+/y")).toEqual(["a/1/y"])
  })

  test("agrees with the reference while topics come and go, and leaves nothing behind", () => {
    const change = fc.record({
      topic: topicName,
      isRemoval: fc.integer({ min: 0, max: 3 }).map((n) => n === 0)
    })
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 150 }),
        fc.array(topicFilter, { minLength: 5, maxLength: 10 }),
        (changes, filters) => {
          const tree = new TopicTree<number>()
          const model = new Map<string, number>()
          for (const [index, { isRemoval, topic }] of changes.entries()) {
            const previous = model.get(topic)
            if (isRemoval) {
              expect(tree.delete(topic)).toBe(previous)
              model.delete(topic)
            } else {
              expect(tree.set(topic, index)).toBe(previous)
              model.set(topic, index)
            }
            expect(tree.get(topic)).toBe(model.get(topic))
          }
          expect(tree.size).toBe(model.size)
          for (const filter of filters) {
            const found: Array<readonly [string, number]> = []
            tree.match(filter, (topic, value) => found.push([topic, value]) > 0)
            expect(found.map(([topic]) => topic)).toEqual([...expectedOf(model.keys(), filter)])
            for (const [topic, value] of found) expect(value).toBe(model.get(topic) ?? -1)
          }
          for (const topic of model.keys()) tree.delete(topic)
          expect([tree.size, tree.nodeCount]).toEqual([0, 0])
        }
      ),
      seeded(400)
    )
  })

  test("20,000 topics in any order are split into leaves and joined again", () => {
    const count = 20_000
    for (const step of [1, 7_919, count - 1]) {
      const tree = new TopicTree<number>()
      for (let index = 0; index < count; index++) tree.set(`d/${(index * step) % count}`, index)
      expect(tree.size).toBe(count)
      expect(tree.nodeCount).toBeLessThan(100)
      const all = matches(tree, "d/+")
      expect(all).toEqual(expectedOf(all, "#"))
      expect(new Set(all).size).toBe(count)
      for (let index = 0; index < count - 10; index++) tree.delete(`d/${index}`)
      expect(matches(tree, "#")).toHaveLength(10)
      expect(tree.nodeCount).toBeLessThan(3)
      for (let index = count - 10; index < count; index++) expect(tree.delete(`d/${index}`)).toBeNumber()
      expect(tree.nodeCount).toBe(0)
    }
  })

  test("topics of 32,768 levels need no recursion", () => {
    const deep = `${"a/".repeat(32_767)}a`
    const tree = treeOf(deep, "a", `${"a/".repeat(32_767)}b`)
    expect(matches(tree, `${"+/".repeat(32_767)}+`)).toHaveLength(2)
    expect(matches(tree, `${"+/".repeat(32_767)}a`)).toEqual([deep])
    expect(matches(tree, "a/#")).toHaveLength(3)
  })
})

describe("matchPage", () => {
  const limits = { matchesMax: 2, looksMax: 100 }

  test("goes on where the page before ended", () => {
    const tree = treeOf("a/1", "a/2", "a/3", "a/4", "b")
    const found: Array<string> = []
    const page = (from: string | undefined): string | undefined =>
      tree.matchPage({ filter: "a/+", from, ...limits }, (topic) => found.push(topic))
    const second = page(undefined)
    expect(found).toEqual(["a/1", "a/2"])
    tree.delete("a/3")
    tree.set("a/0", 0)
    tree.set("a/35", 0)
    const third = page(second)
    expect(found).toEqual(["a/1", "a/2", "a/35", "a/4"])
    expect(page(third)).toBeUndefined()
    expect(found).toHaveLength(4)
  })

  test("a filter without wildcards is one page", () => {
    const tree = treeOf("a")
    const found: Array<string> = []
    expect(
      tree.matchPage({ filter: "a", from: undefined, ...limits }, (topic) => found.push(topic))
    ).toBeUndefined()
    expect(found).toEqual(["a"])
  })

  test("a page in vain ends after as many looks as it may take", () => {
    const tree = new TopicTree<number>()
    for (let index = 0; index < 1_000; index++) tree.set(`a/${index}/x`, index)
    let pages = 0
    let from: string | undefined
    do {
      from = tree.matchPage({ filter: "a/+/y", from, matchesMax: 10, looksMax: 50 }, () => {})
      pages++
    } while (from !== undefined)
    expect(pages).toBeGreaterThan(10)
    expect(pages).toBeLessThan(50)
  })

  test("misses nothing that stays and visits nothing twice, whatever changes between pages", () => {
    const changes = fc.array(fc.record({ topic: topicName, isRemoval: fc.boolean() }), { maxLength: 8 })
    fc.assert(
      fc.property(
        fc.record({
          initial: fc.array(topicName, { maxLength: 60 }),
          filter: topicFilter,
          between: fc.array(changes, { maxLength: 30 }),
          matchesMax: fc.integer({ min: 1, max: 5 }),
          looksMax: fc.integer({ min: 1, max: 10 })
        }),
        ({ between, filter, initial, looksMax, matchesMax }) => {
          const tree = treeOf(...initial)
          const staying = new Set(initial)
          const seen: Array<string> = []
          let from: string | undefined
          let pages = 0
          do {
            let inPage = 0
            from = tree.matchPage({ filter, from, matchesMax, looksMax }, (topic, value) => {
              expect(tree.get(topic)).toBe(value)
              seen.push(topic)
              inPage++
            })
            expect(inPage).toBeLessThanOrEqual(matchesMax)
            for (const { isRemoval, topic } of between[pages] ?? []) {
              if (!isRemoval) tree.set(topic, pages)
              else if (tree.delete(topic) !== undefined) staying.delete(topic)
            }
            expect(++pages).toBeLessThan(2_000)
          } while (from !== undefined)
          expect(new Set(seen).size).toBe(seen.length)
          for (const topic of expectedOf(staying, filter)) expect(seen).toContain(topic)
          for (const topic of seen) expect(referenceMatch(filter, topic)).toBe(true)
        }
      ),
      seeded(500)
    )
  })
})
