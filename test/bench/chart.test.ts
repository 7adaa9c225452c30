import { describe, expect, test } from "bun:test"
import { chart } from "./chart.ts"
import { outcomeOf, resultOf, rowOf, sampleResult } from "./sample.ts"

const textsOf = (svg: string): ReadonlyArray<string> =>
  [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, content]) => content ?? "")

const elements = (svg: string, tag: string, kind: string) =>
  [...svg.matchAll(new RegExp(`<${tag} [^>]*class="${kind}"[^>]*/>`, "g"))].map(([element]) => element)

const attribute = (element: string | undefined, name: string): number =>
  Number(new RegExp(` ${name}="([^"]+)"`).exec(element ?? "")?.[1])

/** Without the legend, whose marks come first. */
const bars = (svg: string, kind: string) =>
  elements(svg, "rect", kind).filter((element) => attribute(element, "height") === 14)

describe("the chart", () => {
  const svg = chart(sampleResult)

  test("is the same for the same result", () => {
    expect(chart(sampleResult)).toBe(svg)
  })

  test("is well-formed, and takes nothing from elsewhere", () => {
    let depth = 0
    for (const [tag] of svg.matchAll(/<[^>]+>/g)) {
      if (tag.startsWith("</")) depth--
      else if (!tag.endsWith("/>")) depth++
      expect(depth).toBeGreaterThanOrEqual(0)
    }
    expect(depth).toBe(0)
    expect(svg).not.toMatch(/<script|<image|href=|url\(|@import/)
  })

  test("says date, machine and versions, escaped", () => {
    const all = textsOf(svg).join("\n")
    expect(all).toContain("2026-11-22: median of 3 runs of 2 s")
    expect(all).toContain("A &amp; B &lt;processor&gt;, 2 cores, 24 GB, linux x64 6.18")
    expect(all).toContain("heddle 0.1.0, mosquitto 2.0.11, aedes 1.2.0")
  })

  test("is readable in light and in dark mode", () => {
    expect(svg).toContain("@media (prefers-color-scheme: dark)")
  })

  test("has a bar for each row that mosquitto finished, and none for latency rows", () => {
    expect(textsOf(svg).filter((text) => text.startsWith("the row"))).toEqual(["the row good", "the row bad"])
    expect(bars(svg, "bar").length).toBe(1)
    expect(bars(svg, "over").length).toBe(1)
  })

  test("says value and goal in words, and which goal was not met", () => {
    const texts = textsOf(svg)
    expect(texts).toContain("0.10, goal 1/6")
    expect(texts).toContain("1.5, goal 1, not met")
    expect(texts).toContain("goal not met")
  })

  test("is logarithmic: bars that reach from 1 to a tenth and to tenfold are of one length", () => {
    const [left, right] = [0.1, 10].map((ratio) =>
      bars(
        chart(resultOf([rowOf("x", [outcomeOf("heddle", [ratio]), outcomeOf("mosquitto", [1])]), both])),
        "bar"
      )
    )
    expect(attribute(left?.[0], "width")).toBeCloseTo(attribute(right?.[0], "width"), 0)
    expect(attribute(left?.[0], "width")).toBeGreaterThan(50)
    // One ends where the other begins: at mosquitto's 1.
    const leftEnd = attribute(left?.[0], "x") + attribute(left?.[0], "width")
    expect(leftEnd).toBeCloseTo(attribute(right?.[0], "x"), 0)
  })

  test("marks the range of the runs where there are several, and other peers", () => {
    expect(elements(svg, "line", "range").length).toBe(1)
    // One in the legend, one in the row.
    expect(elements(svg, "circle", "other").length).toBe(2)
  })

  test("gives no mark of its own to Heddle with another storage", () => {
    const outcomes = [outcomeOf("heddle/disk", [2]), outcomeOf("heddle", [1]), outcomeOf("mosquitto", [10])]
    const svg = chart(resultOf([rowOf("stored", outcomes)]))
    expect(bars(svg, "bar").length).toBe(1)
    expect(elements(svg, "circle", "other")).toEqual([])
  })

  test("keeps everything within its width", () => {
    for (const [, x] of svg.matchAll(/ (?:x|x1|x2|cx)="([^"]+)"/g)) {
      expect(Number(x)).toBeGreaterThanOrEqual(0)
      expect(Number(x)).toBeLessThanOrEqual(880)
    }
  })

  test("without mosquitto it says so", () => {
    const alone = chart(resultOf([rowOf("x", [outcomeOf("heddle", [1])])]))
    expect(textsOf(alone).join("\n")).toContain("mosquitto was not measured")
    expect(alone).not.toContain("NaN")
  })

  test("draws no number that is none", () => {
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
  })
})

/** Fixes the axis: from a tenth to tenfold. */
const both = rowOf("both", [outcomeOf("heddle", [0.1, 10]), outcomeOf("mosquitto", [1, 1])])
