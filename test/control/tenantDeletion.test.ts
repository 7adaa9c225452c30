/**
 * Deletion leaves nothing of a tenant: not in memory, not in the database, not by a late client, not by a
 * broker that died in the middle of it.
 */

import { Database } from "bun:sqlite"
import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { databaseName, layerSqlite } from "../../src/storage/sqlite.ts"
import { noContents, TenantContents } from "../../src/storage/TenantContents.ts"
import { properties, raw } from "../support/raw.ts"
import type { TestBroker, TestClient } from "../support/testBroker.ts"
import { administered, type Storage } from "./administered.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-deletion-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(600) } as const

const withUsage = { withUsage: true }

/** Something of every kind that a tenant can hold; answers with its client that is still connected. */
const fill = async (broker: TestBroker, tenant: string): Promise<TestClient> => {
  const username = `${tenant}/x`
  const absent = await broker.connect({ ...lasting, clientId: "absent", username })
  await absent.subscribe(["#", 2], ["$share/g/+/t", 1])
  absent.drop()
  await broker.settle()
  const delayed = await broker.connect({
    ...lasting,
    clientId: "delayed",
    username,
    will: { topic: "will/delayed", properties: properties.willDelayInterval(60) }
  })
  delayed.drop()
  await broker.settle()
  const publisher = await broker.connect({
    ...lasting,
    clientId: "publisher",
    username,
    will: { topic: "will/now", qos: 1 }
  })
  for (let index = 0; index < 20; index++)
    await publisher.publish(`a/${index}`, "x", { retain: index % 2 === 0 })
  await publisher.send(raw.publish({ version: 5, topic: "b", qos: 2, packetId: 9 }))
  await publisher.expect("pubrec")
  await publisher.subscribe(["own", 1])
  return publisher
}

/** Rows of any table that name the tenant. */
const rowsOf = (path: string, tenant: string): ReadonlyArray<string> => {
  const database = new Database(join(path, databaseName), { readonly: true })
  try {
    const tables = database
      .query<{ readonly name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'")
      .all()
    return tables.flatMap(({ name }) => {
      const rows = database.query<Record<string, unknown>, []>(`SELECT * FROM "${name}"`).all()
      const own = rows.filter((row) => Object.values(row).some((value) => holds(value, tenant)))
      return own.length === 0 ? [] : [`${name}: ${own.length}`]
    })
  } finally {
    database.close()
  }
}

const holds = (value: unknown, text: string): boolean =>
  typeof value === "string"
    ? value.includes(text)
    : value instanceof Uint8Array && Buffer.from(value).includes(text)

const censusOf = (broker: TestBroker, tenant: string) => broker.broker.administration.tenant(tenant)?.census

const path = join(directory, "whole")

const storages: ReadonlyArray<readonly [string, () => Storage, string | undefined]> = [
  ["memory", () => layerMemory(), undefined],
  ["SQLite", () => Layer.orDie(layerSqlite({ path })), path]
]

describe.each(storages)("a deleted tenant, over %s", (_, storage, place) => {
  test("leaves nothing, publishes no will, and its neighbour stays as it was", () =>
    administered({ storage: storage(), isRealTime: place !== undefined }, async ({ admin, broker }) => {
      const publisher = await fill(broker, "doomed-tenant")
      const neighbour = await fill(broker, "neighbour")
      const before = censusOf(broker, "neighbour")
      const retained = broker.broker.counters("neighbour")?.retainedMessages
      if (place !== undefined) expect(rowsOf(place, "doomed-tenant")).not.toEqual([])
      const removed = await Effect.runPromise(admin.remove("doomed-tenant", withUsage))
      expect(removed).toMatchObject({ sessions: 3, subscriptions: 3, retainedMessages: 10 })
      expect((await publisher.expect("disconnect")).reasonCode).toBe(0x98)
      await publisher.expectClosed()
      await broker.settle()
      expect(broker.broker.administration.tenant("doomed-tenant")).toBeUndefined()
      if (place !== undefined) expect(rowsOf(place, "doomed-tenant")).toEqual([])
      expect(broker.eventsOf("WillPublished").filter(({ tenant }) => tenant === "doomed-tenant")).toEqual([])
      await neighbour.send(raw.publish({ version: 5, topic: "own" }))
      await neighbour.expect("publish")
      expect(censusOf(broker, "neighbour")).toEqual(before)
      expect(broker.broker.counters("neighbour")?.retainedMessages).toBe(retained)
      expect(broker.broker.census().connections).toBe(1)
      await broker.advance(120_000)
      if (place !== undefined) expect(rowsOf(place, "doomed-tenant")).toEqual([])
    }))

  test("that is made anew has nothing of what it had", () =>
    administered({ storage: storage(), isRealTime: place !== undefined }, async ({ admin, broker }) => {
      await fill(broker, "again")
      await Effect.runPromise(admin.remove("again", withUsage))
      await Effect.runPromise(admin.create("again", {}))
      const back = await broker.connect({ ...lasting, clientId: "absent", username: "again/y" })
      expect(back.connack?.sessionPresent).toBe(false)
      await back.subscribe("#")
      await back.quiet()
      expect(censusOf(broker, "again")).toMatchObject({ sessions: 1, subscriptions: 1 })
    }))
})

/** Contents whose purge waits until it is told, or fails. */
const slowContents = (
  gate: Effect.Effect<void, StorageError>
): Layer.Layer<TenantContents, never, TenantContents> =>
  Layer.effect(
    TenantContents,
    Effect.map(TenantContents, (contents) => ({
      ...contents,
      purge: (tenant, options) => Effect.zipRight(gate, contents.purge(tenant, options))
    }))
  )

describe("while a tenant is being deleted", () => {
  test("nobody gets in, and nothing that comes late brings it back", () => {
    const gate = Effect.runSync(Effect.makeLatch())
    const whole = layerMemory()
    const storage = Layer.merge(whole, Layer.provide(slowContents(gate.await), whole))
    return administered({ storage }, async ({ admin, broker }) => {
      const publisher = await fill(broker, "a")
      const late = broker.open(5)
      late.wire.write(raw.connect({ ...lasting, clientId: "late", username: "a/x" }))
      publisher.wire.write(raw.publish({ version: 5, topic: "late", qos: 1, packetId: 3, retain: true }))
      const removal = Effect.runPromise(admin.remove("a", withUsage))
      await broker.settle()
      const next = broker.open(5)
      await next.send(raw.connect({ ...lasting, clientId: "next", username: "a/x" }))
      expect((await next.expect("connack")).reasonCode).toBe(0x88)
      const other = await broker.connect({ clientId: "o", username: "b/x" })
      await other.quiet()
      Effect.runSync(gate.open)
      await removal
      await broker.settle()
      for (const client of [late, publisher]) {
        expect((await client.untilClosed()).some(({ cmd }) => cmd === "publish")).toBe(false)
      }
      const counted = await Effect.runPromise(
        Effect.flatMap(TenantContents, (contents) => contents.count("a")).pipe(Effect.provide(whole))
      )
      expect(counted).toEqual(noContents)
    })
  })

  test("a storage that fails leaves it closed, and a second attempt ends it", () => {
    let isFailing = true
    const gate = Effect.suspend(() =>
      isFailing ? new StorageError({ reason: "the disk is full", cause: undefined }) : Effect.void
    )
    const whole = layerMemory()
    const storage = Layer.merge(whole, Layer.provide(slowContents(gate), whole))
    return administered({ storage }, async ({ admin, broker }) => {
      await fill(broker, "a")
      const failure = await Effect.runPromise(Effect.flip(admin.remove("a", withUsage)))
      expect([failure.code, failure.message]).toEqual(["unavailable", "the disk is full"])
      const client = broker.open(5)
      await client.send(raw.connect({ ...lasting, username: "a/x" }))
      expect((await client.expect("connack")).reasonCode).toBe(0x88)
      expect(await Effect.runPromise(Effect.flip(admin.create("a", {})))).toMatchObject({ code: "exists" })
      isFailing = false
      expect((await Effect.runPromise(admin.remove("a", withUsage))).sessions).toBe(3)
      await broker.connect({ ...lasting, username: "a/x" })
    })
  })

  test("a deletion that cannot go on does not keep others from it", async () => {
    const [durable, state] = [new DurableState(), new AdministrationState()]
    const stored = { settings: { withUsage: true }, createdAtMs: 1, changedAtMs: 1 }
    for (const tenant of ["a", "b"]) state.putTenant({ tenant, state: "deleting", ...stored })
    const whole = layerMemory(durable, state)
    const purge = new StorageError({ reason: "the disk is full", cause: undefined })
    const contents = Layer.effect(
      TenantContents,
      Effect.map(TenantContents, (inner) => ({
        ...inner,
        purge: (tenant, options) => (tenant === "a" ? purge : inner.purge(tenant, options))
      }))
    )
    const storage = Layer.merge(whole, Layer.provide(contents, whole))
    await administered({ storage }, async ({ broker }) => {
      await broker.settle()
      expect([...state.tenants()].map(({ tenant }) => tenant)).toEqual(["a"])
    })
  })

  test("a broker that ends leaves a tombstone, with which the next one goes on", async () => {
    const [durable, state] = [new DurableState(), new AdministrationState()]
    await administered({ storage: layerMemory(durable, state) }, async ({ broker }) => {
      await fill(broker, "a")
    })
    const stored = { settings: { withUsage: true }, createdAtMs: 1, changedAtMs: 1 }
    state.putTenant({ tenant: "a", state: "deleting", ...stored })
    await administered({ storage: layerMemory(durable, state) }, async ({ admin, broker }) => {
      await broker.settle()
      expect(await Effect.runPromise(admin.list)).toEqual([])
      expect([...durable.sessions()]).toEqual([])
      expect(state.tenant("a")).toBeUndefined()
    })
  })
})
