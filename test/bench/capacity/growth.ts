/**
 * What a message costs beside 1,000 and beside 1,000,000 subscriptions that do not match it: two brokers in
 * turn, with the same clients and the same topics.
 *
 * The subscriptions are those of devices to their own commands, and the messages come from the same devices
 * on another last level: everything but that level leads on in the tree of filters. Once each publisher stays
 * on its topic, which is then found in a cache; once it never repeats one, so that each message is a walk.
 */

import { Rota } from "../LoadClient.ts"
import { connectAll, type Holder, holdersOf, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, costsInTurn, limited, type Measure } from "./measurement.ts"
import { Subject } from "./Subject.ts"
import { filterOf } from "./subscriptions.ts"

const ratioGoal = 1.2
const few = 1000
const flowCount = 20

const measure: Measure = async (options) => {
  const many = options.quick ? 10_000 : 1_000_000
  const subjects = [
    await Subject.start({ pin: options.brokerPin }),
    await Subject.start({ pin: options.brokerPin })
  ]
  const crowds = await Promise.all(subjects.map((subject, index) => crowd(subject, index === 0 ? few : many)))
  const rows: Array<CapacityRow> = []
  for (const qos of [0, 1] as const) {
    for (const isFresh of [false, true]) {
      rows.push(...(await compare(subjects, flowsOf(qos, isFresh, many), options)))
    }
  }
  await Promise.all(crowds.map(leaveAll))
  await Promise.all(subjects.map((subject) => subject.stop()))
  return rows
}

const crowd = async (subject: Subject, subscriptions: number): Promise<ReadonlyArray<Holder>> => {
  const sessions = 1000
  const each = subscriptions / sessions
  const holders = holdersOf(Array.from({ length: sessions }, (_, index) => `a|holder-${index}`))
  await connectAll(holders, subject.port)
  for (const [session, holder] of holders.entries()) {
    await holder.subscribe(Array.from({ length: each }, (_, index) => filterOf(session * each + index)))
  }
  return holders
}

const stateOf = (device: number): string => filterOf(device).replace(/set$/, "state")

/** Device i of a flow is in hall i: the filters of the devices say so. */
const flowsOf = (qos: 0 | 1, isFresh: boolean, devices: number): ReadonlyArray<FlowOptions> =>
  Array.from({ length: flowCount }, (_, index) => ({
    tenant: "a",
    name: `${qos}-${isFresh}-${index}`,
    qos,
    topics: isFresh
      ? Array.from({ length: devices / flowCount }, (_, device) => stateOf(device * flowCount + index))
      : [stateOf(index)],
    filter: isFresh ? `plant/hall-${index}/#` : stateOf(index),
    payloadBytes: 64,
    window: 250,
    rate: 0
  }))

const compare = async (
  subjects: ReadonlyArray<Subject>,
  flows: ReadonlyArray<FlowOptions>,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const rota = new Rota()
  const sides = subjects.map((subject) => ({ subject, traffic: new Traffic(rota, flows) }))
  for (const { subject, traffic } of sides) await connectAll(traffic.clients, subject.port)
  const [small, large] = await costsInTurn(sides, options.quick ? 1 : 3, options.quick ? 0.2 : 0.6)
  for (const { traffic } of sides) await leaveAll(traffic.clients)
  if (small === undefined || large === undefined) throw new Error("nothing was compared")
  const [flow] = flows
  const name = `QoS ${flow?.qos}, ${flow?.topics.length === 1 ? "topics repeated" : "ever new topics"}:`
  const row = (label: string, value: number, unit: string) => ({ label: `${name} ${label}`, value, unit })
  return [
    row("CPU beside few", small.cpuUs, "µs"),
    row("CPU beside many", large.cpuUs, "µs"),
    limited(row("grows to", large.cpuUs / small.cpuUs, "x"), ratioGoal, options)
  ]
}

export const subscriptionGrowth: CapacityScenario = {
  kind: "capacity",
  name: "subscription-growth",
  goal: "a message costs at most 20 % more beside a million subscriptions of others than beside 1,000",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
