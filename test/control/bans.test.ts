/** Bans at run time: whom they send away, whom they keep out, how long, and over a restart. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import type { Ban, BanSubject } from "../../src/auth/guard/BanList.ts"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { raw } from "../support/raw.ts"
import type { TestBroker } from "../support/testBroker.ts"
import { administered } from "./administered.ts"

const run = Effect.runPromise

const reason = "no more of that"

const ban = (subject: BanSubject, untilMs?: number): Ban => ({ subject, reason, untilMs })

const codeFor = async (broker: TestBroker, clientId: string, username: string) => {
  const client = broker.open(5)
  await client.send(raw.connect({ version: 5, username, clientId }))
  return (await client.expect("connack")).reasonCode
}

describe("a ban", () => {
  const table: ReadonlyArray<readonly [name: string, subject: BanSubject, covered: ReadonlyArray<string>]> = [
    ["of a client", { _tag: "Client", tenant: "a", clientId: "1" }, ["a/x:1"]],
    ["of a user", { _tag: "User", tenant: "a", principal: "x" }, ["a/x:1", "a/x:2"]],
    ["of a user who is not there", { _tag: "User", tenant: "c", principal: "x" }, []]
  ]
  test.each(table)("%s sends away whom it covers, keeps them out, and nobody else", (_, subject, covered) =>
    administered({}, async ({ bans, broker }) => {
      const names = ["a/x:1", "a/x:2", "a/y:3", "b/x:1"]
      const clients = await Promise.all(
        names.map(async (name) => {
          const [username = "", clientId = ""] = name.split(":")
          return {
            name,
            clientId,
            username,
            client: await broker.connect({ version: 5, clientId, username })
          }
        })
      )
      await run(bans.add(ban(subject)))
      for (const { client, clientId, name, username } of clients) {
        if (!covered.includes(name)) {
          await client.quiet()
          continue
        }
        const disconnect = await client.expect("disconnect")
        expect([disconnect.reasonCode, disconnect.properties?.reasonString]).toEqual([0x98, reason])
        expect(await codeFor(broker, clientId, username)).toBe(0x8a)
      }
      await run(bans.remove(subject))
      expect(await run(bans.list)).toEqual([])
      expect(await codeFor(broker, "1", "a/x")).toBe(0)
    })
  )

  test("is over when its time is", () =>
    administered({ nowMs: 1_800_000_000_000 }, async ({ bans, broker }) => {
      await run(bans.add(ban({ _tag: "Client", tenant: "a", clientId: "1" }, 1_800_000_060_000)))
      expect(await codeFor(broker, "1", "a/x")).toBe(0x8a)
      await broker.advance(60_000)
      expect(await codeFor(broker, "1", "a/x")).toBe(0)
    }))

  test("reaches those who are on their way in", () =>
    administered({}, async ({ bans, broker }) => {
      const client = broker.open(5)
      client.wire.write(raw.connect({ version: 5, clientId: "1", username: "a/x" }))
      await run(bans.add(ban({ _tag: "Client", tenant: "a", clientId: "1" })))
      await broker.settle()
      const codes = (await client.untilClosed()).map((each) => ("reasonCode" in each ? each.reasonCode : -1))
      expect([[0x8a], [0, 0x98]]).toContainEqual(codes as Array<number>)
      expect(broker.broker.census().connections).toBe(0)
    }))

  test("survives a restart, unless it is over by then or lifted", async () => {
    const storage = layerMemory(new DurableState(), new AdministrationState())
    const subjects = ["1", "2", "3"].map((clientId) => ({ _tag: "Client", tenant: "a", clientId }) as const)
    const [kept, over, lifted] = subjects
    await administered({ storage, nowMs: 1000 }, async ({ bans }) => {
      if (kept !== undefined) await run(bans.add(ban(kept)))
      if (over !== undefined) await run(bans.add(ban(over, 2000)))
      if (lifted !== undefined) await run(bans.add(ban(lifted)))
      if (lifted !== undefined) await run(bans.remove(lifted))
    })
    await administered({ storage, nowMs: 2000 }, async ({ bans, broker }) => {
      expect((await run(bans.list)).map(({ subject }) => subject)).toEqual([{ ...kept }] as Array<BanSubject>)
      expect(await codeFor(broker, "1", "a/x")).toBe(0x8a)
      expect(await codeFor(broker, "2", "a/x")).toBe(0)
    })
  })

  test("on what is no network is refused, and so is lifting one that is not there", () =>
    administered({}, async ({ bans }) => {
      const subject = { _tag: "Address", network: "300.1.2.3" } as const
      expect((await run(Effect.flip(bans.add(ban(subject))))).code).toBe("invalid")
      expect((await run(Effect.flip(bans.remove(subject)))).code).toBe("not-found")
      expect(await run(bans.list)).toEqual([])
    }))
})
