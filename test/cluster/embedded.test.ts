/** The layers of this process keep the contracts of the ports. */

import { expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Bus } from "../../src/cluster/Bus.ts"
import { Leases, LeaseTable } from "../../src/cluster/Leases.ts"
import { MemberList, Membership } from "../../src/cluster/Membership.ts"
import { linkedRouteTables, RouteTable } from "../../src/cluster/RouteTable.ts"
import { layerSingleNode } from "../../src/cluster/singleNode.ts"
import { effect } from "../support/effect.ts"
import { busContract } from "./bus.ts"
import { leasesContract } from "./leases.ts"
import { membershipContract } from "./membership.ts"
import { routeTableContract } from "./routeTable.ts"

leasesContract(
  "one process",
  Effect.sync(() => {
    const table = new LeaseTable()
    return { a: table.of("a"), b: table.of("b") }
  })
)

membershipContract(
  "one process",
  Effect.map(MemberList.make, (list) => (id: string) => list.join(id))
)

busContract(
  "one process",
  Effect.flatMap(Layer.build(Bus.layer), (context) => Effect.provide(Bus, context))
)

routeTableContract("one process", () => {
  const [a, b] = linkedRouteTables(2)
  if (a === undefined || b === undefined) throw new TypeError("two were asked for")
  return { a, b }
})

effect("a node that is alone is the only member, has no other's routes and serves itself", () =>
  Effect.gen(function* () {
    const [{ self, members }, leases, table] = [yield* Membership, yield* Leases, yield* RouteTable]
    expect([...members().values()]).toEqual([{ ...self, state: "joining" }])
    yield* leases.acquire("k")
    expect(yield* leases.holder("k")).toBe(self.id)
    table.advertise({ to: "node/local", tenant: "t", topicFilter: "#", group: undefined })
    expect(table.match("t", "x")).toBeUndefined()
  }).pipe(Effect.provide(layerSingleNode))
)

test("two that are alone do not meet, even in one layer", () =>
  Effect.gen(function* () {
    const each = Layer.scopedDiscard(Effect.flatMap(Leases, ({ acquire }) => acquire("cell/0")))
    const two = Layer.merge(
      each.pipe(Layer.provide(layerSingleNode)),
      Layer.fresh(each).pipe(Layer.provide(layerSingleNode))
    )
    yield* Effect.scoped(Layer.build(two))
  }).pipe(Effect.runPromise))
