import { describe, expect, test } from "bun:test"
import { Watchdog } from "../../src/actor/Watchdog.ts"

const BEAT_MS = 100

/** A dispatcher as it looks from outside. */
const watched = () => {
  const dispatcher = { ticks: 0, hasWork: false }
  const watchdog = new Watchdog(dispatcher, 0)
  let nowMs = 0
  const run = (ms: number, turn: () => void = () => {}) => {
    for (const endMs = nowMs + ms; nowMs < endMs; ) {
      turn()
      nowMs += BEAT_MS
      watchdog.beat(nowMs)
    }
  }
  return { dispatcher, watchdog, run, asked: (laterMs = 0) => watchdog.livenessAt(nowMs + laterMs).isAlive }
}

describe("is alive", () => {
  test("with nothing to do", () => {
    const { asked, run } = watched()
    run(60_000)
    expect(asked()).toBe(true)
  })

  test("at work, whatever is left of it", () => {
    const { asked, dispatcher, run } = watched()
    dispatcher.hasWork = true
    run(60_000, () => dispatcher.ticks++)
    expect(asked()).toBe(true)
  })

  test("after the machine has slept, or its clock was set", () => {
    for (const jumpMs of [8 * 3_600_000, -3_600_000]) {
      const { dispatcher, watchdog } = watched()
      dispatcher.hasWork = true
      for (let beat = 1; beat <= 90; beat++) watchdog.beat(3_600_000 + beat * BEAT_MS)
      const nowMs = 3_600_000 + 9000 + jumpMs
      // Asked before the timekeeper has come round.
      expect(watchdog.livenessAt(nowMs).isAlive).toBe(true)
      watchdog.beat(nowMs)
      expect(watchdog.livenessAt(nowMs + 2000).isAlive).toBe(true)
    }
  })
})

describe("is not alive", () => {
  test("when the dispatcher leaves its work for ten seconds, and is again when it does not", () => {
    const { asked, dispatcher, run } = watched()
    dispatcher.hasWork = true
    run(10_000)
    expect(asked()).toBe(true)
    run(200)
    expect(asked()).toBe(false)
    dispatcher.ticks++
    run(100)
    expect(asked()).toBe(true)
  })

  test("when the timekeeper has stopped, for who asks twice", () => {
    const { asked, run } = watched()
    run(1000)
    expect(asked(9_000)).toBe(true)
    expect(asked(10_000)).toBe(true)
    expect(asked(10_500)).toBe(true)
    expect(asked(11_000)).toBe(false)
  })
})
