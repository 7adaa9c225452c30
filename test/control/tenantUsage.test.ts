/** What a tenant has used: told until now, kept or deleted with the tenant as asked. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { raw } from "../support/raw.ts"
import { type Administered, administered } from "./administered.ts"

const run = Effect.runPromise

const usageOf = ({ admin, broker }: Administered, tenant: string, fromMs = 0) =>
  run(Effect.withClock(admin.usage(tenant, fromMs), broker.clock))

/** All rows that the ledger holds, of a tenant. */
const rowsOf = (state: AdministrationState, tenant: string) =>
  state.readUsage({ tenant, fromMs: 0, untilMs: Number.POSITIVE_INFINITY })

/** The broker's ledger is the store that its surroundings have. */
const withLedger = (state: AdministrationState, body: (all: Administered) => Promise<void>): Promise<void> =>
  administered({ storage: layerMemory(new DurableState(), state) }, body)

describe("usage", () => {
  test("is complete until now, with the windows that have a limit", () =>
    withLedger(new AdministrationState(), async (all) => {
      await run(all.admin.create("a", { messagesPerDay: 10 }))
      const client = await all.broker.connect({ version: 5, username: "a/x" })
      for (let index = 0; index < 3; index++) await client.publish("t", "12345")
      const { total, windows } = await usageOf(all, "a")
      expect(total).toMatchObject({ messagesIn: 3, connects: 1, connectionsPeak: 1 })
      expect(windows.map(({ limit, resource, used }) => [resource, used, limit])).toEqual([
        ["messagesPerDay", 3, 10]
      ])
      expect((await usageOf(all, "a", Number.MAX_SAFE_INTEGER)).total.messagesIn).toBe(0)
    }))

  test("of a tenant that there is not is not found", () =>
    administered({ table: { firstSight: "refuse" } }, async ({ admin }) => {
      expect((await run(Effect.flip(admin.usage("nobody", 0)))).code).toBe("not-found")
    }))
})

describe("a tenant that is deleted", () => {
  test.each([true, false])("with its usage: %p", (withUsage) => {
    const state = new AdministrationState()
    return withLedger(state, async (all) => {
      const client = await all.broker.connect({ version: 5, username: "a/x" })
      for (let index = 0; index < 3; index++) await client.publish("t")
      const removal = all.admin.remove("a", { withUsage })
      await run(Effect.withClock(removal, all.broker.clock))
      const sum = () => rowsOf(state, "a").reduce((messages, { messagesIn }) => messages + messagesIn, 0)
      expect(sum()).toBe(withUsage ? 0 : 3)
      // What the ledger writes each minute, and at the end, is nothing of this tenant's.
      await all.broker.advance(3_600_000)
      expect(sum()).toBe(withUsage ? 0 : 3)
    }).then(() => expect(rowsOf(state, "a")).toHaveLength(withUsage ? 0 : 1))
  })
})

test("a window that is used up explains why a message is refused", () =>
  administered({}, async (all) => {
    await run(all.admin.create("a", { messagesPerDay: 1 }))
    const client = await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
    await client.publish("t")
    await client.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 7 }))
    expect((await client.expect("puback")).reasonCode).toBe(0x97)
    const question = {
      tenant: "a",
      clientId: "c",
      action: "publish",
      topic: "t",
      qos: 0,
      retain: false
    } as const
    const { steps, verdict } = await run(Effect.withClock(all.explain(question), all.broker.clock))
    expect(verdict).toBe("no")
    expect(steps.filter(({ finding }) => finding === "no").map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/^the tenant's messagesPerDay of 1 is used up until /)
    ])
  }))
