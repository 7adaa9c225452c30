/** Two brokers of this process as nodes of one cluster: one bus, one membership, linked route tables. */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { Bus } from "../../src/cluster/Bus.ts"
import { Leases, LeaseTable } from "../../src/cluster/Leases.ts"
import { MemberList, Membership } from "../../src/cluster/Membership.ts"
import { linkedRouteTables, RouteTable } from "../../src/cluster/RouteTable.ts"
import { TestBroker, type TestBrokerOptions } from "../support/testBroker.ts"

export interface TwoBrokers {
  readonly a: TestBroker
  readonly b: TestBroker
  /** Frames that were sent so far. */
  readonly frames: { fast: number; sure: number }
  readonly members: MemberList
  /** Lets everything that needs no time and no input happen, on both. */
  readonly settle: () => Promise<void>
}

export interface TwoBrokersOptions {
  readonly both?: TestBrokerOptions
  readonly a?: TestBrokerOptions
  readonly b?: TestBrokerOptions
  /** Stands between the brokers and the bus. */
  readonly bus?: (bus: Bus["Type"]) => Bus["Type"]
  /** Stands between the brokers and their route tables. */
  readonly table?: (table: RouteTable["Type"]) => RouteTable["Type"]
}

export const withTwoBrokers = async (
  options: TwoBrokersOptions,
  body: (brokers: TwoBrokers) => Promise<void>
): Promise<void> => {
  const members = Effect.runSync(MemberList.make)
  const bus = Context.get(Effect.runSync(Effect.scoped(Layer.build(Bus.layer))), Bus)
  const frames = { fast: 0, sure: 0 }
  const counting: Bus["Type"] = {
    ...bus,
    fast: (to, frame) => {
      frames.fast++
      bus.fast(to, frame)
    },
    sure: (sent) => {
      frames.sure++
      bus.sure(sent)
    }
  }
  const tables = linkedRouteTables(2)
  const { bus: overBus = same, table: overTable = same } = options
  const start = (id: "a" | "b", table: RouteTable["Type"] | undefined) =>
    TestBroker.start({
      ...options.both,
      ...options[id],
      cluster: Layer.mergeAll(
        Layer.scoped(Membership, members.join(id)),
        // Each writes a cell of its own.
        Layer.sync(Leases, () => new LeaseTable().of(id)),
        Logger.minimumLogLevel(LogLevel.Warning),
        Layer.succeed(Bus, overBus(counting)),
        table === undefined ? RouteTable.layer : Layer.succeed(RouteTable, overTable(table))
      )
    })
  const a = await start("a", tables[0])
  const b = await start("b", tables[1])
  const settle = async () => {
    for (let round = 0; round < 2; round++) await Promise.all([a.settle(), b.settle()])
  }
  try {
    await body({ a, b, frames, members, settle })
  } finally {
    await b.stop()
    await a.stop()
  }
}

const same = <A>(self: A): A => self
