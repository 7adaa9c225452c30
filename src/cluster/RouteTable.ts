/**
 * The route table: what this node tells the others that it wants, and what they want of this one.
 *
 * A router keeps its own subscriptions to itself and asks here for those of others. It advertises each
 * subscription; the others hear of a filter with its first and lose it with its last, and know how many
 * members of a shared subscription are where.
 *
 * The embedded layer's table has no others to tell and keeps nothing. `linkedRouteTables` makes tables for
 * nodes that share a process: each holds what the others have advertised.
 */

import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Destination } from "./Destination.ts"
import { type Destinations, type Route, Routes } from "./Routes.ts"

export class RouteTable extends Context.Tag("heddle/RouteTable")<
  RouteTable,
  {
    /** One subscription more. */
    readonly advertise: (route: Route) => void
    /** One less. */
    readonly withdraw: (route: Route) => void
    /** None any more: all of that tenant's that were advertised for the destination. */
    readonly withdrawAll: (tenant: string, to: Destination) => void
    /** Which of the others a message has to go to; undefined when to none. Asked for every message. */
    readonly match: (tenant: string, topic: string) => Destinations | undefined
    /**
     * Calls back when the others know what was advertised so far, or have had time enough: perhaps before it
     * returns.
     */
    readonly barrier: (passed: () => void) => void
  }
>() {
  /** The table of a node that is alone. */
  static readonly layer: Layer.Layer<RouteTable> = Layer.sync(RouteTable, () => tableOf(new Routes(), []))
}

/** Tables of nodes that share a process. */
export const linkedRouteTables = (count: number): ReadonlyArray<RouteTable["Type"]> => {
  const all = Array.from({ length: count }, () => new Routes())
  return all.map((own) =>
    tableOf(
      own,
      all.filter((routes) => routes !== own)
    )
  )
}

const tableOf = (routes: Routes, others: ReadonlyArray<Routes>): RouteTable["Type"] => ({
  advertise: (route) => {
    for (const other of others) other.add(route)
  },
  withdraw: (route) => {
    for (const other of others) other.remove(route)
  },
  withdrawAll: (tenant, to) => {
    for (const other of others) other.removeAll(tenant, to)
  },
  match: (tenant, topic) => routes.match(tenant, topic),
  barrier: (passed) => passed()
})
