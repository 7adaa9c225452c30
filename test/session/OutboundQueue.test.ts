import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Publication } from "../../src/router/Publication.ts"
import { OutboundEntry, Phase } from "../../src/session/OutboundEntry.ts"
import { OutboundQueue, PACKET_IDS } from "../../src/session/OutboundQueue.ts"
import { deliveryOptions, Machine, publicationOf } from "./Machine.ts"

const options = deliveryOptions()
const { state } = new Machine()
const push = (queue: OutboundQueue, publication: Publication): OutboundEntry => {
  const entry = new OutboundEntry(state, publication, options, 1, queue.takePosition())
  queue.push(entry)
  return entry
}
const publications = ["", "1", "22", "4444"].map((payload) => publicationOf({ payload }))
const publicationAt = (index: number): Publication => publications[index % publications.length] as Publication

/**
 * The queue in its plainest form: an array of what is held, a set of what was sent, a list of what is owed
 * again.
 */
class Model {
  readonly held: Array<OutboundEntry> = []
  readonly sent = new Set<OutboundEntry>()
  owed: Array<OutboundEntry> = []

  next(): OutboundEntry | undefined {
    return this.owed[0] ?? this.held.find((entry) => !this.sent.has(entry))
  }

  advance(entry: OutboundEntry): void {
    this.owed = this.owed.filter((each) => each !== entry)
    this.sent.add(entry)
  }

  remove(entry: OutboundEntry): void {
    this.held.splice(this.held.indexOf(entry), 1)
    this.owed = this.owed.filter((each) => each !== entry)
    this.sent.delete(entry)
  }

  rewind(): void {
    this.owed = this.held.filter((entry) => this.sent.has(entry))
  }
}

type Step =
  | { readonly _tag: "Push"; readonly size: number }
  | { readonly _tag: "Send" }
  | { readonly _tag: "Remove"; readonly pick: number }
  | { readonly _tag: "RemoveOldest" }
  | { readonly _tag: "Rewind" }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ _tag: fc.constant("Push" as const), size: fc.nat(3) }) },
  { weight: 5, arbitrary: fc.constant({ _tag: "Send" } as const) },
  { weight: 4, arbitrary: fc.record({ _tag: fc.constant("Remove" as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.constant({ _tag: "RemoveOldest" } as const) },
  { weight: 1, arbitrary: fc.constant({ _tag: "Rewind" } as const) }
)

const agree = (queue: OutboundQueue, model: Model): void => {
  const { held, sent } = model
  expect([...queue.entries()]).toEqual(held)
  expect(queue.size).toBe(held.length)
  expect(queue.inflight).toBe(sent.size)
  expect(queue.waiting).toBe(held.length - sent.size)
  expect(queue.bytes).toBe(held.reduce((sum, entry) => sum + entry.publication.bytes, 0))
  expect(queue.oldestWaiting()).toBe(held.find((entry) => !sent.has(entry)))
  const ids = held.map((entry) => queue.packetIdOf(entry))
  expect(new Set(ids).size).toBe(ids.length)
  for (const [index, id] of ids.entries()) {
    const entry = held[index] as OutboundEntry
    expect(id >= 1 && id <= PACKET_IDS).toBe(true)
    expect(queue.find(id)).toBe(sent.has(entry) ? entry : undefined)
  }
}

const run = (steps: ReadonlyArray<Step>, queue: OutboundQueue): void => {
  const model = new Model()
  for (const each of steps) {
    switch (each._tag) {
      case "Push": {
        model.held.push(push(queue, publicationAt(each.size)))
        break
      }
      case "Send": {
        const entry = queue.next()
        expect(entry).toBe(model.next())
        if (entry === undefined) break
        queue.advance(entry)
        model.advance(entry)
        expect([entry.wasSent, entry.phase]).toEqual([true, Phase.Published])
        break
      }
      case "Remove":
      case "RemoveOldest": {
        const entry = model.held[each._tag === "Remove" ? each.pick % (model.held.length || 1) : 0]
        if (entry === undefined) break
        queue.remove(entry)
        model.remove(entry)
        break
      }
      case "Rewind":
        queue.rewind()
        model.rewind()
        break
    }
    agree(queue, model)
  }
}

/** Moves the queue to a position by sending and completing messages one by one. */
const advanceTo = (queue: OutboundQueue, position: number): void => {
  for (let count = 0; count < position; count++) {
    const entry = push(queue, publicationAt(1))
    queue.advance(entry)
    queue.remove(entry)
  }
}

describe("the outbound queue", () => {
  test("[MQTT-2.2.1-4] [MQTT-4.6.0-6] agrees with an array in any order of steps", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => run(steps, new OutboundQueue())),
      { numRuns: 300, seed: 1 }
    )
  })

  test("[MQTT-2.2.1-4] agrees with it where the identifiers wrap around", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 60, size: "max" }), (steps) => {
        const queue = new OutboundQueue()
        advanceTo(queue, PACKET_IDS - 6)
        run(steps, queue)
      }),
      { numRuns: 10, seed: 2 }
    )
  })

  test("after identifier 65535 comes 1", () => {
    const queue = new OutboundQueue()
    advanceTo(queue, PACKET_IDS - 1)
    const [last, first] = [push(queue, publicationAt(0)), push(queue, publicationAt(0))]
    expect([queue.packetIdOf(last), queue.packetIdOf(first)]).toEqual([65_535, 1])
  })

  test("[MQTT-2.2.1-4] sends nothing more before an identifier would be used twice, however many wait", () => {
    const queue = new OutboundQueue()
    for (let count = 0; count < PACKET_IDS + 10; count++) push(queue, publicationAt(0))
    const oldest = queue.next()
    const ids = new Set<number>()
    for (let entry = queue.next(); entry !== undefined; entry = queue.next()) {
      queue.advance(entry)
      ids.add(queue.packetIdOf(entry))
    }
    expect([ids.size, queue.inflight, queue.waiting]).toEqual([PACKET_IDS, PACKET_IDS, 10])
    expect([queue.isBlocked, queue.isStuck]).toEqual([true, true])
    if (oldest !== undefined) queue.remove(oldest)
    expect(queue.next()).toBeDefined()
  })

  test("drops beside a message that is never acknowledged leave nothing behind and block nothing", () => {
    const queue = new OutboundQueue()
    queue.advance(push(queue, publicationAt(0)))
    for (let count = 0; count < 100; count++) push(queue, publicationAt(0))
    for (let count = 0; count < PACKET_IDS + 1000; count++) {
      const oldest = queue.oldestWaiting()
      if (oldest !== undefined) queue.remove(oldest)
      push(queue, publicationAt(0))
    }
    const fresh = new OutboundQueue()
    for (let count = 0; count < 101; count++) push(fresh, publicationAt(0))
    expect(JSON.stringify(queue).length).toBeLessThan(JSON.stringify(fresh).length + 10_000)
    queue.rewind()
    let sent = 0
    for (let entry = queue.next(); entry !== undefined; entry = queue.next(), sent++) queue.advance(entry)
    expect([sent, queue.isStuck]).toEqual([101, false])
  })

  test("what is taken out of the middle of the line does not pile up there", () => {
    const queue = new OutboundQueue()
    push(queue, publicationAt(0))
    for (let count = 0; count < 10_000; count++) queue.remove(push(queue, publicationAt(0)))
    expect(JSON.stringify(queue).length).toBeLessThan(50_000)
    expect([queue.size, [...queue.entries()].length]).toEqual([1, 1])
  })

  test("identifiers that nothing in flight has find nothing, 0 and those out of range among them", () => {
    const queue = new OutboundQueue()
    expect([0, 1, 65_535].map((id) => queue.find(id))).toEqual([undefined, undefined, undefined])
    const sent = push(queue, publicationAt(0))
    queue.advance(sent)
    push(queue, publicationAt(0))
    expect([0, 2, 3, 65_535].filter((id) => queue.find(id) !== undefined)).toEqual([])
    expect(queue.find(1) === sent).toBe(true)
  })

  test("removing an entry twice counts it once", () => {
    const queue = new OutboundQueue()
    const [first, second] = [push(queue, publicationAt(3)), push(queue, publicationAt(2))]
    queue.advance(first)
    queue.remove(first)
    queue.remove(first)
    expect([queue.size, queue.waiting, queue.bytes]).toEqual([1, 1, second.publication.bytes])
  })

  test("what was large is given back when the queue is empty", () => {
    const queue = new OutboundQueue()
    const entries = Array.from({ length: 10_000 }, () => push(queue, publicationAt(1)))
    for (const entry of entries) queue.remove(entry)
    expect([queue.size, queue.bytes, queue.waiting, queue.inflight]).toEqual([0, 0, 0, 0])
    expect(JSON.stringify(queue).length).toBeLessThan(1000)
  })
})
