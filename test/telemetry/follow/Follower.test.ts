/** Following a client: what is taken, what is left out, how it ends; and what a line says. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type FollowedLine, followedText } from "../../../src/telemetry/follow/FollowedLine.ts"
import { Follower, type FollowOptions, linesPerSecond } from "../../../src/telemetry/follow/Follower.ts"
import { FOLLOWERS_MAX, Followers } from "../../../src/telemetry/follow/Followers.ts"

const START_MS = 1_800_000_000_000

const options: FollowOptions = {
  tenant: "acme",
  clientId: "c",
  packetsMax: undefined,
  untilMs: START_MS + 600_000,
  payloadBytes: 0
}

const packet: FollowedLine = {
  kind: "packet",
  at: new Date(START_MS).toISOString(),
  connection: 1,
  direction: "in",
  packet: "PUBLISH",
  bytes: 12
}

const follower = (more: Partial<FollowOptions> = {}) => {
  const ended: Array<Follower> = []
  return { ended, follower: new Follower({ ...options, ...more }, START_MS, (each) => ended.push(each)) }
}

const offer = (to: Follower, nowMs: number, line = packet): void => {
  if (to.admits(nowMs)) to.add(line, nowMs)
}

const taken = (of: Follower): ReadonlyArray<string> =>
  of.take().map((line) => {
    const { packet: name, text } = JSON.parse(line) as FollowedLine
    return text ?? name ?? ""
  })

describe("a follower", () => {
  test("takes so many lines a second, and says how many it left out", () => {
    const { follower: each } = follower()
    for (let count = 0; count < linesPerSecond + 50; count++) offer(each, START_MS)
    expect(taken(each)).toHaveLength(linesPerSecond)
    offer(each, START_MS + 500)
    expect(taken(each)).toEqual([`50 lines left out: more than ${linesPerSecond} a second`, "PUBLISH"])
  })

  test("says it also when nothing more comes", () => {
    const { follower: each } = follower()
    for (let count = 0; count < linesPerSecond + 1; count++) offer(each, START_MS)
    each.take()
    each.tick(START_MS)
    expect(taken(each)).toEqual([])
    each.tick(START_MS + 1000)
    expect(taken(each)).toEqual([`1 lines left out: more than ${linesPerSecond} a second`])
    each.tick(START_MS + 2000)
    expect(taken(each)).toEqual([])
  })

  test("ends when its time is over, by a line or by the clock", () => {
    for (const pass of [offer, (to: Follower, nowMs: number) => to.tick(nowMs)]) {
      const { ended, follower: each } = follower()
      pass(each, options.untilMs)
      expect([each.isOver, ended.length]).toEqual([true, 1])
      expect(taken(each)).toEqual(["no longer followed: its time is over"])
      offer(each, options.untilMs)
      expect(taken(each)).toEqual([])
    }
  })

  test("ends after so many packets; events and notes do not count", () => {
    const { follower: each } = follower({ packetsMax: 2 })
    offer(each, START_MS, { kind: "event", at: "", event: "ClientConnected" })
    each.note("hello", START_MS)
    offer(each, START_MS)
    expect(each.isOver).toBe(false)
    offer(each, START_MS)
    expect(taken(each).slice(1)).toEqual([
      "hello",
      "PUBLISH",
      "PUBLISH",
      "no longer followed: 2 packets were shown"
    ])
    expect(each.isOver).toBe(true)
  })

  test("is cut off when nobody reads it", () => {
    const { ended, follower: each } = follower()
    let nowMs = START_MS
    for (let count = 0; count < 5000; count++) offer(each, (nowMs += 10))
    expect([each.isOver, ended.length]).toEqual([true, 1])
    const lines = taken(each)
    expect(lines).toHaveLength(2001)
    expect(lines.at(-1)).toBe("no longer followed: what was told was not read")
  })

  test("is cut off by what long lines weigh, too", () => {
    const { follower: each } = follower()
    const long = { ...packet, topic: "x".repeat(100_000) }
    for (let count = 0; count < 20; count++) offer(each, START_MS, long)
    expect(each.isOver).toBe(true)
    expect(taken(each)).toHaveLength(11)
  })

  test("wakes its reader for a line, and for its end", async () => {
    const { ended, follower: each } = follower()
    const first = Effect.runFork(each.wake)
    offer(each, START_MS)
    await Effect.runPromise(Fiber.join(first))
    expect(taken(each)).toEqual(["PUBLISH"])
    const second = Effect.runFork(each.wake)
    each.close()
    await Effect.runPromise(Fiber.join(second))
    each.close()
    expect([each.isOver, ended.length]).toEqual([true, 1])
    await Effect.runPromise(each.wake)
  })
})

describe("followers", () => {
  test("are so many at most, and those whose time is over make room", () => {
    const followers = new Followers()
    for (let count = 0; count < FOLLOWERS_MAX; count++) {
      expect(followers.add(options, START_MS)).toBeDefined()
    }
    expect(followers.add(options, START_MS)).toBeUndefined()
    expect(followers.add(options, options.untilMs)).toBeDefined()
  })

  test("follow a client of their tenant, and one whose tenant is not known", () => {
    const followers = new Followers()
    expect(followers.tap("c", "acme")).toBeUndefined()
    const one = followers.add(options, START_MS)
    expect(followers.tap("c", "acme")).toBeDefined()
    expect(followers.tap("c", undefined)).toBeDefined()
    expect(followers.tap("c", "other")).toBeUndefined()
    expect(followers.tap("d", "acme")).toBeUndefined()
    const tap = followers.tap("c", undefined)
    tap?.identified("c", "other", START_MS)
    expect(tap?.isOver).toBe(true)
    expect(one?.take().join("")).toContain("is of tenant other, where it is not followed")
    one?.close()
    expect([followers.isAny, followers.tap("c", "acme")]).toEqual([false, undefined])
  })

  test("hear of events of their client alone", () => {
    const followers = new Followers()
    const one = followers.add(options, START_MS)
    const reason = "expired"
    const of = (tenant: string, clientId: string) =>
      followers.happened({ _tag: "SessionEnded", tenant, clientId, reason }, START_MS)
    of("other", "c")
    of("acme", "d")
    expect(one?.take()).toEqual([])
    of("acme", "c")
    expect(one?.take().map((line) => JSON.parse(line))).toEqual([
      {
        kind: "event",
        at: new Date(START_MS).toISOString(),
        event: "SessionEnded",
        tenant: "acme",
        clientId: "c",
        reason
      }
    ])
  })
})

describe("a line as text", () => {
  const at = "2027-01-15T08:00:00.123Z"
  const table: ReadonlyArray<readonly [name: string, line: FollowedLine, text: string]> = [
    ["of a note", { kind: "note", at, text: "hello" }, "08:00:00.123  --       hello"],
    [
      "of a packet",
      { ...packet, at, topic: "a/b", qos: 1, payloadBytes: 5 },
      "08:00:00.123  #1 <-    PUBLISH         12 B  topic=a/b qos=1 payloadBytes=5"
    ],
    [
      "of reason codes",
      {
        kind: "packet",
        at,
        connection: 2,
        direction: "out",
        packet: "SUBACK",
        bytes: 6,
        reasonCodes: [1, 0x87]
      },
      "08:00:00.123  #2 ->    SUBACK           6 B  reasonCodes=[0x01, 0x87:NotAuthorized]"
    ],
    [
      "of an event",
      { kind: "event", at, event: "SessionEnded", tenant: "t", clientId: "c", reason: "it expired" },
      '08:00:00.123  event    SessionEnded  reason="it expired"'
    ],
    [
      "with what a terminal could take for a command",
      { ...packet, at, topic: "a\u001b[2J\u202e\u009b1", willTopic: "ok" },
      '08:00:00.123  #1 <-    PUBLISH         12 B  topic="a\\u001b[2J\\u{202e}\\u{9b}1" willTopic=ok'
    ]
  ]
  test.each(table)("%s", (_, line, text) => {
    expect(followedText(line)).toBe(text)
  })
})
