/** The timing rules of a session, as tables of instants: Keep Alive, will delay, session expiry. */

import { describe, expect, test } from "bun:test"
import { nextDueMs } from "../../src/session/expiry.ts"
import { NEVER_EXPIRES, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { type ConnectOptions, Machine, START_MS } from "./Machine.ts"

const wills = (machine: Machine): number => machine.take("Will").length

const codes = (machine: Machine): ReadonlyArray<number> =>
  machine.take("Close").map((output) => output.reasonCode)

const connected = (options: ConnectOptions = {}, settings: Partial<TenantSettings> = {}): Machine => {
  const machine = new Machine(settings)
  machine.connect(options)
  machine.all()
  return machine
}

describe("Keep Alive", () => {
  test("[MQTT-3.1.2-22] one and a half times without a packet closes, not a moment before", () => {
    const machine = connected({ keepAlive: 10 })
    expect(nextDueMs(machine.state)).toBe(START_MS + 15_000)
    machine.wait(14_999)
    expect(codes(machine)).toEqual([])
    machine.wait(1)
    expect(codes(machine)).toEqual([0x8d])
  })

  test("[MQTT-3.1.2-22] a packet starts it anew", () => {
    const machine = connected({ keepAlive: 10 })
    machine.wait(14_000)
    machine.state.lastPacketMs = machine.nowMs
    machine.wait(14_999)
    expect(codes(machine)).toEqual([])
    machine.wait(1)
    expect(codes(machine)).toEqual([0x8d])
  })

  test("0 turns it off (3.1.2.10)", () => {
    const machine = connected({ keepAlive: 0 })
    expect(nextDueMs(machine.state)).toBe(0)
    machine.wait(1_000_000_000)
    expect(codes(machine)).toEqual([])
  })

  test("a client whose packets we hold back is not silent", () => {
    const machine = connected({ keepAlive: 10 })
    machine.routerHasSpace = false
    machine.publish()
    expect(nextDueMs(machine.state)).toBe(0)
    machine.wait(60_000)
    expect(codes(machine)).toEqual([])
  })

  const granted: ReadonlyArray<
    readonly [
      name: string,
      asked: number,
      settings: Partial<TenantSettings>,
      told: number | undefined,
      dueMs: number
    ]
  > = [
    ["as asked", 60, {}, undefined, 90_000],
    ["Server Keep Alive (3.2.2.3.14): more than asked", 5, { keepAliveMin: 30 }, 30, 45_000],
    ["Server Keep Alive (3.2.2.3.14): less than asked", 600, { keepAliveMax: 100 }, 100, 150_000],
    [
      "Server Keep Alive (3.2.2.3.14): some though none was asked for",
      0,
      { keepAliveMax: 100 },
      100,
      150_000
    ],
    ["the longest there is", 65_535, {}, undefined, 98_302_500]
  ]
  test.each(granted)("%s", (_name, keepAlive, settings, told, dueMs) => {
    const machine = new Machine(settings)
    machine.connect({ keepAlive })
    const [connack] = machine.take("Control")
    expect(connack?.packet._tag === "Connack" ? connack.packet.properties.serverKeepAlive : 0).toBe(told)
    expect(nextDueMs(machine.state)).toBe(START_MS + dueMs)
  })

  test("earlier versions, which cannot be told another, get what they ask for", () => {
    const machine = connected({ version: 4, keepAlive: 600 }, { keepAliveMax: 100 })
    expect(nextDueMs(machine.state)).toBe(START_MS + 900_000)
  })
})

describe("session expiry", () => {
  const cases: ReadonlyArray<
    readonly [name: string, connect: ConnectOptions, settings: Partial<TenantSettings>, endsAfterMs: number]
  > = [
    ["[MQTT-3.1.2-23] absent: with the connection", {}, {}, 0],
    ["[MQTT-3.1.2-23] 0: with the connection", { properties: { sessionExpiryInterval: 0 } }, {}, 0],
    ["as asked", { properties: { sessionExpiryInterval: 60 } }, {}, 60_000],
    [
      "no longer than granted",
      { properties: { sessionExpiryInterval: 600 } },
      { sessionExpiryIntervalMax: 60 },
      60_000
    ],
    [
      "never is no longer than granted either",
      { properties: { sessionExpiryInterval: NEVER_EXPIRES } },
      { sessionExpiryIntervalMax: 60 },
      60_000
    ],
    ["[v3 MQTT-3.1.2-6] Clean Session 1: with the connection", { version: 4, clean: true }, {}, 0],
    [
      "[v3 MQTT-3.1.2-4] Clean Session 0: as granted",
      { version: 4 },
      { sessionExpiryIntervalMax: 60 },
      60_000
    ]
  ]
  test.each(cases)("%s", (_name, connect, settings, endsAfterMs) => {
    const machine = connected(connect, settings)
    machine.lose()
    if (endsAfterMs > 0) expect(machine.wait(endsAfterMs - 1)).toBe(false)
    expect(machine.wait(endsAfterMs > 0 ? 1 : 0)).toBe(true)
    const { isStored, received, subscriptions } = machine.state
    expect([isStored, received, subscriptions]).toEqual([false, undefined, undefined])
  })

  test("4294967295 never ends it (3.1.2.11.2)", () => {
    const machine = connected({ properties: { sessionExpiryInterval: NEVER_EXPIRES } })
    machine.lose()
    expect(nextDueMs(machine.state)).toBe(0)
    expect(machine.wait(4_294_967_296_000)).toBe(false)
  })

  test("[MQTT-3.2.2-2] a client that comes at the very instant finds nothing, one before it finds its session", () => {
    for (const [waitedMs, sessionPresent] of [
      [59_999, true],
      [60_000, false]
    ] as const) {
      const machine = connected({ properties: { sessionExpiryInterval: 60 } })
      machine.lose()
      machine.nowMs += waitedMs
      machine.connect()
      const [connack] = machine.take("Control")
      expect(connack?.packet).toMatchObject({ _tag: "Connack", sessionPresent })
    }
  })

  test("[MQTT-3.1.2-23] a connection that is taken over with an interval of 0 leaves nothing to take over", () => {
    const machine = connected()
    machine.connect()
    const [connack] = machine.take("Control")
    expect(connack?.packet).toMatchObject({ _tag: "Connack", sessionPresent: false })
  })

  const changes: ReadonlyArray<
    readonly [name: string, asked: number, changed: number, endsAfterMs: number | undefined]
  > = [
    ["shortens it", 60, 10, 10_000],
    ["prolongs it", 60, 100, 100_000],
    ["ends the session now", 60, 0, 0],
    ["[MQTT-3.14.2-2] does not raise it from 0", 0, 60, undefined],
    ["may leave 0 as it is", 0, 0, 0]
  ]
  test.each(changes)("DISCONNECT %s", (_name, asked, changed, endsAfterMs) => {
    const machine = connected({ properties: { sessionExpiryInterval: asked } })
    machine.disconnect(0, { sessionExpiryInterval: changed })
    expect(machine.isConnected).toBe(endsAfterMs === undefined)
    expect(codes(machine)).toEqual([endsAfterMs === undefined ? 0x82 : 0])
    if (endsAfterMs === undefined) return
    if (endsAfterMs > 0) expect(machine.wait(endsAfterMs - 1)).toBe(false)
    expect(machine.wait(endsAfterMs > 0 ? 1 : 0)).toBe(true)
  })
})

interface WillCase {
  readonly name: string
  readonly delay: number
  readonly expiry: number
  readonly settings?: Partial<TenantSettings>
  /** When the will is sent; undefined when it never is. */
  readonly firesAfterMs: number | undefined
}

describe("the will of a lost connection", () => {
  const cases: ReadonlyArray<WillCase> = [
    { name: "[MQTT-3.1.2-8] without delay at once", delay: 0, expiry: 60, firesAfterMs: 0 },
    { name: "[MQTT-3.1.3-9] after its delay", delay: 10, expiry: 60, firesAfterMs: 10_000 },
    {
      name: "[MQTT-3.1.2-8] at the end of the session, if that is earlier",
      delay: 60,
      expiry: 10,
      firesAfterMs: 10_000
    },
    { name: "[MQTT-3.1.2-8] at once when the session ends at once", delay: 60, expiry: 0, firesAfterMs: 0 },
    {
      name: "after its delay though the session never ends",
      delay: 60,
      expiry: NEVER_EXPIRES,
      firesAfterMs: 60_000
    },
    {
      name: "after no longer delay than granted",
      delay: 600,
      expiry: NEVER_EXPIRES,
      settings: { willDelayIntervalMax: 60 },
      firesAfterMs: 60_000
    }
  ]
  for (const { delay, expiry, firesAfterMs, name, settings } of cases) {
    test(name, () => {
      const options = { will: { delayInterval: delay }, properties: { sessionExpiryInterval: expiry } }
      const machine = connected(options, settings)
      machine.lose()
      if (firesAfterMs === undefined || firesAfterMs > 0) {
        machine.wait((firesAfterMs ?? 1_000_000) - 1)
        expect(wills(machine)).toBe(0)
      }
      machine.wait(firesAfterMs ? 1 : 0)
      expect(wills(machine)).toBe(firesAfterMs === undefined ? 0 : 1)
      machine.wait(1_000_000)
      expect(wills(machine)).toBe(0)
    })
  }

  const delayed = { will: { delayInterval: 10 }, properties: { sessionExpiryInterval: 60 } }

  test("[MQTT-3.1.3-9] is not sent when the client comes back within the delay", () => {
    const machine = connected(delayed)
    machine.lose()
    machine.wait(9999)
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    machine.wait(1_000_000)
    machine.lose()
    machine.wait(30_000)
    expect(wills(machine)).toBe(0)
  })

  test("[MQTT-3.1.3-9] is sent when the client comes back after the delay, before anybody looked", () => {
    const machine = connected(delayed)
    machine.lose()
    machine.nowMs += 10_000
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    expect(wills(machine)).toBe(1)
  })

  test("[MQTT-3.1.3-9] is not sent when a delayed one's connection is taken over", () => {
    const machine = connected(delayed)
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    expect(codes(machine)).toEqual([0x8e])
    machine.wait(1_000_000)
    expect(wills(machine)).toBe(0)
  })

  test("[MQTT-3.1.2-8] is sent when it is taken over without delay, or by a Clean Start", () => {
    const withoutDelay = connected({ ...delayed, will: {} })
    withoutDelay.connect({ properties: { sessionExpiryInterval: 60 } })
    expect(wills(withoutDelay)).toBe(1)
    const cleanly = connected(delayed)
    cleanly.connect({ clean: true })
    expect(wills(cleanly)).toBe(1)
  })

  test("[MQTT-3.1.2-8] waiting for its delay is sent by a Clean Start, which ends the session", () => {
    const machine = connected(delayed)
    machine.lose()
    machine.connect({ clean: true })
    expect(wills(machine)).toBe(1)
  })

  const reasons: ReadonlyArray<readonly [clause: string, reasonCode: number, sent: number]> = [
    ["[MQTT-3.14.4-3] Normal disconnection", 0x00, 0],
    ["[MQTT-3.1.2-8] Disconnect with Will Message", 0x04, 1],
    ["[MQTT-3.1.2-8] Unspecified error", 0x80, 1]
  ]
  test.each(reasons)("%s", (_clause, reasonCode, sent) => {
    const machine = connected({ will: {} })
    machine.disconnect(reasonCode)
    expect(wills(machine)).toBe(sent)
  })

  test("[MQTT-3.1.2-10] is sent once for a connection", () => {
    const machine = connected({ will: {}, properties: { sessionExpiryInterval: 60 } })
    machine.lose()
    expect(wills(machine)).toBe(1)
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    machine.lose()
    machine.end()
    expect(wills(machine)).toBe(0)
  })
})
