/** The way from a router on one node to a router on another: what is put in a frame, and what is taken. */

import { describe, expect, test } from "bun:test"
import { DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"
import type { Bus, Refused, SureFrame, SureOutcome } from "../../src/cluster/Bus.ts"
import { NoDestination } from "../../src/cluster/Bus.ts"
import { decodeBusFrame } from "../../src/cluster/BusFrame.ts"
import { type Forwarded, Forwarder } from "../../src/cluster/Forwarder.ts"
import { ClusterUnavailable, type Member } from "../../src/cluster/Membership.ts"
import { linkedRouteTables, type RouteTable } from "../../src/cluster/RouteTable.ts"
import { receive, type Take } from "../../src/cluster/receive.ts"
import { messageTo } from "../router/support.ts"

const self: Member = { id: "a", index: 3, incarnation: 1_000, state: "up" }

/** A forwarder whose frames stay here until the test says what became of them. */
const rig = () => {
  const wheel = new DeadlineWheel(0)
  const fast: Array<Uint8Array> = []
  const sure: Array<SureFrame> = []
  const bus: Pick<Bus["Type"], "fast" | "sure"> = {
    fast: (_to, frame) => fast.push(frame),
    sure: (sent) => sure.push(sent)
  }
  let flushes = 0
  const [table] = linkedRouteTables(1)
  const forwarder = new Forwarder({
    self,
    bus,
    table: table as RouteTable["Type"],
    wheel,
    nowMs: () => 0,
    flushLater: () => flushes++
  })
  const outcomes: Array<string> = []
  const send = (payload: string, options: Partial<Forwarded> = {}) =>
    forwarder.of("t").send({
      to: "node/b",
      group: undefined,
      message: messageTo("x", { payload, qos: 1 }),
      settled: (isTaken) => outcomes.push(`${payload} ${isTaken}`),
      ...options
    })
  return { wheel, fast, sure, forwarder, outcomes, send, flushes: () => flushes }
}

const payloads = (frame: Uint8Array): ReadonlyArray<string> =>
  decodeBusFrame(frame).records.map(({ message }) => Buffer.from(message.payload).toString())

describe("what a node has for another", () => {
  test("in one tick leaves in one frame for each destination and lane, numbered one after another", () => {
    const { fast, flushes, forwarder, send, sure } = rig()
    for (let tick = 1; tick <= 2; tick++) {
      send("1")
      send("2", { to: "cell/0" })
      send("3", { group: "$share/g/x" })
      send("4", { settled: undefined })
      expect(flushes()).toBe(tick)
      forwarder.flush()
    }
    const seen = sure.map(({ frame, to }) => {
      const { incarnation, origin, records, sequence } = decodeBusFrame(frame)
      return [to, origin, incarnation, sequence, records.map(({ group, tenant }) => [tenant, group])]
    })
    expect(seen).toEqual(
      [1, 2].flatMap((sequence) => [
        [
          "node/b",
          3,
          1_000,
          sequence,
          [
            ["t", undefined],
            ["t", "$share/g/x"]
          ]
        ],
        ["cell/0", 3, 1_000, sequence, [["t", undefined]]]
      ])
    )
    expect(fast.map(payloads)).toEqual([["4"], ["4"]])
    expect(fast.map((frame) => decodeBusFrame(frame).sequence)).toEqual([1, 2])
  })

  test("leaves at once when a frame is full", () => {
    const { forwarder, send, sure } = rig()
    for (let index = 0; index < 5; index++) send("x".repeat(100_000))
    expect(sure.length).toBe(1)
    forwarder.flush()
    expect(sure.map(({ frame }) => payloads(frame).length)).toEqual([3, 2])
  })

  const fates: ReadonlyArray<readonly [name: string, outcome: SureOutcome, expected: ReadonlyArray<string>]> =
    [
      ["was taken", undefined, ["1 true", "2 true", "3 true"]],
      ["was taken in part", { _tag: "Refused", records: [1] }, ["1 true", "2 false", "3 true"]],
      ["was refused", { _tag: "Refused", records: "all" }, ["1 false", "2 false", "3 false"]],
      ["found nobody", new NoDestination({ to: "node/b" }), ["1 false", "2 false", "3 false"]],
      ["could not be sent", new ClusterUnavailable({ reason: "down" }), ["1 false", "2 false", "3 false"]]
    ]
  for (const [name, outcome, expected] of fates) {
    test(`is settled once when its frame ${name}, whatever comes later`, () => {
      const { forwarder, outcomes, send, sure, wheel } = rig()
      for (const payload of ["1", "2", "3"]) send(payload)
      forwarder.flush()
      expect(outcomes).toEqual([])
      sure[0]?.settled(outcome)
      expect(outcomes).toEqual([...expected])
      expect(wheel.size).toBe(0)
      sure[0]?.settled(undefined)
      expect(outcomes.length).toBe(3)
    })
  }

  test("counts as not taken when nobody answers in time", () => {
    const { forwarder, outcomes, send, sure, wheel } = rig()
    send("1")
    forwarder.flush()
    wheel.advance(9_900)
    expect(outcomes).toEqual([])
    wheel.advance(10_100)
    expect(outcomes).toEqual(["1 false"])
    sure[0]?.settled(undefined)
    expect(outcomes).toEqual(["1 false"])
  })
})

describe("what comes from another node", () => {
  const frameOf = (lane: "fast" | "sure", ...texts: ReadonlyArray<string>): Uint8Array => {
    const { fast, forwarder, send, sure } = rig()
    for (const text of texts) send(text, lane === "fast" ? { settled: undefined } : {})
    forwarder.flush()
    const frame = lane === "fast" ? fast[0] : sure[0]?.frame
    return frame ?? new Uint8Array(0)
  }

  const receiver = (take: Take, members: ReadonlyArray<Member> = [self]) => {
    const reports: Array<string> = []
    const outcomes: Array<Refused | undefined> = []
    const handler = receive({
      members: () => new Map(members.map((member) => [member.id, member])),
      take,
      report: (reason) => reports.push(reason)
    })
    return {
      reports,
      outcomes,
      fast: handler.fast,
      sure: (frame: Uint8Array) => handler.sure(frame, (outcome) => outcomes.push(outcome))
    }
  }

  test("is taken when the last of its messages is safe", () => {
    const settles: Array<(isTaken: boolean) => void> = []
    const { outcomes, sure } = receiver(
      (_forwarded, settled) => settled !== undefined && settles.push(settled) > 0
    )
    sure(frameOf("sure", "1", "2", "3"))
    settles[2]?.(true)
    settles[0]?.(true)
    expect(outcomes).toEqual([])
    settles[1]?.(true)
    expect(outcomes).toEqual([undefined])
  })

  test("is refused by the place of what could not be taken or stored", () => {
    const { outcomes, sure } = receiver(({ message }, settled) => {
      const text = Buffer.from(message.payload).toString()
      if (text === "no room") return false
      settled?.(text !== "not stored")
      return true
    })
    sure(frameOf("sure", "1", "no room", "2", "not stored"))
    expect(outcomes).toEqual([{ _tag: "Refused", records: [1, 3] }])
  })

  test("on the fast lane is not waited for", () => {
    const taken: Array<unknown> = []
    const { fast } = receiver((_forwarded, settled) => taken.push(settled) > 0)
    fast(frameOf("fast", "1", "2"))
    expect(taken).toEqual([undefined, undefined])
  })

  const strangers: ReadonlyArray<readonly [string, ReadonlyArray<Member>]> = [
    ["is no member", [{ ...self, id: "b", index: 4 }]],
    ["was a member in an earlier life", [{ ...self, incarnation: 1_001 }]]
  ]
  for (const [name, members] of strangers) {
    test(`is refused when its sender ${name}`, () => {
      const { fast, outcomes, reports, sure } = receiver(() => expect.unreachable(), members)
      sure(frameOf("sure", "1"))
      fast(frameOf("fast", "1"))
      expect(outcomes).toEqual([{ _tag: "Refused", records: "all" }])
      expect(reports.length).toBe(2)
    })
  }

  test("is refused when it cannot be read", () => {
    const { fast, outcomes, reports, sure } = receiver(() => expect.unreachable())
    for (const frame of [new Uint8Array(0), frameOf("sure", "1").subarray(0, -1)]) {
      sure(frame)
      fast(frame)
    }
    const all: Refused = { _tag: "Refused", records: "all" }
    expect(outcomes).toEqual([all, all])
    expect(reports.length).toBe(4)
  })
})
