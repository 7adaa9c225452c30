import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { AliasTable } from "../../src/session/AliasTable.ts"

describe("topic aliases towards a client", () => {
  test("[MQTT-3.1.2-26] [MQTT-3.1.2-27] a client reads every topic right and sees no alias above its maximum", () => {
    const use = fc.record({ topic: fc.nat(9).map(String), isLost: fc.boolean() })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(use, { size: "max", maxLength: 80 }),
        (maximum, uses) => {
          const table = new AliasTable(maximum)
          const client = new Map<number, string>()
          for (const { isLost, topic } of uses) {
            const { alias, isNew } = table.use(topic)
            expect(alias >= 1 && alias <= maximum).toBe(true)
            // A packet with topic and alias that was too large to send taught the client nothing.
            if (isLost && isNew) {
              table.forget(topic)
              continue
            }
            if (isNew) client.set(alias, topic)
            expect(client.get(alias)).toBe(topic)
          }
        }
      ),
      { numRuns: 500, seed: 1 }
    )
  })

  test("a topic in use keeps its alias while others come and go", () => {
    const table = new AliasTable(3)
    const { alias } = table.use("often")
    for (let other = 0; other < 100; other++) {
      table.use(`once/${other}`)
      expect(table.use("often")).toEqual({ alias, isNew: false })
    }
  })

  test("every number is used before one is given up", () => {
    const table = new AliasTable(3)
    expect(["a", "b", "c"].map((topic) => table.use(topic).alias)).toEqual([1, 2, 3])
    expect(["a", "b", "c"].map((topic) => table.use(topic).isNew)).toEqual([false, false, false])
  })
})
