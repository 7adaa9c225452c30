import { describe, expect, test } from "bun:test"
import { isSystemTopic, type TopicLimits, validateTopicName } from "../../src/topic/TopicName.ts"

describe("validateTopicName", () => {
  test.each([
    ["a"],
    ["/"],
    ["//"],
    ["a//b"],
    ["/a"],
    ["a/"],
    [" "],
    ["a b/c d"],
    ["$SYS/x"],
    ["__proto__/constructor"],
    ["\u{1f600}/é/\ufeff"],
    ["a".repeat(65_535)],
    ["/".repeat(65_535)]
  ])("accepts a well-formed name %#", (name) => {
    expect(validateTopicName(name)).toBeUndefined()
  })

  test.each([
    ["[MQTT-3.3.2-2] refuses +", "a/+", "MQTT-3.3.2-2"],
    ["[MQTT-3.3.2-2] refuses + inside a level", "a+b", "MQTT-3.3.2-2"],
    ["[MQTT-3.3.2-2] refuses #", "#", "MQTT-3.3.2-2"],
    ["[MQTT-3.3.2-2] refuses # inside a level", "a/b#", "MQTT-3.3.2-2"],
    ["[MQTT-4.7.3-1] refuses the empty name", "", "MQTT-4.7.3-1"],
    ["[MQTT-4.7.3-2] refuses U+0000", "a/\u0000", "MQTT-4.7.3-2"],
    ["[MQTT-1.5.4-1] refuses a lone surrogate", "a\ud800", "MQTT-1.5.4-1"],
    ["[MQTT-4.7.3-3] refuses 65,536 bytes", "a".repeat(65_536), "MQTT-4.7.3-3"],
    ["[MQTT-4.7.3-3] counts bytes of two", "é".repeat(32_768), "MQTT-4.7.3-3"],
    ["[MQTT-4.7.3-3] counts bytes of three", "€".repeat(21_846), "MQTT-4.7.3-3"],
    ["[MQTT-4.7.3-3] counts bytes of four", "\u{1f600}".repeat(16_384), "MQTT-4.7.3-3"]
  ])("%s", (_, name, clause) => {
    expect(validateTopicName(name)).toMatchObject({ _tag: "Invalid", clause, limit: undefined })
  })

  test.each([["é".repeat(32_767)], ["€".repeat(21_845)], ["\u{1f600}".repeat(16_383)]])(
    "[MQTT-4.7.3-3] accepts at most 65,535 bytes %#",
    (name) => {
      expect(validateTopicName(name)).toBeUndefined()
    }
  )

  const limits: TopicLimits = { levelsMax: 3, levelBytesMax: 4, charsMax: 10, bytesMax: 12 }
  test.each([
    ["levels at the limit", "a/b/c", undefined],
    ["empty levels count", "a//b/", "levelsMax"],
    ["levels", "a/b/c/d", "levelsMax"],
    ["a level at the limit", "abcd/abcd", undefined],
    ["a level in the middle", "a/abcde/b", "levelBytesMax"],
    ["the last level", "a/abcde", "levelBytesMax"],
    ["characters at the limit", "abcd/abcd/", undefined],
    ["characters", "abcd/abcd/a", "charsMax"],
    ["bytes of a level at the limit", "€a/éé", undefined],
    ["bytes of a level", "a/é€/b", "levelBytesMax"],
    ["bytes at the limit", "éé/ab/éé", undefined],
    ["bytes", "ééé/éé/éé", "bytesMax"]
  ] as const)("limits: %s", (_, name, limit) => {
    const invalid = validateTopicName(name, limits)
    expect(invalid?.limit).toBe(limit)
    expect(invalid?.clause).toBe(limit === undefined ? undefined : "2.4")
  })
})

test("[MQTT-4.7.2-1] a system topic begins with $", () => {
  expect(["$", "$SYS/a", "a/$SYS", "/$", "a$"].map(isSystemTopic)).toEqual([true, true, false, false, false])
})
