/**
 * What waits for a client: the policies of a full queue, limits in bytes, expiry, QoS 0, and what does not
 * fit.
 */

import { describe, expect, test } from "bun:test"
import { PACKET_IDS } from "../../src/session/OutboundQueue.ts"
import { pump } from "../../src/session/outbound.ts"
import type { QueuePolicy, TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Machine, type Output } from "./Machine.ts"

const properties = { sessionExpiryInterval: 60 }

/** A session whose client has left. */
const away = (settings: Partial<TenantSettings> = {}): Machine => {
  const machine = new Machine(settings)
  machine.connect({ properties })
  machine.lose()
  machine.all()
  return machine
}

const comeBack = (machine: Machine): ReadonlyArray<string> => {
  machine.connect({ properties })
  return machine.payloads()
}

const give = (machine: Machine, ...payloads: ReadonlyArray<string>): void => {
  for (const payload of payloads) machine.give({ payload, qos: 1 })
}

const stall = (machine: Machine, backlogBytes: number): void => {
  const link = machine.state.link as { backlogBytes: number } | undefined
  if (link === undefined) throw new Error("not connected")
  link.backlogBytes = backlogBytes
}

const dropped = (outputs: ReadonlyArray<Output>): number =>
  outputs.filter((output) => output._tag === "Dropped").length

describe("a full queue", () => {
  const policies: ReadonlyArray<readonly [policy: QueuePolicy, kept: ReadonlyArray<string>]> = [
    ["drop-oldest", ["3", "4", "5"]],
    ["drop-newest", ["1", "2", "3"]],
    ["disconnect", ["1", "2", "3"]]
  ]
  for (const [queuePolicy, kept] of policies) {
    test(`${queuePolicy}: of five messages three stay for an absent client`, () => {
      const machine = away({ queueMessagesMax: 3, queuePolicy })
      give(machine, "1", "2", "3", "4", "5")
      expect(dropped(machine.all())).toBe(2)
      expect(machine.counters.droppedQueueFull).toBe(2)
      expect(comeBack(machine)).toEqual([...kept])
    })

    test(`${queuePolicy}: what is in flight stays whatever comes`, () => {
      const machine = new Machine({ inflightMax: 2, queueMessagesMax: 1, queuePolicy })
      machine.connect({ properties })
      give(machine, "1", "2", "3", "4")
      const closed = machine.take("Close").map((output) => output.reasonCode)
      expect(closed).toEqual(queuePolicy === "disconnect" ? [0x97] : [])
      machine.ack("Puback", 1)
      machine.ack("Puback", 2)
      expect(machine.state.link === undefined ? [] : machine.payloads()).toEqual(
        queuePolicy === "drop-oldest"
          ? ["1", "2", "4"]
          : queuePolicy === "drop-newest"
            ? ["1", "2", "3"]
            : ["1", "2"]
      )
    })
  }

  test("whoever left a message unacknowledged gets it again, and then what the queue kept of a flood", () => {
    const machine = new Machine({ queueMessagesMax: 3 })
    machine.connect({ properties })
    give(machine, "unacknowledged")
    machine.lose()
    for (let count = 0; count < PACKET_IDS + 10; count++) give(machine, "flood")
    give(machine, "1", "2", "3")
    machine.all()
    machine.take("Sent")
    expect(comeBack(machine)).toEqual(["unacknowledged", "1", "2", "3"])
  })

  test("is full by bytes as well: as many of the oldest go as the new one needs", () => {
    const topicBytes = "topic".length
    const machine = away({ queueBytesMax: 4 * (topicBytes + 10) })
    give(machine, ..."abcd".split("").map((letter) => letter.repeat(10)))
    expect(machine.counters.droppedQueueFull).toBe(0)
    give(machine, "e".repeat(20))
    expect(machine.counters.droppedQueueFull).toBe(2)
    expect(comeBack(machine)).toEqual(["c".repeat(10), "d".repeat(10), "e".repeat(20)])
  })

  test("a message that is larger than the queue may be is dropped alone", () => {
    const machine = away({ queueBytesMax: 30, queuePolicy: "drop-newest" })
    give(machine, "small", "x".repeat(100))
    expect(comeBack(machine)).toEqual(["small"])
    expect(machine.counters.droppedQueueFull).toBe(1)
  })

  test("what is in flight takes none of the bytes of what waits, on record or not", () => {
    const machine = new Machine({ queueBytesMax: 40, inflightMax: 2 })
    machine.connect({ properties })
    give(machine, "x".repeat(100), "y".repeat(100), "1", "2", "3")
    expect(machine.counters.droppedQueueFull).toBe(0)
    expect(machine.payloads().map((payload) => payload[0])).toEqual(["x", "y"])
    machine.lose()
    give(machine, "4", "5")
    // Each weighs its topic as well: there is room for six of them.
    expect(machine.counters.droppedQueueFull).toBe(0)
    give(machine, "6", "7")
    expect(machine.counters.droppedQueueFull).toBe(1)
    expect(machine.state.backlog?.waitingBytes).toBe(36)
  })

  test("limits what waits: a message that can leave at once passes", () => {
    const machine = new Machine({ queueMessagesMax: 0, queueBytesMax: 0 })
    machine.connect({ properties })
    give(machine, "1", "2")
    expect(machine.payloads()).toEqual(["1", "2"])
    machine.lose()
    give(machine, "3")
    expect(machine.counters.droppedQueueFull).toBe(1)
  })
})

describe("QoS 0", () => {
  test("does not wait for an absent client unless the tenant wants it to", () => {
    const machine = away()
    machine.give({ payload: "1" })
    expect(comeBack(machine)).toEqual([])
  })

  test("[MQTT-4.6.0-6] kept for an absent client comes in order, before what is new", () => {
    const machine = away({ queueQos0: true, outboundBytesMax: 100 })
    for (const payload of ["1", "2", "3"]) machine.give({ payload })
    const link = machine.connect({ properties })
    expect(machine.payloads()).toEqual(["1", "2", "3"])
    machine.lose()
    for (const payload of ["4", "5"]) machine.give({ payload })
    expect(link.isClosed).toBe(false)
    expect(comeBack(machine)).toEqual(["4", "5"])
    machine.give({ payload: "6" })
    expect(machine.payloads()).toEqual(["6"])
  })

  test("kept for an absent client leaves as fast as the client takes it, and none is dropped", () => {
    const machine = away({ queueQos0: true, outboundBytesMax: 100 })
    for (const payload of ["1", "2", "3"]) machine.give({ payload })
    const send = machine.sendPublish.bind(machine)
    machine.sendPublish = (publication, header) => {
      stall(machine, 1000)
      return send(publication, header)
    }
    expect(comeBack(machine)).toEqual(["1"])
    machine.give({ payload: "new" })
    const rest: Array<string> = []
    for (let drain = 0; drain < 3; drain++) {
      stall(machine, 0)
      pump(machine.state, machine.nowMs, machine)
      rest.push(...machine.payloads())
    }
    expect(rest).toEqual(["2", "3", "new"])
    expect(machine.counters.droppedSlowConsumer).toBe(0)
    expect([machine.state.queuedQos0Bytes, machine.state.queuedQos0?.length ?? 0]).toEqual([0, 0])
  })

  test("kept for an absent client is limited in messages and in bytes", () => {
    const few = away({ queueQos0: true, queueMessagesMax: 2 })
    for (const payload of ["1", "2", "3"]) few.give({ payload })
    expect(few.counters.droppedQueueFull).toBe(1)
    expect(comeBack(few)).toEqual(["1", "2"])
    const small = away({ queueQos0: true, queueBytesMax: 30 })
    for (let index = 0; index < 10; index++) small.give({ payload: "x".repeat(8) })
    expect(small.counters.droppedQueueFull).toBe(8)
    small.end()
    expect(small.state.queuedQos0Bytes).toBe(0)
  })

  test("is dropped and counted while a client does not take its bytes; QoS 1 waits", () => {
    const machine = new Machine({ outboundBytesMax: 100 })
    machine.connect({ properties })
    machine.all()
    stall(machine, 101)
    machine.give({ payload: "lost" })
    machine.give({ payload: "waits", qos: 1 })
    expect(dropped(machine.all())).toBe(1)
    expect(machine.counters.droppedSlowConsumer).toBe(1)
    stall(machine, 100)
    pump(machine.state, machine.nowMs, machine)
    machine.give({ payload: "taken" })
    expect(machine.payloads()).toEqual(["waits", "taken"])
  })
})

describe("Message Expiry Interval", () => {
  const remaining: ReadonlyArray<readonly [waitedMs: number, interval: number | undefined]> = [
    [0, 10],
    [1, 10],
    [999, 10],
    [1000, 9],
    [9500, 1],
    [9999, 1],
    [10_000, undefined]
  ]
  test.each(remaining)("[MQTT-3.3.2-6] of 10 s after %i ms", (waitedMs, interval) => {
    const machine = away()
    machine.give({ qos: 1, messageExpiryInterval: 10 })
    machine.wait(waitedMs)
    machine.connect({ properties })
    expect(machine.take("Sent").map((output) => output.messageExpiryInterval)).toEqual(
      interval === undefined ? [] : [interval]
    )
    expect(machine.counters.droppedExpired).toBe(interval === undefined ? 1 : 0)
  })

  test("[MQTT-3.3.2-5] expires what waits behind a full window, and not what was sent once", () => {
    const machine = new Machine({ inflightMax: 1 })
    machine.connect({ properties })
    machine.give({ payload: "sent", qos: 1, messageExpiryInterval: 10 })
    machine.give({ payload: "waiting", qos: 1, messageExpiryInterval: 10 })
    machine.give({ payload: "lasting", qos: 1 })
    machine.wait(11_000)
    machine.lose()
    machine.all()
    machine.connect({ properties })
    const [again] = machine.take("Sent")
    expect([again?.dup, again?.messageExpiryInterval]).toEqual([true, 0])
    machine.ack("Puback", 1)
    expect(machine.payloads()).toEqual(["lasting"])
    expect(machine.counters.droppedExpired).toBe(1)
  })

  test("is not told to earlier versions, and holds for them all the same", () => {
    const machine = new Machine()
    machine.connect({ version: 4 })
    machine.give({ qos: 1, messageExpiryInterval: 10 })
    expect(machine.take("Sent").map((output) => output.messageExpiryInterval)).toEqual([-1])
    machine.lose()
    machine.give({ qos: 1, payload: "late", messageExpiryInterval: 10 })
    machine.wait(10_000)
    machine.all()
    machine.connect({ version: 4 })
    expect(machine.payloads()).toEqual(["payload"])
  })
})

describe("Maximum Packet Size", () => {
  test("[MQTT-3.1.2-24] [MQTT-3.1.2-25] a message that does not fit counts as delivered, and its place is free", () => {
    const machine = new Machine({ inflightMax: 1 })
    machine.payloadBytesMax = 5
    machine.connect({ properties: { ...properties, topicAliasMaximum: 5 } })
    machine.give({ payload: "too large", qos: 1 })
    machine.give({ payload: "fits", qos: 1 })
    const sent = machine.take("Sent")
    expect(sent.map(({ packetId, sendTopic, topicAlias }) => ({ packetId, sendTopic, topicAlias }))).toEqual([
      { packetId: 2, sendTopic: true, topicAlias: sent[0]?.topicAlias ?? 0 }
    ])
    expect([machine.counters.droppedTooLarge, machine.inflight]).toEqual([1, 1])
  })
})
