/**
 * The journal over a thread of this test's own, which answers, fails and dies when it is told to: whatever
 * happens in whatever order, every unit is told once what became of it, and that is true.
 */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { type EnqueueRecord, Recorded } from "../../src/storage/DurableRecord.ts"
import { DurableState, type StoredDelivery } from "../../src/storage/DurableState.ts"
import { ByteWriter } from "../../src/storage/frame/ByteWriter.ts"
import { writeMessage, written } from "../../src/storage/frame/content.ts"
import { decodeFrame } from "../../src/storage/frame/FrameReader.ts"
import { EnqueueBit } from "../../src/storage/frame/FrameWriter.ts"
import type { CommitOutcome, DurabilityLevel } from "../../src/storage/Journal.ts"
import { queuePage } from "../../src/storage/memory.ts"
import { StorageCounters } from "../../src/storage/StorageCounters.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { writeDelivery } from "../../src/storage/sqlite/pages.ts"
import type { Reply, Request } from "../../src/storage/sqlite/requests.ts"
import { type JournalEvent, SqliteJournal } from "../../src/storage/sqlite/SqliteJournal.ts"
import type { LostReply, ReplyTo, SqliteThread } from "../../src/storage/sqlite/SqliteThread.ts"
import { connect, enqueue } from "./contract.ts"

const lost: LostReply = { _tag: "Failed", reason: "gone", isFull: false, isLost: true }

const tenants = ["t", "u"]

class TestThread implements Pick<SqliteThread, "open" | "request"> {
  readonly state = new DurableState()
  applied = 0
  private under: Array<readonly [Request, (reply: Reply | LostReply) => void]> = []

  open(reply: (reply: ReplyTo<{ readonly _tag: "Close" }>) => void): void {
    this.request({ _tag: "Close" }, reply)
  }

  request<R extends Request>(request: R, reply: (reply: ReplyTo<R>) => void): void {
    this.under.push([request, reply as (reply: Reply | LostReply) => void])
  }

  get isBusy(): boolean {
    return this.under.length > 0
  }

  /** Serves the oldest request. */
  serve(): void {
    const next = this.under.shift()
    if (next !== undefined) next[1](this.perform(next[0]))
  }

  /** Refuses the oldest request, unless it is one that only reads. */
  fail(isFull: boolean): void {
    const next = this.under[0]
    if (next?.[0]._tag !== "Apply" && next?.[0]._tag !== "Probe") return this.serve()
    this.under.shift()
    next[1]({ _tag: "Failed", reason: "cannot write", isFull })
  }

  /** Refuses the oldest request, whatever it is. */
  refuse(): void {
    this.under.shift()?.[1]({ _tag: "Failed", reason: "cannot open", isFull: false })
  }

  /** Dies; the oldest request may have been performed. */
  die(isPerformed: boolean): void {
    const { under } = this
    this.under = []
    const [first] = under
    if (isPerformed && first !== undefined) this.perform(first[0])
    for (const [, reply] of under) reply(lost)
  }

  private perform(request: Request): Reply {
    if (request._tag === "Apply") {
      const { records, sequence } = decodeFrame(request.frame)
      expect(sequence).toBe(this.applied + 1)
      this.applied = sequence
      for (const record of records) this.state.apply(record)
    }
    if (request._tag === "Queues") {
      const parts = request.requests.map((one) => partOf(queuePage(this.state, one)))
      return { _tag: "Queues", parts }
    }
    return { _tag: "Done", applied: this.applied, databaseBytes: 0 }
  }
}

const partOf = (deliveries: ReadonlyArray<StoredDelivery>): Uint8Array<ArrayBuffer> => {
  const writer = new ByteWriter()
  for (const { isReleased, message, position } of deliveries) {
    const body = new ByteWriter()
    writeMessage(body, message)
    const flags = isReleased ? EnqueueBit.Released : 0
    writeDelivery(writer, { position, flags, body: written(body, 0), extra: undefined })
  }
  return writer.copy()
}

/** A unit as it was appended, and what it was told. */
interface Appended {
  readonly tenant: string
  readonly records: ReadonlyArray<EnqueueRecord>
  readonly level: DurabilityLevel
  readonly mayWait: boolean
  readonly outcomes: Array<CommitOutcome>
}

interface Read {
  readonly tenant: string
  /** The units that had been appended. */
  readonly before: ReadonlyArray<Appended>
  readonly answers: Array<ReadonlyArray<StoredDelivery> | StorageError>
}

class World {
  readonly thread = new TestThread()
  readonly counters = new StorageCounters()
  readonly events: Array<JournalEvent> = []
  readonly units: Array<Appended> = []
  readonly reads: Array<Read> = []
  /** Units that were told, in that order. */
  readonly told: Array<Appended> = []
  private readonly due: Array<() => void> = []
  private position = 0
  releaseIsDue = false
  retryIsDue = false
  readonly journal: SqliteJournal

  constructor(waitingRecordsMax = 1000) {
    this.journal = new SqliteJournal({
      thread: this.thread,
      counters: this.counters,
      applied: 0,
      batchRecordsMax: 4,
      batchBytesMax: 10_000,
      waitingRecordsMax,
      waitingBytesMax: 1_000_000,
      quantumBytes: 300,
      atTickEnd: (callback) => this.due.push(callback),
      releaseLater: () => (this.releaseIsDue = true),
      retryLater: () => (this.retryIsDue = true),
      nowMs: () => 0,
      report: (event) => this.events.push(event)
    })
    const unit = { level: "os", mayWait: false, isRefusable: false, committed: () => undefined } as const
    for (const tenant of tenants) this.journal.append({ ...unit, records: [{ ...connect(), tenant }] })
    this.endTick()
    while (this.thread.isBusy) this.thread.serve()
  }

  append(
    count: number,
    how: Pick<Appended, "level" | "mayWait"> & { readonly isRefusable: boolean; readonly tenant?: string }
  ): void {
    const { tenant = "t" } = how
    const records = Array.from({ length: count }, () => ({ ...enqueue(this.position++), tenant }))
    const unit: Appended = { ...how, tenant, records, outcomes: [] }
    this.units.push(unit)
    this.journal.append({
      ...how,
      records,
      committed: (outcome) => {
        unit.outcomes.push(outcome)
        this.told.push(unit)
      }
    })
  }

  /** Acknowledges a message that was not written yet. */
  elide(at: number): void {
    const pending = this.units.flatMap(({ records }) =>
      records.filter((one) => one.recorded === Recorded.Pending)
    )
    const record = pending[at % Math.max(1, pending.length)]
    if (record !== undefined) record.recorded = Recorded.Elided
  }

  read(tenant = "t"): void {
    const before = this.units.filter((unit) => unit.tenant === tenant)
    const read: Read = { tenant, before, answers: [] }
    this.reads.push(read)
    const request = { tenant, clientId: "c", from: 0, messagesMax: 1e6, bytesMax: 1e9 }
    this.journal.queue(request, (answer) => read.answers.push(answer))
  }

  endTick(): void {
    for (const callback of this.due.splice(0)) callback()
  }

  release(): void {
    if (!this.releaseIsDue) return
    this.releaseIsDue = false
    this.journal.release()
  }

  retry(): void {
    if (!this.retryIsDue) return
    this.retryIsDue = false
    this.journal.retry()
  }

  /** Everything goes well from now on, until nothing is left. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      this.endTick()
      this.release()
      this.retry()
      this.thread.serve()
      if (!this.thread.isBusy && !this.releaseIsDue && !this.retryIsDue && this.due.length === 0) return
    }
    throw new StorageError({ reason: "it does not come to rest", cause: undefined })
  }
}

type Action = (world: World) => void

const actions: FastCheck.Arbitrary<ReadonlyArray<Action>> = FastCheck.array(
  FastCheck.oneof(
    {
      weight: 6,
      arbitrary: FastCheck.tuple(
        FastCheck.integer({ min: 1, max: 6 }),
        FastCheck.record({
          level: FastCheck.constantFrom<DurabilityLevel>("memory", "os", "disk"),
          mayWait: FastCheck.boolean(),
          isRefusable: FastCheck.boolean(),
          tenant: FastCheck.constantFrom(...tenants)
        })
      ).map(
        ([count, how]): Action =>
          (world) =>
            world.append(count, how)
      )
    },
    {
      weight: 3,
      arbitrary: FastCheck.nat(20).map(
        (at): Action =>
          (world) =>
            world.elide(at)
      )
    },
    {
      weight: 8,
      arbitrary: FastCheck.constantFrom<Action>(
        (world) => world.endTick(),
        (world) => world.thread.serve(),
        (world) => world.release(),
        (world) => world.read("t"),
        (world) => world.read("u")
      )
    },
    {
      weight: 3,
      arbitrary: FastCheck.constantFrom<Action>(
        (world) => world.thread.fail(true),
        (world) => world.thread.fail(false),
        (world) => world.thread.die(true),
        (world) => world.thread.die(false),
        (world) => world.retry()
      )
    }
  ),
  { maxLength: 60, size: "max" }
)

/** Positions that a unit has put on record. */
const positionsOf = ({ outcomes, records }: Appended): ReadonlyArray<number> =>
  outcomes[0] === undefined
    ? records.filter(({ recorded }) => recorded === Recorded.Written).map(({ position }) => position)
    : []

const sorted = (numbers: ReadonlyArray<number>) => numbers.toSorted((a, b) => a - b)

describe("the journal", () => {
  test("tells every unit once what became of it, and shows every queue with all that was appended", () => {
    FastCheck.assert(
      FastCheck.property(actions, (story) => {
        const world = new World()
        for (const action of story) action(world)
        world.settle()
        expect(world.journal.status()).toBe("ready")
        expect(world.journal.length).toBe(0)
        for (const { outcomes } of world.units) expect(outcomes).toHaveLength(1)
        for (const tenant of tenants) {
          const units = world.units.filter((unit) => unit.tenant === tenant)
          const stored = world.thread.state.queue(tenant, "c").map(({ position }) => position)
          expect(stored).toEqual(sorted(units.flatMap(positionsOf)))
          const inOrder = world.told.filter(
            (unit) =>
              unit.tenant === tenant &&
              unit.level !== "memory" &&
              !unit.mayWait &&
              unit.outcomes[0] === undefined
          )
          expect(inOrder).toEqual(units.filter((unit) => inOrder.includes(unit)))
        }
        for (const { answers, before } of world.reads) {
          expect(answers).toHaveLength(1)
          const [answer] = answers
          if (answer instanceof StorageError || answer === undefined) continue
          const seen = new Set(answer.map(({ position }) => position))
          expect(before.flatMap(positionsOf).filter((position) => !seen.has(position))).toEqual([])
        }
      }),
      { numRuns: 1000, seed: 5 }
    )
  })

  test("without failures refuses nothing and reads everything", () => {
    const world = new World()
    for (let count = 0; count < 20; count++) {
      world.append(3, { level: "os", mayWait: count % 2 === 0, isRefusable: true })
      world.read()
    }
    world.settle()
    expect(world.units.flatMap(({ outcomes }) => outcomes)).toEqual(Array(20).fill(undefined))
    expect(
      world.reads.map(({ answers }) => (answers[0] instanceof StorageError ? -1 : answers[0]?.length))
    ).toEqual(Array.from({ length: 20 }, (_, index) => 3 * (index + 1)))
    expect(world.events).toEqual([])
  })

  test("lets nobody wait for room while it fails: what needs none goes on", () => {
    const world = new World(10)
    for (let count = 0; count < 3; count++) {
      world.append(6, { level: "os", mayWait: false, isRefusable: false })
    }
    expect(world.journal.status()).toBe("congested")
    let relieved = 0
    world.journal.whenRelieved(() => relieved++, "t")
    world.endTick()
    expect(relieved).toBe(0)
    world.thread.fail(false)
    expect([world.journal.status(), relieved]).toEqual(["failing", 1])
    world.journal.whenRelieved(() => relieved++, "t")
    expect(relieved).toBe(2)
    world.settle()
    expect(world.journal.status()).toBe("ready")
  })

  test("keeps no more than it may while the thread cannot be started, and tells of what it gives up", () => {
    const world = new World(10)
    world.append(1, { level: "os", mayWait: false, isRefusable: false })
    world.endTick()
    world.thread.die(false)
    for (let count = 0; count < 30; count++) {
      world.append(1, { level: count < 15 ? "memory" : "os", mayWait: false, isRefusable: false })
    }
    world.thread.refuse()
    expect(world.journal.status()).toBe("failing")
    expect([world.counters.recordsGivenUp, world.journal.length]).toEqual([10, 21])
    world.settle()
    for (const { outcomes } of world.units) expect(outcomes).toHaveLength(1)
    const stored = world.thread.state.queue("t", "c").map(({ position }) => position)
    expect(stored).toEqual([0, ...Array.from({ length: 20 }, (_, index) => 11 + index)])
  })

  test("gives a batch up as failed when the thread dies with it twice", () => {
    const world = new World()
    world.append(1, { level: "os", mayWait: false, isRefusable: true })
    world.endTick()
    for (let death = 0; death < 2; death++) {
      world.thread.die(false)
      world.thread.serve()
    }
    expect(world.units[0]?.outcomes[0]).toBeInstanceOf(StorageError)
    world.settle()
    expect(world.journal.status()).toBe("ready")
    expect(world.events.map(({ _tag }) => _tag)).toEqual([
      "ThreadEnded",
      "ThreadEnded",
      "Failing",
      "Recovered"
    ])
  })
})
