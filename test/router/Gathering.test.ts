import { describe, expect, test } from "bun:test"
import { Gathering, GatheringLine } from "../../src/router/Gathering.ts"

/** Gatherings in a line, and the order in which they are stored. */
const lineOf = (count: number) => {
  const stored: Array<number> = []
  const line = new GatheringLine()
  const gatherings = Array.from({ length: count }, (_, index) => {
    const gathering = new Gathering(
      true,
      () => stored.push(index),
      () => {}
    )
    gathering.enter(line)
    return gathering
  })
  const complete = (...indexes: ReadonlyArray<number>) => {
    for (const index of indexes) gatherings[index]?.complete()
  }
  return { stored, line, complete, gatherings }
}

describe("units of one router's messages", () => {
  test("[MQTT-4.6.0-6] are stored in the order of the messages, whoever is done first", () => {
    const { complete, stored } = lineOf(4)
    complete(1, 3)
    expect(stored).toEqual([])
    complete(0)
    expect(stored).toEqual([0, 1])
    complete(2)
    expect(stored).toEqual([0, 1, 2, 3])
  })

  test("do not wait any more for one that is never complete when the line is dissolved", () => {
    const { complete, line, stored } = lineOf(3)
    complete(1)
    line.dissolve()
    expect(stored).toEqual([1])
    complete(2, 0)
    expect(stored).toEqual([1, 2, 0])
  })

  test("have one place, also when they are routed again", () => {
    const { complete, gatherings, line, stored } = lineOf(2)
    gatherings[0]?.enter(line)
    complete(0, 1)
    expect(stored).toEqual([0, 1])
  })
})
