import { describe, expect, test } from "bun:test"
import { letGo, onBacklogPage } from "../../src/session/refill.ts"
import { restoreState } from "../../src/session/restore.ts"
import { Recorded } from "../../src/storage/DurableRecord.ts"
import type { TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Machine } from "./Machine.ts"

const properties = { sessionExpiryInterval: 60 }

/** A machine whose client was there and is away. */
const away = (settings: Partial<TenantSettings> = {}): Machine => {
  const machine = new Machine(settings)
  machine.connect({ properties })
  machine.lose()
  machine.all()
  return machine
}

const give = (machine: Machine, count: number, qos: 1 | 2 = 1): void => {
  for (let n = 0; n < count; n++) machine.give({ payload: String(n), qos })
}

const numbers = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

/** Identifiers of the PUBLISHes since the last call. */
const published = (machine: Machine): ReadonlyArray<number> =>
  machine.all().flatMap((output) => (output._tag === "Sent" ? [output.packetId] : []))

describe("what waits for an absent client", () => {
  test("is not held in memory", () => {
    const machine = away()
    give(machine, 100)
    const { backlog, queue } = machine.state
    expect([queue?.size, backlog?.onRecord, backlog?.size]).toEqual([0, 100, 100])
    expect(machine.inflight).toBe(100)
  })

  test("stays in memory until it is on record", () => {
    const machine = away()
    machine.isSlowToCommit = true
    give(machine, 3)
    expect([machine.state.backlog?.onRecord ?? 0, machine.inflight]).toEqual([0, 3])
    machine.commit()
    expect([machine.state.queue?.size, machine.state.backlog?.onRecord]).toEqual([0, 3])
  })

  test("is not passed over by a page that was read before it came onto the record", () => {
    const machine = away()
    machine.give({ payload: "0", qos: 1 })
    machine.isSlowToCommit = true
    machine.connect({ properties })
    machine.give({ payload: "1", qos: 2 })
    machine.give({ payload: "2", qos: 1 })
    const backlog = machine.state.backlog!
    for (const entry of backlog.entries()) {
      entry.recorded = Recorded.Written
      entry.isStored = true
      machine.durable.apply(entry)
    }
    letGo(machine.state)
    const deliveries = machine.durable.queue("default", "client").filter(({ position }) => position !== 1)
    const page = { _tag: "BacklogPage", backlog, from: 0, deliveries } as const
    onBacklogPage(machine.state, page, machine.nowMs, machine)
    expect(published(machine)).toEqual([1])
    machine.commit()
    expect(published(machine)).toEqual([2, 3])
    expect(machine.counters.droppedExpired).toBe(0)
  })

  test("comes in its order, page by page, as its client acknowledges it", () => {
    const machine = away({ inflightMax: 5 })
    give(machine, 100)
    machine.connect({ properties })
    const received: Array<string> = []
    for (let sent = machine.take("Sent"); sent.length > 0; sent = machine.take("Sent")) {
      for (const { packetId, publication } of sent) {
        received.push(Buffer.from(publication.payload).toString())
        machine.ack("Puback", packetId)
      }
      expect(machine.state.queue?.size ?? 0).toBeLessThanOrEqual(64 + 16 + 5)
    }
    expect(received).toEqual([...numbers(0, 100)])
    expect([machine.inflight, machine.state.backlog]).toEqual([0, undefined])
    expect(machine.durable.queue("default", "client")).toEqual([])
  })

  test("[MQTT-4.6.0-6] stands before what comes while it is read", () => {
    const machine = away({ inflightMax: 2 })
    give(machine, 40)
    machine.connect({ properties })
    machine.give({ payload: "late", qos: 1 })
    const received: Array<string> = []
    for (let sent = machine.take("Sent"); sent.length > 0; sent = machine.take("Sent")) {
      for (const { packetId, publication } of sent) {
        received.push(Buffer.from(publication.payload).toString())
        machine.ack("Puback", packetId)
      }
    }
    expect(received).toEqual([...numbers(0, 40), "late"])
  })

  test("[MQTT-4.4.0-1] is sent again with DUP and its identifier where it was sent before", () => {
    const machine = new Machine({ inflightMax: 2 })
    machine.connect({ properties })
    give(machine, 4)
    expect(published(machine)).toEqual([1, 2])
    machine.lose()
    expect(machine.state.queue?.size).toBe(0)
    machine.connect({ properties })
    const sent = machine.take("Sent")
    expect(sent.map(({ dup, packetId }) => [packetId, dup])).toEqual([
      [1, true],
      [2, true]
    ])
    machine.ack("Puback", 1)
    expect(machine.take("Sent").map(({ dup, packetId }) => [packetId, dup])).toEqual([[3, false]])
  })

  test("[MQTT-4.4.0-1] is a PUBREL where PUBREC had come", () => {
    const machine = new Machine()
    machine.connect({ properties })
    give(machine, 2, 2)
    machine.ack("Pubrec", 2)
    machine.lose()
    machine.all()
    machine.connect({ properties })
    const again = machine
      .all()
      .flatMap((output) => ("packetId" in output ? [`${output._tag} ${output.packetId}`] : []))
    expect(again).toEqual(["Sent 1", "Pubrel 2"])
  })

  test("[MQTT-4.3.3-10] is a PUBREL also when fewer may be in flight than in the broker's last life", () => {
    const before = new Machine({ inflightMax: 5 })
    before.connect({ properties })
    give(before, 7, 2)
    for (const packetId of [1, 2, 3, 4, 5]) before.ack("Pubrec", packetId)
    const machine = new Machine({ inflightMax: 2 })
    for (const record of before.records) machine.durable.apply(record)
    restoreState(machine.state, machine.durable.session("default", "client")!, machine)
    machine.connect({ properties })
    const again = machine
      .all()
      .flatMap((output) => ("packetId" in output ? [`${output._tag} ${output.packetId}`] : []))
    expect(again).toEqual([1, 2, 3, 4, 5].map((packetId) => `Pubrel ${packetId}`))
    for (const packetId of [1, 2, 3, 4, 5]) machine.ack("Pubcomp", packetId)
    expect(published(machine)).toEqual([6, 7])
  })

  test("gives way by position when it is too much, and leaves what was sent", () => {
    const machine = new Machine({ inflightMax: 1, queueMessagesMax: 3 })
    machine.connect({ properties })
    machine.give({ payload: "sent", qos: 1 })
    machine.lose()
    give(machine, 10)
    expect(machine.counters.droppedQueueFull).toBe(7)
    expect(machine.durable.session("default", "client")?.queue.positions).toEqual([0, 8, 9, 10])
  })

  test("may be too much for all clients of the tenant together", () => {
    const machine = away({ tenantQueueBytesMax: 100 })
    machine.counters.queuedBytes = 95
    machine.give({ payload: "x".repeat(10), qos: 1 })
    expect(machine.take("Dropped").map(({ reason }) => reason)).toEqual(["tenant-queue-full"])
    expect(machine.inflight).toBe(0)
  })

  test("is gone for the session when the store has swept it", () => {
    const machine = away()
    give(machine, 3)
    const { clientId, epoch } = machine.state
    machine.durable.apply({ _tag: "Dequeue", tenant: "default", clientId, epoch, position: 1 })
    machine.connect({ properties })
    expect(published(machine)).toEqual([1, 3])
    expect(machine.counters.droppedExpired).toBe(1)
    expect(machine.inflight).toBe(2)
  })

  test("[MQTT-3.1.2-4] belongs to the epoch in which it came, whenever it is written", () => {
    const machine = away()
    machine.isSlowToCommit = true
    machine.give({ payload: "0", qos: 1 })
    const [entry] = machine.state.queue!.entries()
    const { epoch } = machine.state
    machine.connect({ clean: true, properties })
    expect([entry!.epoch, machine.state.epoch]).toEqual([epoch, epoch + 1])
  })

  test("is forgotten with the session", () => {
    const machine = away()
    give(machine, 10)
    machine.connect({ clean: true, properties })
    expect([machine.inflight, published(machine)]).toEqual([0, []])
    expect(machine.durable.queue("default", "client")).toEqual([])
  })
})

describe("what waits for a slow client", () => {
  test("is held in memory up to a thousand messages", () => {
    const machine = new Machine({ inflightMax: 1 })
    machine.connect({ properties })
    give(machine, 3000)
    const { backlog, queue } = machine.state
    expect([queue?.waiting, backlog?.onRecord]).toEqual([1000, 1999])
    expect(machine.inflight).toBe(3000)
  })
})

describe("the cursor", () => {
  test("follows the oldest message that is held", () => {
    const machine = new Machine()
    machine.connect({ properties })
    give(machine, 4)
    machine.records.length = 0
    for (const packetId of [2, 1, 4, 3]) machine.ack("Puback", packetId)
    expect(machine.records).toMatchObject([
      { _tag: "Dequeue", position: 1 },
      { _tag: "Advance", before: 2 },
      { _tag: "Dequeue", position: 3 },
      { _tag: "Advance", before: 4 }
    ])
  })
})
