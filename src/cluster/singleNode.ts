/**
 * A cluster of one: what `Broker.layer` stands on. A broker that is one node of several takes other layers of
 * the same four ports, and nothing else changes.
 */

import * as Layer from "effect/Layer"
import { Bus } from "./Bus.ts"
import { Leases } from "./Leases.ts"
import { Membership } from "./Membership.ts"
import { RouteTable } from "./RouteTable.ts"

/** What connects a broker with other nodes. */
export type ClusterServices = Membership | Leases | Bus | RouteTable

/** This process alone. Each use makes its own, so that brokers that share nothing do not meet in it. */
export const layerSingleNode: Layer.Layer<ClusterServices> = Layer.fresh(
  Layer.mergeAll(Leases.layer, Bus.layer, RouteTable.layer).pipe(Layer.provideMerge(Membership.layer))
)
