import { describe, expect, test } from "bun:test"
import { LiteralPaths } from "../../src/topic/LiteralPaths.ts"

const pathsOf = (...filters: ReadonlyArray<string>): LiteralPaths => {
  const paths = new LiteralPaths()
  for (const filter of filters) paths.add(filter, 0)
  return paths
}

/** Where the last level starts that is worth following. */
const cases: ReadonlyArray<{
  readonly filters: ReadonlyArray<string>
  readonly topic: string
  readonly level: string | undefined
}> = [
  { filters: [], topic: "a/b", level: undefined },
  { filters: ["a/b"], topic: "a/b", level: "b" },
  { filters: ["a/b"], topic: "a/c", level: undefined },
  { filters: ["a/b"], topic: "a/b/c", level: undefined },
  { filters: ["a/b/c"], topic: "a/b", level: undefined },
  { filters: ["a", "a/b/c/d"], topic: "a/b/c", level: undefined },
  { filters: ["a/#"], topic: "a", level: "a" },
  { filters: ["a/#", "a/b/c"], topic: "a/b/x", level: "a/b/x" },
  { filters: ["a/b/+", "a/b/c/d"], topic: "a/b/c/e", level: "b/c/e" },
  { filters: ["#", "+/b"], topic: "a/b", level: undefined },
  { filters: ["/", "a/"], topic: "a/", level: "" },
  { filters: ["ab/c"], topic: "a/b/c", level: undefined }
]

describe("reach", () => {
  for (const { filters, level, topic } of cases) {
    test(`of ${topic} beside ${filters.join(", ") || "nothing"}`, () => {
      expect(pathsOf(...filters).reach(topic)).toBe(level === undefined ? -1 : topic.length - level.length)
    })
  }

  test("what has gone leads nowhere, what was there before still does", () => {
    const paths = pathsOf("a/b/c", "a/b/+")
    paths.add("a/b/d", 4)
    paths.remove("a/b/c", 4)
    expect([paths.reach("a/b/c"), paths.reach("a/b/d")]).toEqual([2, 4])
    paths.remove("a/b/d", 4)
    paths.remove("a/b/+", 0)
    expect(paths.reach("a/b/d")).toBe(-1)
  })

  test("40,000 filters come and go, in whatever order", () => {
    const filters = Array.from({ length: 40_000 }, (_, index) => `devices/${index}/set`)
    const paths = pathsOf("devices")
    const from = "devices/".length
    for (const filter of filters) paths.add(filter, from)
    expect(filters.filter((filter) => paths.reach(filter) !== filter.length - 3)).toEqual([])
    for (const [index, filter] of filters.entries()) if (index % 3 !== 0) paths.remove(filter, from)
    const reached = filters.filter((filter) => paths.reach(filter) !== -1)
    expect(reached).toEqual(filters.filter((_, index) => index % 3 === 0))
    for (const filter of reached) paths.remove(filter, from)
    expect(filters.filter((filter) => paths.reach(filter) !== -1)).toEqual([])
  })
})
