/**
 * Measurements of size and isolation: what holds when there is much of something, on Heddle alone. Each is a
 * file of this folder that exports one; a name in this list is a row group of `bun run bench`.
 *
 * They run one after the other and after the message scenarios. Each starts and ends the processes that it
 * needs by itself, so that it may also measure parts without a broker around them.
 */

import { subscriptionGrowth } from "./growth.ts"
import { noisyNeighbour } from "./neighbours.ts"
import { noisyNeighbourOnDisk } from "./neighboursOnDisk.ts"
import { offlineFill } from "./offline.ts"
import { checksOverhead } from "./overhead.ts"
import { stuckSubscribers } from "./stuck.ts"
import { manySubscriptions } from "./subscriptions.ts"
import { manyTenants } from "./tenants.ts"
import { tlsConnections } from "./tls.ts"

/** How a measurement is run. */
export interface CapacityOptions {
  /** A fraction of the size and time: does everything still run? No goal is judged. */
  readonly quick: boolean
  /** What stands before a broker's command line, to give it a processor of its own; empty where it cannot. */
  readonly brokerPin: ReadonlyArray<string>
  /** The same for a generator. */
  readonly generatorPin: ReadonlyArray<string>
  /** Where what has to be on a disk goes, in directories of its own. */
  readonly dataDirectory: string
}

/** One figure of a measurement: a line of the report. */
export interface CapacityRow {
  readonly label: string
  readonly value: number
  /** As it stands behind the value: `MB`, `/s`, `x`, `%`. */
  readonly unit: string
  /** As it is printed: `<= 400 MB`. */
  readonly goal?: string
  /** Whether this run met the goal; absent where there is none. */
  readonly met?: boolean
}

export interface CapacityScenario {
  readonly kind: "capacity"
  /** What `--only` names: lower case with hyphens. */
  readonly name: string
  /** What is promised, in one sentence. */
  readonly goal: string
  /** A rejection is a failure of that measurement: the rest goes on. */
  readonly run: (options: CapacityOptions) => Promise<ReadonlyArray<CapacityRow>>
}

export const capacityScenarios: ReadonlyArray<CapacityScenario> = [
  manySubscriptions,
  subscriptionGrowth,
  manyTenants,
  noisyNeighbour,
  noisyNeighbourOnDisk,
  stuckSubscribers,
  tlsConnections,
  offlineFill,
  checksOverhead
]
