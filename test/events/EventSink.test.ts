import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"

const connected: Event = {
  _tag: "ClientConnected",
  tenant: "acme",
  clientId: "device-1",
  transport: "tcp",
  address: "127.0.0.1",
  sessionPresent: false
}
const refused: Event = {
  _tag: "ConnectRefused",
  transport: "tcp",
  address: "127.0.0.1",
  clientId: "device-1",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "a wrong password"
}

/** The levels at which the events are logged when nothing below `minimum` is. */
const levelsOf = async (minimum: LogLevel.LogLevel, events: ReadonlyArray<Event>) => {
  const levels: Array<string> = []
  const recorder = Logger.make(({ logLevel }) => {
    levels.push(logLevel.label)
  })
  const logging = Layer.merge(Logger.replace(Logger.defaultLogger, recorder), Logger.minimumLogLevel(minimum))
  const report = Effect.gen(function* () {
    const sink = yield* EventSink
    for (const event of events) sink.report(event)
  })
  await Effect.runPromise(report.pipe(Effect.provide(EventSink.layerLog), Effect.provide(logging)))
  return levels
}

describe("events in the log", () => {
  test("refusals are for everybody, who comes and goes only for those who ask", async () => {
    expect(await levelsOf(LogLevel.Info, [connected, refused])).toEqual(["INFO"])
    expect(await levelsOf(LogLevel.Debug, [connected, refused])).toEqual(["DEBUG", "INFO"])
  })
})
