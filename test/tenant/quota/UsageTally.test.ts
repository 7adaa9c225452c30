import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { Counters } from "../../../src/telemetry/Counters.ts"
import { UsageTally } from "../../../src/tenant/quota/UsageTally.ts"

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const ten = Date.UTC(2026, 10, 22, 10)

const makeTally = (nowMs = ten) => {
  const counters = new Counters()
  return { counters, tally: new UsageTally("tenant", "writer", counters, nowMs) }
}

describe("a tenant's hours", () => {
  test("hold what the counters have grown by, as totals that are written whole", () => {
    const { counters, tally } = makeTally()
    Object.assign(counters, { messagesReceived: 5, bytesReceived: 50, messagesSent: 7, bytesSent: 70 })
    const first = { tenant: "tenant", writer: "writer", hourMs: ten, messagesIn: 5, bytesIn: 50 }
    expect(tally.rows(ten + MINUTE_MS)).toMatchObject([{ ...first, messagesOut: 7, bytesOut: 70 }])
    counters.messagesReceived = 6
    expect(tally.rows(ten + 2 * MINUTE_MS)).toMatchObject([{ ...first, messagesIn: 6 }])
    expect(tally.rows(ten + 3 * MINUTE_MS)).toEqual([])
  })

  test("end with the reading at the hour, and the next begins with nothing", () => {
    const { counters, tally } = makeTally()
    counters.messagesReceived = 5
    expect(tally.rows(ten + HOUR_MS)).toMatchObject([{ hourMs: ten, messagesIn: 5 }])
    counters.messagesReceived = 8
    expect(tally.rows(ten + HOUR_MS + MINUTE_MS)).toMatchObject([{ hourMs: ten + HOUR_MS, messagesIn: 3 }])
  })

  test("leave out what was refused over a window", () => {
    const { counters, tally } = makeTally()
    Object.assign(counters, {
      messagesReceived: 5,
      droppedQuota: 2,
      bytesReceived: 50,
      bytesDroppedQuota: 20
    })
    expect(tally.rows(ten + MINUTE_MS)).toMatchObject([{ messagesIn: 3, bytesIn: 30 }])
  })

  test("sum the time of connections, and keep the most of each hour", () => {
    const { counters, tally } = makeTally()
    Object.assign(counters, { connections: 2, connectionsPeak: 9, sessions: 3, persistentBytes: 40 })
    const [first] = tally.rows(ten + MINUTE_MS)
    expect(first).toMatchObject({ connectionMs: MINUTE_MS, connectionsPeak: 9, sessionsPeak: 3 })
    counters.retainedBytes = 2
    expect(tally.rows(ten + HOUR_MS)).toMatchObject([
      { hourMs: ten, connectionMs: MINUTE_MS + 2 * 59 * MINUTE_MS, storedBytesPeak: 42 },
      { hourMs: ten + HOUR_MS, connectionMs: 0, connectionsPeak: 2, sessionsPeak: 3 }
    ])
  })

  test("never come again when the clock is set back", () => {
    const { counters, tally } = makeTally()
    counters.messagesReceived = 5
    tally.rows(ten + HOUR_MS + MINUTE_MS)
    counters.messagesReceived = 7
    expect(tally.rows(ten)).toMatchObject([{ hourMs: ten + HOUR_MS, messagesIn: 2 }])
  })

  const step = FastCheck.record({
    afterMs: FastCheck.integer({ min: -HOUR_MS, max: 2 * HOUR_MS }),
    messages: FastCheck.nat(100)
  })

  test("add up to the counters, whenever they are read and however the clock goes", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 50 }), (steps) => {
        const { counters, tally } = makeTally()
        const kept = new Map<number, number>()
        let nowMs = ten
        for (const { afterMs, messages } of steps) {
          nowMs += afterMs
          counters.messagesReceived += messages
          for (const row of tally.rows(nowMs)) {
            // Totals only grow, so that a row written late does no harm beside one written twice.
            expect(row.messagesIn).toBeGreaterThanOrEqual(kept.get(row.hourMs) ?? 0)
            kept.set(row.hourMs, row.messagesIn)
          }
        }
        expect([...kept.values()].reduce((sum, each) => sum + each, 0)).toBe(counters.messagesReceived)
      }),
      { seed: 2, numRuns: 200 }
    )
  })
})
