import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import {
  type DurableRecord,
  type EnqueueRecord,
  Recorded,
  type StoredMessage
} from "../../src/storage/DurableRecord.ts"
import { DurableState, type StoredSession } from "../../src/storage/DurableState.ts"

const key = { tenant: "t", clientId: "c", epoch: 1 }

const message = (topic: string, payload: string): StoredMessage => ({
  topic: { name: topic, bytes: Buffer.from(topic) },
  payload: Buffer.from(payload),
  forwardedProperties: new Uint8Array(0),
  qos: 1,
  retain: false,
  expiresAtMs: 0,
  publisherId: "p",
  traceContext: undefined
})

const will = {
  topic: "w",
  payload: Buffer.from("gone"),
  qos: 0,
  retain: false,
  delayInterval: 5,
  messageExpiryInterval: -1,
  forwardedProperties: new Uint8Array(0)
} as const

const connect = (isCleanStart = false): DurableRecord => ({
  _tag: "Connect",
  ...key,
  principal: "p",
  isCleanStart,
  expiryInterval: 60,
  will
})

const enqueue = (position: number): EnqueueRecord => ({
  _tag: "Enqueue",
  ...key,
  position,
  message: message("a", String(position)),
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isReleased: false,
  recorded: Recorded.Pending
})

const subscribe = (topicFilter: string): DurableRecord => ({
  _tag: "Subscribe",
  ...key,
  request: { topicFilter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
  subscriptionIdentifier: 0
})

const stateAfter = (...records: ReadonlyArray<DurableRecord>): DurableState => {
  const state = new DurableState()
  for (const record of records) state.apply(record)
  return state
}

const after = (...records: ReadonlyArray<DurableRecord>): StoredSession | undefined =>
  stateAfter(...records).session("t", "c")

describe("the durable state", () => {
  test("keeps what a session held when its client connects again without a clean start", () => {
    const session = after(connect(), subscribe("a"), enqueue(0), connect())
    expect([...(session?.subscriptions.keys() ?? [])]).toEqual(["a"])
    expect(session?.queue).toEqual({ positions: [0], bytes: [2] })
    expect(session?.nextPosition).toBe(1)
  })

  test("forgets it after a clean start", () => {
    const session = after(connect(), subscribe("a"), enqueue(0), connect(true))
    expect(session?.subscriptions.size).toBe(0)
    expect(session?.queue.positions).toEqual([])
    expect(session?.nextPosition).toBe(0)
  })

  test("drops the will with a DETACH that has none, and keeps one that is due", () => {
    const terms = { expiryInterval: 60, endsAtMs: 70, sentBefore: 0 }
    const detach = { _tag: "Detach", ...key, ...terms, hasWill: true } as const
    expect(after(connect(), { ...detach, hasWill: false, willDueMs: 0 })?.will).toBeUndefined()
    expect(after(connect(), { ...detach, willDueMs: 9 })).toMatchObject({
      will,
      willDueMs: 9,
      isConnected: false
    })
    expect(after(connect(), { ...detach, willDueMs: 9 }, { _tag: "WillDone", ...key })?.will).toBeUndefined()
  })

  test("follows a message from the queue through PUBREC to its end", () => {
    const released = stateAfter(connect(), enqueue(0), { _tag: "Release", ...key, position: 0 })
    expect(released.queue("t", "c").map(({ isReleased }) => isReleased)).toEqual([true])
    const done = after(connect(), enqueue(0), { _tag: "Dequeue", ...key, position: 0 })
    expect(done?.queue.positions).toEqual([])
  })

  test("a dequeued position is not given again", () => {
    const session = after(connect(), enqueue(0), { _tag: "Dequeue", ...key, position: 0 })
    expect(session?.nextPosition).toBe(1)
  })

  test("everything below the cursor is gone, whenever it was enqueued", () => {
    const advance = { _tag: "Advance", ...key, before: 2 } as const
    const session = after(connect(), enqueue(0), enqueue(3), enqueue(2), advance, enqueue(1))
    expect(session?.queue.positions).toEqual([2, 3])
  })

  test("positions of messages that were acknowledged before they were written are not given again", () => {
    const session = after(connect(), enqueue(0), { _tag: "Advance", ...key, before: 3 }, enqueue(3))
    expect([session?.queue.positions, session?.nextPosition]).toEqual([[3], 4])
    expect(after(connect(), { _tag: "Advance", ...key, before: 3 })?.nextPosition).toBe(3)
  })

  test("the will that an earlier connection left is done without the next one's", () => {
    const done = { _tag: "WillDone", ...key } as const
    const next = { ...connect(), epoch: key.epoch + 1 } as DurableRecord
    expect(after(connect(), next, done)?.will).toEqual(will)
  })

  test("ignores what is older than the clean start of the session", () => {
    const session = after(
      connect(),
      { ...connect(true), epoch: 2 } as DurableRecord,
      enqueue(0),
      subscribe("a")
    )
    expect([session?.queue.positions, session?.subscriptions.size]).toEqual([[], 0])
  })

  test("ignores records of a session that has ended", () => {
    expect(after(connect(), { _tag: "End", ...key }, enqueue(0), subscribe("a"))).toBeUndefined()
  })

  test("keeps the last retained message of a topic, and none after an empty one", () => {
    const state = new DurableState()
    for (const payload of ["1", "2"])
      state.apply({ _tag: "Retain", tenant: "t", message: message("a", payload) })
    expect([...state.retained()].map(({ message }) => Buffer.from(message.payload).toString())).toEqual(["2"])
    state.apply({ _tag: "Retain", tenant: "t", message: message("a", "") })
    expect([...state.retained()]).toEqual([])
  })

  test("names such as __proto__ are ordinary", () => {
    const state = new DurableState()
    const names = { tenant: "__proto__", clientId: "constructor" }
    state.apply({ ...connect(), ...names } as DurableRecord)
    state.apply({ ...subscribe("__proto__"), ...names } as DurableRecord)
    expect([...(state.session("__proto__", "constructor")?.subscriptions.keys() ?? [])]).toEqual([
      "__proto__"
    ])
  })

  test("the queue holds what was enqueued and not dequeued since", () => {
    const change = FastCheck.tuple(FastCheck.boolean(), FastCheck.nat(5))
    FastCheck.assert(
      FastCheck.property(FastCheck.array(change, { maxLength: 40 }), (changes) => {
        const expected = new Set<number>()
        const records = changes.map(([isEnqueue, position]): DurableRecord => {
          if (isEnqueue) expected.add(position)
          else expected.delete(position)
          return isEnqueue ? enqueue(position) : { _tag: "Dequeue", ...key, position }
        })
        const session = after(connect(), ...records)
        expect(session?.queue.positions).toEqual([...expected].sort((a, b) => a - b))
      }),
      { seed: 7, numRuns: 200 }
    )
  })
})
