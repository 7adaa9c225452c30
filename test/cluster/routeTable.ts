/** What every layer of `RouteTable` must do, seen by two nodes. */

import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Destination } from "../../src/cluster/Destination.ts"
import type { Destinations, Route } from "../../src/cluster/Routes.ts"
import type { RouteTable } from "../../src/cluster/RouteTable.ts"
import { referenceMatch, seeded, topicFilter, topicName } from "../topic/reference.ts"

export interface TwoTables {
  readonly a: RouteTable["Type"]
  readonly b: RouteTable["Type"]
}

const route = (topicFilter: string, rest: Partial<Route> = {}): Route => ({
  to: "node/a",
  tenant: "t",
  topicFilter,
  group: undefined,
  ...rest
})

/** Destinations as plain data, in an order of their own. */
const plain = (found: Destinations | undefined) =>
  found === undefined
    ? undefined
    : {
        plain: found.plain.toSorted(),
        groups: [...found.groups].map(
          ([key, shares]) => `${key}: ${shares.map(({ to, weight }) => `${to} ${weight}`).toSorted()}`
        )
      }

/** Waits until the other node knows what was advertised. */
const settled = (table: RouteTable["Type"]): Promise<void> =>
  new Promise((resolve) => table.barrier(() => resolve()))

export const routeTableContract = (name: string, make: () => TwoTables): void => {
  describe(`the route table: ${name}`, () => {
    test("others know a route from its first subscription to its last", async () => {
      const { a, b } = make()
      const wanted: ReturnType<typeof plain> = { plain: ["node/a"], groups: [] }
      for (const [step, expected] of [
        [a.advertise, wanted],
        [a.advertise, wanted],
        [a.withdraw, wanted],
        [a.withdraw, undefined],
        [a.withdraw, undefined],
        [a.advertise, wanted]
      ] as const) {
        step(route("x/+"))
        await settled(a)
        expect(plain(b.match("t", "x/y"))).toEqual(expected)
      }
    })

    test("nobody is told of its own routes", async () => {
      const { a } = make()
      a.advertise(route("x"))
      a.advertise(route("x", { group: "$share/g/x" }))
      await settled(a)
      expect(a.match("t", "x")).toBeUndefined()
    })

    test("each destination is there once; a shared subscription has the members of each place", async () => {
      const { a, b } = make()
      for (const topicFilter of ["x/y", "x/#", "+/y"]) a.advertise(route(topicFilter))
      a.advertise(route("x/y", { to: "cell/3" }))
      const group = "$share/g/x/y"
      for (const to of ["node/a", "node/a", "cell/3"] as const) a.advertise(route("x/y", { to, group }))
      await settled(a)
      expect(plain(b.match("t", "x/y"))).toEqual({
        plain: ["cell/3", "node/a"],
        groups: ["$share/g/x/y: cell/3 1,node/a 2"]
      })
      a.withdraw(route("x/y", { group }))
      await settled(a)
      expect(plain(b.match("t", "x/y"))?.groups).toEqual(["$share/g/x/y: cell/3 1,node/a 1"])
    })

    test("a tenant sees no other tenant's routes", async () => {
      const { a, b } = make()
      a.advertise(route("#", { tenant: "t1" }))
      a.advertise(route("#", { tenant: "__proto__", to: "cell/1" }))
      await settled(a)
      expect(plain(b.match("t1", "x"))?.plain).toEqual(["node/a"])
      expect(plain(b.match("__proto__", "x"))?.plain).toEqual(["cell/1"])
      for (const tenant of ["t2", "", "constructor"]) expect(b.match(tenant, "x")).toBeUndefined()
    })

    test("all routes of a tenant to one destination can be withdrawn at once", async () => {
      const { a, b } = make()
      for (const topicFilter of ["x", "y", "x"]) a.advertise(route(topicFilter))
      a.advertise(route("x", { group: "$share/g/x" }))
      a.advertise(route("x", { to: "cell/3" }))
      a.advertise(route("x", { tenant: "other" }))
      a.withdrawAll("t", "node/a")
      a.withdrawAll("unknown", "node/a")
      await settled(a)
      expect(plain(b.match("t", "x"))).toEqual({ plain: ["cell/3"], groups: [] })
      expect(b.match("t", "y")).toBeUndefined()
      expect(plain(b.match("other", "x"))?.plain).toEqual(["node/a"])
    })
  })
  matchesProperty(name, make)
}

const step = fc.record({
  adds: fc.boolean(),
  topicFilter,
  to: fc.constantFrom<Destination>("node/a", "cell/3"),
  tenant: fc.constantFrom("t", "u")
})

const matchesProperty = (name: string, make: () => TwoTables): void =>
  test(`the route table: ${name}: finds exactly what a naive matcher finds`, async () => {
    const property = fc.asyncProperty(
      fc.array(step),
      fc.array(topicName, { minLength: 1 }),
      async (steps, topics) => {
        const { a, b } = make()
        const held: Array<Route> = []
        for (const { adds, ...rest } of steps) {
          const each: Route = { ...rest, group: undefined }
          if (adds) {
            held.push(each)
            a.advertise(each)
            continue
          }
          const at = held.findIndex((other) => Bun.deepEquals(other, each))
          if (at !== -1) held.splice(at, 1)
          a.withdraw(each)
        }
        await settled(a)
        // Those that are left are probed as well: random topics seldom match.
        for (const topic of [...topics, ...held.map((each) => each.topicFilter.replace(/[+#]/g, "a"))]) {
          for (const tenant of ["t", "u"]) {
            const naive = held.filter(
              (each) => each.tenant === tenant && referenceMatch(each.topicFilter, topic)
            )
            const expected = [...new Set(naive.map((each) => each.to))].toSorted()
            expect(b.match(tenant, topic)?.plain.toSorted() ?? []).toEqual(expected)
          }
        }
      }
    )
    await fc.assert(property, seeded(300))
  })
