import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import {
  filterContains,
  filtersOverlap,
  matchesFilter,
  parseTopicFilter
} from "../../src/topic/TopicFilter.ts"
import { referenceMatch, seeded, topicFilter, topicName } from "./reference.ts"

describe("parseTopicFilter", () => {
  test.each([
    ["a"],
    ["#"],
    ["+"],
    ["/"],
    ["//"],
    ["a//b"],
    ["a/#"],
    ["/#"],
    ["+/#"],
    ["+/+"],
    ["/+"],
    ["+/"],
    ["a/+/b/#"],
    ["$SYS/#"],
    ["$share"],
    ["$shared/g/a"],
    ["a/$share/g/b"],
    ["__proto__/+"],
    ["\u{1f600}/#"],
    [`${"+/".repeat(32_767)}#`]
  ])("accepts a plain filter %#", (filter) => {
    expect(parseTopicFilter(filter)).toEqual({ _tag: "Plain", filter })
  })

  test.each([
    ["[MQTT-4.7.1-1] [v3 MQTT-4.7.1-2] # is the last level", "a/#/b", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-1] [v3 MQTT-4.7.1-2] nothing follows #", "a/#/", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-1] [v3 MQTT-4.7.1-2] # stands behind a slash", "a#", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-1] [v3 MQTT-4.7.1-2] # is a whole level", "a/#b", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-1] [v3 MQTT-4.7.1-2] # is one character", "##", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] + is a whole level: end", "a+", "MQTT-4.7.1-2"],
    ["[MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] + is a whole level: begin", "+a/b", "MQTT-4.7.1-2"],
    ["[MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] + is one character", "a/++/b", "MQTT-4.7.1-2"],
    ["[MQTT-4.7.1-2] [v3 MQTT-4.7.1-3] + and # do not mix", "a/+#", "MQTT-4.7.1-2"],
    ["[MQTT-4.7.3-1] a filter is not empty", "", "MQTT-4.7.3-1"],
    ["[MQTT-4.7.3-2] a filter has no U+0000", "a\u0000/b", "MQTT-4.7.3-2"],
    ["[MQTT-1.5.4-1] a filter has no lone surrogate", "a/\udc00", "MQTT-1.5.4-1"],
    ["[MQTT-4.7.3-3] a filter has 65,535 bytes at most", "/".repeat(65_536), "MQTT-4.7.3-3"],
    ["[MQTT-4.7.3-3] so has a shared one", `$share/g/${"a".repeat(65_530)}`, "MQTT-4.7.3-3"],
    ["[MQTT-4.8.2-1] a share name has a character", "$share//a", "MQTT-4.8.2-1"],
    ["[MQTT-4.8.2-1] a share name is there", "$share/", "MQTT-4.8.2-1"],
    ["[MQTT-4.8.2-1] ordered: a share name has a character", "$oshare//a", "MQTT-4.8.2-1"],
    ["[MQTT-4.8.2-2] a slash follows the share name", "$share/g", "MQTT-4.8.2-2"],
    ["[MQTT-4.8.2-2] a filter follows the share name", "$share/g/", "MQTT-4.8.2-2"],
    ["[MQTT-4.8.2-2] ordered: a filter follows", "$oshare/g/", "MQTT-4.8.2-2"],
    ["[MQTT-4.8.2-2] a share name has no +", "$share/g+/a", "MQTT-4.8.2-2"],
    ["[MQTT-4.8.2-2] a share name is not +", "$share/+/a", "MQTT-4.8.2-2"],
    ["[MQTT-4.8.2-2] a share name has no #", "$share/#/a", "MQTT-4.8.2-2"],
    ["[MQTT-4.7.3-2] a share name has no U+0000", "$share/\u0000/a", "MQTT-4.7.3-2"],
    ["[MQTT-1.5.4-1] a share name has no lone surrogate", "$share/\ud800/a", "MQTT-1.5.4-1"],
    ["[MQTT-4.7.1-1] the filter of a share is valid", "$share/g/a/#/b", "MQTT-4.7.1-1"],
    ["[MQTT-4.7.1-2] the filter of a share is valid", "$oshare/g/a+", "MQTT-4.7.1-2"]
  ])("%s", (_, text, clause) => {
    expect(parseTopicFilter(text)).toMatchObject({ _tag: "Invalid", clause, limit: undefined })
  })

  test.each([
    ["$share/g/a/+/#", false, "g", "a/+/#"],
    ["$share/g//", false, "g", "/"],
    ["$share/g//a", false, "g", "/a"],
    ["$share/$share/$share/g/a", false, "$share", "$share/g/a"],
    ["$share/__proto__/#", false, "__proto__", "#"],
    ["$share/\u{1f600}/a", false, "\u{1f600}", "a"],
    ["$oshare/g/a", true, "g", "a"]
  ])("[MQTT-4.8.2-2] reads %s", (text, ordered, group, filter) => {
    expect(parseTopicFilter(text)).toEqual({ _tag: "Shared", ordered, group, filter })
  })

  test.each([
    ["a/b/c", undefined],
    ["a/b/#", undefined],
    ["a/b/c/#", "levelsMax"],
    ["abcde/b", "levelBytesMax"],
    ["a/abcde", "levelBytesMax"],
    ["abcd/abcd/", undefined],
    ["abcd/abcd/a", "charsMax"],
    ["€€€/€€", "bytesMax"],
    ["$share/g/a/b/c", undefined],
    ["$share/g/a/b/c/d", "levelsMax"],
    ["$share/group/a", "levelBytesMax"],
    ["$share/éé/€a", undefined],
    ["$share/é€/a", "levelBytesMax"],
    ["+/é€", "levelBytesMax"]
  ] as const)("limits: %s", (text, limit) => {
    const parsed = parseTopicFilter(text, { levelsMax: 3, levelBytesMax: 4, charsMax: 10, bytesMax: 12 })
    expect(parsed._tag === "Invalid" ? parsed.limit : undefined).toBe(limit)
  })
})

describe("matchesFilter", () => {
  test.each([
    ["[MQTT-4.7.1-1] # takes the levels below", "a/#", "a/b/c", true],
    ["[MQTT-4.7.1-1] # takes the level above", "a/#", "a", true],
    ["[MQTT-4.7.1-1] # takes an empty level", "a/#", "a/", true],
    ["[MQTT-4.7.1-1] # does not cut a level", "a/#", "ab", false],
    ["[MQTT-4.7.1-1] # alone takes every topic", "#", "a/b", true],
    ["[MQTT-4.7.1-1] +/# takes one level", "+/#", "a", true],
    ["[MQTT-4.7.1-2] + takes one level", "a/+", "a/b", true],
    ["[MQTT-4.7.1-2] + takes no second level", "a/+", "a/b/c", false],
    ["[MQTT-4.7.1-2] + takes an empty level", "a/+", "a/", true],
    ["[MQTT-4.7.1-2] + takes no missing level", "a/+", "a", false],
    ["[MQTT-4.7.1-2] + in front takes an empty level", "+/a", "/a", true],
    ["[MQTT-4.7.1-2] + alone is one level", "+", "/a", false],
    ["[MQTT-4.7.1-2] +/+ takes two", "+/+", "/a", true],
    ["[MQTT-4.7.2-1] # leaves out $ topics", "#", "$SYS/a", false],
    ["[MQTT-4.7.2-1] + leaves out $ topics", "+/a", "$SYS/a", false],
    ["[MQTT-4.7.2-1] $SYS/# takes $SYS topics", "$SYS/#", "$SYS/a", true],
    ["[MQTT-4.7.2-1] $SYS/+ takes $SYS topics", "$SYS/+", "$SYS/a", true],
    ["[MQTT-4.7.2-1] $ below the first level is ordinary", "a/+", "a/$x", true],
    ["[MQTT-4.7.3-4] case differs", "ACCOUNTS", "Accounts", false],
    ["[MQTT-4.7.3-4] a slash in front differs", "/a", "a", false],
    ["[MQTT-4.7.3-4] a slash at the end differs", "a/", "a", false],
    ["[MQTT-4.7.3-4] composed and decomposed differ", "\u00e9", "e\u0301", false],
    ["[MQTT-4.7.3-4] a byte order mark stays", "a\ufeff", "a", false]
  ])("%s", (_, filter, topic, expected) => {
    expect(matchesFilter(filter, topic)).toBe(expected)
    expect(referenceMatch(filter, topic)).toBe(expected)
  })

  test("agrees with the reference", () => {
    fc.assert(
      fc.property(topicFilter, topicName, (filter, topic) => {
        expect(matchesFilter(filter, topic)).toBe(referenceMatch(filter, topic))
      }),
      seeded(3_000)
    )
  })
})

/** Every text of at most `depth` of these levels; `#` only as the last one. */
const everyText = (levels: ReadonlyArray<string>, depth: number): ReadonlyArray<string> => {
  let texts: ReadonlyArray<string> = levels
  let longest = texts
  for (let level = 1; level < depth; level++) {
    longest = longest
      .filter((text) => !text.endsWith("#"))
      .flatMap((text) => levels.map((next) => `${text}/${next}`))
    texts = texts.concat(longest)
  }
  return texts.filter((text) => text !== "")
}

describe("relations of filters, against every topic of a small alphabet", () => {
  // The topics have levels that no filter names, and are two levels deeper than any filter.
  const topics = everyText(["a", "", "$a", "z", "$z"], 5)
  const filters = everyText(["a", "", "$a", "+", "#"], 3)
  const matched = new Map(
    filters.map((filter) => [filter, topics.map((topic) => referenceMatch(filter, topic))])
  )
  const pairs = filters.flatMap((a) => filters.map((b) => [a, b] as const))
  const topicsOf = (filter: string): ReadonlyArray<boolean> => matched.get(filter) ?? []

  test("matchesFilter", () => {
    for (const filter of filters) {
      expect(topics.map((topic) => matchesFilter(filter, topic))).toEqual([...topicsOf(filter)])
    }
  })

  test("filterContains", () => {
    const wrong = pairs.filter(([outer, inner]) => {
      const expected = topicsOf(inner).every((isMatched, index) => !isMatched || topicsOf(outer)[index])
      return filterContains(outer, inner) !== expected
    })
    expect(wrong).toEqual([])
  })

  test("filtersOverlap", () => {
    const wrong = pairs.filter(([a, b]) => {
      const expected = topicsOf(a).some((isMatched, index) => isMatched && topicsOf(b)[index])
      return filtersOverlap(a, b) !== expected
    })
    expect(wrong).toEqual([])
  })
})

describe("filterContains", () => {
  test.each([
    ["a/#", "a", true],
    ["a/#", "a/#", true],
    ["a/+/#", "a/#", false],
    ["+/#", "#", true],
    ["+/+/#", "#", false],
    ["#", "$SYS/a", false],
    ["+/a", "$SYS/a", false],
    ["$SYS/#", "$SYS/a", true],
    ["a/+", "a/#", false],
    ["a/+", "a/b", true],
    ["a/b", "a/+", false]
  ])("[MQTT-4.7.2-1] %s contains %s: %p", (outer, inner, expected) => {
    expect(filterContains(outer, inner)).toBe(expected)
  })
})

test("texts of 32,768 levels are walked without recursion", () => {
  const topic = `${"a/".repeat(32_767)}a`
  const plus = `${"+/".repeat(32_767)}+`
  expect(parseTopicFilter(plus)._tag).toBe("Plain")
  expect(matchesFilter(plus, topic)).toBe(true)
  expect(matchesFilter(`${plus}/+`, topic)).toBe(false)
  expect(filterContains(plus, topic)).toBe(true)
  expect(filtersOverlap(plus, topic)).toBe(true)
})
