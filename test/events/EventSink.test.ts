import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { LineLimit } from "../../src/events/LineLimit.ts"
import { effect } from "../support/effect.ts"

const refused: Event = {
  _tag: "ConnectRefused",
  listener: "tcp",
  transport: "tcp",
  address: "192.0.2.1",
  tenant: undefined,
  clientId: "stranger",
  cause: "not-authorized",
  reasonCode: 0x87,
  reason: "not here"
}

const disconnected = (by: "client" | "server"): Event => ({
  _tag: "ClientDisconnected",
  tenant: "t",
  clientId: "c",
  by,
  cause: "malformed-packet",
  reasonCode: 0x81,
  reason: "why"
})

/** The messages that the log sink wrote for these events. */
const logged = (events: ReadonlyArray<Event>, level: LogLevel.LogLevel) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => {
      lines.push(String(message))
    })
    yield* Effect.gen(function* () {
      const { report } = yield* EventSink
      for (const event of events) report(event)
      yield* Effect.yieldNow()
    }).pipe(
      Effect.provide(EventSink.layerLog),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(level)
    )
    return lines
  })

describe("the log of events", () => {
  effect("tells of refusals and of what the broker closed, not of clients that just leave", () =>
    Effect.gen(function* () {
      const events = [refused, disconnected("client"), disconnected("server")]
      expect(yield* logged(events, LogLevel.Info)).toEqual(["ConnectRefused", "ClientDisconnected"])
      expect((yield* logged(events, LogLevel.Debug)).length).toBe(3)
    })
  )

  effect("is not filled by a stranger", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        Array.from({ length: 1000 }, () => refused),
        LogLevel.Info
      )
      expect(lines.length).toBe(20)
    })
  )

  effect("never holds back a defect", () =>
    Effect.gen(function* () {
      const defect: Event = { _tag: "ActorDefect", actor: "router", tenant: "t", defect: "bug" }
      const lines = yield* logged([...Array.from({ length: 100 }, () => refused), defect], LogLevel.Info)
      expect(lines.length).toBe(21)
    })
  )
})

describe("the limit of lines", () => {
  test("lets a second's worth through, counts the rest, and says how many with the next", () => {
    const limit = new LineLimit(2, 0)
    expect([0, 0, 0, 0].map((instant) => limit.admit(instant))).toEqual([0, 0, undefined, undefined])
    expect(limit.admit(500)).toBe(2)
    expect(limit.admit(500)).toBeUndefined()
    expect([limit.admit(5000), limit.admit(5000), limit.admit(5000)]).toEqual([1, 0, undefined])
  })

  test("is not confused by a clock that was set back", () => {
    const limit = new LineLimit(1, 1000)
    expect([limit.admit(1000), limit.admit(0), limit.admit(1000)]).toEqual([0, undefined, 1])
  })
})
