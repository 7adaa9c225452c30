import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AdministrationState } from "../../../src/storage/AdministrationState.ts"
import { DurableState } from "../../../src/storage/DurableState.ts"
import { layerMemory } from "../../../src/storage/memory.ts"
import { StorageError } from "../../../src/storage/StorageError.ts"
import { type UsageRow, UsageStore } from "../../../src/storage/UsageStore.ts"
import { Counters } from "../../../src/telemetry/Counters.ts"
import { keepUsageLedger } from "../../../src/tenant/quota/UsageLedger.ts"
import { ManualClock } from "../../support/manualClock.ts"
import { raw } from "../../support/raw.ts"
import { type TestBroker, withBroker } from "../../support/testBroker.ts"

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const everything = { fromMs: 0, untilMs: Number.POSITIVE_INFINITY }

/** A store in memory that can be made to fail. */
const makeStore = () => {
  const state = new AdministrationState()
  const writes: Array<ReadonlyArray<UsageRow>> = []
  const store = {
    isDown: false,
    write: (rows: ReadonlyArray<UsageRow>) =>
      Effect.suspend(() => {
        if (store.isDown) return new StorageError({ reason: "the disk is full", cause: undefined })
        writes.push(rows)
        state.writeUsage(rows)
        return Effect.void
      }),
    read: () => Stream.empty,
    prune: (beforeMs: number) => Effect.sync(() => state.removeUsage(({ hourMs }) => hourMs < beforeMs))
  }
  return { rows: () => state.readUsage(everything), state, store, writes }
}

const makeTenant = (id: string) => ({ id, counters: new Counters(), quota: { windows: { roll: () => {} } } })

interface Kept extends ReturnType<typeof makeStore> {
  readonly clock: ManualClock
  readonly tenants: Map<string, ReturnType<typeof makeTenant>>
  readonly advance: (ms: number) => Promise<void>
  readonly end: () => Promise<void>
}

/** A ledger of the tenants, on a clock that stands still. */
const keepLedger = async (): Promise<Kept> => {
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 10, 59))
  const kept = makeStore()
  const tenants = new Map([["a", makeTenant("a")]])
  const scope = Effect.runSync(Scope.make())
  const quietly = Effect.provide(Logger.remove(Logger.defaultLogger))
  const options = { store: kept.store, tenants: () => tenants.values(), writer: "node" }
  await Effect.runPromise(
    keepUsageLedger(options).pipe(Scope.extend(scope), Effect.withClock(clock), quietly, Effect.asVoid)
  )
  const settle = async () => {
    for (let round = 0; round < 4; round++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return {
    ...kept,
    clock,
    tenants,
    advance: async (ms) => {
      await settle()
      clock.advance(ms)
      await settle()
    },
    end: () => Effect.runPromise(Scope.close(scope, Exit.void).pipe(Effect.withClock(clock)))
  }
}

describe("the usage ledger", () => {
  test("writes once a minute what has changed, the hour that has ended, and the rest at the end", async () => {
    const { advance, end, rows, tenants, writes } = await keepLedger()
    const counters = tenants.get("a")?.counters ?? new Counters()
    counters.messagesReceived = 3
    await advance(MINUTE_MS)
    expect(rows()).toMatchObject([{ tenant: "a", writer: "node", messagesIn: 3 }])
    await advance(MINUTE_MS)
    expect(writes).toHaveLength(1)
    counters.messagesReceived = 4
    await end()
    expect(rows().map(({ messagesIn }) => messagesIn)).toEqual([3, 1])
  })

  test("makes good what could not be written, hour by hour", async () => {
    const { advance, end, rows, store, tenants } = await keepLedger()
    const counters = tenants.get("a")?.counters ?? new Counters()
    store.isDown = true
    for (const received of [1, 3, 6]) {
      counters.messagesReceived = received
      await advance(HOUR_MS)
    }
    expect(rows()).toEqual([])
    store.isDown = false
    await advance(MINUTE_MS)
    expect(rows().map(({ messagesIn }) => messagesIn)).toEqual([1, 2, 3])
    await end()
  })

  test("a tenant that is deleted and made again does not write over what it had used", async () => {
    const { advance, end, rows, tenants } = await keepLedger()
    for (const messagesReceived of [5, 2]) {
      const tenant = makeTenant("a")
      tenants.set("a", tenant)
      Object.assign(tenant.counters, { messagesReceived })
      await advance(MINUTE_MS)
      tenants.delete("a")
      await advance(MINUTE_MS)
    }
    expect(rows().map(({ messagesIn, writer }) => [writer, messagesIn])).toEqual([
      ["node", 5],
      ["node/1", 2]
    ])
    await end()
  })

  test("hours of last year go", async () => {
    const { advance, end, rows, state } = await keepLedger()
    const old = { tenant: "a", hourMs: Date.UTC(2025, 9, 1), writer: "node", messagesIn: 1 }
    state.writeUsage([old as UsageRow])
    await advance(MINUTE_MS)
    expect(rows()).toEqual([])
    await end()
  })
})

describe("windows over the lives of a broker", () => {
  const startMs = Date.UTC(2026, 10, 22, 10, 30)
  const settings = { messagesPerDay: 3 }

  test("what was used before a restart is used", async () => {
    const state = new DurableState()
    const administration = new AdministrationState()
    const publish = async (broker: TestBroker): Promise<ReadonlyArray<number>> => {
      const client = await broker.connect({ version: 5, clientId: "publisher" })
      const codes: Array<number> = []
      for (const packetId of [1, 2]) {
        await client.send(raw.publish({ version: 5, qos: 1, packetId }))
        codes.push((await client.expect("puback")).reasonCode ?? 0)
      }
      return codes.map((code) => (code >= 0x80 ? code : 0))
    }
    const storage = () => layerMemory(state, administration)
    await withBroker({ settings, storage: storage(), nowMs: startMs }, async (broker) => {
      expect(await publish(broker)).toEqual([0, 0])
    })
    const used = administration.readUsage(everything).reduce((sum, row) => sum + row.messagesIn, 0)
    expect(used).toBe(2)
    await withBroker({ settings, storage: storage(), nowMs: startMs }, async (broker) => {
      expect(await publish(broker)).toEqual([0, 0x97])
    })
    const dayAfter = startMs + 24 * HOUR_MS
    await withBroker({ settings, storage: storage(), nowMs: dayAfter }, async (broker) => {
      expect(await publish(broker)).toEqual([0, 0])
    })
  })

  const unreadable = Layer.succeed(UsageStore, {
    write: () => Effect.void,
    read: () => Stream.fail(new StorageError({ reason: "the disk is gone", cause: undefined })),
    prune: () => Effect.succeed(0)
  })
  const quiet = Logger.remove(Logger.defaultLogger)
  const storage = Layer.provide(Layer.merge(layerMemory(), unreadable), quiet)

  test("a tenant whose use cannot be read is not served where windows limit it", () =>
    withBroker({ settings, storage }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5 }))
      expect((await client.expect("connack")).reasonCode).toBe(0x88)
    }))

  test("and is served where none does", () =>
    withBroker({ storage }, async (broker) => {
      await broker.connect({ version: 5 })
    }))
})
