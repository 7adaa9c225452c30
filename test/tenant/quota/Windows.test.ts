import { describe, expect, test } from "bun:test"
import type { UsageRow } from "../../../src/storage/UsageStore.ts"
import { Counters } from "../../../src/telemetry/Counters.ts"
import { monthStartMs, reasonOfWindow, type WindowState, Windows } from "../../../src/tenant/quota/Windows.ts"
import { defaultTenantSettings, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"

const noon = Date.UTC(2026, 10, 22, 12)
const midnight = Date.UTC(2026, 10, 23)
const december = Date.UTC(2026, 11, 1)
const HOUR_MS = 3_600_000

const makeWindows = (limits: Partial<TenantSettings>, nowMs = noon) => {
  const counters = new Counters()
  const warnings: Array<WindowState> = []
  const settings = { ...defaultTenantSettings, ...limits }
  const windows = new Windows(settings, counters, (state) => warnings.push(state), nowMs)
  /** Counts a message as a session does; whether it may pass. */
  const publish = (atMs = noon, bytes = 1): boolean => {
    counters.messagesReceived++
    counters.bytesReceived += bytes
    if (windows.exceeded(atMs) === undefined) return true
    counters.droppedQuota++
    counters.bytesDroppedQuota += bytes
    return false
  }
  return { counters, publish, settings, warnings, windows }
}

const rowOf = (row: Partial<UsageRow>): UsageRow => ({
  ...{
    tenant: "default",
    hourMs: noon - HOUR_MS,
    writer: "earlier",
    messagesIn: 0,
    bytesIn: 0,
    messagesOut: 0
  },
  ...{ bytesOut: 0, connects: 0, connectionMs: 0, connectionsPeak: 0, sessionsPeak: 0, storedBytesPeak: 0 },
  retainedMessagesPeak: 0,
  ...row
})

describe("windows", () => {
  test("take as many messages as the limit says, and refuse the next until the day is over", () => {
    const { publish } = makeWindows({ messagesPerDay: 5 })
    expect(Array.from({ length: 7 }, () => publish())).toEqual([true, true, true, true, true, false, false])
    expect(publish(midnight - 1)).toBe(false)
    expect(publish(midnight)).toBe(true)
  })

  test("a month outlasts its days, and is that of UTC", () => {
    const { publish } = makeWindows({ messagesPerMonth: 2 })
    expect([publish(), publish(midnight), publish(midnight + 1)]).toEqual([true, true, false])
    expect([publish(december - 1), publish(december)]).toEqual([false, true])
    expect(monthStartMs(noon)).toBe(Date.UTC(2026, 10, 1))
  })

  test("bytes: what does not fit is refused, what does is taken", () => {
    const { publish } = makeWindows({ bytesPerDay: 10 })
    expect([publish(noon, 8), publish(noon, 3), publish(noon, 2), publish(noon, 1)]).toEqual([
      true,
      false,
      true,
      false
    ])
  })

  const deliveryLimits: ReadonlyArray<readonly [keyof TenantSettings, "messagesSent" | "bytesSent"]> = [
    ["deliveriesPerDay", "messagesSent"],
    ["deliveriesPerMonth", "messagesSent"],
    ["deliveryBytesPerDay", "bytesSent"],
    ["deliveryBytesPerMonth", "bytesSent"]
  ]
  for (const [limit, counter] of deliveryLimits) {
    test(`${limit}: nothing is taken any more once as much was delivered`, () => {
      const { counters, publish } = makeWindows({ [limit]: 100 })
      counters[counter] = 99
      expect(publish()).toBe(true)
      counters[counter] = 100
      expect(publish()).toBe(false)
      expect(publish(december)).toBe(true)
    })
  }

  test("go on from what the ledger says, of each window what belongs to it", () => {
    const { publish, windows } = makeWindows({ messagesPerDay: 10, messagesPerMonth: 100 })
    windows.carry(rowOf({ messagesIn: 8 }))
    windows.carry(rowOf({ messagesIn: 50, hourMs: Date.UTC(2026, 10, 3) }))
    windows.carry(rowOf({ messagesIn: 50, hourMs: Date.UTC(2026, 9, 31, 23) }))
    expect([...windows.states(noon)].map(({ resource, used }) => [resource, used])).toEqual([
      ["messagesPerDay", 8],
      ["messagesPerMonth", 58]
    ])
    expect([publish(), publish(), publish()]).toEqual([true, true, false])
  })

  test("warn once a window at four fifths", () => {
    const { publish, warnings } = makeWindows({ messagesPerDay: 10 })
    for (let n = 0; n < 7; n++) publish()
    expect(warnings).toEqual([])
    for (let n = 0; n < 10; n++) publish()
    expect(warnings).toMatchObject([{ resource: "messagesPerDay", used: 8, limit: 10 }])
    for (let n = 0; n < 10; n++) publish(midnight)
    expect(warnings).toHaveLength(2)
  })

  test("a limit that is set later finds what was used since the day began", () => {
    const { counters, publish, settings, windows } = makeWindows({})
    for (let n = 0; n < 5; n++) publish()
    windows.roll(midnight)
    for (let n = 0; n < 5; n++) publish(midnight)
    expect(windows.isLimited).toBe(false)
    Object.assign(settings, { messagesPerDay: 6 })
    windows.lookAgain()
    expect(windows.isLimited).toBe(true)
    expect([publish(midnight), publish(midnight)]).toEqual([true, false])
    expect(counters.droppedQuota).toBe(1)
    Object.assign(settings, { messagesPerDay: 8 })
    windows.lookAgain()
    expect(publish(midnight)).toBe(true)
  })

  test("the reason names the limit and when it begins anew", () => {
    const state = { resource: "bytesPerMonth", used: 11, limit: 10, endsAtMs: december } as const
    expect(reasonOfWindow(state)).toBe(
      "the tenant's bytesPerMonth of 10 is used up until 2026-12-01T00:00:00Z"
    )
  })
})
