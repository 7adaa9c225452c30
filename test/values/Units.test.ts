import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/values/Units.ts"

describe("durations", () => {
  const cases: ReadonlyArray<readonly [text: string, millis: number | undefined]> = [
    ["500ms", 500],
    ["10s", 10_000],
    ["1.5s", 1500],
    ["5m", 300_000],
    ["2 h", 7_200_000],
    ["7d", 604_800_000],
    ["0s", 0],
    ["10", undefined],
    ["-1s", undefined],
    ["10S", undefined],
    ["s", undefined],
    ["", undefined],
    ["1s2", undefined],
    ["0.0001ms", undefined],
    ["99999999999999999d", undefined]
  ]
  for (const [text, millis] of cases) {
    test(`"${text}" is ${millis === undefined ? "no duration" : `${millis} ms`}`, () => {
      expect(parseDuration(text)).toBe(millis)
    })
  }

  test("what is written is read back", () => {
    const millis = FastCheck.nat({ max: 10 ** 12 })
    FastCheck.assert(
      FastCheck.property(millis, (value) => parseDuration(formatDuration(value)) === value),
      { seed: 1 }
    )
  })
})

describe("sizes", () => {
  const cases: ReadonlyArray<readonly [text: string, bytes: number | undefined]> = [
    ["0", 0],
    ["512", 512],
    ["512B", 512],
    ["64KB", 65_536],
    ["64 kb", 65_536],
    ["64KiB", 65_536],
    ["1.5M", 1_572_864],
    ["1GB", 1_073_741_824],
    ["1XB", undefined],
    ["-1KB", undefined],
    ["0.3B", undefined],
    ["KB", undefined],
    ["", undefined]
  ]
  for (const [text, bytes] of cases) {
    test(`"${text}" is ${bytes === undefined ? "no size" : `${bytes} bytes`}`, () => {
      expect(parseSize(text)).toBe(bytes)
    })
  }

  test("the shortest exact unit is written", () => {
    expect([0, 1023, 1024, 1025, 1024 ** 2, 1024 ** 4].map(formatSize)).toEqual([
      "0B",
      "1023B",
      "1KB",
      "1025B",
      "1MB",
      "1TB"
    ])
  })

  test("what is written is read back", () => {
    const bytes = FastCheck.nat({ max: 1024 ** 5 })
    FastCheck.assert(
      FastCheck.property(bytes, (value) => parseSize(formatSize(value)) === value),
      { seed: 1 }
    )
  })
})
