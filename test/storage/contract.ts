/**
 * What every storage must do, whatever it is made of: one suite over the three ports, for the layers of this
 * repository and for those that others write.
 *
 * `open` makes a layer over storage that outlives it: a second layer sees what the first left, unless
 * `isVolatile`.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { AdministrationStores } from "../../src/storage/administration.ts"
import {
  type DurableRecord,
  type EnqueueRecord,
  Recorded,
  type StoredMessage
} from "../../src/storage/DurableRecord.ts"
import { DurableState, type StoredDelivery, type StoredSession } from "../../src/storage/DurableState.ts"
import { type CommitOutcome, type DurabilityLevel, Journal } from "../../src/storage/Journal.ts"
import { RetainedStore, type StoredRetained } from "../../src/storage/RetainedStore.ts"
import { type QueueRequest, SessionStore } from "../../src/storage/SessionStore.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { dumpOf, dumpOfStores } from "./dump.ts"

export type Services = Journal | SessionStore | RetainedStore | AdministrationStores

export type StorageLayer = Layer.Layer<Services, StorageError>

/** Storage that is empty at first; each layer is one life of it. */
export interface Subject {
  readonly layer: () => StorageLayer
}

export interface Storage {
  readonly name: string
  readonly make: () => Subject
}

const key = { tenant: "t", clientId: "c", epoch: 1 }

export const message = (topic: string, payload: string | Uint8Array = topic): StoredMessage => ({
  topic: { name: topic, bytes: new TextEncoder().encode(topic) },
  payload: typeof payload === "string" ? new TextEncoder().encode(payload) : payload,
  forwardedProperties: new Uint8Array(0),
  qos: 1,
  retain: false,
  expiresAtMs: 0,
  publisherId: "p",
  traceContext: undefined
})

export const connect = (isCleanStart = false, of = key): DurableRecord => ({
  _tag: "Connect",
  ...of,
  principal: "somebody",
  isCleanStart,
  expiryInterval: 60,
  will: undefined
})

export const enqueue = (position: number, stored = message(`m${position}`), of = key): EnqueueRecord => ({
  _tag: "Enqueue",
  ...of,
  position,
  message: stored,
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isReleased: false,
  recorded: Recorded.Pending
})

export interface Unit {
  readonly level?: DurabilityLevel
  readonly mayWait?: boolean
  readonly isRefusable?: boolean
}

/** Appends a unit and waits for its outcome. */
export const append = (
  journal: Journal["Type"],
  records: ReadonlyArray<DurableRecord>,
  { isRefusable = false, level = "os", mayWait = false }: Unit = {}
): Effect.Effect<CommitOutcome> =>
  Effect.async((resume) =>
    journal.append({
      records,
      level,
      mayWait,
      isRefusable,
      committed: (outcome) => resume(Effect.succeed(outcome))
    })
  )

export const readQueue = (
  store: SessionStore["Type"],
  request: Partial<QueueRequest> = {}
): Effect.Effect<ReadonlyArray<StoredDelivery>, StorageError> =>
  Effect.async((resume) =>
    store.queue(
      { tenant: "t", clientId: "c", from: 0, messagesMax: 1000, bytesMax: 1e9, ...request },
      (deliveries) =>
        resume(deliveries instanceof StorageError ? Effect.fail(deliveries) : Effect.succeed(deliveries))
    )
  )

const sessions: Effect.Effect<ReadonlyArray<StoredSession>, StorageError, SessionStore> = Effect.flatMap(
  SessionStore,
  (store) => Effect.map(Stream.runCollect(store.sessions), (chunk) => [...chunk])
)

const retained: Effect.Effect<ReadonlyArray<StoredRetained>, StorageError, RetainedStore> = Effect.flatMap(
  RetainedStore,
  (store) => Effect.map(Stream.runCollect(store.messages), (chunk) => [...chunk])
)

export const contract = ({ make, name }: Storage): void => {
  const within = (
    title: string,
    ...lives: ReadonlyArray<() => Effect.Effect<unknown, StorageError, Services>>
  ): void => {
    test(title, async () => {
      const subject = make()
      for (const life of lives) await Effect.runPromise(Effect.provide(life(), subject.layer()))
    })
  }
  const appended = (records: ReadonlyArray<DurableRecord>, unit?: Unit) =>
    Effect.flatMap(Journal, (journal) => append(journal, records, unit))

  describe(`${name}: the journal`, () => {
    for (const level of ["memory", "os", "disk"] as const) {
      within(
        `keeps what was committed at level ${level}`,
        () =>
          Effect.map(appended([connect(), enqueue(0)], { level }), (outcome) =>
            expect(outcome).toBe(undefined)
          ),
        () =>
          Effect.gen(function* () {
            const [session, ...others] = yield* sessions
            expect(session).toMatchObject({ tenant: "t", clientId: "c", principal: "somebody" })
            expect(session?.queue).toEqual({ positions: [0], bytes: [4] })
            expect(others).toEqual([])
          })
      )
    }

    within("leaves out messages that were acknowledged first, and marks the others as written", () =>
      Effect.gen(function* () {
        const [kept, elided] = [enqueue(0), enqueue(1)]
        elided.recorded = Recorded.Elided
        yield* appended([connect(), kept, elided])
        expect(kept.recorded).toBe(Recorded.Written)
        const queue = yield* readQueue(yield* SessionStore)
        expect(queue.map(({ position }) => position)).toEqual([0])
      })
    )

    within("commits units in the order in which they were appended", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const order: Array<number> = []
        yield* Effect.forEach(
          Array.from({ length: 50 }, (_, position) => position),
          (position) =>
            Effect.tap(append(journal, position === 0 ? [connect()] : [enqueue(position)]), () =>
              Effect.sync(() => order.push(position))
            ),
          { concurrency: "unbounded" }
        )
        expect(order).toEqual(order.toSorted((a, b) => a - b))
        expect(order).toHaveLength(50)
      })
    )

    within("is ready, and relieved at once", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        expect(journal.status()).toBe("ready")
        yield* Effect.async<void>((resume) => journal.whenRelieved(() => resume(Effect.void), "t"))
      })
    )
  })

  describe(`${name}: a queue`, () => {
    within("is read with all that was appended before, also what may wait", () =>
      Effect.gen(function* () {
        const journal = yield* Journal
        const unit = { level: "os", isRefusable: false, committed: () => undefined } as const
        journal.append({ ...unit, records: [connect()], mayWait: false })
        journal.append({ ...unit, records: [enqueue(0)], mayWait: true })
        journal.append({ ...unit, records: [enqueue(1)], mayWait: false })
        const queue = yield* readQueue(yield* SessionStore)
        expect(queue.map(({ position }) => position)).toEqual([0, 1])
      })
    )

    within("is read within both limits, and one message at least", () =>
      Effect.gen(function* () {
        const store = yield* SessionStore
        const messages = Array.from({ length: 10 }, (_, position) =>
          enqueue(position, message("a", "x".repeat(99)))
        )
        yield* appended([connect(), ...messages])
        const positions = (request: Partial<QueueRequest>) =>
          Effect.map(readQueue(store, request), (queue) => queue.map(({ position }) => position))
        expect(yield* positions({ messagesMax: 3 })).toEqual([0, 1, 2])
        expect(yield* positions({ from: 8 })).toEqual([8, 9])
        expect(yield* positions({ from: 2, bytesMax: 250 })).toEqual([2, 3])
        expect(yield* positions({ from: 2, bytesMax: 200 })).toEqual([2, 3])
        expect(yield* positions({ from: 2, bytesMax: 1 })).toEqual([2])
        expect(yield* positions({ from: 10 })).toEqual([])
        expect(yield* positions({ clientId: "nobody" })).toEqual([])
      })
    )

    within("answers in the order of the questions", () =>
      Effect.gen(function* () {
        const store = yield* SessionStore
        yield* appended([connect(), enqueue(0), enqueue(1), enqueue(2)])
        const order: Array<number> = []
        yield* Effect.forEach(
          [2, 0, 1],
          (from) => Effect.tap(readQueue(store, { from }), () => Effect.sync(() => order.push(from))),
          { concurrency: "unbounded" }
        )
        expect(order).toEqual([2, 0, 1])
      })
    )
  })

  describe(`${name}: the state`, () => {
    const story: ReadonlyArray<DurableRecord> = storyOf()
    within(
      "is what the records make of it, in this life and the next",
      () =>
        Effect.gen(function* () {
          for (const record of story) yield* appended([record])
          expect(yield* dumpOfStores(yield* sessions, yield* retained, yield* SessionStore)).toEqual(
            dumpAfter(story)
          )
        }),
      () =>
        Effect.gen(function* () {
          expect(yield* dumpOfStores(yield* sessions, yield* retained, yield* SessionStore)).toEqual(
            dumpAfter(story)
          )
        })
    )
  })
}

const dumpAfter = (records: ReadonlyArray<DurableRecord>) => {
  const state = new DurableState()
  for (const record of records) state.apply(record)
  return dumpOf(state)
}

/** Every kind of record, and what each changes. */
const storyOf = (): ReadonlyArray<DurableRecord> => {
  const will = {
    topic: "w",
    payload: new Uint8Array([1, 2]),
    qos: 2,
    retain: true,
    delayInterval: 5,
    messageExpiryInterval: -1,
    forwardedProperties: new Uint8Array([2, 0, 0, 0, 1])
  } as const
  const request = { qos: 1, noLocal: true, retainAsPublished: false, retainHandling: 2 } as const
  const shared = message("shared")
  const other = { ...key, clientId: "d" }
  return [
    { ...connect(), will } as DurableRecord,
    connect(false, other),
    { _tag: "Subscribe", ...key, request: { ...request, topicFilter: "a/+" }, subscriptionIdentifier: 7 },
    { _tag: "Subscribe", ...key, request: { ...request, topicFilter: "b/#" }, subscriptionIdentifier: 0 },
    { _tag: "Unsubscribe", ...key, topicFilter: "b/#" },
    enqueue(0),
    enqueue(1, shared),
    { ...enqueue(2, shared), qos: 2, subscriptionIdentifiers: [1, 300], group: "g" },
    { ...enqueue(0, shared, other), retain: true },
    enqueue(3),
    { _tag: "Release", ...key, position: 2 },
    { _tag: "Dequeue", ...key, position: 1 },
    { _tag: "Advance", ...key, before: 1 },
    { _tag: "Inbound", ...key, packetId: 9, isReleased: false },
    { _tag: "Inbound", ...key, packetId: 10, isReleased: false },
    { _tag: "Inbound", ...key, packetId: 9, isReleased: true },
    {
      _tag: "Detach",
      ...key,
      expiryInterval: 60,
      endsAtMs: 1_700_000_060_000,
      hasWill: true,
      willDueMs: 1_700_000_005_000,
      sentBefore: 3
    },
    {
      _tag: "Retain",
      tenant: "t",
      message: { ...message("r/1"), forwardedProperties: new Uint8Array([1, 1]) }
    },
    { _tag: "Retain", tenant: "t", message: { ...message("r/2"), expiresAtMs: 1_700_000_000_000 } },
    { _tag: "Retain", tenant: "t", message: { ...message("r/2"), traceContext: "00-1-2-01" } },
    { _tag: "Retain", tenant: "u", message: message("r/1", "other") },
    { _tag: "Retain", tenant: "t", message: message("r/1", "") },
    connect(false, { ...key, clientId: "gone" }),
    enqueue(0, shared, { ...key, clientId: "gone" }),
    { _tag: "End", ...key, clientId: "gone" },
    // Of a connection before the clean start: nothing changes.
    connect(true, { ...other, epoch: 2 }),
    enqueue(1, shared, other),
    { _tag: "WillDone", ...key }
  ]
}
